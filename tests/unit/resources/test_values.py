"""Single promises of amounts, identities and operations."""

from __future__ import annotations

import pytest

from mesos_twisted.errors import BugError, MalformedError, Problem
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.convert import from_message, to_message
from mesos_twisted.resources.operations import apply, create, destroy, reserve, unreserve
from mesos_twisted.resources.parse import resources_from_text
from mesos_twisted.resources.resource import (
    DiskInfo,
    DiskSource,
    DiskVolume,
    Label,
    Reservation,
    ReservationType,
    Resource,
    SourceType,
    intern_key,
)
from mesos_twisted.resources.values import to_float, to_thousandths

DYNAMIC = Reservation(ReservationType.DYNAMIC, "web", "ann")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.1 + 0.2, 300), (0.0005, 1), (0.0004, 0), (-0.0005, -1), (2.5, 2500), (1e12, 10**15)],
)
def test_scalars_round_half_away(value: float, expected: int) -> None:
    """Three decimals are kept, a half goes away from zero."""
    assert to_thousandths(value) == expected


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e16])
def test_scalars_that_cannot_be_kept(value: float) -> None:
    """Infinite, undefined and huge amounts are malformed."""
    with pytest.raises(MalformedError):
        to_thousandths(value)


def test_a_third_of_a_cpu_prints_as_sent() -> None:
    """The number on the wire has three decimals."""
    assert to_float(to_thousandths(1 / 3)) == 0.333


def test_keys_are_interned_and_ignore_label_order_and_use() -> None:
    """Equal identities are one object; how a volume is mounted is not identity."""
    one = Reservation(ReservationType.DYNAMIC, "a", labels=(Label("k", "1"), Label("l")))
    two = Reservation(ReservationType.DYNAMIC, "a", labels=(Label("l"), Label("k", "1")))
    assert intern_key("cpus", reservations=(one,)) is intern_key("cpus", reservations=(two,))
    assert intern_key("cpus") is intern_key("cpus").allocated("x").unallocated()
    here = Resource("disk", 1, disk=DiskInfo("id", "ann", DiskVolume("a")))
    there = Resource("disk", 1, disk=DiskInfo("id", None, DiskVolume("b")))
    assert here.key is there.key
    assert Resources.of([here]) == Resources.of([there])
    assert [one.disk for one in Resources.of([there])] == [there.disk]


def test_volumes_are_taken_whole() -> None:
    """Neither a persistent volume nor a MOUNT disk can be split."""
    mount = DiskInfo(source=DiskSource(SourceType.MOUNT, "/m", has_target=True))
    for disk in (DiskInfo("id"), mount):
        whole = Resources.of([Resource("disk", 100_000, disk=disk)])
        part = Resources.of([Resource("disk", 50_000, disk=disk)])
        assert not whole.contains(part)
        assert whole.try_subtract(part) is None
        assert whole.subtract(whole) is NOTHING
    path = DiskInfo(source=DiskSource(SourceType.PATH, "/p", has_target=True))
    whole = Resources.of([Resource("disk", 100_000, disk=path)])
    assert whole.contains(Resources.of([Resource("disk", 50_000, disk=path)]))


def test_shared_volumes_are_counted() -> None:
    """Two uses of a shared volume are two, and count once as an amount."""
    one = Resources.of([Resource("disk", 1000, (DYNAMIC,), DiskInfo("id"), shared=True)])
    two = one + one
    assert two != one and two.contains(one) and not one.contains(two)
    assert two - one == one
    assert two.scalar("disk") == 1000


def test_reservations_go_to_their_role_and_below() -> None:
    """A role may use what is reserved to it or to a role above it."""
    held = resources_from_text("cpus:1;cpus(a):2;cpus(a/b):4;cpus(ab):8")
    assert held.allocatable_to("a").scalar("cpus") == 3000
    assert held.allocatable_to("a/b/c").scalar("cpus") == 7000
    assert held.allocatable_to("*").scalar("cpus") == 1000
    assert held.reserved("a").scalar("cpus") == 2000
    assert held.reserved_to_subtree("a").scalar("cpus") == 6000


def test_taking_too_much_is_a_bug() -> None:
    """`subtract` never goes below zero silently."""
    with pytest.raises(BugError):
        resources_from_text("cpus:1").subtract(resources_from_text("cpus:2"))


def test_old_format_is_written_and_refined_stacks_are_not() -> None:
    """Before refinement a reservation is `role` and `reservation`."""
    message = to_message(Resource("cpus", 1000, (DYNAMIC,)), refined=False)
    assert message.role == "web" and message.reservations == ()
    assert message.reservation == m.ResourceReservationInfo(principal="ann")
    assert to_message(Resource("cpus", 1000), refined=False).role == "*"
    assert to_message(Resource("cpus", 1000), refined=True).role is None
    stack = (DYNAMIC, Reservation(ReservationType.DYNAMIC, "web/a"))
    with pytest.raises(BugError):
        to_message(Resource("cpus", 1000, stack), refined=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "*", "reservation": m.ResourceReservationInfo()},
        {"role": "a", "reservation": m.ResourceReservationInfo(role="a")},
        {"reservations": (m.ResourceReservationInfo(role="a"),)},
        {"shared": m.ResourceSharedInfo()},
        {"ranges": m.ValueRanges()},
        {
            "role": "b",
            "reservations": (
                _static := m.ResourceReservationInfo(
                    type=m.ResourceReservationInfoType.STATIC, role="a"
                ),
            ),
        },
        {"reservations": (_static, _static)},
    ],
)
def test_bad_messages_are_refused(fields: dict[str, object]) -> None:
    """Contradictory reservations and values never become resources."""
    good = m.Resource(name="cpus", type=m.ValueType.SCALAR, scalar=m.ValueScalar(value=1.0))
    assert isinstance(from_message(good), Resource)
    given = {name: getattr(good, name) for name in ("name", "type", "scalar")}
    assert isinstance(from_message(m.Resource(**(given | fields))), Problem)


def test_operations_convert_and_undo() -> None:
    """RESERVE and CREATE are undone by UNRESERVE and DESTROY; the quantities never change."""
    held = resources_from_text("cpus:4;disk:1000")
    reserved = resources_from_text("cpus:2;disk:100").push_reservation(DYNAMIC)
    volume = Resources.of([Resource("disk", 100_000, (DYNAMIC,), DiskInfo("id"))])
    steps = [reserve(reserved), create(volume)]
    assert not any(isinstance(step, Problem) for step in steps)
    after = apply(held, [step for step in steps if not isinstance(step, Problem)])
    assert isinstance(after, Resources) and after.contains(volume)
    assert after.quantities() == held.quantities()
    back = [destroy(volume), unreserve(reserved)]
    assert apply(after, [step for step in back if not isinstance(step, Problem)]) == held
    for refused in (reserve(held), unreserve(held), create(held), destroy(held)):
        assert isinstance(refused, Problem)
    doubled = reserve(reserved + reserved + reserved)
    assert not isinstance(doubled, Problem)
    assert isinstance(apply(held, [doubled]), Problem)
