"""One resource: its amount and everything that tells it from another amount of the same name.

The identity (all but the amount) is an interned `Key`: two keys are equal exactly when they are the
same object. How a disk is used (who made the volume, where it is mounted) is not identity.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from mesos_twisted.resources.roles import is_strict_subrole
from mesos_twisted.resources.values import Kind, Value, kind_of


class ReservationType(enum.Enum):
    """Whether the agent's flags or a RESERVE operation made the reservation."""

    STATIC = "STATIC"
    DYNAMIC = "DYNAMIC"


class Label(NamedTuple):
    """One key with an optional value."""

    key: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """One level of a reservation stack; `labels` None means the field was absent."""

    type: ReservationType
    role: str
    principal: str | None = None
    labels: tuple[Label, ...] | None = None

    def identity(self) -> tuple[object, ...]:
        """What tells it from another; the order of labels does not count."""
        labels = None if self.labels is None else _sorted_labels(self.labels)
        return (self.type, self.role, self.principal, labels)


class SourceType(enum.Enum):
    """Where a disk resource comes from."""

    PATH = "PATH"
    MOUNT = "MOUNT"
    BLOCK = "BLOCK"
    RAW = "RAW"


@dataclass(frozen=True, slots=True)
class DiskSource:
    """The backing of a disk: `root` is the directory of a PATH or MOUNT source."""

    type: SourceType
    root: str | None = None
    vendor: str | None = None
    id: str | None = None
    metadata: tuple[Label, ...] | None = None
    profile: str | None = None
    has_target: bool = False  # Whether `path` or `mount` was given, even without a root.


@dataclass(frozen=True, slots=True)
class DiskVolume:
    """Where a persistent volume appears in the container; `extra` keeps what we do not read."""

    container_path: str
    read_only: bool = False
    host_path: str | None = None
    extra: object = None


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """What is special about a disk; only `persistence_id` and `source` are identity."""

    persistence_id: str | None = None
    persistence_principal: str | None = None
    volume: DiskVolume | None = None
    source: DiskSource | None = None

    def identity(self) -> tuple[object, ...]:
        """What tells it from another disk."""
        return (self.persistence_id, self.source)


# Traits of a key, joined by `|`; a set of keys has the union of its members' traits.
RESERVED: Final = 1
REVOCABLE: Final = 2
SHARED: Final = 4
REFINED: Final = 8
LUMP: Final = 16  # Only whole amounts may be added or taken: volumes, MOUNT, BLOCK, shared.
ALLOCATED: Final = 32
NOT_SCALAR: Final = 64
PERSISTENT: Final = 128


class Key:
    """The interned identity of a resource; make one with `intern_key` only."""

    __slots__ = (
        "__weakref__",
        "_allocated",
        "_unallocated",
        "_unreserved",
        "allocation_role",
        "disk",
        "kind",
        "name",
        "provider_id",
        "reservation_role",
        "reservations",
        "revocable",
        "shared",
        "traits",
    )

    def __init__(
        self,
        name: str,
        kind: Kind,
        reservations: tuple[Reservation, ...],
        disk: DiskInfo | None,
        revocable: bool,
        shared: bool,
        provider_id: str | None,
        allocation_role: str | None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.reservations = reservations
        self.disk = disk
        self.revocable = revocable
        self.shared = shared
        self.provider_id = provider_id
        self.allocation_role = allocation_role
        self.reservation_role = reservations[-1].role if reservations else None
        self.traits = (
            (RESERVED if reservations else 0)
            | (REVOCABLE if revocable else 0)
            | (SHARED if shared else 0)
            | (REFINED if len(reservations) > 1 else 0)
            | (LUMP if shared or _is_lump(disk) else 0)
            | (ALLOCATED if allocation_role is not None else 0)
            | (NOT_SCALAR if kind is not Kind.SCALAR else 0)
            | (PERSISTENT if disk is not None and disk.persistence_id is not None else 0)
        )
        # Strong references keep the relatives alive, so that the next look-up is one dict access.
        self._allocated: dict[str, Key] = {}
        self._unallocated: Key | None = self if allocation_role is None else None
        self._unreserved: Key | None = None if reservations else self

    def __repr__(self) -> str:
        return f"Key({self.name!r}, {self.reservations!r}, allocated={self.allocation_role!r})"

    def allocated(self, role: str) -> Key:
        """The same key allocated to `role`."""
        if self._unallocated is not self:
            return self.unallocated().allocated(role)
        found = self._allocated.get(role)
        if found is None:
            found = self._like(self.reservations, role)
            self._allocated[role] = found
            found._unallocated = self
        return found

    def unallocated(self) -> Key:
        """The same key allocated to nobody."""
        if self._unallocated is None:
            self._unallocated = self._like(self.reservations, None)
        return self._unallocated

    def unreserved(self) -> Key:
        """The same key without its reservation stack."""
        if self._unreserved is None:
            self._unreserved = self._like((), self.allocation_role)
        return self._unreserved

    def with_reservations(self, reservations: tuple[Reservation, ...]) -> Key:
        """The same key with another reservation stack."""
        return self._like(reservations, self.allocation_role)

    def allocatable_to(self, role: str) -> bool:
        """Whether a framework of `role` may get it: unreserved, or reserved to it or above."""
        owner = self.reservation_role
        return owner is None or owner == role or is_strict_subrole(role, owner)

    def _like(self, reservations: tuple[Reservation, ...], role: str | None) -> Key:
        return intern_key(
            self.name,
            self.kind,
            reservations,
            self.disk,
            self.revocable,
            self.shared,
            self.provider_id,
            role,
        )


_KEYS: WeakValueDictionary[tuple[object, ...], Key] = WeakValueDictionary()


def intern_key(
    name: str,
    kind: Kind = Kind.SCALAR,
    reservations: tuple[Reservation, ...] = (),
    disk: DiskInfo | None = None,
    revocable: bool = False,
    shared: bool = False,
    provider_id: str | None = None,
    allocation_role: str | None = None,
) -> Key:
    """The one key with this identity."""
    identity = (
        name,
        kind,
        tuple([reservation.identity() for reservation in reservations]),
        None if disk is None else disk.identity(),
        revocable,
        shared,
        provider_id,
        allocation_role,
    )
    found = _KEYS.get(identity)
    if found is None:
        bare = None if disk is None else DiskInfo(disk.persistence_id, source=disk.source)
        found = Key(name, kind, reservations, bare, revocable, shared, provider_id, allocation_role)
        _KEYS[identity] = found
    return found


@dataclass(frozen=True)
class Resource:
    """One amount with its identity; `value` is thousandths, `Ranges` or a frozenset of str."""

    name: str
    value: Value
    reservations: tuple[Reservation, ...] = ()
    disk: DiskInfo | None = None
    revocable: bool = False
    shared: bool = False
    provider_id: str | None = None
    allocation_role: str | None = None

    @property
    def kind(self) -> Kind:
        """The type of the amount."""
        return kind_of(self.value)

    @cached_property
    def key(self) -> Key:
        """The interned identity."""
        return intern_key(
            self.name,
            self.kind,
            self.reservations,
            self.disk,
            self.revocable,
            self.shared,
            self.provider_id,
            self.allocation_role,
        )

    @classmethod
    def of(cls, key: Key, value: Value, disk: DiskInfo | None = None) -> Resource:
        """The resource of `key`; `disk` adds how it is used to what the key knows."""
        made = cls(
            key.name,
            value,
            key.reservations,
            key.disk if disk is None else disk,
            key.revocable,
            key.shared,
            key.provider_id,
            key.allocation_role,
        )
        made.__dict__["key"] = key
        return made


def _is_lump(disk: DiskInfo | None) -> bool:
    if disk is None:
        return False
    if disk.persistence_id is not None:
        return True
    source = disk.source
    if source is None or source.type is SourceType.PATH:
        return False
    return source.type is not SourceType.RAW or source.id is not None


def _sorted_labels(labels: Iterable[Label]) -> tuple[Label, ...]:
    return tuple(sorted(labels, key=lambda label: (label.key, label.value or "")))
