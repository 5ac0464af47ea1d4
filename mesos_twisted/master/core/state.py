"""All that a master's core knows: its tables, the records in them and how they point at each other.

Records are mutable and owned by the core; only `decide` and what it calls may change them, views
only read. Each record a view shows has a `version` that rises with every change of what it shows,
so that fragments can be cached. Nothing here knows a clock, a socket or a store.

    MasterState
      frameworks[framework_id] -> Framework       (subscribed once and not removed, or recovered)
        tasks[task_id]         -> Task            (until its terminal update is acknowledged)
        executors[agent_id]    -> {executor_id: Executor}
        offers[offer_id]       -> Offer
      completed[framework_id]  -> Framework       (bounded history, newest last)
      agents[agent_id]         -> Agent           (registered with this master)
        tasks[(framework_id, task_id)], executors[framework_id], offers[offer_id]: the same records
      recovered[agent_id], unreachable[agent_id], gone[agent_id]
      deactivated[agent_id], draining[agent_id]    (of these and registered ones, but gone ones)
      offers[offer_id]         -> Offer
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from mesos_twisted.master.core.allocator.interface import Allocator, Capability
from mesos_twisted.master.core.allocator.regexes import RegexLimits
from mesos_twisted.master.core.changes import InFlight
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import (
    AgentId,
    ConnectionId,
    ExecutorId,
    FrameworkId,
    MasterId,
    OfferId,
    TaskId,
)
from mesos_twisted.protocol.states import TERMINAL
from mesos_twisted.resources.algebra import Resources

HEARTBEAT_INTERVAL_S = 15.0
MASTER_CAPABILITIES = ("AGENT_UPDATE", "AGENT_DRAINING")

_encode = msgspec.msgpack.Encoder().encode
_decode_task = msgspec.msgpack.Decoder(m.Task).decode


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator chose, as the core needs it. Times in seconds."""

    offer_timeout_s: float | None = None
    agent_ping_timeout_s: float = 15.0
    max_agent_ping_timeouts: int = 5
    agent_reregister_timeout_s: float = 600.0
    #: Time between two agents marked unreachable; 0: no limit.
    removal_interval_s: float = 0.0
    #: More than this share of the agents missing after a failover stops the master.
    recovery_removal_limit: float = 1.0
    #: Lost agents are remembered for so long, and so many of each kind.
    registry_max_agent_age_s: float = 14 * 86400.0
    registry_max_agent_count: int = 102_400
    max_completed_frameworks: int = 50
    max_completed_tasks_per_framework: int = 1000
    max_unreachable_tasks_per_framework: int = 1000
    #: The only roles frameworks may use; None means any valid name.
    roles: frozenset[str] | None = None
    root_submissions: bool = True
    require_agent_domain: bool = False
    #: Count calls, events and operations by framework as well.
    publish_per_framework_metrics: bool = True
    #: The most that one pattern of offer constraints may need.
    regex_limits: RegexLimits = field(default_factory=RegexLimits)
    #: Agents looked at in one turn; None means all.
    allocation_budget: int | None = None

    @property
    def total_ping_timeout_s(self) -> float:
        """Silence after which either side gives up on the other."""
        return self.agent_ping_timeout_s * self.max_agent_ping_timeouts


class FrameworkState(enum.Enum):
    """Where a framework is; offers go to ACTIVE ones only."""

    RECOVERED = "recovered"
    DISCONNECTED = "disconnected"
    ACTIVE = "active"


@dataclass(slots=True, eq=False)
class Task:
    """One task. `state` is the latest the agent told; `forwarded` the latest sent on.

    `static` is all that never changes, encoded (see `static_of`): decoded for views only.
    """

    framework_id: FrameworkId
    task_id: TaskId
    agent_id: AgentId
    executor_id: ExecutorId | None
    state: m.TaskState
    resources: Resources
    static: bytes
    role: str = "*"
    #: Newest last; at most one for each run of equal states, without data.
    statuses: tuple[m.TaskStatus, ...] = ()
    forwarded: m.TaskState | None = None
    forwarded_uuid: bytes | None = None
    #: Its resources are with the allocator as allocated (false from the terminal state on).
    charged: bool = True
    version: int = 0

    @property
    def terminal(self) -> bool:
        """Has it ended, as far as the agent told?"""
        return self.state in TERMINAL

    def fixed(self) -> m.Task:
        """The unchanging part as a message; state, resources and statuses are not current."""
        return _decode_task(self.static)


def static_of(task: m.Task) -> bytes:
    """What a Task keeps of a message: everything but resources, statuses and forwarded state."""
    return _encode(
        msgspec.structs.replace(
            task, resources=(), statuses=(), status_update_state=None, status_update_uuid=None
        )
    )


@dataclass(slots=True, eq=False)
class Executor:
    """An executor that a framework named itself (command tasks have none here)."""

    framework_id: FrameworkId
    executor_id: ExecutorId
    agent_id: AgentId
    info: m.ExecutorInfo
    resources: Resources


@dataclass(slots=True, eq=False)
class Offer:
    """An open offer; `resources` carry `role` as their allocation."""

    offer_id: OfferId
    framework_id: FrameworkId
    agent_id: AgentId
    role: str
    resources: Resources


@dataclass(slots=True, eq=False)
class Framework:
    """One framework, now or in the history."""

    framework_id: FrameworkId
    info: m.FrameworkInfo
    state: FrameworkState = FrameworkState.ACTIVE
    connection: ConnectionId | None = None
    stream_id: str = ""
    #: The authenticated name that subscribed, or None.
    principal: str | None = None
    roles: tuple[str, ...] = ()
    suppressed: set[str] = field(default_factory=set)
    capabilities: frozenset[Capability] = frozenset()
    partition_aware: bool = False
    task_killing: bool = False
    multi_role: bool = False
    refined: bool = False
    registered_at: float = 0.0
    reregistered_at: float | None = None
    unregistered_at: float | None = None
    offer_constraints: m.SchedulerOfferConstraints | None = None
    tasks: dict[TaskId, Task] = field(default_factory=dict)
    completed: deque[Task] = field(default_factory=deque)
    unreachable: dict[TaskId, Task] = field(default_factory=dict)
    executors: dict[AgentId, dict[ExecutorId, Executor]] = field(default_factory=dict)
    offers: dict[OfferId, Offer] = field(default_factory=dict)
    #: What tasks and executors hold on each agent, as allocated.
    used: dict[AgentId, Resources] = field(default_factory=dict)
    #: Agents that know it, with or without a task now; of an agent that left the tables, no more.
    known_on: dict[AgentId, None] = field(default_factory=dict)
    #: The sum of `used`, when somebody has asked since it changed.
    used_sum: Resources | None = None
    #: Where its per-framework metrics begin, slash included; "" when they are not kept.
    metrics: str = ""
    version: int = 0

    @property
    def connected(self) -> bool:
        """Is there an open stream?"""
        return self.connection is not None

    @property
    def active(self) -> bool:
        """May it get offers?"""
        return self.state is FrameworkState.ACTIVE

    @property
    def recovered(self) -> bool:
        """Known only from agents, after a failover?"""
        return self.state is FrameworkState.RECOVERED

    def offered(self) -> Resources:
        """The sum of its open offers."""
        return Resources.sum([offer.resources for offer in self.offers.values()])

    def total_used(self) -> Resources:
        """The sum of `used`; kept until that changes."""
        if self.used_sum is None:
            self.used_sum = Resources.sum(self.used.values())
        return self.used_sum


@dataclass(frozen=True, slots=True)
class OfferParts:
    """What every offer of an agent says, built once per registration."""

    agent_id: m.AgentID
    hostname: str
    url: m.URL
    attributes: tuple[m.Attribute, ...]
    domain: m.DomainInfo | None


@dataclass(slots=True, eq=False)
class Agent:
    """A registered agent. `link` None: its connection broke and it may return."""

    agent_id: AgentId
    info: m.AgentInfo
    total: Resources
    parts: OfferParts
    link: ConnectionId | None
    address: str
    pid: str
    agent_version: str
    capabilities: tuple[str, ...]
    registered_at: float
    reregistered_at: float | None = None
    #: A ping is out and unanswered, and how many in a row went unanswered.
    pinged: bool = False
    missed: int = 0
    #: The registry is asked to mark it unreachable or to forget it.
    leaving: bool = False
    tasks: dict[tuple[FrameworkId, TaskId], Task] = field(default_factory=dict)
    executors: dict[FrameworkId, dict[ExecutorId, Executor]] = field(default_factory=dict)
    offers: dict[OfferId, Offer] = field(default_factory=dict)
    #: Kills of tasks that are not over, to be repeated on the next link.
    kills: dict[tuple[FrameworkId, TaskId], m.KillPolicy | None] = field(default_factory=dict)
    #: It knows what Drain is.
    drains: bool = False
    #: As in the state's tables of these names; `drain_began` is when it was told so here, as long
    #: as it has been registered since.
    deactivated: bool = False
    draining: m.DrainInfo | None = None
    drain_began: float | None = None
    #: Frameworks whose updates it still owed when it registered, known here or not.
    owing: frozenset[FrameworkId] = frozenset()
    version: int = 0

    @property
    def hostname(self) -> str:
        """The name it registered with."""
        return self.parts.hostname

    @property
    def connected(self) -> bool:
        """Is its link up?"""
        return self.link is not None

    @property
    def active(self) -> bool:
        """May its resources be offered?"""
        return self.link is not None and not self.leaving and not self.deactivated

    def offered(self) -> Resources:
        """The sum of its open offers."""
        return Resources.sum([offer.resources for offer in self.offers.values()])


@dataclass(slots=True)
class MasterState:
    """Everything; one per process that leads or may lead."""

    info: m.MasterInfo
    policy: Policy
    allocator: Allocator
    #: The registry is read and calls may be served.
    leading: bool = False
    #: Open operator streams, kept by the edge; Publish effects are made only when above zero.
    operator_subscribers: int = 0
    started_at: float = 0.0
    elected_at: float | None = None
    next_framework: int = 0
    next_agent: int = 0
    next_offer: int = 0
    next_registry: int = 0
    frameworks: dict[FrameworkId, Framework] = field(default_factory=dict)
    framework_of: dict[ConnectionId, FrameworkId] = field(default_factory=dict)
    completed: dict[FrameworkId, Framework] = field(default_factory=dict)
    agents: dict[AgentId, Agent] = field(default_factory=dict)
    agent_of: dict[ConnectionId, AgentId] = field(default_factory=dict)
    #: The registered agent that named this pid.
    agent_at: dict[str, AgentId] = field(default_factory=dict)
    #: Admitted by an earlier leader and not back yet.
    recovered: dict[AgentId, m.AgentInfo] = field(default_factory=dict)
    #: Those of `recovered` with a deadline of their own: their link broke as they came back.
    alone: dict[AgentId, None] = field(default_factory=dict)
    #: How many the registry knew when this master began to lead.
    admitted_before: int = 0
    #: Agents to be marked unreachable as the rate allows, in turn, and why.
    removals: dict[AgentId, str] = field(default_factory=dict)
    next_removal_at: float = 0.0
    #: Whose registry this is, and how many masters have led by it.
    registry_id: str = ""
    epoch: int = 0
    unreachable: dict[AgentId, float] = field(default_factory=dict)
    gone: dict[AgentId, float] = field(default_factory=dict)
    #: Agents, here or not, of which no offers are made, and those to be drained or drained.
    deactivated: dict[AgentId, None] = field(default_factory=dict)
    draining: dict[AgentId, m.DrainInfo] = field(default_factory=dict)
    #: Agents to be drained on which nothing may be left, and since when; see `drain.settle`.
    emptied: dict[AgentId, float] = field(default_factory=dict)
    #: What is in frameworks' `unreachable`, by agent.
    unreachable_tasks: dict[AgentId, dict[tuple[FrameworkId, TaskId], None]] = field(
        default_factory=dict
    )
    offers: dict[OfferId, Offer] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    whitelist: frozenset[str] | None = None
    in_flight: dict[int, InFlight] = field(default_factory=dict)
    #: Links whose admission is in flight; a second Register on one is a duplicate.
    joining: dict[ConnectionId, int] = field(default_factory=dict)
    #: Agents whose registry operation is in flight.
    changing: dict[AgentId, int] = field(default_factory=dict)

    @property
    def master_id(self) -> MasterId:
        """What every id made here begins with."""
        return MasterId(self.info.id)

    def new_framework_id(self) -> FrameworkId:
        """A fresh framework id."""
        number, self.next_framework = self.next_framework, self.next_framework + 1
        return FrameworkId(f"{self.info.id}-{number:04d}")

    def new_agent_id(self) -> AgentId:
        """A fresh agent id."""
        number, self.next_agent = self.next_agent, self.next_agent + 1
        return AgentId(f"{self.info.id}-S{number}")

    def new_offer_id(self) -> OfferId:
        """A fresh offer id."""
        number, self.next_offer = self.next_offer, self.next_offer + 1
        return OfferId(f"{self.info.id}-O{number}")

    def forget_wishes(self, agent_id: AgentId) -> None:
        """The agent is no more, and nobody wants anything of it."""
        self.deactivated.pop(agent_id, None)
        self.draining.pop(agent_id, None)

    def tasks(self) -> Iterator[Task]:
        """Every task of every framework that is not completed history."""
        for framework in self.frameworks.values():
            yield from framework.tasks.values()

    def task(self, framework_id: FrameworkId, task_id: TaskId) -> Task | None:
        """One task, or None."""
        framework = self.frameworks.get(framework_id)
        return None if framework is None else framework.tasks.get(task_id)


def new_state(
    info: m.MasterInfo,
    policy: Policy,
    allocator: Allocator,
    weights: Mapping[str, float] | None = None,
) -> MasterState:
    """A master that leads nothing yet."""
    return MasterState(info, policy, allocator, weights=dict(weights or {}))
