"""Laws of the resource algebra, of its text and of its messages."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.attributes import (
    Attribute,
    Attributes,
    attributes_from_messages,
    attributes_to_messages,
    format_attributes,
    parse_attributes,
)
from mesos_twisted.resources.convert import from_messages, to_messages
from mesos_twisted.resources.parse import format_resources, parse_resources
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
from mesos_twisted.resources.values import Ranges, format_scalar, to_float, to_thousandths

law = settings(max_examples=60, deadline=None)

amounts = st.integers(1, 10**9)
spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda p: (p[0], p[0] + p[1])),
    max_size=5,
)
ranges = spans.map(Ranges)
items = st.frozensets(st.sampled_from("abcdef"))
labels = st.none() | st.lists(
    st.builds(Label, st.sampled_from("kl"), st.none() | st.sampled_from("vw")), max_size=2
).map(tuple)
dynamic = st.builds(
    Reservation,
    st.just(ReservationType.DYNAMIC),
    st.just("web"),
    st.none() | st.just("ann"),
    labels,
)
bases = st.just(Reservation(ReservationType.STATIC, "web")) | dynamic
refinements = st.just(Reservation(ReservationType.DYNAMIC, "web/a", "bob"))
stacks = st.just(()) | st.tuples(bases) | st.tuples(bases, refinements)
sources = st.sampled_from(
    [
        None,
        DiskSource(SourceType.PATH, "/a", has_target=True),
        DiskSource(SourceType.MOUNT, "/b", has_target=True),
        DiskSource(SourceType.RAW, vendor="v", id="i", profile="p"),
        DiskSource(SourceType.BLOCK, metadata=(Label("k"),)),
    ]
)
disks = st.builds(
    DiskInfo,
    st.none() | st.sampled_from(["id1", "id2"]),
    st.none(),
    st.none() | st.just(DiskVolume("data", read_only=True)),
    sources,
)
scalars = st.builds(
    Resource,
    st.sampled_from(["cpus", "mem", "gpus"]),
    amounts,
    stacks,
    revocable=st.booleans(),
    allocation_role=st.none() | st.just("web/a"),
)
volumes = st.builds(Resource, st.just("disk"), amounts, stacks, disks)
shared = st.builds(
    Resource, st.just("disk"), st.just(5000), stacks, st.just(DiskInfo("s")), shared=st.just(True)
)
ports = st.builds(Resource, st.just("ports"), ranges, stacks)
sets = st.builds(Resource, st.just("bugs"), items, stacks)
anything = st.one_of(scalars, scalars, volumes, shared, ports, sets)
resources = st.lists(anything, max_size=6).map(Resources.of)
#: Without ranges and sets, whose union forgets what was added twice.
countable = st.lists(st.one_of(scalars, volumes, shared), max_size=6).map(Resources.of)


@law
@given(resources, resources)
def test_addition_commutes(a: Resources, b: Resources) -> None:
    """The order of adding does not matter, for the sum or its hash."""
    assert a + b == b + a
    assert hash(a + b) == hash(b + a)


@law
@given(resources, resources, resources)
def test_addition_is_associative(a: Resources, b: Resources, c: Resources) -> None:
    """Grouping does not matter, and nothing is the neutral element."""
    assert (a + b) + c == a + (b + c)
    assert a + NOTHING == a


@law
@given(countable, countable)
def test_what_was_added_can_be_taken(a: Resources, b: Resources) -> None:
    """A sum contains its parts, and taking one leaves the other."""
    total = a + b
    assert total.contains(a) and total.contains(b)
    assert total - b == a
    assert total - total == NOTHING


@law
@given(resources, resources)
def test_taking_agrees_with_containing(a: Resources, b: Resources) -> None:
    """Exactly what is contained can be taken, and putting it back restores the whole."""
    left = a.try_subtract(b)
    assert (left is not None) == a.contains(b)
    if left is not None:
        assert left + b == a
        assert a.subtract_clipped(b) == left
    assert not a.subtract_clipped(b) or a.contains(a.subtract_clipped(b))


@law
@given(resources, st.sampled_from(["web", "web/a", "web/a/b", "other"]))
def test_filters_split_and_allocation_is_undone(a: Resources, role: str) -> None:
    """A filter and its complement make the whole; allocating changes only the role."""
    assert a.unreserved() + a.reserved() == a
    assert a.revocable() + a.non_revocable() == a
    assert a.contains(a.allocatable_to(role))
    assert a.unallocate().allocate(role).unallocate() == a.unallocate()
    if a:
        assert a.allocate(role).allocations() == {role: a.allocate(role)}
    plain = a.non_shared()
    assert plain.to_unreserved().quantities() == plain.quantities()


@law
@given(countable, countable)
def test_quantities_add_up(a: Resources, b: Resources) -> None:
    """Role-free amounts of a sum are the sum of the amounts, shared volumes aside."""
    a, b = a.non_shared(), b.non_shared()
    assert (a + b).quantities() == a.quantities() + b.quantities()


@law
@given(resources)
def test_messages_round_trip(a: Resources) -> None:
    """Either format of a message says the same resources."""
    assert from_messages(to_messages(a, refined=True)) == a
    assert from_messages(to_messages(a, refined=True, both=True)) == a
    if all(len(key.reservations) <= 1 for key, _ in a.items()):
        assert from_messages(to_messages(a, refined=False)) == a


@law
@given(
    st.lists(
        st.one_of(
            st.builds(Resource, st.sampled_from(["cpus", "mem"]), amounts),
            st.builds(
                Resource,
                st.just("disk"),
                amounts,
                st.just((Reservation(ReservationType.STATIC, "web/a"),)),
            ),
            st.builds(Resource, st.just("ports"), ranges.filter(bool)),
            st.builds(Resource, st.just("bugs"), items.filter(bool)),
        ),
        max_size=4,
    ).map(Resources.of)
)
def test_text_round_trip(a: Resources) -> None:
    """What the formatter writes the parser reads."""
    text = format_resources(a)
    assert parse_resources("" if text == "{}" else text) == a


@law
@given(st.text(max_size=30) | st.text("cpusmem:;()[]{}-,0123456789. *", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """The parsers never raise."""
    parse_resources(text)
    parse_attributes(text)


@law
@given(st.integers(-(10**15), 10**15))
def test_scalars_survive_floats(thousandths: int) -> None:
    """Thousandths come back from the number on the wire and from text."""
    assert to_thousandths(to_float(thousandths)) == thousandths
    assert round(float(format_scalar(thousandths)) * 1000) == thousandths


@law
@given(spans, spans)
def test_ranges_are_sets_of_integers(
    left: list[tuple[int, int]], right: list[tuple[int, int]]
) -> None:
    """Ranges behave as the sets of their members."""
    a, b = Ranges(left), Ranges(right)
    x = {n for begin, end in left for n in range(begin, end + 1)}
    y = {n for begin, end in right for n in range(begin, end + 1)}

    def members(one: Ranges) -> set[int]:
        return {n for begin, end in one for n in range(begin, end + 1)}

    assert members(a.add(b)) == x | y
    assert members(a.subtract(b)) == x - y
    assert a.contains(b) == (x >= y)
    assert a.overlaps(b) == bool(x & y)
    assert a.count() == len(x)
    assert a.add(b) == Ranges([*left, *right])


@law
@given(
    st.lists(
        st.builds(
            Attribute,
            st.sampled_from(["rack", "zone"]),
            amounts | ranges.filter(bool) | st.sampled_from(["abc", "centos-5.1"]),
        ),
        max_size=4,
    ).map(Attributes)
)
def test_attributes_round_trip(attributes: Attributes) -> None:
    """Text and messages both give the attributes back."""
    assert parse_attributes(format_attributes(attributes)) == attributes
    assert attributes_from_messages(attributes_to_messages(attributes)) == attributes
