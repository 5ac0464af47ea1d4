"""The placement policy alone: CPU of whole cycles, of few changes, with many filters."""

from __future__ import annotations

from bench import allocator
from bench.report import Report

#: (agents, frameworks, roles, filters on every agent) to the most seconds of a full cycle.
TARGETS: dict[tuple[int, int, int, int], float | None] = {
    (10_000, 1_000, 1, 0): 0.25,
    (20_000, 2_000, 1, 0): 0.6,
    (50_000, 1_000, 1, 0): 1.0,
    (10_000, 1_000, 1, 950): 0.5,
    (10_000, 1_000, 1_000, 0): None,
}


def run(report: Report) -> None:
    """Each size once: a cycle that offers every agent, and one after 1 % was declined."""
    for size, limit in TARGETS.items():
        (row,) = allocator.run([size])
        agents, frameworks, roles, filters = size
        what = f"{agents // 1000}k agents, {frameworks} frameworks, {roles} roles"
        if filters:
            what += f", {filters} filters"
        report.add(what, row["full_cycle_s"] * 1000, "ms CPU", at_most=limit and limit * 1000)
        report.add(f"{what}: 1 % dirty", row["one_percent_s"] * 1000, "ms CPU", at_most=20)
