"""The command `./lab`: what an engineer says, and what Vagrant and Molecule say for them."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence

from tools.lab import box, containers, host, rootfs, texts
from tools.lab.errors import LabError
from tools.lab.machines import (
    Machines,
    cluster_addresses,
    dotfile,
    machines,
    provider,
    vagrant,
    vagrant_environment,
)
from tools.lab.plan import Lab, plan

HELP = """\
A cluster of nodes on one machine, for developing and for breaking things on purpose.

Settings, all optional:
  LAB_NAME     its name; laboratories of different names live side by side   (lab)
  LAB_NODES    masters+agents, or the number of all                          (3+2)
  LAB_MEMORY   MiB for each node                                             (1024)
  LAB_CPUS     processors of each virtual machine                            (1)
  LAB_GOLDEN   yes: nodes begin with Java and ZooKeeper's packages           (yes)
  LAB_SUBNET   a free /23 for its two networks                               (from the name)
  LAB_PROVIDER lxc, libvirt or virtualbox                                    (lxc)
  LAB_PLAYBOOK what Vagrant applies                                          (ansible/site.yml)
"""

#: The settings that count when a laboratory is made.
MAKING = ("LAB_NODES", "LAB_MEMORY", "LAB_CPUS", "LAB_GOLDEN", "LAB_SUBNET")


def _lab(arguments: argparse.Namespace) -> Lab:
    """The laboratory meant: as it was made when it stands, else as the environment plans it."""
    name = arguments.name or os.environ.get("LAB_NAME") or None
    planned = plan(os.environ, name=name)
    return containers.recorded(planned.name) or planned


def _up(arguments: argparse.Namespace) -> None:
    lab = _lab(arguments)
    if lab != plan(os.environ, name=lab.name) and any(name in os.environ for name in MAKING):
        host.say(f"lab: {lab.name!r} stands as it was made; to make it another, destroy it first")
    chosen = provider(lab.name) or arguments.provider or os.environ.get("LAB_PROVIDER") or "lxc"
    if chosen == "lxc":
        host.need_root("The lxc laboratory")
        host.install({**host.PROGRAMS, **host.VAGRANT_PROGRAMS}, ["vagrant-lxc"])
    words = ["up", f"--provider={chosen}"]
    vagrant(lab, *words, *(["--no-provision"] if arguments.no_provision else []))


def _status(arguments: argparse.Namespace) -> None:
    print("\n".join(machines(_lab(arguments)).status()))


def _ssh(arguments: argparse.Namespace) -> None:
    lab = _lab(arguments)
    command = machines(lab).command(lab.node(arguments.node), arguments.command)
    os.environ.update(vagrant_environment(lab.name))
    os.execvp(command[0], command)


def _each(deed: Callable[[Machines, Lab, str], None]) -> Callable[[argparse.Namespace], None]:
    """A command that does `deed` to each node named."""

    def command(arguments: argparse.Namespace) -> None:
        lab = _lab(arguments)
        nodes = [lab.node(name).name for name in arguments.nodes]
        for name in nodes:
            deed(machines(lab), lab, name)

    return command


def _partition(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.loss <= 100:
        raise LabError(f"--loss {arguments.loss} must be between 1 and 100 percent.")
    lab = _lab(arguments)
    here, there = texts.sides(lab, arguments.a, arguments.b)
    machines(lab).cut(here, there, one_way=arguments.one_way, percent=arguments.loss)


def _heal(arguments: argparse.Namespace) -> None:
    machines(_lab(arguments)).heal()


def _logs(arguments: argparse.Namespace) -> None:
    lab = _lab(arguments)
    nodes = [lab.node(arguments.node)] if arguments.node else list(lab.nodes)
    words = ["journalctl", "--no-pager", "--output=short-iso-precise", f"--lines={arguments.lines}"]
    words += [f"--unit='{unit}'" for unit in arguments.unit]
    every = machines(lab)
    environment = vagrant_environment(lab.name)
    if arguments.follow:
        if len(nodes) > 1:
            raise LabError("Say whose journal to follow: ./lab logs NODE -f")
        command = every.command(nodes[0], [*words, "--follow"])
        os.environ.update(environment)
        os.execvp(command[0], command)
    lines: list[str] = []
    for node in nodes:
        said = subprocess.run(
            every.command(node, words), env=environment, capture_output=True, text=True, check=False
        )
        if said.returncode:
            host.say(f"lab: {node.name} does not answer, its journal is left out")
        lines += [line for line in said.stdout.splitlines() if not line.startswith("-- ")]
    print("\n".join(sorted(lines)))


def _destroy(arguments: argparse.Namespace) -> None:
    lab = _lab(arguments)
    if provider(lab.name) is None and containers.recorded(lab.name) is None:
        host.say(f"lab: there is no laboratory {lab.name!r}")
        return
    machines(lab).destroy()


def _plan(arguments: argparse.Namespace) -> None:
    lab = _lab(arguments)
    answer = {
        "name": lab.name,
        "memory_mb": lab.memory_mb,
        "cpus": lab.cpus,
        "groups": lab.groups(),
        "box": box.NAME,
        "box_file": str(box.path()),
        "key": str(host.CACHE / "ssh" / "id_ed25519"),
        "addresses": {
            name: cluster_addresses(lab, name) for name in ("lxc", "libvirt", "virtualbox")
        },
        "nodes": [
            {
                "name": node.name,
                "container": lab.container(node),
                "config": str(containers.node_state(lab, node) / "config"),
                "management": str(lab.management_address(node)),
            }
            for node in lab.nodes
        ],
    }
    print(json.dumps(answer))


def _prepare(arguments: argparse.Namespace) -> None:
    containers.prepare(_lab(arguments))
    box.make()


def _forget(arguments: argparse.Namespace) -> None:
    lab = _lab(arguments)
    for name in arguments.nodes:
        containers.forget(lab, lab.node(name))


def _nodes(arguments: argparse.Namespace) -> None:
    named: dict[str, list[str]] = {}
    for word in arguments.node:
        name, _, groups = word.partition(":")
        named[name] = [group for group in groups.split(",") if group]
    lab = plan(os.environ, name=arguments.name, nodes=list(named.items()) or None)
    standing = containers.recorded(lab.name)
    if standing and [n.name for n in standing.nodes] != [n.name for n in lab.nodes]:
        raise LabError(f"The laboratory {lab.name!r} stands with other nodes: destroy it first.")
    containers.up(lab)
    print(json.dumps(_inventory_of(lab)))


def _inventory_of(lab: Lab) -> dict[str, object]:
    key = host.CACHE / "ssh" / "id_ed25519"
    pki = (dotfile(lab.name) if provider(lab.name) else containers.state_of(lab)) / "pki"
    return texts.inventory(lab, key, containers.known_hosts(lab), pki)


def _inventory(arguments: argparse.Namespace) -> None:
    planned = plan(os.environ, name=arguments.name)
    lab = containers.recorded(planned.name)
    nobody: dict[str, object] = {"_meta": {"hostvars": {}}}
    print(json.dumps(_inventory_of(lab) if lab else nobody))


def _rootfs(arguments: argparse.Namespace) -> None:
    print(rootfs.make(plan(os.environ, name=arguments.name).golden))


def _clean(_: argparse.Namespace) -> None:
    for path in rootfs.clean(containers.roots()):
        host.say(f"lab: removed {path}")


def parser() -> argparse.ArgumentParser:
    """Every command of `./lab`."""
    top = argparse.ArgumentParser(
        "lab", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--name", help="the laboratory's name, before LAB_NAME")
    commands = top.add_subparsers(required=True, metavar="COMMAND", dest="what")

    def add(
        name: str, text: str, deed: Callable[[argparse.Namespace], None]
    ) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(deed=deed)
        return one

    one = add("up", "make it, by Vagrant, and apply the playbook", _up)
    one.add_argument("--provider", help="lxc, libvirt or virtualbox")
    one.add_argument("--no-provision", action="store_true", help="bare nodes, no playbook")
    add("status", "each node's state, addresses and memory; the cuts", _status)
    one = add("ssh", "a shell in a node, or a command", _ssh)
    one.add_argument("node")
    one.add_argument("command", nargs=argparse.REMAINDER)
    for name, text, deed in (
        ("kill", "switch the power of nodes off", lambda m, lab, n: m.kill(lab.node(n))),
        ("start", "switch their power on", lambda m, lab, n: m.start(lab.node(n))),
        ("freeze", "let nodes hang", lambda m, lab, n: m.freeze(lab.node(n), thaw=False)),
        ("thaw", "let them go on", lambda m, lab, n: m.freeze(lab.node(n), thaw=True)),
    ):
        add(name, text, _each(deed)).add_argument("nodes", nargs="+", metavar="NODE")
    one = add("partition", "cut the cluster network between A and B", _partition)
    one.add_argument("a", metavar="A", help="a node, or several with commas")
    one.add_argument("b", metavar="B", nargs="?", help="the other side; all others when left out")
    one.add_argument("--one-way", action="store_true", help="only what A says to B is lost")
    one.add_argument("--loss", type=int, default=100, metavar="PERCENT", help="lose only so much")
    add("heal", "undo every cut", _heal)
    one = add("logs", "the journal of a node, or of all in the order of time", _logs)
    one.add_argument("node", nargs="?")
    one.add_argument("-n", "--lines", type=int, default=200, help="of each node (200)")
    one.add_argument("-u", "--unit", action="append", default=[], help="only this unit, as mesos-*")
    one.add_argument("-f", "--follow", action="store_true")
    add("destroy", "leave nothing but the cache", _destroy)
    one = add("nodes", "bare lxc nodes without Vagrant; prints an inventory", _nodes)
    one.add_argument("action", choices=["up"])
    one.add_argument("node", nargs="*", metavar="NODE[:GROUP,...]")
    one = add("inventory", "the nodes as Ansible's dynamic inventory", _inventory)
    one.add_argument("--list", action="store_true", help="what Ansible says; changes nothing")
    add("plan", "what the settings come to, as JSON", _plan)
    add("prepare", "what the lxc provider needs before a node starts", _prepare)
    add("forget", "what is left of nodes Vagrant destroyed", _forget).add_argument(
        "nodes", nargs="+", metavar="NODE"
    )
    add("rootfs", "make the root filesystem now; prints where it is", _rootfs)
    add("clean", "empty the cache of all that no laboratory stands on", _clean)
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Do what `words` say; 1 with a sentence on standard error when it cannot be done."""
    arguments = parser().parse_args(words)
    try:
        arguments.deed(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has read enough; the interpreter's own last flush would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
