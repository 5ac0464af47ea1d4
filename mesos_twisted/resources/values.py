"""Amounts: scalars in thousandths, sorted ranges, sets.

A scalar is a plain `int` of thousandths, so that 0.1 + 0.2 equals 0.3 (Mesos keeps three decimals
as well). A set is a `frozenset[str]`. Nothing here knows names, roles or text.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import Final

from mesos_twisted.errors import MalformedError

SCALAR_LIMIT: Final = 9_223_372_036_854_775  # Mesos keeps thousandths in a signed 64-bit number.
RANGE_LIMIT: Final = 2**64 - 1


class Kind(enum.Enum):
    """The type of a value, spelled as on the wire."""

    SCALAR = "SCALAR"
    RANGES = "RANGES"
    SET = "SET"
    TEXT = "TEXT"


def to_thousandths(value: float) -> int:
    """The scalar nearest to `value`; a half goes away from zero, as C's llround does.

    Raises MalformedError for infinities, NaN and numbers too big to keep.
    """
    if not -SCALAR_LIMIT <= value <= SCALAR_LIMIT:
        raise MalformedError(f"The amount {value!r} is not a number that can be kept exactly.")
    scaled = abs(value) * 1000
    whole = int(scaled)
    if scaled - whole >= 0.5:
        whole += 1
    return -whole if value < 0 else whole


def to_float(thousandths: int) -> float:
    """The floating-point number that Mesos sends for this scalar."""
    if thousandths < 0:
        return -to_float(-thousandths)
    return float(thousandths // 1000) + (thousandths % 1000) / 1000.0


def format_scalar(thousandths: int) -> str:
    """The shortest decimal text: `4`, `0.5`, `1024.125`."""
    sign = "-" if thousandths < 0 else ""
    whole, part = divmod(abs(thousandths), 1000)
    return f"{sign}{whole}.{part:03d}".rstrip("0") if part else f"{sign}{whole}"


class Ranges:
    """Inclusive integer intervals: sorted, disjoint and never adjacent. Immutable."""

    __slots__ = ("_hash", "pairs")

    pairs: tuple[tuple[int, int], ...]

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        """Coalesce `pairs`, given in any order; raises MalformedError when one is upside down."""
        self.pairs = _coalesce(pairs)
        self._hash: int | None = None

    @classmethod
    def _of_sorted(cls, pairs: tuple[tuple[int, int], ...]) -> Ranges:
        made = cls.__new__(cls)
        made.pairs = pairs
        made._hash = None
        return made

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.pairs)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Ranges) and self.pairs == other.pairs)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.pairs)
        return self._hash

    def __repr__(self) -> str:
        return f"Ranges({self.pairs!r})"

    def count(self) -> int:
        """How many integers lie in the ranges."""
        return sum(end - begin + 1 for begin, end in self.pairs)

    def has(self, number: int) -> bool:
        """Whether `number` lies in one of the ranges."""
        return any(begin <= number <= end for begin, end in self.pairs)

    def contains(self, other: Ranges) -> bool:
        """Whether every integer of `other` is here."""
        mine, theirs = self.pairs, other.pairs
        if mine is theirs or mine == theirs:
            return True
        at = 0
        for begin, end in theirs:
            while at < len(mine) and mine[at][1] < begin:
                at += 1
            if at == len(mine) or mine[at][0] > begin or mine[at][1] < end:
                return False
        return True

    def overlaps(self, other: Ranges) -> bool:
        """Whether some integer lies in both."""
        return self.subtract(other).pairs != self.pairs

    def add(self, other: Ranges) -> Ranges:
        """The union."""
        if not other.pairs:
            return self
        if not self.pairs:
            return other
        return Ranges._of_sorted(_coalesce(self.pairs + other.pairs))

    def subtract(self, other: Ranges) -> Ranges:
        """What is here and not in `other`, which need not be contained."""
        mine, theirs = self.pairs, other.pairs
        if not theirs or not mine:
            return self
        if mine == theirs:
            return NO_RANGES
        left: list[tuple[int, int]] = []
        at = 0
        for begin, end in mine:
            while at < len(theirs) and theirs[at][1] < begin:
                at += 1
            look = at
            while begin <= end and look < len(theirs) and theirs[look][0] <= end:
                if theirs[look][0] > begin:
                    left.append((begin, theirs[look][0] - 1))
                begin = theirs[look][1] + 1
                look += 1
            if begin <= end:
                left.append((begin, end))
        return Ranges._of_sorted(tuple(left))


def _coalesce(pairs: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    done: list[tuple[int, int]] = []
    for begin, end in sorted(pairs):
        if begin > end:
            raise MalformedError(
                f"The range {begin}-{end} begins after it ends; write the lower number first."
            )
        if begin < 0 or end > RANGE_LIMIT:
            raise MalformedError(f"The range {begin}-{end} does not fit in 64 bits without sign.")
        if done and begin <= done[-1][1] + 1:
            if end > done[-1][1]:
                done[-1] = (done[-1][0], end)
        else:
            done.append((begin, end))
    return tuple(done)


NO_RANGES: Final = Ranges()

Value = int | Ranges | frozenset[str]


def kind_of(value: Value) -> Kind:
    """Which kind of amount `value` is."""
    if isinstance(value, int):
        return Kind.SCALAR
    return Kind.RANGES if isinstance(value, Ranges) else Kind.SET
