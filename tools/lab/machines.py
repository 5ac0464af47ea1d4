"""The nodes as `./lab` handles them: containers of this host, or whatever machines Vagrant has.

Both forms do the same things. Containers are asked directly, which is quick and works while a node
is cut off; machines of other providers are asked through Vagrant, and their cuts are made inside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tools.lab import box, containers, host, network, rootfs, texts
from tools.lab.errors import LabError
from tools.lab.plan import DEFAULT_NAME, Lab, Node, virtualbox_network

ROOT = Path(__file__).resolve().parents[2]


class Machines(Protocol):
    """What an engineer does to the nodes of one laboratory."""

    def status(self) -> list[str]:
        """A line for each node, and one for each cut."""

    def command(self, node: Node, words: Sequence[str]) -> list[str]:
        """What to execute on this host for `words` to run as root in `node`; no words: a shell."""

    def kill(self, node: Node) -> None:
        """Switch the power off."""

    def start(self, node: Node) -> None:
        """Switch the power on, and wait until the node answers."""

    def freeze(self, node: Node, *, thaw: bool) -> None:
        """Let it hang, or go on."""

    def cut(self, here: list[Node], there: list[Node], *, one_way: bool, percent: int) -> None:
        """Drop frames of the cluster network between the two sides."""

    def heal(self) -> None:
        """Drop none."""

    def destroy(self) -> None:
        """Leave nothing."""


def dotfile(lab_name: str) -> Path:
    """Where Vagrant keeps what it knows of the laboratory: two of them must not share that."""
    return ROOT / (".vagrant" if lab_name == DEFAULT_NAME else f".vagrant-{lab_name}")


def vagrant_environment(lab_name: str) -> dict[str, str]:
    """The environment in which Vagrant speaks of the laboratory `lab_name`."""
    changed = {"LAB_NAME": lab_name, "VAGRANT_DOTFILE_PATH": str(dotfile(lab_name))}
    return {**os.environ, **changed, "VAGRANT_CWD": str(ROOT)}


def provider(lab_name: str) -> str | None:
    """The provider Vagrant made the laboratory's machines with; None when it made none."""
    found = {path.parent.name for path in dotfile(lab_name).glob("machines/*/*/id")}
    return sorted(found)[0] if found else None


def vagrant(lab: Lab, *words: str, text: str | None = None, quiet: bool = False) -> None:
    """Run Vagrant to its end, on the engineer's terminal; LabError when it fails."""
    if not shutil.which("vagrant"):
        raise LabError(
            "Vagrant is not installed: apt-get install vagrant, or use `./lab nodes up`."
        )
    done = subprocess.run(
        ["vagrant", *words],
        env=vagrant_environment(lab.name),
        cwd=ROOT,
        input=text,
        text=True,
        capture_output=quiet,
        check=False,
    )
    if done.returncode:
        said = f": {done.stderr.strip()}" if quiet else ""
        raise LabError(f"`vagrant {' '.join(words)}` failed with status {done.returncode}{said}")


def machines(lab: Lab) -> Machines:
    """The nodes of `lab` by the provider they were made with; LabError when there are none."""
    made_with = provider(lab.name)
    if made_with in (None, "lxc"):
        if containers.recorded(lab.name) is None:
            raise LabError(f"The laboratory {lab.name!r} is not up: say `./lab up`.")
        host.need_root("The lxc laboratory")
        return Containers(lab)
    assert made_with
    return Vagrant(lab, made_with)


class Containers:
    """Nodes that are LXC containers of this host."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def status(self) -> list[str]:
        lines = [f"{'node':8}{'state':10}{'cluster':16}{'management':16}{'memory':>12}  groups"]
        for node in self.lab.nodes:
            used = containers.used_mb(self.lab, node)
            memory = f"{used[1]}/{self.lab.memory_mb} MiB" if used else "-"
            lines.append(
                f"{node.name:8}{containers.state(self.lab, node):10}"
                f"{self.lab.cluster_address(node)!s:16}{self.lab.management_address(node)!s:16}"
                f"{memory:>12}  {','.join(node.groups)}"
            )
        return lines + [f"cut: {rule}" for rule in network.cuts(self.lab)]

    def command(self, node: Node, words: Sequence[str]) -> list[str]:
        return [
            "ssh", "-q", "-i", str(rootfs.key_file()),
            "-o", f"UserKnownHostsFile={containers.known_hosts(self.lab)}",
            f"root@{self.lab.management_address(node)}", *words,
        ]  # fmt: skip

    def kill(self, node: Node) -> None:
        containers.kill(self.lab, node)

    def start(self, node: Node) -> None:
        with host.locked("host"):
            network.up(self.lab)
        containers.start(self.lab, node)
        containers.wait(self.lab, node)

    def freeze(self, node: Node, *, thaw: bool) -> None:
        containers.freeze(self.lab, node, thaw=thaw)

    def cut(self, here: list[Node], there: list[Node], *, one_way: bool, percent: int) -> None:
        network.cut(self.lab, here, there, one_way=one_way, percent=percent)

    def heal(self) -> None:
        network.heal(self.lab)

    def destroy(self) -> None:
        for node in self.lab.nodes:
            containers.kill(self.lab, node)
        if provider(self.lab.name):
            vagrant(self.lab, "destroy", "--force")
            shutil.rmtree(dotfile(self.lab.name), ignore_errors=True)
        containers.destroy(self.lab)
        if not host.STATE.exists():
            home = os.environ.get("VAGRANT_HOME") or Path.home() / ".vagrant.d"
            box.forget(Path(home))


class Vagrant:
    """Nodes that are machines of any other provider."""

    def __init__(self, lab: Lab, made_with: str) -> None:
        self.lab = lab
        self.made_with = made_with

    def addresses(self) -> Mapping[str, str]:
        """Cluster addresses by name."""
        return cluster_addresses(self.lab, self.made_with)

    def status(self) -> list[str]:
        vagrant(self.lab, "status")
        return [f"{name}: {address}" for name, address in self.addresses().items()]

    def command(self, node: Node, words: Sequence[str]) -> list[str]:
        inside = ["-c", "sudo " + " ".join(words)] if words else []
        return ["vagrant", "ssh", node.name, *inside]

    def kill(self, node: Node) -> None:
        vagrant(self.lab, "halt", "--force", node.name)

    def start(self, node: Node) -> None:
        vagrant(self.lab, "up", "--no-provision", node.name)

    def freeze(self, node: Node, *, thaw: bool) -> None:
        vagrant(self.lab, "resume" if thaw else "suspend", node.name)

    def cut(self, here: list[Node], there: list[Node], *, one_way: bool, percent: int) -> None:
        for node in (*here, *there):
            rules = texts.cut_rules_inside(
                self.lab, node, self.addresses(), here, there, one_way=one_way, percent=percent
            )
            if rules:
                vagrant(self.lab, "ssh", node.name, "-c", "sudo nft -f -", text=rules, quiet=True)

    def heal(self) -> None:
        table = self.lab.table
        rules = f"add table inet {table}\ndelete table inet {table}\n"
        for node in self.lab.nodes:
            vagrant(self.lab, "ssh", node.name, "-c", "sudo nft -f -", text=rules, quiet=True)

    def destroy(self) -> None:
        vagrant(self.lab, "destroy", "--force")
        shutil.rmtree(dotfile(self.lab.name), ignore_errors=True)


def cluster_addresses(lab: Lab, made_with: str) -> dict[str, str]:
    """Addresses in the cluster network by name, as the provider `made_with` allows them."""
    if made_with == "virtualbox" and not os.environ.get("LAB_SUBNET"):
        base = virtualbox_network(lab.name)
        shift = int(base.network_address) - int(lab.cluster.network_address)
        return {node.name: str(lab.cluster_address(node) + shift) for node in lab.nodes}
    return {node.name: str(lab.cluster_address(node)) for node in lab.nodes}
