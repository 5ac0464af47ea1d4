"""How faults are done, and undone when their time is over."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from mesos_twisted.testing.chaos.cluster import Cluster
from mesos_twisted.testing.chaos.plan import ENSEMBLE_LEADER, LEADER, Fault, Kind

#: A slow disk is a frozen one most of the time.
FROZEN_S, THAWED_S = 0.4, 0.1


class Faults:
    """`leader` says which master leads now, or None."""

    def __init__(self, cluster: Cluster, leader: Callable[[], str | None]) -> None:
        self.cluster, self.leader = cluster, leader
        self._undo: list[tuple[float, Callable[[], None]]] = []
        self._slow: dict[str, float] = {}
        #: Agent to when its disk was last in trouble; it may end by itself then.
        self.disk_trouble: dict[str, list[float]] = {}
        self.done: dict[Kind, int] = {}

    def do(self, fault: Fault) -> Fault:
        """Afterwards it holds; the fault with names in place of `leader`."""
        fault = Fault(fault.at_s, fault.kind, self._who(fault), fault.other, fault.for_s)
        if fault.other == fault.target:
            return fault
        self.done[fault.kind] = self.done.get(fault.kind, 0) + 1
        member = self.cluster.members[fault.target]
        until = time.monotonic() + fault.for_s
        network = self.cluster.network
        match fault.kind:
            case Kind.KILL:
                member.send(signal.SIGKILL)
            case Kind.STOP:
                member.send(signal.SIGTERM)
            case Kind.PAUSE:
                process = member.process
                member.send(signal.SIGSTOP)
                if process is not None:
                    self._undo.append((until, lambda: process.send_signal(signal.SIGCONT)))
            case Kind.CUT:
                self._cut(until, fault.target, fault.other)
            case Kind.PART:
                self._cut(until, fault.target, fault.other)
                self._cut(until, fault.other, fault.target)
            case Kind.ISOLATE:
                for other in network.nodes:
                    if other != fault.target:
                        self._cut(until, fault.target, other)
                        self._cut(until, other, fault.target)
            case Kind.FULL:
                disk = self.cluster.disks[fault.target]
                self.disk_trouble.setdefault(fault.target, []).append(time.time())
                disk.thaw()
                disk.fill()
                self._undo.append((until, disk.empty))
            case Kind.SLOW:
                self._slow[fault.target] = until
        return fault

    def _who(self, fault: Fault) -> str:
        if fault.target == LEADER:
            return self.leader() or self.cluster.names("master")[0]
        if fault.target == ENSEMBLE_LEADER:
            for name, server in zip(
                self.cluster.names("zookeeper"), self.cluster.ensemble.servers, strict=True
            ):
                server.process = self.cluster.members[name].process
                try:
                    if server.process and self.cluster.ensemble.mode(server) == "leader":
                        return name
                except AssertionError:
                    continue
            return self.cluster.names("zookeeper")[0]
        return fault.target

    def _cut(self, until: float, source: str, target: str) -> None:
        network = self.cluster.network
        if (source, target) not in network.cuts:
            network.cut(source, target)
            self._undo.append((until, lambda: network.heal(source, target)))

    def turn(self) -> None:
        """What is over is undone; slow disks are frozen and thawed in turn."""
        now = time.monotonic()
        over = [undo for at, undo in self._undo if at <= now]
        self._undo = [(at, undo) for at, undo in self._undo if at > now]
        for undo in over:
            undo()
        for name, until in list(self._slow.items()):
            disk = self.cluster.disks[name]
            if until <= now:
                del self._slow[name]
                disk.thaw()
            elif now % (FROZEN_S + THAWED_S) < FROZEN_S:
                disk.freeze()
            else:
                disk.thaw()

    def heal(self) -> None:
        """All is undone."""
        self._slow = dict.fromkeys(self._slow, 0.0)
        self._undo = [(0.0, undo) for _, undo in self._undo]
        self.turn()
        for disk in self.cluster.disks.values():
            disk.thaw()
