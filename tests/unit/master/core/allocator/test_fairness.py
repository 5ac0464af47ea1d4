"""Who gets what, in the examples that Mesos and the DRF paper document."""

from __future__ import annotations

from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.allocator.interface import (
    AgentSpec,
    Allocation,
    AllocatorOptions,
    FrameworkSpec,
    Held,
)
from mesos_twisted.master.core.allocator.priority import PriorityAllocator
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.parse import resources_from_text


def _agent(allocator: HierarchicalAllocator, name: str, text: str) -> list[str]:
    spec = AgentSpec(name, resources_from_text(text))
    allocator.add_agent(AgentId(name), spec, {})
    return [one.framework_id for one in allocator.allocate(0.0, 1)]


def _framework(allocator: HierarchicalAllocator, name: str, *roles: str) -> None:
    allocator.add_framework(FrameworkId(name), FrameworkSpec(roles))


def _counts(offers: list[Allocation]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in offers:
        counts[one.role] = counts.get(one.role, 0) + 1
    return counts


def test_new_agents_go_to_the_lowest_share() -> None:
    """Shares are of the whole cluster, first among roles and then among a role's frameworks."""
    allocator = HierarchicalAllocator()
    _framework(allocator, "F1", "role1")
    assert _agent(allocator, "S1", "cpus:2;mem:1024") == ["F1"]
    _framework(allocator, "F2", "role2")
    assert _agent(allocator, "S2", "cpus:1;mem:512") == ["F2"]
    assert _agent(allocator, "S3", "cpus:3;mem:2048") == ["F2"]
    _framework(allocator, "F3", "role1")
    assert _agent(allocator, "S4", "cpus:4;mem:4096") == ["F3"]


def test_the_paper_example_runs_three_and_two_tasks() -> None:
    """9 CPUs and 18 GB end as three tasks of (1, 4 GB) and two of (3, 1 GB)."""
    allocator = HierarchicalAllocator()
    wanted = {
        "A": resources_from_text("cpus:1;mem:4096").allocate("a"),
        "B": resources_from_text("cpus:3;mem:1024").allocate("b"),
    }
    _framework(allocator, "A", "a")
    _framework(allocator, "B", "b")
    allocator.add_agent(AgentId("S"), AgentSpec("h", resources_from_text("cpus:9;mem:18432")), {})
    tasks = {"A": 0, "B": 0}
    for cycle in range(12):
        now = float(cycle)
        for offer in allocator.allocate(now, cycle):
            task = wanted[offer.framework_id]
            fits = offer.resources.contains(task)
            launched = task if fits else offer.resources.filter(lambda key: False)
            tasks[offer.framework_id] += fits
            allocator.settle(
                offer.framework_id,
                offer.agent_id,
                offer.resources,
                launched,
                0.0 if fits else 1e6,
                now,
            )
    assert tasks == {"A": 3, "B": 2}


def test_a_weight_of_two_gets_twice_as_much() -> None:
    """Shares are divided by the role's weight."""
    allocator = HierarchicalAllocator()
    allocator.set_weights({"heavy": 2.0})
    _framework(allocator, "F1", "heavy")
    _framework(allocator, "F2", "light")
    for n in range(12):
        spec = AgentSpec(f"h{n}", resources_from_text("cpus:1;mem:64"))
        allocator.add_agent(AgentId(f"S{n}"), spec, {})
    assert _counts(allocator.allocate(0.0, 5)) == {"heavy": 8, "light": 4}


def test_sub_roles_share_what_their_parent_gets() -> None:
    """Two departments get half each, and the teams of one a quarter each."""
    allocator = HierarchicalAllocator()
    for n, role in enumerate(("eng/ads", "eng/build", "marketing")):
        _framework(allocator, f"F{n}", role)
    for n in range(16):
        spec = AgentSpec(f"h{n}", resources_from_text("cpus:1;mem:64"))
        allocator.add_agent(AgentId(f"S{n}"), spec, {})
    assert _counts(allocator.allocate(0.0, 5)) == {"eng/ads": 4, "eng/build": 4, "marketing": 8}


def test_equal_agents_differ_by_at_most_one() -> None:
    """Among equals nobody is ahead by more than one grant."""
    allocator = HierarchicalAllocator()
    for n in range(7):
        _framework(allocator, f"F{n}", "*")
    for n in range(100):
        spec = AgentSpec(f"h{n}", resources_from_text("cpus:1;mem:64"))
        allocator.add_agent(AgentId(f"S{n}"), spec, {})
    counts: dict[str, int] = {}
    for one in allocator.allocate(0.0, 5):
        counts[one.framework_id] = counts.get(one.framework_id, 0) + 1
    assert sorted(set(counts.values())) == [14, 15]


def test_a_resource_left_out_of_fairness_does_not_count() -> None:
    """Who holds all GPUs is not behind because of them."""
    options = AllocatorOptions(
        excluded_from_fairness=frozenset({"gpus"}), filter_gpu_resources=False
    )
    allocator = HierarchicalAllocator(options)
    _framework(allocator, "F1", "a")
    assert _agent(allocator, "S1", "cpus:1;mem:64;gpus:4") == ["F1"]
    _framework(allocator, "F2", "b")
    assert _agent(allocator, "S2", "cpus:9;mem:640") == ["F2"]
    assert _agent(allocator, "S3", "cpus:1;mem:64") == ["F1"]


def test_priority_serves_the_heavier_role_first() -> None:
    """Strict priority gives everything to the heavier role until it declines."""
    allocator = PriorityAllocator()
    allocator.set_weights({"first": 10.0})
    _framework(allocator, "F1", "first")
    _framework(allocator, "F2", "second")
    for n in range(5):
        spec = AgentSpec(f"h{n}", resources_from_text("cpus:1;mem:64"))
        allocator.add_agent(AgentId(f"S{n}"), spec, {})
    offers = allocator.allocate(0.0, 1)
    assert _counts(offers) == {"first": 5}
    for one in offers:
        allocator.recover(
            one.framework_id, one.agent_id, one.resources, 60.0, 0.0, held=Held.OFFERED
        )
    assert _counts(allocator.allocate(1.0, 2)) == {"second": 5}
