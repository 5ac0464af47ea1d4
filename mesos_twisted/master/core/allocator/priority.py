"""Strict priority: a role's weight is its rank.

The heavier role goes first while it wants anything; roles of the same weight, and the frameworks
in a role, share by dominant resource fairness.
"""

from __future__ import annotations

from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator


class PriorityAllocator(HierarchicalAllocator):
    """As `HierarchicalAllocator`, but siblings are ordered by weight first."""

    strict_priority = True
