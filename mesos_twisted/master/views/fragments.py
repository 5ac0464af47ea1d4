"""Rendered records, kept until their version changes.

A page over a hundred thousand tasks then costs a look-up each. The store holds each record it has
rendered; what left the state is dropped when a whole pass finds many such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar


class Versioned(Protocol):
    """A record of the state that a view shows."""

    version: int


R = TypeVar("R", bound=Versioned)
#: Elements in one piece: some tens of kilobytes of tasks, rendered within a millisecond or two.
BATCH: Final = 32


class Fragments(Generic[R]):
    """The rendered form of records of one kind in one encoding."""

    __slots__ = ("_known", "_render", "asked")

    def __init__(self, render: Callable[[R], bytes]) -> None:
        self._render = render
        # By identity: the record is kept with its bytes, so its id is not given to another.
        self._known: dict[int, tuple[R, int, bytes]] = {}
        #: Rises whenever a page is made of these.
        self.asked = 0

    def __len__(self) -> int:
        return len(self._known)

    def of(self, record: R) -> bytes:
        """The record's bytes as it is now."""
        known = self._known.get(id(record))
        if known is not None and known[1] == record.version:
            return known[2]
        rendered = self._render(record)
        self._known[id(record)] = (record, record.version, rendered)
        return rendered

    def each(self, records: Iterable[R]) -> Iterator[bytes]:
        """The bytes of each record, in order."""
        of = self.of
        self.asked += 1
        for record in records:
            yield of(record)

    def warm(self, records: Iterable[R]) -> Iterator[None]:
        """Render what is missing; yields now and then, so that the caller can pause."""
        for count, record in enumerate(records):
            self.of(record)
            if count % BATCH == BATCH - 1:
                yield None
        yield None

    def trim(self, live: int) -> None:
        """Forget everything when much of it belongs to records that are gone."""
        self.asked += 1
        if len(self._known) > 2 * live + 1024:
            self._known.clear()

    def forget_idle(self, asked_before: int) -> int:
        """Give the memory back when nothing was asked since; how often it was asked by now."""
        if self.asked == asked_before:
            self._known.clear()
        return self.asked

    def clear(self) -> None:
        """Give the memory back."""
        self._known.clear()


def joined(
    fragments: Iterable[bytes], before: bytes, after: bytes, together: int = BATCH
) -> Iterator[bytes]:
    """A JSON array's elements with commas between, in pieces of some elements each."""
    source = iter(fragments)
    lead = before
    while batch := list(islice(source, together)):
        yield lead + b",".join(batch)
        lead = b","
    yield after if lead == b"," else before + after
