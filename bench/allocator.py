"""How much CPU one allocation takes: full cycles, few changes, and many filters.

Run `python -m bench.allocator`; figures are CPU seconds of this thread, one cycle each.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable

from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.allocator.interface import (
    AgentSpec,
    FrameworkSpec,
    Held,
)
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.parse import resources_from_text

#: (agents, frameworks, roles, filters on every agent)
SIZES = (
    (10_000, 1_000, 1, 0),
    (10_000, 1_000, 50, 0),
    (10_000, 1_000, 1_000, 0),
    (20_000, 2_000, 1, 0),
    (50_000, 1_000, 1, 0),
    (50_000, 1_000, 1_000, 0),
    (10_000, 1_000, 1, 500),
    (10_000, 1_000, 1, 950),
    (10_000, 1_000, 1_000, 950),
)


def run(sizes: Iterable[tuple[int, int, int, int]] = SIZES) -> list[dict[str, float]]:
    """One row a size: CPU seconds of a full cycle, of declining all, of 1 % changed."""
    return [_measure(*size) for size in sizes]


def _measure(agents: int, frameworks: int, roles: int, filters: int) -> dict[str, float]:
    allocator = HierarchicalAllocator()
    for n in range(agents):
        total = resources_from_text("cpus:24;mem:4096;disk:4096;ports:[31000-32000]")
        allocator.add_agent(AgentId(f"S{n}"), AgentSpec(f"host{n}", total), {})
    # Those who refuse everything hold nothing, so they stay first in order: the worst case.
    for n in range(frameworks):
        spec = FrameworkSpec((f"role{n % roles}",))
        allocator.add_framework(FrameworkId(f"F{n:05}"), spec)
    gc.collect()
    gc.freeze()
    now = 1.0
    if filters:
        # As the policy holds them after each of these frameworks declined every agent.
        refusing = sum(client.bit for client in allocator._tree.by_slot[:filters] if client)
        for agent in allocator._agents.values():
            agent.refusals.masks[agent.total] = refusing
    began = time.thread_time()
    offers = allocator.allocate(now, 1)
    cycle = time.thread_time() - began
    assert len(offers) == agents, (len(offers), agents)
    began = time.thread_time()
    for one in offers:
        allocator.recover(
            one.framework_id, one.agent_id, one.resources, 0.0, now, held=Held.OFFERED
        )
    recover = time.thread_time() - began
    allocator.allocate(now, 2)
    for one in offers[: agents // 100]:
        held = allocator._agents[one.agent_id].offered
        ((client, resources),) = held.items()
        allocator.recover(
            client.framework_id,
            one.agent_id,
            resources.allocate(client.role),
            0.0,
            now,
            held=Held.OFFERED,
        )
    began = time.thread_time()
    few = allocator.allocate(now, 3)
    one_percent = time.thread_time() - began
    assert len(few) == agents // 100
    return {
        "agents": agents,
        "frameworks": frameworks,
        "roles": roles,
        "filters_per_agent": filters,
        "full_cycle_s": round(cycle, 4),
        "recover_all_s": round(recover, 4),
        "one_percent_s": round(one_percent, 5),
    }


def main() -> None:
    """Print one line a size."""
    for size in SIZES:
        for row in run([size]):
            print("  ".join(f"{name}={value:g}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
