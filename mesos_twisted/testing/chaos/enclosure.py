"""A world of its own for one run: processes, mounts and a network that vanish with it.

The command runs itself again under unshare(1): in that world its first process does nothing but
take in orphans, and when it ends the kernel ends all others. Each node of the cluster is a network
namespace with one address, and the world itself is the router between them; a cut in one direction
is a rule of the router that drops packets without a word, as a broken link does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

INSIDE: Final = "MESOS_TWISTED_CHAOS_INSIDE"


def enter(module: str, arguments: Sequence[str]) -> None:
    """Returns in the process that does the work; never in those that only hold the world."""
    if os.environ.pop(INSIDE, None) is None:
        words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if os.geteuid() != 0:
            words.append("--map-root-user")
        command = [*words, sys.executable, "-m", module, *arguments]
        os.execvpe(words[0], command, os.environ | {INSIDE: "1"})
    child = os.fork()
    if child:
        os._exit(_take_in_orphans(child))
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    run("ip", "link", "set", "lo", "up")


def _take_in_orphans(child: int) -> int:
    while True:
        try:
            pid, status = os.wait()
        except KeyboardInterrupt:
            # The terminal told the child too.
            continue
        if pid == child:
            return os.waitstatus_to_exitcode(status) & 0xFF


def run(*words: str) -> str:
    """What a tool prints. Raises AssertionError with its complaint."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


@dataclass(frozen=True, slots=True)
class Node:
    """A host: `before` is what runs a command on it."""

    name: str
    address: str
    before: tuple[str, ...]


class Network:
    """Nodes and the router between them."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.cuts: set[tuple[str, str]] = set()
        self._holders: list[subprocess.Popen[bytes]] = []

    @property
    def holders(self) -> list[int]:
        """Processes that do nothing but keep a node's network."""
        return [holder.pid for holder in self._holders]

    def add(self, name: str) -> Node:
        """One more node, which reaches all others."""
        number = len(self.nodes) + 1
        assert number < 255, "more nodes than addresses"
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo ready && exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n", "no network namespace could be made"
        self._holders.append(holder)
        router, address = f"10.77.{number}.1", f"10.77.{number}.2"
        link = f"node{number}"
        run("ip", "link", "add", link, "type", "veth", "peer", "eth0", "netns", str(holder.pid))
        run("ip", "address", "add", f"{router}/24", "dev", link)
        run("ip", "link", "set", link, "up")
        node = Node(name, address, ("nsenter", "-t", str(holder.pid), "-n", "--"))
        run(*node.before, "ip", "link", "set", "lo", "up")
        run(*node.before, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        run(*node.before, "ip", "link", "set", "eth0", "up")
        run(*node.before, "ip", "route", "add", "default", "via", router)
        self.nodes[name] = node
        return node

    def cut(self, source: str, target: str) -> None:
        """Nothing of `source` reaches `target` from now on; the other way is left alone."""
        if (source, target) not in self.cuts:
            self.cuts.add((source, target))
            self._rule("add", source, target)

    def heal(self, source: str, target: str) -> None:
        """It reaches it again."""
        if (source, target) in self.cuts:
            self.cuts.remove((source, target))
            self._rule("del", source, target)

    def passes(self, source: str, target: str) -> bool:
        """Does the router let through what goes from one to the other? The kernel's own word."""
        number = list(self.nodes).index(source) + 1
        places = (self.nodes[target].address, "from", self.nodes[source].address)
        words = ["ip", "route", "get", *places, "iif", f"node{number}"]
        return subprocess.run(words, capture_output=True, timeout=60).returncode == 0

    def _rule(self, verb: str, source: str, target: str) -> None:
        places = (self.nodes[source].address, self.nodes[target].address)
        run("ip", "rule", verb, "from", places[0], "to", places[1], "blackhole")
