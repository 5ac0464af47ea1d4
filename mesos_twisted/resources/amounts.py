"""The amount of one resource: thousandths, ranges, a set, or whole lumps; its arithmetic.

Which resource it is an amount of is not known here. Amounts of different types have no sum: that
is a bug of whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable

from mesos_twisted.errors import BugError
from mesos_twisted.resources.resource import DiskInfo
from mesos_twisted.resources.values import Ranges, Value


class Lumps:
    """Whole amounts of one key, smallest first; how a disk is used does not count in `==`."""

    __slots__ = ("sizes", "uses")

    def __init__(self, pieces: Iterable[tuple[int, DiskInfo | None]]) -> None:
        ordered = sorted(pieces, key=lambda piece: piece[0])
        self.sizes = tuple([size for size, _ in ordered])
        self.uses = tuple([use for _, use in ordered])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lumps) and self.sizes == other.sizes

    def __hash__(self) -> int:
        return hash(self.sizes)

    def __repr__(self) -> str:
        return f"Lumps({self.sizes!r})"

    def pieces(self) -> list[tuple[int, DiskInfo | None]]:
        """Pairs of thousandths and how that disk is used."""
        return list(zip(self.sizes, self.uses, strict=True))

    def add(self, other: Lumps) -> Lumps:
        """All pieces of both."""
        return Lumps(self.pieces() + other.pieces())

    def without(self, other: Lumps) -> Lumps | None:
        """The pieces left after taking those of `other`; None when one is not here."""
        left = self.pieces()
        for size in other.sizes:
            for at, piece in enumerate(left):
                if piece[0] == size:
                    del left[at]
                    break
            else:
                return None
        return Lumps(left)


Amount = Value | Lumps


def plus(left: Amount, right: Amount) -> Amount:
    """Both together."""
    if isinstance(left, int) and isinstance(right, int):
        return left + right
    if isinstance(left, Ranges) and isinstance(right, Ranges):
        return left.add(right)
    if isinstance(left, frozenset) and isinstance(right, frozenset):
        return left | right
    if isinstance(left, Lumps) and isinstance(right, Lumps):
        return left.add(right)
    raise BugError(f"Amounts of different types cannot be added: {left!r} and {right!r}.")


def minus(left: Amount, right: Amount) -> Amount | None:
    """What is left of `left`; None when `right` is not wholly in it."""
    if isinstance(left, int) and isinstance(right, int):
        return left - right if left >= right else None
    if isinstance(left, Lumps) and isinstance(right, Lumps):
        return left.without(right)
    return minus_clipped(left, right) if covers(left, right) else None


def minus_clipped(left: Amount, right: Amount) -> Amount:
    """What is left of `left` after taking as much of `right` as it has."""
    if isinstance(left, int) and isinstance(right, int):
        return max(left - right, 0)
    if isinstance(left, Ranges) and isinstance(right, Ranges):
        return left.subtract(right)
    if isinstance(left, frozenset) and isinstance(right, frozenset):
        return left - right
    if isinstance(left, Lumps) and isinstance(right, Lumps):
        for size in right.sizes:
            left = left.without(Lumps([(size, None)])) or left
        return left
    raise BugError(f"Amounts of different types cannot be subtracted: {left!r} and {right!r}.")


def covers(left: Amount, right: Amount) -> bool:
    """Whether all of `right` is in `left`."""
    if isinstance(left, int) and isinstance(right, int):
        return left >= right
    if isinstance(left, Ranges) and isinstance(right, Ranges):
        return left.contains(right)
    if isinstance(left, frozenset) and isinstance(right, frozenset):
        return left >= right
    if isinstance(left, Lumps) and isinstance(right, Lumps):
        return left.without(right) is not None
    return False


def is_something(amount: Amount) -> bool:
    """Whether there is any of it."""
    return bool(amount.sizes) if isinstance(amount, Lumps) else bool(amount)
