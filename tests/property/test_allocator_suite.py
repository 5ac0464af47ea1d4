"""Both built-in policies pass the allocator suite and decide as the reference does."""

from __future__ import annotations

from hypothesis import settings

from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.allocator.interface import AllocatorOptions, Sorter
from mesos_twisted.master.core.allocator.priority import PriorityAllocator
from mesos_twisted.testing.suites.allocator import allocator_machine

_SMALL = settings(max_examples=60, stateful_step_count=30, deadline=None)

TestHierarchical = allocator_machine(HierarchicalAllocator, matches_reference=True).TestCase
TestHierarchical.settings = _SMALL

TestPriority = allocator_machine(
    PriorityAllocator, matches_reference=True, strict_priority=True
).TestCase
TestPriority.settings = _SMALL

TestAnythingGoes = allocator_machine(
    HierarchicalAllocator,
    AllocatorOptions(region="here", min_allocatable=(), excluded_from_fairness=frozenset({"mem"})),
    matches_reference=True,
).TestCase
TestAnythingGoes.settings = _SMALL

TestRandom = allocator_machine(
    HierarchicalAllocator,
    AllocatorOptions(region="here", role_sorter=Sorter.RANDOM, framework_sorter=Sorter.RANDOM),
).TestCase
TestRandom.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
