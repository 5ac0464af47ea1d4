"""What RESERVE, UNRESERVE, CREATE and DESTROY do to resources, as conversions.

A conversion takes some resources away and puts others in their place, on one agent. Who may do
that is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mesos_twisted.errors import Problem
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.resource import DiskInfo, Resource


@dataclass(frozen=True, slots=True)
class Conversion:
    """`consumed` becomes `converted`."""

    consumed: Resources
    converted: Resources


def reserve(reserved: Resources, source: Resources | None = None) -> Conversion | Problem:
    """Give `source` (by default: one reservation less) the reservations of `reserved`."""
    if not reserved:
        return _bad("RESERVE names no resources; list what to reserve.")
    if any(not key.reservations for key, _ in reserved.items()):
        return _bad("RESERVE names an unreserved resource; give each the reservation it shall get.")
    return Conversion(reserved.pop_reservation() if source is None else source, reserved)


def unreserve(reserved: Resources) -> Conversion | Problem:
    """Take the last reservation off each of `reserved`."""
    if not reserved:
        return _bad("UNRESERVE names no resources; list what to unreserve.")
    if any(not key.reservations for key, _ in reserved.items()):
        return _bad("UNRESERVE names a resource that is not reserved.")
    return Conversion(reserved, reserved.pop_reservation())


def create(volumes: Resources) -> Conversion | Problem:
    """Make persistent volumes out of plain disk of the same size."""
    plain = _without_volumes(volumes)
    return plain if isinstance(plain, Problem) else Conversion(plain, volumes)


def destroy(volumes: Resources) -> Conversion | Problem:
    """Make plain disk out of persistent volumes; their data will be deleted."""
    plain = _without_volumes(volumes)
    return plain if isinstance(plain, Problem) else Conversion(volumes, plain)


def apply(held: Resources, conversions: Iterable[Conversion]) -> Resources | Problem:
    """What `held` becomes after all conversions in order."""
    for conversion in conversions:
        left = held.try_subtract(conversion.consumed)
        if left is None:
            return _bad("The operation needs resources that are not there.")
        held = left.add(conversion.converted)
    return held


def _without_volumes(volumes: Resources) -> Resources | Problem:
    plain: list[Resource] = []
    for one in volumes:
        if one.disk is None or one.disk.persistence_id is None:
            return _bad("CREATE and DESTROY take persistent volumes only; give each an id.")
        disk = None if one.disk.source is None else DiskInfo(source=one.disk.source)
        plain.append(
            Resource(
                one.name,
                one.value,
                one.reservations,
                disk,
                one.revocable,
                False,
                one.provider_id,
                one.allocation_role,
            )
        )
    if not plain:
        return _bad("CREATE and DESTROY need at least one persistent volume.")
    return Resources.of(plain)


def _bad(sentence: str) -> Problem:
    return Problem("operation_invalid", sentence)
