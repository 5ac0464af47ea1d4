"""What a master asks of its registry in its life, write by write, and what holds after each.

For tests that kill it in between.
"""

from __future__ import annotations

from typing import Final

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.registry.operations import (
    AdmitAgent,
    DeactivateAgent,
    DrainAgent,
    MarkAgentDrained,
    MarkGone,
    MarkReachable,
    MarkUnreachable,
    ReactivateAgent,
    RegistryOperation,
    RemoveAgent,
    Snapshot,
    StoreWeights,
    next_lead,
)
from mesos_twisted.testing.suites.registry import now


def info(name: str) -> m.AgentInfo:
    """A small agent."""
    return m.AgentInfo(hostname=name, port=5051, id=m.AgentID(value=name))


MASTER: Final = m.MasterInfo(id="m1", ip=1, port=5050, hostname="h")
#: Each is one write.
SCRIPT: Final[tuple[tuple[RegistryOperation, ...], ...]] = (
    (next_lead(Snapshot(), MASTER),),
    (AdmitAgent(info("a")), AdmitAgent(info("b"))),
    (StoreWeights((("role", 2.0),)),),
    (DrainAgent(AgentId("a"), m.DrainConfig(mark_gone=True)), DeactivateAgent(AgentId("b"))),
    (MarkAgentDrained(AgentId("a")), ReactivateAgent(AgentId("b"))),
    (MarkUnreachable(AgentId("a"), 10.0), MarkUnreachable(AgentId("b"), 10.0)),
    (MarkReachable(info("a")), AdmitAgent(info("c"))),
    (MarkGone(AgentId("b"), 20.0), RemoveAgent(AgentId("c"))),
)
#: What a next master writes, to see that it can.
LATER: Final[tuple[RegistryOperation, ...]] = (AdmitAgent(info("later")),)


def held(found: Snapshot) -> tuple[object, ...]:
    """What a master takes from it."""
    agents = sorted(each.hostname for each in found.agents)
    lists = (dict(found.unreachable), dict(found.gone), dict(found.weights))
    wanted = (found.deactivated, dict(found.draining))
    return (agents, *lists, *wanted, found.epoch, found.registry_id)


def _expected() -> list[tuple[object, ...]]:
    memory = MemoryRegistry()
    states = [held(now(memory.load()))]
    for operations in SCRIPT:
        now(memory.apply(operations))
        states.append(held(now(memory.load())))
    return states


#: What holds after each number of writes; each differs from all others.
STATES: Final = _expected()
