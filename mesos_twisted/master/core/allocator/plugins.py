"""Policies by name: the two built-in ones, and any installed under our entry point group."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final

from mesos_twisted.errors import Problem
from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.allocator.interface import Allocator, AllocatorOptions
from mesos_twisted.master.core.allocator.priority import PriorityAllocator

GROUP: Final = "mesos_twisted.allocators"

AllocatorFactory = Callable[[AllocatorOptions], Allocator]

BUILT_IN: Final[dict[str, AllocatorFactory]] = {
    "hierarchical": HierarchicalAllocator,
    "HierarchicalDRF": HierarchicalAllocator,
    "priority": PriorityAllocator,
}


def find_allocator(name: str) -> AllocatorFactory | Problem:
    """What makes the policy called `name`: called with the options, it returns an Allocator.

    A built-in name wins over an installed one.
    """
    built_in = BUILT_IN.get(name)
    if built_in is not None:
        return built_in
    installed = entry_points(group=GROUP)
    if name not in installed.names:
        known = ", ".join(sorted({*BUILT_IN, *installed.names}))
        return Problem(
            "allocator_unknown", f"There is no allocator '{name}'; choose one of: {known}."
        )
    try:
        factory: object = installed[name].load()
    except (ImportError, AttributeError) as error:
        return Problem(
            "allocator_broken", f"Allocator '{name}' cannot be loaded: {error}; reinstall it."
        )
    if not callable(factory):
        return Problem("allocator_broken", f"Allocator '{name}' is not a class or function.")
    return factory
