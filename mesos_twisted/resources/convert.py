"""Between `Resource` values and the protocol's messages, in both reservation formats.

Messages from before reservation refinement say `role` and `reservation`; later ones say
`reservations`. Decoding takes either and checks what Mesos checks; encoding is told which to write.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Final

from mesos_twisted.errors import BugError, MalformedError, Problem
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.resource import (
    DiskInfo,
    DiskSource,
    DiskVolume,
    Label,
    Reservation,
    ReservationType,
    Resource,
    SourceType,
)
from mesos_twisted.resources.roles import ANY_ROLE, check_role, is_strict_subrole
from mesos_twisted.resources.values import Kind, Ranges, Value, to_float, to_thousandths

_TYPES: Final = {
    Kind.SCALAR: m.ValueType.SCALAR,
    Kind.RANGES: m.ValueType.RANGES,
    Kind.SET: m.ValueType.SET,
}
_STATIC: Final = m.ResourceReservationInfoType.STATIC
_DYNAMIC: Final = m.ResourceReservationInfoType.DYNAMIC


def from_messages(messages: Iterable[m.Resource]) -> Resources | Problem:
    """The sum of `messages`; the first invalid one is named in the Problem.

    Equal tuples give the same object: tasks and agents come in many copies.
    """
    whole = messages if isinstance(messages, tuple) else tuple(messages)
    try:
        return _from_tuple(whole)
    except TypeError:
        # A volume with a map of parameters has no hash.
        return _from_tuple.__wrapped__(whole)


@lru_cache(2048)
def _from_tuple(messages: tuple[m.Resource, ...]) -> Resources | Problem:
    resources: list[Resource] = []
    for message in messages:
        resource = from_message(message)
        if isinstance(resource, Problem):
            return resource
        resources.append(resource)
    return Resources.of(resources)


def from_message(message: m.Resource) -> Resource | Problem:
    """The value of one message, or what is wrong with it."""
    name = message.name
    if not name:
        return _bad("A resource has no name; give it one, such as 'cpus'.")
    value = _value_from(message)
    if isinstance(value, Problem):
        return value
    reservations = _reservations_from(message)
    if isinstance(reservations, Problem):
        return reservations
    disk = None
    if message.disk is not None:
        if name != "disk" or not isinstance(value, int):
            return _bad(f"Resource '{name}' carries disk information; only scalar 'disk' may.")
        source = message.disk.source
        if source is not None:
            if source.type is m.ResourceDiskInfoSourceType.UNKNOWN:
                return _bad("A disk has a source type that is not supported; use PATH or MOUNT.")
            whole = source.type.value in ("BLOCK", "RAW")
            if whole and (source.mount is not None or source.path is not None):
                return _bad(f"A disk of source type {source.type.value} has a path or a mount.")
        disk = _disk_from(message.disk)
    if message.shared is not None and (disk is None or disk.persistence_id is None):
        return _bad(f"Resource '{name}' cannot be shared; only persistent volumes can.")
    return Resource(
        name,
        value,
        reservations,
        disk,
        message.revocable is not None,
        message.shared is not None,
        None if message.provider_id is None else message.provider_id.value,
        None if message.allocation_info is None else message.allocation_info.role,
    )


def to_messages(
    resources: Resources, *, refined: bool, both: bool = False, allocation: bool = True
) -> tuple[m.Resource, ...]:
    """Messages of all `resources`; see `to_message` for the flags."""
    return tuple(
        [to_message(one, refined=refined, both=both, allocation=allocation) for one in resources]
    )


def to_message(
    resource: Resource, *, refined: bool, both: bool = False, allocation: bool = True
) -> m.Resource:
    """The message of one resource.

    `refined` writes `reservations`; otherwise `role` and `reservation` are written, and a refined
    stack raises BugError, for it has no such form. `both` is the operator API's way: `reservations`
    and, where there is at most one, the old fields too. `allocation` False leaves out
    `allocation_info`, for frameworks that are not MULTI_ROLE.
    """
    value = resource.value
    stack = resource.reservations
    role = None
    reservation = None
    if both or not refined:
        if not stack:
            role = ANY_ROLE
        elif len(stack) == 1:
            role = stack[0].role
            if stack[0].type is ReservationType.DYNAMIC:
                reservation = m.ResourceReservationInfo(
                    principal=stack[0].principal, labels=_labels_to(stack[0].labels)
                )
        elif not both:
            raise BugError(f"{resource!r} has a refined reservation, unknown to the old format.")
    return m.Resource(
        name=resource.name,
        type=_TYPES[resource.kind],
        scalar=m.ValueScalar(value=to_float(value)) if isinstance(value, int) else None,
        ranges=(
            m.ValueRanges(range=tuple([m.ValueRange(begin=b, end=e) for b, e in value.pairs]))
            if isinstance(value, Ranges)
            else None
        ),
        set=m.ValueSet(item=tuple(sorted(value))) if isinstance(value, frozenset) else None,
        role=role,
        reservation=reservation,
        reservations=(
            tuple([_reservation_to(one) for one in stack]) if stack and (refined or both) else ()
        ),
        disk=None if resource.disk is None else _disk_to(resource.disk),
        revocable=m.ResourceRevocableInfo() if resource.revocable else None,
        shared=m.ResourceSharedInfo() if resource.shared else None,
        provider_id=(
            None
            if resource.provider_id is None
            else m.ResourceProviderID(value=resource.provider_id)
        ),
        allocation_info=(
            m.ResourceAllocationInfo(role=resource.allocation_role)
            if allocation and resource.allocation_role is not None
            else None
        ),
    )


def _value_from(message: m.Resource) -> Value | Problem:
    name, kind = message.name, message.type
    scalar, ranges, items = message.scalar, message.ranges, message.set
    given = (scalar is not None) + (ranges is not None) + (items is not None)
    if given == 1:
        if kind is m.ValueType.SCALAR and scalar is not None:
            try:
                amount = to_thousandths(scalar.value)
            except MalformedError as error:
                return _bad(f"Resource '{name}' is invalid: {error}")
            if amount <= 0 and scalar.value != 0:
                return _bad(f"Resource '{name}' has {scalar.value!r}; the least is 0.001.")
            return amount
        if kind is m.ValueType.RANGES and ranges is not None:
            pairs = sorted([(one.begin, one.end) for one in ranges.range])
            for (_, end), (begin, _) in pairwise(pairs):
                if begin <= end:
                    return _bad(f"Resource '{name}' has ranges that overlap at {begin}.")
            try:
                return Ranges(pairs)
            except MalformedError as error:
                return _bad(f"Resource '{name}' is invalid: {error}")
        if kind is m.ValueType.SET and items is not None:
            if len(set(items.item)) != len(items.item):
                return _bad(f"Resource '{name}' names an element of its set twice.")
            return frozenset(items.item)
    if kind is m.ValueType.TEXT:
        return _bad(f"Resource '{name}' is a text; use a scalar, ranges or a set.")
    return _bad(f"Resource '{name}' says type {kind.value}, but its value is not just that.")


def _reservations_from(message: m.Resource) -> tuple[Reservation, ...] | Problem:
    stack = message.reservations
    if not stack:
        return _old_reservation_from(message)
    made: list[Reservation] = []
    for info in stack:
        if info.type not in (_STATIC, _DYNAMIC) or info.role is None:
            return _bad(f"A reservation of '{message.name}' lacks its type or its role.")
        problem = check_role(info.role)
        if problem is not None:
            return problem
        if info.role == ANY_ROLE:
            return _bad(f"A reservation of '{message.name}' is for role '*'; name a real role.")
        if made and info.type is _STATIC:
            return _bad(f"A refined reservation of '{message.name}' is STATIC; make it DYNAMIC.")
        if made and not is_strict_subrole(info.role, made[-1].role):
            return _bad(f"Reservation role '{info.role}' does not lie below '{made[-1].role}'.")
        kind = ReservationType.STATIC if info.type is _STATIC else ReservationType.DYNAMIC
        made.append(Reservation(kind, info.role, info.principal, _labels_from(info.labels)))
    old = message.reservation
    if len(made) > 1:
        if message.role is not None or old is not None:
            return _bad(f"'{message.name}' has a reservation stack and the old role field too.")
        return tuple(made)
    only = made[0]
    if message.role is not None and message.role != only.role:
        return _bad(f"'{message.name}' names role '{message.role}' and '{only.role}'.")
    if only.type is ReservationType.STATIC:
        if old is not None:
            return _bad(f"'{message.name}' is statically reserved and has a `reservation` too.")
    elif (message.role is not None) != (old is not None):
        return _bad(f"'{message.name}' must have both `role` and `reservation`, or neither.")
    elif old is not None and (
        (old.principal or "") != (only.principal or "")
        or (_labels_from(old.labels) or ()) != (only.labels or ())
    ):
        return _bad(f"'{message.name}' has a `reservation` that differs from `reservations`.")
    return tuple(made)


def _old_reservation_from(message: m.Resource) -> tuple[Reservation, ...] | Problem:
    role, old = message.role, message.reservation
    if role is None or role == ANY_ROLE:
        if old is not None:
            return _bad(f"'{message.name}' is reserved for role '*'; name a real role.")
        return ()
    problem = check_role(role)
    if problem is not None:
        return problem
    if old is None:
        return (Reservation(ReservationType.STATIC, role),)
    if old.type is not None or old.role is not None:
        return _bad(f"'{message.name}' sets type or role inside `reservation`; leave them out.")
    labels = _labels_from(old.labels)
    return (Reservation(ReservationType.DYNAMIC, role, old.principal, labels),)


def _reservation_to(reservation: Reservation) -> m.ResourceReservationInfo:
    return m.ResourceReservationInfo(
        type=_STATIC if reservation.type is ReservationType.STATIC else _DYNAMIC,
        role=reservation.role,
        principal=reservation.principal,
        labels=_labels_to(reservation.labels),
    )


def _disk_from(disk: m.ResourceDiskInfo) -> DiskInfo:
    source = None
    if disk.source is not None:
        target = disk.source.path or disk.source.mount
        source = DiskSource(
            SourceType(disk.source.type.value),
            None if target is None else target.root,
            disk.source.vendor,
            disk.source.id,
            _labels_from(disk.source.metadata),
            disk.source.profile,
            target is not None,
        )
    volume = None
    if disk.volume is not None:
        given = disk.volume
        extra = given if given.image or given.source or given.unknown_wire else None
        volume = DiskVolume(
            given.container_path, given.mode is m.VolumeMode.RO, given.host_path, extra
        )
    persistence = disk.persistence
    if persistence is None:
        return DiskInfo(None, None, volume, source)
    return DiskInfo(persistence.id, persistence.principal, volume, source)


def _disk_to(disk: DiskInfo) -> m.ResourceDiskInfo:
    source = None
    if disk.source is not None:
        kind, root = disk.source.type, disk.source.root
        at_path = disk.source.has_target and kind is SourceType.PATH
        at_mount = disk.source.has_target and kind is not SourceType.PATH
        source = m.ResourceDiskInfoSource(
            type=m.ResourceDiskInfoSourceType(kind.value),
            path=m.ResourceDiskInfoSourcePath(root=root) if at_path else None,
            mount=m.ResourceDiskInfoSourceMount(root=root) if at_mount else None,
            vendor=disk.source.vendor,
            id=disk.source.id,
            metadata=_labels_to(disk.source.metadata),
            profile=disk.source.profile,
        )
    persistence = None
    if disk.persistence_id is not None:
        persistence = m.ResourceDiskInfoPersistence(
            id=disk.persistence_id, principal=disk.persistence_principal
        )
    return m.ResourceDiskInfo(
        persistence=persistence,
        volume=None if disk.volume is None else _volume_to(disk.volume),
        source=source,
    )


def _volume_to(volume: DiskVolume) -> m.Volume:
    if isinstance(volume.extra, m.Volume):
        return volume.extra
    return m.Volume(
        mode=m.VolumeMode.RO if volume.read_only else m.VolumeMode.RW,
        container_path=volume.container_path,
        host_path=volume.host_path,
    )


def _labels_from(labels: m.Labels | None) -> tuple[Label, ...] | None:
    return None if labels is None else tuple([Label(one.key, one.value) for one in labels.labels])


def _labels_to(labels: tuple[Label, ...] | None) -> m.Labels | None:
    if labels is None:
        return None
    return m.Labels(labels=tuple([m.Label(key=one.key, value=one.value) for one in labels]))


def _bad(sentence: str) -> Problem:
    return Problem("resource_invalid", sentence)
