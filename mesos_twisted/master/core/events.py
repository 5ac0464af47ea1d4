"""What can happen to a master: every input of its core, as frozen values.

Edges make these; the core never sees a socket. `now` is seconds since the epoch and comes with
each event that needs it. Authorization has already been asked where it says `refusals`: the edge
judged every object in the call, and the core applies the verdicts when it acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from mesos_twisted.errors import Problem
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ConnectionId, FrameworkId, TaskId


@dataclass(frozen=True, slots=True)
class Recovered:
    """The registry is read and this master leads. `agents` were admitted and may return.

    `deactivated` and `draining` say what an operator wants of them, or of unreachable ones.
    `epoch` counts the masters that led by the registry of that id; this one is the last.
    """

    now: float
    agents: tuple[m.AgentInfo, ...] = ()
    unreachable: Mapping[AgentId, float] = field(default_factory=dict)
    gone: Mapping[AgentId, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    registry_id: str = ""
    epoch: int = 0
    deactivated: frozenset[AgentId] = frozenset()
    draining: Mapping[AgentId, m.DrainInfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SchedulerSubscribed:
    """A SUBSCRIBE passed the edge's checks and its stream is open.

    `principal` is the authenticated name or None; `refusal` is why it may not register, or None.
    """

    connection: ConnectionId
    stream_id: str
    subscribe: m.SchedulerCallSubscribe
    principal: str | None
    refusal: Problem | None
    now: float


@dataclass(frozen=True, slots=True)
class SchedulerClosed:
    """A scheduler stream broke or was closed by its client."""

    connection: ConnectionId
    now: float


@dataclass(frozen=True, slots=True)
class SchedulerCalled:
    """Any call but SUBSCRIBE and UPDATE_FRAMEWORK, from a subscribed framework, already validated.

    `refusals` maps a task id of an ACCEPT (or another object's id) to why it is not authorized.
    """

    framework_id: FrameworkId
    call: m.SchedulerCall
    now: float
    refusals: Mapping[str, Problem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FrameworkUpdated:
    """UPDATE_FRAMEWORK, validated against the framework that exists."""

    framework_id: FrameworkId
    update: m.SchedulerCallUpdateFramework
    now: float


@dataclass(frozen=True, slots=True)
class TeardownAsked:
    """An operator (or the framework itself) ends a framework."""

    framework_id: FrameworkId
    now: float


@dataclass(frozen=True, slots=True)
class TaskKillAsked:
    """An operator, named by `principal`, ends one task of a framework."""

    framework_id: FrameworkId
    task_id: TaskId
    principal: str
    now: float


@dataclass(frozen=True, slots=True)
class AgentGoneAsked:
    """An operator, named by `principal`, says that an agent never comes back."""

    agent_id: AgentId
    principal: str
    now: float


@dataclass(frozen=True, slots=True)
class AgentDrainAsked:
    """An operator, named by `principal`, wants everything on an agent to end, in this way."""

    agent_id: AgentId
    config: m.DrainConfig
    principal: str
    now: float


@dataclass(frozen=True, slots=True)
class AgentDeactivationAsked:
    """An operator, named by `principal`, wants no offers of an agent to be made."""

    agent_id: AgentId
    principal: str
    now: float


@dataclass(frozen=True, slots=True)
class AgentReactivationAsked:
    """An operator, named by `principal`, wants offers of a deactivated or drained agent again."""

    agent_id: AgentId
    principal: str
    now: float


@dataclass(frozen=True, slots=True)
class RegistryGcDue:
    """Time to forget agents that were lost long ago."""

    now: float


@dataclass(frozen=True, slots=True)
class AgentSaid:
    """A record arrived on an authenticated agent link.

    `address` is the peer's IP. `refusal`: why this certificate may not register as that agent.
    """

    link: ConnectionId
    message: agentlink.FromAgent
    now: float
    address: str = ""
    refusal: Problem | None = None


@dataclass(frozen=True, slots=True)
class AgentLinkClosed:
    """An agent link broke."""

    link: ConnectionId
    now: float


@dataclass(frozen=True, slots=True)
class RegistryApplied:
    """The registry made the operation of that number durable."""

    number: int
    now: float


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that a StartTimer effect asked for ran out."""

    key: tuple[str, ...]
    now: float


@dataclass(frozen=True, slots=True)
class AllocationDue:
    """Time to make offers: the interval passed, or the core asked with RequestAllocation."""

    now: float
    seed: int


@dataclass(frozen=True, slots=True)
class WeightsUpdated:
    """An operator set role weights."""

    weights: Mapping[str, float]
    now: float


@dataclass(frozen=True, slots=True)
class WhitelistRead:
    """The whitelist file's host names; None means every host."""

    hostnames: frozenset[str] | None


Event: TypeAlias = (
    Recovered
    | SchedulerSubscribed
    | SchedulerClosed
    | SchedulerCalled
    | FrameworkUpdated
    | TeardownAsked
    | TaskKillAsked
    | AgentGoneAsked
    | AgentDrainAsked
    | AgentDeactivationAsked
    | AgentReactivationAsked
    | RegistryGcDue
    | AgentSaid
    | AgentLinkClosed
    | RegistryApplied
    | TimerFired
    | AllocationDue
    | WeightsUpdated
    | WhitelistRead
)
