"""A sole master's registry on a simulated disk: one flush at a time, and crashes between them.

What was committed outlives the process; what was under way when it was killed happened or did not.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from mesos_twisted.errors import UnavailableError
from mesos_twisted.registry.batch import Batcher
from mesos_twisted.registry.operations import RegistryOperation, Snapshot, Writes, snapshot
from mesos_twisted.testing.sim.disk import DiskFaults


class StoredRecords:
    """The file: it outlives its masters."""

    def __init__(self, random: Random) -> None:
        self.records: dict[tuple[str, str], bytes] = {}
        self.version = 0
        self.faults = DiskFaults()
        #: A flush takes up to so long.
        self.flush_s = 0.005
        self.random = random

    def commit(self, writes: Writes) -> int:
        """All of it is durable."""
        for place, value in writes.items():
            if value is None:
                self.records.pop(place, None)
            else:
                self.records[place] = value
        self.version += 1
        return self.version


class SimRegistry:
    """`Registry` for one life of a master; `clock` is its process's, `world` nobody's."""

    def __init__(self, stored: StoredRecords, clock: IReactorTime, world: IReactorTime) -> None:
        self._stored = stored
        self._clock = clock
        self._world = world
        self._batcher: Batcher[Deferred[int]] = Batcher()
        self._busy = False
        self._failed: UnavailableError | None = None

    def load(self) -> Deferred[Snapshot]:
        """After a moment."""
        done: Deferred[Snapshot] = Deferred()
        self._clock.callLater(self._wait_s(), self._loaded, done)
        return done

    def _loaded(self, done: Deferred[Snapshot]) -> None:
        stored = self._stored
        if stored.faults.broken:
            done.errback(UnavailableError("The registry cannot be read: disk I/O error"))
            return
        rows = ((table, key, value) for (table, key), value in stored.records.items())
        done.callback(snapshot(stored.version, rows))

    def apply(self, operations: Sequence[RegistryOperation]) -> Deferred[int]:
        """After the flush that holds them."""
        if self._failed is not None:
            return fail(self._failed)
        done: Deferred[int] = Deferred()
        self._batcher.add(operations, done)
        if not self._busy:
            self._next()
        return done

    def close(self) -> Deferred[None]:
        """After what is under way."""
        done: Deferred[None] = Deferred()
        self._clock.callLater(self._stored.flush_s, done.callback, None)
        return done

    def _next(self) -> None:
        batch = self._batcher.take()
        self._busy = batch is not None
        if batch is None:
            return
        waiting, writes = batch.waiting, batch.writes
        # The disk's part goes on when the process is killed in the middle, or was never begun.
        self._world.callLater(self._wait_s(), self._flush, writes, waiting)

    def _flush(self, writes: Writes, waiting: list[Deferred[int]]) -> None:
        faults = self._stored.faults
        if faults.full or faults.broken:
            self._clock.callLater(0.0, self._refuse, waiting)
            return
        version = self._stored.commit(writes)
        self._clock.callLater(self._wait_s() / 4, self._tell, waiting, version)

    def _tell(self, waiting: list[Deferred[int]], version: int) -> None:
        for done in waiting:
            done.callback(version)
        self._next()

    def _refuse(self, waiting: list[Deferred[int]]) -> None:
        self._failed = UnavailableError("The registry cannot be written: the disk is full")
        rest = self._batcher.take()
        for done in waiting + (rest.waiting if rest else []):
            done.errback(self._failed)

    def _wait_s(self) -> float:
        return self._stored.random.random() * self._stored.flush_s
