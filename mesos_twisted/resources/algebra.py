"""Sets of resources as immutable values: add, take away, compare, pick out.

A `Resources` maps interned keys to amounts. Ordinary amounts merge; lumps (persistent volumes,
MOUNT and BLOCK disks, shared volumes) stay whole: each is there or not, and a shared one counts.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping
from typing import Final

from mesos_twisted.errors import BugError
from mesos_twisted.resources.amounts import (
    Amount,
    Lumps,
    covers,
    is_something,
    minus,
    minus_clipped,
    plus,
)
from mesos_twisted.resources.quantities import NO_QUANTITIES, Quantities
from mesos_twisted.resources.resource import (
    ALLOCATED,
    LUMP,
    NOT_SCALAR,
    PERSISTENT,
    RESERVED,
    REVOCABLE,
    SHARED,
    Key,
    Reservation,
    Resource,
)
from mesos_twisted.resources.roles import is_strict_subrole
from mesos_twisted.resources.values import NO_RANGES, Kind, Ranges


class Resources:
    """An immutable set of resources; build with `of`, `from_amounts` or the algebra."""

    __slots__ = ("_amounts", "_hash", "_quantities", "_traits")

    def __init__(self, amounts: dict[Key, Amount]) -> None:
        """Take over `amounts` (never changed afterwards); no amount may be empty."""
        self._amounts = amounts
        self._quantities: Quantities | None = None
        self._traits = -1
        self._hash: int | None = None

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Resources:
        """The sum of single resources; empty amounts vanish."""
        amounts: dict[Key, Amount] = {}
        for resource in resources:
            value = resource.value
            if not value:
                continue
            key = resource.key
            if key.traits & LUMP:
                if not isinstance(value, int):
                    raise BugError(f"The disk {resource!r} must have a scalar amount.")
                amount: Amount = Lumps([(value, resource.disk)])
            else:
                amount = value
            held = amounts.get(key)
            amounts[key] = amount if held is None else plus(held, amount)
        return cls(amounts) if amounts else NOTHING

    @classmethod
    def from_amounts(cls, amounts: Mapping[Key, Amount]) -> Resources:
        """The resources of a mapping; empty amounts vanish."""
        return cls({key: amount for key, amount in amounts.items() if is_something(amount)})

    @classmethod
    def sum(cls, many: Iterable[Resources]) -> Resources:
        """The sum of all, in one pass; far cheaper than adding them one to the other."""
        amounts: dict[Key, Amount] = {}
        get = amounts.get
        for one in many:
            for key, amount in one._amounts.items():
                held = get(key)
                if held is None:
                    amounts[key] = amount
                elif held.__class__ is int:
                    amounts[key] = held + amount  # type: ignore[operator]  # a key has one type
                else:
                    amounts[key] = plus(held, amount)
        return cls(amounts) if amounts else NOTHING

    def __bool__(self) -> bool:
        return bool(self._amounts)

    def __len__(self) -> int:
        return len(self._amounts)

    def __iter__(self) -> Iterator[Resource]:
        for key, amount in self._amounts.items():
            if isinstance(amount, Lumps):
                for size, use in amount.pieces():
                    yield Resource.of(key, size, use)
            else:
                yield Resource.of(key, amount)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Resources) and self._amounts == other._amounts

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._amounts.items()))
        return self._hash

    def __repr__(self) -> str:
        return f"Resources({self._amounts!r})"

    def items(self) -> ItemsView[Key, Amount]:
        """Pairs of key and amount."""
        return self._amounts.items()

    @property
    def traits(self) -> int:
        """The union of the traits of all keys (see `resource.py`)."""
        if self._traits < 0:
            traits = 0
            for key in self._amounts:
                traits |= key.traits
            self._traits = traits
        return self._traits

    # Arithmetic

    def add(self, other: Resources) -> Resources:
        """The sum."""
        if not other._amounts:
            return self
        if not self._amounts:
            return other
        amounts = self._amounts.copy()
        for key, amount in other._amounts.items():
            held = amounts.get(key)
            amounts[key] = amount if held is None else plus(held, amount)
        return Resources(amounts)

    def try_subtract(self, other: Resources) -> Resources | None:
        """What is left after taking `other`; None when `other` is not wholly here."""
        if not other._amounts:
            return self
        if other is self:
            return NOTHING
        amounts = self._amounts.copy()
        for key, amount in other._amounts.items():
            held = amounts.get(key)
            if held is None:
                return None
            left = minus(held, amount)
            if left is None:
                return None
            if is_something(left):
                amounts[key] = left
            else:
                del amounts[key]
        return Resources(amounts) if amounts else NOTHING

    def subtract(self, other: Resources) -> Resources:
        """What is left after taking `other`; raises BugError when it is not wholly here."""
        left = self.try_subtract(other)
        if left is None:
            raise BugError(f"Cannot take {other!r} out of {self!r}, which does not contain it.")
        return left

    def subtract_clipped(self, other: Resources) -> Resources:
        """What is left after taking as much of `other` as is here."""
        amounts = self._amounts.copy()
        for key, amount in other._amounts.items():
            held = amounts.get(key)
            if held is None:
                continue
            left = minus_clipped(held, amount)
            if is_something(left):
                amounts[key] = left
            else:
                del amounts[key]
        return Resources(amounts) if amounts else NOTHING

    def contains(self, other: Resources) -> bool:
        """Whether all of `other` is here, lump by lump and range by range."""
        if self is other:
            return True
        mine = self._amounts
        for key, amount in other._amounts.items():
            held = mine.get(key)
            if held is None or not covers(held, amount):
                return False
        return True

    __add__ = add
    __sub__ = subtract

    # Picking out

    def filter(self, wanted: Callable[[Key], bool]) -> Resources:
        """The resources whose key is `wanted`; self when that is all of them."""
        amounts = {key: amount for key, amount in self._amounts.items() if wanted(key)}
        if len(amounts) == len(self._amounts):
            return self
        return Resources(amounts) if amounts else NOTHING

    def with_traits(self, traits: int) -> Resources:
        """The resources having one of `traits`."""
        if not self.traits & traits:
            return NOTHING
        return self.filter(lambda key: bool(key.traits & traits))

    def without_traits(self, traits: int) -> Resources:
        """The resources having none of `traits`."""
        if not self.traits & traits:
            return self
        return self.filter(lambda key: not key.traits & traits)

    def unreserved(self) -> Resources:
        """What is reserved to nobody."""
        return self.without_traits(RESERVED)

    def reserved(self, role: str | None = None) -> Resources:
        """What is reserved: to exactly `role` when given, else to anybody."""
        if role is None:
            return self.with_traits(RESERVED)
        if not self.traits & RESERVED:
            return NOTHING
        return self.filter(lambda key: key.reservation_role == role)

    def reserved_to_subtree(self, role: str) -> Resources:
        """What is reserved to `role` or below it."""
        if not self.traits & RESERVED:
            return NOTHING
        return self.filter(
            lambda key: (
                key.reservation_role is not None
                and (key.reservation_role == role or is_strict_subrole(key.reservation_role, role))
            )
        )

    def allocatable_to(self, role: str) -> Resources:
        """What a framework of `role` may get: unreserved, reserved to it or to a role above."""
        if not self.traits & RESERVED:
            return self
        return self.filter(lambda key: key.allocatable_to(role))

    def revocable(self) -> Resources:
        """What may be taken back from its user."""
        return self.with_traits(REVOCABLE)

    def non_revocable(self) -> Resources:
        """What its user may keep."""
        return self.without_traits(REVOCABLE)

    def shared(self) -> Resources:
        """Volumes that several tasks may use at once."""
        return self.with_traits(SHARED)

    def non_shared(self) -> Resources:
        """All but shared volumes."""
        return self.without_traits(SHARED)

    def persistent_volumes(self) -> Resources:
        """Disks with a persistence id."""
        return self.with_traits(PERSISTENT)

    def scalars(self) -> Resources:
        """All but ranges and sets."""
        return self.without_traits(NOT_SCALAR)

    def reservations(self) -> dict[str, Resources]:
        """The reserved resources by the role they are reserved to."""
        return self._grouped(lambda key: key.reservation_role)

    def allocations(self) -> dict[str, Resources]:
        """The allocated resources by the role they are allocated to."""
        return self._grouped(lambda key: key.allocation_role)

    def _grouped(self, group: Callable[[Key], str | None]) -> dict[str, Resources]:
        groups: dict[str, dict[Key, Amount]] = {}
        for key, amount in self._amounts.items():
            name = group(key)
            if name is not None:
                groups.setdefault(name, {})[key] = amount
        return {name: Resources(amounts) for name, amounts in groups.items()}

    # Turning into others

    def allocate(self, role: str) -> Resources:
        """The same, allocated to `role`."""
        amounts = {key.allocated(role): amount for key, amount in self._amounts.items()}
        if len(amounts) == len(self._amounts):
            return Resources(amounts)
        # Of two roles before: what has one key now is added up.
        return self._rekeyed({key: key.allocated(role) for key in self._amounts})

    def unallocate(self) -> Resources:
        """The same, allocated to nobody."""
        if not self.traits & ALLOCATED:
            return self
        amounts = {key.unallocated(): amount for key, amount in self._amounts.items()}
        if len(amounts) == len(self._amounts):
            return Resources(amounts)
        return self._rekeyed({key: key.unallocated() for key in self._amounts})

    def to_unreserved(self) -> Resources:
        """The same without any reservation."""
        if not self.traits & RESERVED:
            return self
        return self._rekeyed({key: key.unreserved() for key in self._amounts})

    def push_reservation(self, reservation: Reservation) -> Resources:
        """The same with `reservation` on top of each stack."""
        return self._rekeyed(
            {key: key.with_reservations((*key.reservations, reservation)) for key in self._amounts}
        )

    def pop_reservation(self) -> Resources:
        """The same without the top of each stack; all must be reserved (BugError)."""
        if not all(key.reservations for key in self._amounts):
            raise BugError(f"Cannot pop a reservation from {self!r}: a part is unreserved.")
        return self._rekeyed(
            {key: key.with_reservations(key.reservations[:-1]) for key in self._amounts}
        )

    def _rekeyed(self, keys: Mapping[Key, Key]) -> Resources:
        amounts: dict[Key, Amount] = {}
        for key, amount in self._amounts.items():
            new = keys[key]
            held = amounts.get(new)
            amounts[new] = amount if held is None else plus(held, amount)
        return Resources(amounts)

    # Totals

    def quantities(self) -> Quantities:
        """Scalars summed by name, whatever their role; a shared volume counts once."""
        if self._quantities is None:
            sums: dict[str, int] = {}
            for key, amount in self._amounts.items():
                if isinstance(amount, int):
                    size = amount
                elif isinstance(amount, Lumps):
                    size = sum(set(amount.sizes) if key.shared else amount.sizes)
                else:
                    continue
                sums[key.name] = sums.get(key.name, 0) + size
            self._quantities = Quantities(sums) if sums else NO_QUANTITIES
        return self._quantities

    def scalar(self, name: str) -> int:
        """Thousandths of `name` over all roles; zero when absent."""
        return self.quantities().get(name)

    def ranges(self, name: str) -> Ranges:
        """The ranges of `name` over all roles."""
        total = NO_RANGES
        for key, amount in self._amounts.items():
            if key.name == name and isinstance(amount, Ranges):
                total = total.add(amount)
        return total

    def items_of_set(self, name: str) -> frozenset[str]:
        """The set of `name` over all roles."""
        total: frozenset[str] = frozenset()
        for key, amount in self._amounts.items():
            if key.name == name and isinstance(amount, frozenset):
                total |= amount
        return total

    def names(self) -> dict[str, Kind]:
        """Every name with its type, in order of appearance."""
        return {key.name: key.kind for key in self._amounts}


NOTHING: Final = Resources({})
