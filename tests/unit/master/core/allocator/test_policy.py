"""Single promises of the policy: filters, books, dirty agents, role answers."""

from __future__ import annotations

import pytest

from mesos_twisted.errors import BugError
from mesos_twisted.master.core.allocator.filters import refusal_time
from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.allocator.interface import (
    AgentSpec,
    Allocation,
    FrameworkSpec,
    Held,
)
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.algebra import NOTHING
from mesos_twisted.resources.parse import resources_from_text
from mesos_twisted.resources.quantities import format_quantities

F1, F2, S1 = FrameworkId("F1"), FrameworkId("F2"), AgentId("S1")


def _cluster(agents: int = 1) -> HierarchicalAllocator:
    allocator = HierarchicalAllocator()
    allocator.add_framework(F1, FrameworkSpec(("web",)))
    for n in range(1, agents + 1):
        spec = AgentSpec(f"h{n}", resources_from_text("cpus:4;mem:1024;ports:[1-9]"))
        allocator.add_agent(AgentId(f"S{n}"), spec, {})
    return allocator


def _decline(
    allocator: HierarchicalAllocator, offer: Allocation, seconds: float | None, now: float
) -> None:
    allocator.recover(
        offer.framework_id, offer.agent_id, offer.resources, seconds, now, held=Held.OFFERED
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(5.0, 5.0), (0.0, 0.0), (0.2, 1.0), (-1.0, 5.0), (float("nan"), 5.0), (1e12, 31_536_000.0)],
)
def test_refusal_time(seconds: float, expected: float) -> None:
    """Negative is the default, zero none, at most a year, never shorter than the interval."""
    assert refusal_time(seconds, 1.0) == expected


def test_a_filter_holds_until_its_deadline_and_not_for_more() -> None:
    """What was declined is offered again after the time, and at once if the agent has more."""
    allocator = _cluster()
    (offer,) = allocator.allocate(10.0, 1)
    _decline(allocator, offer, 5.0, 10.0)
    assert allocator.allocate(15.0, 2) == []
    deadline = allocator.next_deadline(15.0)
    assert deadline is not None and 15.0 < deadline <= 15.2
    (again,) = allocator.allocate(deadline, 3)
    _decline(allocator, again, 60.0, 16.0)
    bigger = AgentSpec("h1", resources_from_text("cpus:5;mem:1024;ports:[1-9]"))
    allocator.update_agent(S1, bigger, attributes_changed=False)
    assert len(allocator.allocate(17.0, 4)) == 1


def test_revive_drops_filters_and_suppress_keeps_them() -> None:
    """A revived role sees declined agents again; a suppressed one sees nothing."""
    allocator = _cluster(3)
    for offer in allocator.allocate(0.0, 1):
        _decline(allocator, offer, 1e9, 0.0)
    assert allocator.filters_of(F1) == {"web": 3}
    allocator.suppress(F1)
    assert allocator.allocate(1.0, 2) == []
    allocator.revive(F1)
    assert allocator.filters_of(F1) == {"web": 0}
    assert len(allocator.allocate(2.0, 3)) == 3


def test_reviving_often_does_not_grow_the_filters() -> None:
    """Dropped filters are swept, so that a framework may decline and revive for ever."""
    allocator = _cluster(2)
    for turn in range(300):
        for offer in allocator.allocate(float(turn), turn):
            _decline(allocator, offer, 1e9, float(turn))
        allocator.revive(F1)
    assert len(allocator._tree.by_slot) < 200
    masks = [mask for agent in allocator._agents.values() for mask in agent.refusals.masks.values()]
    assert all(mask.bit_length() <= 200 for mask in masks)


def test_a_budget_leaves_the_rest_pending() -> None:
    """Slices of a cycle together make the offers of the whole."""
    whole = {one.agent_id for one in _cluster(10).allocate(0.0, 7)}
    allocator = _cluster(10)
    found = allocator.allocate(0.0, 7, budget=4)
    assert len(found) == 4 and allocator.pending
    while allocator.pending:
        found += allocator.allocate(0.0, 7, budget=4)
    assert {one.agent_id for one in found} == whole and len(found) == 10


def test_settle_moves_what_is_launched_and_frees_the_rest() -> None:
    """One call keeps the books balanced; more than was offered is a bug."""
    allocator = _cluster()
    (offer,) = allocator.allocate(0.0, 1)
    task = resources_from_text("cpus:1;mem:24").allocate("web")
    with pytest.raises(BugError):
        allocator.settle(F1, S1, task, offer.resources, None, 0.0)
    allocator.settle(F1, S1, offer.resources, task, None, 0.0)
    books = allocator.books(S1)
    assert books.offered == {} and books.allocated == {(F1, "web"): task}
    assert books.free == resources_from_text("cpus:3;mem:1000;ports:[1-9]")
    assert format_quantities(allocator.allocated("web")) == "cpus:1; mem:24"
    with pytest.raises(BugError):
        allocator.recover(F1, S1, offer.resources, None, 0.0, held=Held.ALLOCATED)


def test_tasks_of_a_framework_not_seen_yet_become_its_own() -> None:
    """An agent that comes back first keeps the resources of its tasks occupied."""
    allocator = HierarchicalAllocator()
    used = resources_from_text("cpus:3").allocate("db")
    spec = AgentSpec("h1", resources_from_text("cpus:4;mem:1024"))
    allocator.add_agent(S1, spec, {F2: used})
    assert not allocator.allocated("db")
    allocator.add_framework(F2, FrameworkSpec(("web",)))
    assert format_quantities(allocator.allocated("db")) == "cpus:3"
    (offer,) = allocator.allocate(0.0, 1)
    assert offer.resources == resources_from_text("cpus:1;mem:1024").allocate("web")
    allocator.recover(F2, S1, used, None, 0.0, held=Held.ALLOCATED)
    assert [view.role for view in allocator.role_tree()] == ["web"]


def test_role_tree_names_reservations_and_weights() -> None:
    """A role is shown when it has a framework, a reservation or a weight."""
    allocator = _cluster()
    allocator.set_weights({"gold": 2.0})
    spec = AgentSpec("h9", resources_from_text("cpus:1;mem:64;cpus(eng/dev):2"))
    allocator.add_agent(AgentId("S9"), spec, {})
    eng, gold, web = allocator.role_tree()
    assert (eng.role, gold.role, web.role) == ("eng", "gold", "web")
    assert [child.role for child in eng.children] == ["eng/dev"]
    assert format_quantities(eng.reserved) == "cpus:2" and gold.weight == 2.0
    assert web.frameworks == (F1,)


def test_convert_changes_total_and_holder_together() -> None:
    """A RESERVE inside an offer leaves the books balanced."""
    allocator = _cluster()
    (offer,) = allocator.allocate(0.0, 1)
    before = resources_from_text("cpus:2").allocate("web")
    after = resources_from_text("cpus(web):2").allocate("web")
    allocator.convert(F1, S1, before, after, Held.OFFERED)
    now_offered = offer.resources.subtract(before).add(after)
    assert allocator.books(S1).offered == {(F1, "web"): now_offered}
    _decline(allocator, Allocation(F1, S1, "web", now_offered), None, 0.0)
    assert allocator.books(S1).free == allocator.books(S1).total
    free = resources_from_text("mem:24")
    allocator.convert(None, S1, free, NOTHING, Held.ALLOCATED)
    assert allocator.books(S1).total.scalar("mem") == 1_000_000
