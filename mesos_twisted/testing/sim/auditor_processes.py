"""Processes as such: no bug, no exit without a reason, no buffer without an end (I16, I17)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from mesos_twisted.testing.sim.agent import SimHost
from mesos_twisted.testing.sim.auditor_scene import Check, Scene
from mesos_twisted.testing.sim.kernel import Process

#: Why a process may leave by itself: exit code and the beginning of its sentence.
REASONS: Final[tuple[tuple[int, str], ...]] = (
    (1, r"Another master leads"),
    (1, r"The session .*in ZooKeeper"),
    (1, r"The checkpoints cannot be (read|written)"),
    (1, r"Agent has been marked gone"),
    (1, r"\d+ of \d+ agents did not return"),
    (75, r"The registry was not (read|written)"),
    (75, r"The registry cannot be (read|written)"),
    (75, r"Another master"),
    (75, r".*ZooKeeper"),
)
#: These only of a machine whose launcher was lost, or whose rows were torn, after all.
LAUNCHER_LOST: Final = r"The launcher does not answer"
DAMAGED: Final = r"The agent's checkpoint is damaged"
#: A process has one connection for each of its sessions: a master elects and writes.
SESSIONS: Final = {"m": 2}
ZOOKEEPER_PORT: Final = 2181
#: What a connection may hold beyond the buffer's limit: one record, and what its writer batches.
_SLACK: Final = 1 << 20


class Processes(Check):
    """See the module's head. `reasons` are further ones for leaving."""

    def __init__(self, scene: Scene, reasons: Iterable[tuple[int, str]] = ()) -> None:
        super().__init__(scene)
        self._reasons = (*REASONS, *reasons)
        self._exits = 0
        self._errors: dict[str, int] = {}
        self._ended_pids: dict[SimHost, set[int]] = {}

    def look(self) -> None:
        """After each event: who raised, who left."""
        world = self.scene.world
        while self._exits < len(world.exits):
            left = world.exits[self._exits]
            self._exits += 1
            self._left(left.who, left.code, left.sentence)

    def raised(self, name: str, traceback: str) -> None:
        """An exception that nothing expected."""
        last = traceback.strip().splitlines()[-1] if traceback.strip() else "nothing is known"
        self.scene.violated("I17", f"{name} raised what nobody handles: {last}", traceback)

    def second(self) -> None:
        """Exceptions, and bytes that wait."""
        for name, place in self.scene.world.places.items():
            for failure in place.errors[self._errors.get(name, 0) :]:
                self.raised(name, failure.getTraceback())
            self._errors[name] = len(place.errors)
        self._buffers()

    def settled(self) -> None:
        """Once more, and connections that are left over."""
        self.look()
        self.second()
        for name, place in self.scene.world.places.items():
            if place.reactor is None:
                continue
            peers = [one.getPeer() for one in place.reactor.transports]
            count = sum(getattr(peer, "port", 0) == ZOOKEEPER_PORT for peer in peers)
            if count > SESSIONS.get(name[0], 1):
                self.scene.violated("I16", f"{name} has {count} connections to ZooKeeper")

    def started(self, host: SimHost, name: str, process: Process) -> None:
        """A pid is given out again."""
        pids = self._ended_pids.setdefault(host, set())
        if process.pid in pids:
            self.scene.probes.sometimes("pid reused")
        pids.add(process.pid)

    def _left(self, who: str, code: int, sentence: str) -> None:
        if who.startswith("m"):
            self.scene.probes.sometimes("master stopped")
        if "registry" in sentence:
            self.scene.probes.sometimes("registry write failed")
        if sentence.startswith("The checkpoints cannot be written"):
            self.scene.probes.sometimes("disk refused a write")
        reasons = list(self._reasons)
        host = self.scene.world.hosts.get(who)
        if host is not None and host.kernel.launchers_lost:
            reasons.append((1, LAUNCHER_LOST))
        if host is not None and host.rows.torn:
            reasons.append((1, DAMAGED))
        if code == 0 or any(code == one and re.match(why, sentence) for one, why in reasons):
            return
        self.scene.violated("I17", f"{who} left with exit code {code}: {sentence}")

    def _buffers(self) -> None:
        limits = {
            name: life.service.config.max_stream_buffer for name, life in self.scene.masters.items()
        }
        for name, place in self.scene.world.places.items():
            limit = limits.get(name)
            if place.reactor is None or limit is None:
                continue
            for transport in place.reactor.transports:
                if transport.buffered_bytes > limit + _SLACK:
                    self.scene.violated(
                        "I16",
                        f"{name} holds more for one connection than --max_stream_buffer allows",
                        f"{transport.buffered_bytes} bytes for {transport!r}",
                    )
