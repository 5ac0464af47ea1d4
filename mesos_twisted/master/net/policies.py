"""Placement policies by name: the built-in ones, and any installed under our entry point group.

A package offers a policy of its own with an entry point in the group `mesos_twisted.allocators`: a
class or function that takes AllocatorOptions and returns an Allocator. A built-in name wins over an
installed one.
"""

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

#: The same as in pyproject.toml, so that a source tree that was never installed has them too.
BUILT_IN: Final[dict[str, AllocatorFactory]] = {
    "hierarchical": HierarchicalAllocator,
    "HierarchicalDRF": HierarchicalAllocator,
    "priority": PriorityAllocator,
}
_PROMISED: Final = [name for name in vars(Allocator) if not name.startswith("_")]


def make_allocator(name: str, options: AllocatorOptions) -> Allocator | Problem:
    """The policy called `name`, knowing nothing yet; or why there is none."""
    factory = find_allocator(name)
    if isinstance(factory, Problem):
        return factory
    if name in BUILT_IN:
        return factory(options)
    try:
        made = factory(options)
    except Exception as error:  # Somebody else's code may raise anything.
        return _broken(name, f"cannot be made: {error!r}")
    missing = [one for one in _PROMISED if not hasattr(made, one)]
    if missing:
        return _broken(name, f"lacks {', '.join(missing)}")
    return made


def find_allocator(name: str) -> AllocatorFactory | Problem:
    """What makes the policy called `name`: called with the options, it returns an Allocator."""
    built_in = BUILT_IN.get(name)
    if built_in is not None:
        return built_in
    installed = entry_points(group=GROUP)
    if name not in installed.names:
        known = ", ".join(sorted({*BUILT_IN, *installed.names}))
        return Problem(
            "allocator_unknown", f"there is no allocator '{name}'; choose one of: {known}"
        )
    try:
        factory: object = installed[name].load()
    except Exception as error:  # Somebody else's module may raise anything.
        return _broken(name, f"cannot be loaded: {error!r}")
    return factory if callable(factory) else _broken(name, "is not a class or function")


def _broken(name: str, why: str) -> Problem:
    return Problem(
        "allocator_broken", f"allocator '{name}' {why}; correct or reinstall the package it is from"
    )
