"""Role-free amounts of scalars: name to thousandths. For shares, limits and metrics. Immutable."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping
from typing import Final

from mesos_twisted.errors import Problem
from mesos_twisted.resources.values import format_scalar, to_thousandths


class Quantities:
    """A mapping of scalar name to thousandths above zero; absent means zero."""

    __slots__ = ("amounts",)

    amounts: Mapping[str, int]

    def __init__(self, amounts: Mapping[str, int] | None = None) -> None:
        """Take over `amounts`; entries of zero or less are dropped."""
        self.amounts = {name: n for name, n in (amounts or {}).items() if n > 0}

    def __bool__(self) -> bool:
        return bool(self.amounts)

    def __iter__(self) -> Iterator[str]:
        return iter(self.amounts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantities) and self.amounts == other.amounts

    def __hash__(self) -> int:
        return hash(frozenset(self.amounts.items()))

    def __repr__(self) -> str:
        return f"Quantities({format_quantities(self)!r})"

    def items(self) -> ItemsView[str, int]:
        """Pairs of name and thousandths."""
        return self.amounts.items()

    def get(self, name: str) -> int:
        """Thousandths of `name`; zero when absent."""
        return self.amounts.get(name, 0)

    def add(self, other: Quantities) -> Quantities:
        """The sum."""
        total = dict(self.amounts)
        for name, amount in other.amounts.items():
            total[name] = total.get(name, 0) + amount
        return Quantities(total)

    def subtract(self, other: Quantities) -> Quantities:
        """The difference; what would fall below zero is zero."""
        left = dict(self.amounts)
        for name, amount in other.amounts.items():
            left[name] = left.get(name, 0) - amount
        return Quantities(left)

    def contains(self, other: Quantities) -> bool:
        """Whether there is at least as much of everything as in `other`."""
        mine = self.amounts
        return all(mine.get(name, 0) >= amount for name, amount in other.amounts.items())

    __add__ = add
    __sub__ = subtract


NO_QUANTITIES: Final = Quantities()


def parse_quantities(text: str) -> Quantities | Problem:
    """Read `cpus:0.01;mem:32`; the same name twice is refused."""
    amounts: dict[str, int] = {}
    for token in text.split(";"):
        if not token.strip():
            continue
        name, colon, number = (part.strip() for part in token.partition(":"))
        try:
            amount = to_thousandths(float(number))
        except ValueError:
            amount = -1
        if not colon or not name or amount < 0 or name in amounts:
            return Problem(
                "quantities_invalid",
                f"'{token.strip()}' is not an amount; write each name once, as in 'cpus:0.01'.",
            )
        amounts[name] = amount
    return Quantities(amounts)


def format_quantities(quantities: Quantities) -> str:
    """Text such as `cpus:4; mem:1024`, names sorted; `{}` when empty."""
    words = [f"{name}:{format_scalar(n)}" for name, n in sorted(quantities.items())]
    return "; ".join(words) or "{}"
