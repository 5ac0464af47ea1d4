"""Both built-in policies pass the allocator suite and decide as the reference does."""

from __future__ import annotations

import pytest
from hypothesis import settings

from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.allocator.interface import AllocatorOptions, Sorter
from mesos_twisted.master.core.allocator.priority import PriorityAllocator
from mesos_twisted.testing.suites.allocator import AllocatorMachine, allocator_machine
from mesos_twisted.testing.suites.allocator_history import run_history

_SMALL = settings(max_examples=40, stateful_step_count=30, deadline=None)

Hierarchical = allocator_machine(HierarchicalAllocator, matches_reference=True)
Priority = allocator_machine(PriorityAllocator, matches_reference=True, strict_priority=True)
AnythingGoes = allocator_machine(
    HierarchicalAllocator,
    AllocatorOptions(region="here", min_allocatable=(), excluded_from_fairness=frozenset({"mem"})),
    matches_reference=True,
)
Random = allocator_machine(
    HierarchicalAllocator,
    AllocatorOptions(region="here", role_sorter=Sorter.RANDOM, framework_sorter=Sorter.RANDOM),
)

TestHierarchical = Hierarchical.TestCase
TestPriority = Priority.TestCase
TestAnythingGoes = AnythingGoes.TestCase
TestRandom = Random.TestCase
for _case in (TestHierarchical, TestPriority, TestAnythingGoes, TestRandom):
    _case.settings = _SMALL


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("machine", [Hierarchical, Priority, AnythingGoes, Random])
def test_long_history(machine: type[AllocatorMachine], seed: int) -> None:
    """Hundreds of offers later the books still balance and the decisions are still right."""
    assert run_history(machine, seed, 300) > 50
