"""Group commit: what is asked while one write is under way goes into the next one, together.

A write costs a flush of the disk whatever its size, so a thousand agents that return at once cost
two. Pure bookkeeping: the store says when it is idle and writes what `take` gives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mesos_twisted.registry.operations import RegistryOperation, Writes, write

W = TypeVar("W")

#: What a record costs in a write beside its key and value, in bytes; a guess on the high side.
RECORD_BYTES = 200


@dataclass(slots=True)
class Batch(Generic[W]):
    """One write to be: `writes` is the sum of the operations, `waiting` who asked for them."""

    writes: Writes = field(default_factory=dict)
    waiting: list[W] = field(default_factory=list)
    size: int = 0


class Batcher(Generic[W]):
    """Gathers operations until the store takes them.

    With `limit` (bytes) a batch is full before it gets larger; what is asked together stays
    together, so that a single request may be larger all the same.
    """

    __slots__ = ("_batches", "_limit")

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._batches: deque[Batch[W]] = deque()

    def add(self, operations: Sequence[RegistryOperation], waiter: W) -> None:
        """The operations go into the next write that has room, after those added before."""
        writes: Writes = {}
        for operation in operations:
            write(operation, writes)
        size = sum(
            RECORD_BYTES + len(key) + len(value or b"") for (_, key), value in writes.items()
        )
        if not self._batches or (
            self._limit is not None and self._batches[-1].size + size > self._limit
        ):
            self._batches.append(Batch())
        batch = self._batches[-1]
        batch.writes.update(writes)
        batch.size += size
        batch.waiting.append(waiter)

    def take(self) -> Batch[W] | None:
        """The next write, or None when nobody waits for one."""
        return self._batches.popleft() if self._batches else None
