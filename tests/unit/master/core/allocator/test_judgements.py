"""Constraints in the allocator: each client is asked once of agents that are alike."""

from __future__ import annotations

from mesos_twisted.master.core.allocator.constraints import (
    Check,
    Constraint,
    Facts,
    Pseudo,
    RoleConstraints,
)
from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.allocator.interface import AgentSpec, FrameworkSpec, Held
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.parse import resources_from_text

F1, F2, F3 = FrameworkId("F1"), FrameworkId("F2"), FrameworkId("F3")
TOTAL = resources_from_text("cpus:4;mem:1024")


class Counted(RoleConstraints):
    """Constraints that know how often they were asked."""

    __slots__ = ("asked",)
    asked: int

    def allow(self, facts: Facts) -> bool:
        object.__setattr__(self, "asked", getattr(self, "asked", 0) + 1)
        return super().allow(facts)


def only(key: str | Pseudo, text: str) -> Counted:
    return Counted(((Constraint(key, Check.TEXT_EQUALS, False, text),),))


def wanting(constraints: RoleConstraints) -> FrameworkSpec:
    return FrameworkSpec(("r",), constraints={"r": constraints})


def agent(host: str, *attributes: tuple[str, str | None]) -> AgentSpec:
    return AgentSpec(host, TOTAL, attributes=attributes)


class Cluster:
    """An allocator with three agents."""

    def __init__(self) -> None:
        self.allocator = HierarchicalAllocator()
        self.now = 0.0
        for n in range(3):
            self.allocator.add_agent(AgentId(f"S{n}"), agent(f"h{n}", ("rack", f"r{n % 2}")), {})

    def offered(self, budget: int | None = None) -> set[tuple[str, str]]:
        """(framework, agent) of one allocation, all declined at once without a filter."""
        self.now += 1.0
        found = self.allocator.allocate(self.now, 1, budget)
        for one in found:
            self.allocator.recover(
                one.framework_id, one.agent_id, one.resources, None, self.now, held=Held.OFFERED
            )
        return {(one.framework_id, one.agent_id) for one in found}


def test_a_client_is_asked_once() -> None:
    """Allocations after the first read the verdicts; agents that are alike share one."""
    cluster, wish = Cluster(), only("rack", "r0")
    cluster.allocator.add_framework(F1, wanting(wish))
    for _ in range(4):
        assert cluster.offered() == {("F1", "S0"), ("F1", "S2")}
    assert wish.asked == 2
    cluster.allocator.add_agent(AgentId("S3"), agent("h3", ("rack", "r0")), {})
    assert ("F1", "S3") in cluster.offered()
    assert wish.asked == 2


def test_a_host_name_is_asked_of_every_agent() -> None:
    """Alone or among others, in any group."""
    cluster = Cluster()
    host = Constraint(Pseudo.HOSTNAME, Check.TEXT_EQUALS, False, "h1")
    rack = Constraint("rack", Check.TEXT_EQUALS, False, "r0")
    wish = Counted(((rack,), (host,)))
    cluster.allocator.add_framework(F1, wanting(wish))
    for _ in range(3):
        assert len(cluster.offered()) == 3
    assert wish.asked == 3


def test_other_attributes_are_judged_anew() -> None:
    """A changed total alone asks nobody."""
    cluster, wish = Cluster(), only("rack", "r0")
    cluster.allocator.add_framework(F1, wanting(wish))
    cluster.offered()
    bigger = AgentSpec("h1", TOTAL.add(TOTAL), attributes=(("rack", "r1"),))
    cluster.allocator.update_agent(AgentId("S1"), bigger, False)
    cluster.offered()
    assert wish.asked == 2
    cluster.allocator.update_agent(AgentId("S1"), agent("h1", ("rack", "r0")), True)
    assert ("F1", "S1") in cluster.offered()
    cluster.allocator.update_agent(AgentId("S0"), agent("h0", ("rack", "r9")), True)
    assert ("F1", "S0") not in cluster.offered()
    assert wish.asked == 3


def test_new_constraints_are_asked_and_equal_ones_are_not() -> None:
    """An update replaces the verdicts of its framework only."""
    cluster, first = Cluster(), only("rack", "r0")
    other = only(Pseudo.HOSTNAME, "h1")
    cluster.allocator.add_framework(F1, wanting(first))
    cluster.allocator.add_framework(F2, wanting(other))
    cluster.offered()
    same = only("rack", "r0")
    cluster.allocator.update_framework(F1, wanting(same))
    assert cluster.offered() == {("F1", "S0"), ("F1", "S2"), ("F2", "S1")}
    assert getattr(same, "asked", 0) == 0
    changed = only(Pseudo.HOSTNAME, "h2")
    cluster.allocator.update_framework(F1, wanting(changed))
    assert cluster.offered() == {("F1", "S2"), ("F2", "S1")}
    assert (changed.asked, other.asked) == (3, 3)
    cluster.allocator.update_framework(F1, FrameworkSpec(("r",)))
    assert len(cluster.offered()) == 3


def test_a_slot_given_to_another_framework_keeps_no_verdict() -> None:
    """The next framework in the slot of one that left is judged by its own wishes."""
    cluster = Cluster()
    cluster.allocator.add_framework(F1, wanting(only("rack", "r0")))
    cluster.offered()
    cluster.allocator.remove_framework(F1)
    cluster.allocator.add_framework(F2, wanting(only("rack", "r1")))
    assert cluster.offered() == {("F2", "S1")}
    cluster.allocator.remove_framework(F2)
    cluster.allocator.add_framework(F3, FrameworkSpec(("r",)))
    assert len(cluster.offered()) == 3


def test_a_filter_dropped_with_its_slot_keeps_the_wishes() -> None:
    """REVIVE gives the client another slot; it is still offered only what it wants."""
    cluster = Cluster()
    cluster.allocator.add_framework(F1, wanting(only("rack", "r1")))
    (one,) = cluster.allocator.allocate(1.0, 1)
    cluster.allocator.recover(F1, one.agent_id, one.resources, 100.0, 1.0, held=Held.OFFERED)
    assert cluster.offered() == set()
    cluster.allocator.revive(F1)
    assert cluster.offered() == {("F1", "S1")}


def test_many_questions_end_a_slice_early() -> None:
    """So that thousands of constraints do not make one turn long."""
    cluster = Cluster()
    for n in range(40):
        cluster.allocator.add_framework(FrameworkId(f"X{n}"), wanting(only("rack", "none")))
    slices = 1
    cluster.offered(budget=3)
    while cluster.allocator.pending:
        cluster.offered(budget=3)
        slices += 1
    assert slices == 3
    cluster.allocator.activate_framework(FrameworkId("X0"))
    cluster.offered(budget=3)
    assert not cluster.allocator.pending
