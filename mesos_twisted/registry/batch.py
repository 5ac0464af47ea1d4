"""Group commit: what is asked while one write is under way goes into the next one, together.

A write costs a flush of the disk whatever its size, so a thousand agents that return at once cost
two. Pure bookkeeping: the store says when it is idle and writes what `take` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mesos_twisted.registry.operations import RegistryOperation, Writes, write

W = TypeVar("W")


@dataclass(slots=True)
class Batch(Generic[W]):
    """One write to be: `writes` is the sum of the operations, `waiting` who asked for them."""

    writes: Writes = field(default_factory=dict)
    waiting: list[W] = field(default_factory=list)


class Batcher(Generic[W]):
    """Gathers operations until the store takes them."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next: Batch[W] = Batch()

    def add(self, operations: Sequence[RegistryOperation], waiter: W) -> None:
        """The operations go into the next write, after those added before."""
        for operation in operations:
            write(operation, self._next.writes)
        self._next.waiting.append(waiter)

    def take(self) -> Batch[W] | None:
        """The next write, or None when nobody waits for one."""
        if not self._next.waiting:
            return None
        batch, self._next = self._next, Batch()
        return batch
