"""Changes that were asked of the registry and are not durable yet, and what is to follow them.

`MasterState.in_flight` has them by the number of their write; `inflight` lets what follows happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ConnectionId


@dataclass(frozen=True, slots=True)
class Admitting:
    """A new agent, registered once AdmitAgent is durable; `said` is what it asked."""

    link: ConnectionId
    agent_id: AgentId
    info: m.AgentInfo
    said: agentlink.Register
    address: str


@dataclass(frozen=True, slots=True)
class Returning:
    """An unreachable (or forgotten) agent, taken back once MarkReachable is durable."""

    link: ConnectionId
    said: agentlink.Reregister
    address: str


@dataclass(frozen=True, slots=True)
class Marking:
    """An agent (registered or recovered) about to be unreachable; frameworks are told why."""

    agent_id: AgentId
    at: float
    why: str


@dataclass(frozen=True, slots=True)
class Removing:
    """An agent that left by its own will; frameworks are told why."""

    agent_id: AgentId
    why: str = ""


@dataclass(frozen=True, slots=True)
class Departing:
    """An agent (registered, recovered or unreachable) about to be gone for good.

    `principal` asked for it.
    """

    agent_id: AgentId
    at: float
    principal: str


@dataclass(frozen=True, slots=True)
class Pruning:
    """Lost agents about to be forgotten."""

    unreachable: tuple[AgentId, ...]
    gone: tuple[AgentId, ...]


@dataclass(frozen=True, slots=True)
class Draining:
    """An agent about to be drained; `principal` asked for it."""

    agent_id: AgentId
    config: m.DrainConfig
    principal: str


@dataclass(frozen=True, slots=True)
class Drained:
    """An agent on which nothing is left."""

    agent_id: AgentId


@dataclass(frozen=True, slots=True)
class Deactivating:
    """An agent about to get no offers; `principal` asked for it."""

    agent_id: AgentId
    principal: str


@dataclass(frozen=True, slots=True)
class Reactivating:
    """An agent about to get offers again; `principal` asked for it."""

    agent_id: AgentId
    principal: str


#: What an operator wants of an agent and the registry does not say yet.
Wish: TypeAlias = Draining | Drained | Deactivating | Reactivating


@dataclass(frozen=True, slots=True)
class Weighing:
    """Role weights to be used once stored."""

    weights: tuple[tuple[str, float], ...]


InFlight: TypeAlias = (
    Admitting | Returning | Marking | Removing | Departing | Pruning | Weighing | Wish
)
