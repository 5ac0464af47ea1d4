"""How faults are done, and undone when their time is over.

A fault counts only if it held: a stopped process is seen to be stopped, the kernel says that a cut
lets nothing through, a full disk refuses a byte. One that did not hold is in `void`, one that had
nobody to strike in `missed`.
"""

from __future__ import annotations

import functools
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from mesos_twisted.testing.chaos import sessions
from mesos_twisted.testing.chaos.cluster import Cluster, Member
from mesos_twisted.testing.chaos.plan import ENSEMBLE_LEADER, LEADER, Fault, Kind

#: A slow disk is a frozen one most of the time.
FROZEN_S, THAWED_S = 0.4, 0.1
#: A signal has done its work by then.
HOLDS_S: Final = 2.0
#: After a fault that concerned them, ZooKeeper's servers need as long to agree again.
AGREE_S: Final = 15.0


class Faults:
    """`leader` says which master leads now, `ensemble_leader` which ZooKeeper server; or None."""

    def __init__(
        self,
        cluster: Cluster,
        leader: Callable[[], str | None],
        ensemble_leader: Callable[[], str | None],
    ) -> None:
        self.cluster = cluster
        self.leaders = {LEADER: (leader, "master"), ENSEMBLE_LEADER: (ensemble_leader, "zookeeper")}
        self._undo: list[tuple[float, Callable[[], None]]] = []
        self._slow: dict[str, float] = {}
        self._threads: list[threading.Thread] = []
        #: Agent to when its disk was last in trouble; it may end by itself then.
        self.disk_trouble: dict[str, list[float]] = {}
        #: What held, by what it was and the kind of member that it struck.
        self.done: Counter[tuple[Kind, str]] = Counter()
        self.missed: Counter[Kind] = Counter()
        #: Sentences on faults that did not hold: the run proves less than it says.
        self.void: list[str] = []
        #: Until when faults, and what follows them, keep ZooKeeper's servers from agreeing.
        self.ensemble_disturbed_until = 0.0
        #: How often somebody looked at an agent on a frozen disk, and how often it waited for it.
        self.looked, self.waited = 0, 0

    def do(self, fault: Fault) -> str:
        """Afterwards it holds; what was done in words, with names in place of `leader`."""
        fault = replace(fault, target=self._who(fault.target), other=self._who(fault.other))
        member = self.cluster.members[fault.target]
        if fault.other == fault.target:
            return self._missed(fault, "it cannot be cut off from itself")
        if member.name in self.cluster.disks:
            # Nobody ends, or stops, who waits for a frozen disk.
            self.cluster.disks[member.name].thaw()
        process, until = member.process, time.monotonic() + fault.for_s
        if "zookeeper" in fault.target + fault.other:
            self.ensemble_disturbed_until = max(self.ensemble_disturbed_until, until + AGREE_S)
        match fault.kind:
            case Kind.KILL | Kind.STOP:
                signo = signal.SIGKILL if fault.kind is Kind.KILL else signal.SIGTERM
                if process is None or not member.send(signo):
                    return self._missed(fault, "it is down")
                if signo is signal.SIGKILL:
                    self._wait(fault, lambda: state(process) in "ZX")
            case Kind.PAUSE:
                if process is None or not member.send(signal.SIGSTOP):
                    return self._missed(fault, "it is down")
                self._undo.append((until, lambda: process.send_signal(signal.SIGCONT)))
                self._wait(fault, lambda: state(process) in "TZX")
            case Kind.CUT | Kind.PART | Kind.ISOLATE | Kind.BLIND:
                self._cut_off(fault, until)
            case Kind.EXPIRE:
                # A server that is stopped answers nothing, and nothing else shall wait for it.
                thread = threading.Thread(target=self._expire, args=(fault, member), daemon=True)
                self._threads.append(thread)
                thread.start()
                return str(fault)
            case Kind.FULL:
                disk = self.cluster.disks[fault.target]
                self.disk_trouble.setdefault(fault.target, []).append(time.time())
                disk.thaw()
                disk.fill()
                self._undo.append((until, disk.empty))
                if not disk.is_full():
                    self.void.append(f"{fault}: there was room left")
            case Kind.SLOW:
                if not self.cluster.disks[fault.target].freezes:
                    return self._missed(fault, "its disk cannot be frozen here")
                self._slow[fault.target] = until
        self.done[fault.kind, member.kind] += 1
        return str(fault)

    def _missed(self, fault: Fault, why: str) -> str:
        self.missed[fault.kind] += 1
        return f"not done: {fault} ({why})"

    def _who(self, said: str) -> str:
        if said in self.leaders:
            who, kind = self.leaders[said]
            return who() or self.cluster.names(kind)[0]
        return said

    def _wait(self, fault: Fault, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + HOLDS_S
        while not holds():
            if time.monotonic() > deadline:
                self.void.append(f"{fault}: it did not hold within {HOLDS_S:g} s")
                return
            time.sleep(0.002)  # the kernel's doing, which nobody tells of

    def _cut_off(self, fault: Fault, until: float) -> None:
        target = fault.target
        match fault.kind:
            case Kind.CUT:
                pairs = [(target, fault.other)]
            case Kind.PART:
                pairs = [(target, fault.other), (fault.other, target)]
            case _:
                names = list(self.cluster.network.nodes)
                if fault.kind is Kind.BLIND:
                    names = self.cluster.names("zookeeper")
                pairs = [pair for n in names if n != target for pair in ((target, n), (n, target))]
        network = self.cluster.network
        for source, sink in pairs:
            if (source, sink) not in network.cuts:
                network.cut(source, sink)
                self._undo.append((until, functools.partial(network.heal, source, sink)))
        for source, sink in pairs[:2]:
            if network.passes(source, sink):
                self.void.append(f"{fault}: {source} still reaches {sink}")

    def _expire(self, fault: Fault, member: Member) -> None:
        """Every session of a member is closed behind its back."""
        ensemble = self.cluster.ensemble
        found = {
            session
            for server in ensemble.servers
            for address, session in sessions.sessions(ensemble, server)
            if address == member.node.address
        }
        closed = [
            any(sessions.end(ensemble, server, session) for server in ensemble.servers)
            for session in sorted(found)
        ]
        if any(closed):
            self.done[Kind.EXPIRE, member.kind] += 1
        else:
            self._missed(fault, "it had none")

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
                if disk.frozen:
                    self._look(name)
                disk.freeze()
            else:
                disk.thaw()

    def _look(self, name: str) -> None:
        process = self.cluster.members[name].process
        if process is not None:
            self.looked += 1
            self.waited += state(process) == "D"

    def heal(self) -> list[str]:
        """All is undone; sentences on what is not."""
        for thread in self._threads:
            thread.join()
        self._slow = dict.fromkeys(self._slow, 0.0)
        self._undo = [(0.0, undo) for _, undo in self._undo]
        self.turn()
        left = []
        for name, disk in self.cluster.disks.items():
            disk.thaw()
            if disk.is_full():
                left.append(f"the disk of {name} is full after all was healed")
        network = self.cluster.network
        for source in network.nodes:
            left += [
                f"{source} does not reach {sink} after all was healed"
                for sink in network.nodes
                if sink != source and not network.passes(source, sink)
            ]
        for name, member in self.cluster.members.items():
            if member.process is not None and state(member.process) == "T":
                left.append(f"{name} is stopped after all was healed")
        return left


def state(process: subprocess.Popen[bytes]) -> str:
    """R, S, D, T, Z … of any of its threads that is stopped or waits for a disk; X: no more."""
    found = "X"
    for stat in Path(f"/proc/{process.pid}/task").glob("*/stat"):
        try:
            found = stat.read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if found in "TD":
            break
    return found
