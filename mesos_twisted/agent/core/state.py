"""All that an agent's core knows: its tables, the records in them and how to look them up.

Records are mutable and owned by the core; only `decide` and what it calls may change them, views
only read. Nothing here knows a clock, a disk or a socket.

    AgentState
      frameworks[framework_id] -> Framework
        executors[executor_id] -> Executor          (live: something of it runs or will)
          tasks[task_id]       -> Task              (until its terminal update is acknowledged)
        completed              -> CompletedExecutor (bounded history, newest last)
      containers[container_id] -> Container         (every process or pod of ours)
      streams[(framework_id, task_id)] -> UpdateStream
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import (
    AgentId,
    ConnectionId,
    ContainerId,
    ExecutorId,
    FrameworkId,
    FreshIds,
    TaskId,
)
from mesos_twisted.protocol.states import TERMINAL

#: What a Mesos 1.12 agent declares and this one keeps.
CAPABILITIES = (
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator chose, as the core needs it. Times in seconds."""

    hostname: str
    ip: str = "127.0.0.1"
    port: int = 5051
    pid: str = "slave(1)@127.0.0.1:5051"
    version: str = "1.12.0"
    capabilities: tuple[str, ...] = CAPABILITIES
    resources: tuple[m.Resource, ...] = ()
    attributes: tuple[m.Attribute, ...] = ()
    domain: m.DomainInfo | None = None
    #: Absolute; sandboxes live below it.
    work_dir: str = "/var/lib/mesos/agent"
    #: `ip:port` of the listener for executors that do not speak TLS.
    executor_endpoint: str = "127.0.0.1:5053"
    #: The path of the executors' Unix socket, where there is one.
    domain_socket: str | None = None
    #: Launch as the framework's (or command's) user, or as the agent's own.
    switch_user: bool = True
    #: Given to every process that does not set its own PATH.
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    #: `--executor_environment_variables`: given to executors and command tasks.
    executor_environment: tuple[tuple[str, str], ...] = ()
    recovery_timeout_s: float = 900.0
    executor_registration_timeout_s: float = 60.0
    executor_reregistration_timeout_s: float = 2.0
    executor_shutdown_grace_period_s: float = 5.0
    default_kill_grace_s: float = 3.0
    gc_delay_s: float = 7 * 86400.0
    gc_disk_headroom: float = 0.1
    #: Refuse a changed total at recovery (`equal`), or allow it to grow (`additive`).
    reconfiguration_policy: str = "equal"
    #: Keep the old tasks (`reconnect`), or kill them at recovery (`cleanup`).
    recover: str = "reconnect"
    #: Refuse to start when a row cannot be read, or go on with all the others.
    strict: bool = True
    registration_backoff_s: float = 1.0
    registration_backoff_max_s: float = 60.0
    max_completed_frameworks: int = 50
    max_completed_executors_per_framework: int = 150
    max_completed_tasks_per_executor: int = 200


@dataclass(frozen=True, slots=True)
class Leader:
    """A master and its place among those that led by the registry of that id. Of a master that
    does not say, the id is empty."""

    registry_id: str = ""
    epoch: int = 0
    master_id: str = ""

    def is_behind(self, other: Leader) -> bool:
        """Did the other lead by the same registry later, or in the same place?"""
        if not self.registry_id or self.registry_id != other.registry_id:
            return False
        here, there = (self.epoch, self.master_id), (other.epoch, other.master_id)
        return here != there and self.epoch <= other.epoch


NOBODY = Leader()


class Phase(enum.Enum):
    """Where the agent is with its master."""

    RECOVERING = "recovering"
    DISCONNECTED = "disconnected"
    REGISTERING = "registering"
    RUNNING = "running"
    TERMINATING = "terminating"


class ExecutorKind(enum.Enum):
    """Who supervises the tasks: the core itself (COMMAND, DEFAULT) or a process of its own."""

    COMMAND = "command"
    DEFAULT = "default"
    CUSTOM = "custom"


class ExecutorState(enum.Enum):
    """REGISTERING until it subscribed (custom) or its sandbox is ready (the built-in ones)."""

    REGISTERING = "registering"
    RUNNING = "running"
    TERMINATING = "terminating"
    TERMINATED = "terminated"


class ContainerPhase(enum.Enum):
    """PREPARING its sandbox, WAITING for the rest of its group, LAUNCHING, RUNNING, DESTROYING."""

    PREPARING = "preparing"
    WAITING = "waiting"
    LAUNCHING = "launching"
    RUNNING = "running"
    DESTROYING = "destroying"


@dataclass(slots=True)
class Container:
    """One thing the containerizer has of ours. A pod's own container has no process."""

    id: ContainerId
    framework_id: FrameworkId
    executor_id: ExecutorId
    #: Relative to the work directory.
    directory: str
    #: The task whose process this is; None for a custom executor's process and for a pod.
    task_id: TaskId | None = None
    parent: ContainerId | None = None
    phase: ContainerPhase = ContainerPhase.PREPARING
    pid: int | None = None
    #: The containerizer has heard of it.
    asked: bool = False


@dataclass(slots=True)
class Kill:
    """A kill that was accepted: when it began and how long the task has."""

    started: float
    grace_s: float
    #: The whole tree was killed by force.
    escalated: bool = False


@dataclass(slots=True)
class Termination:
    """What to say of an executor's live tasks when it has ended, decided before it ends."""

    state: m.TaskState
    reason: m.TaskStatusReason
    message: str


@dataclass(slots=True)
class Health:
    """Verdicts on a task so far: `healthy` None until the first; failures count consecutively."""

    started: float
    healthy: bool | None = None
    failures: int = 0
    #: A failing health check led to the kill.
    killed: bool = False
    check_status: m.CheckStatusInfo | None = None


@dataclass(slots=True)
class Task:
    """A task from RunTask until its terminal update is acknowledged."""

    info: m.TaskInfo
    framework_id: FrameworkId
    executor_id: ExecutorId
    #: Its own process; a custom executor's task has none of ours.
    container_id: ContainerId | None
    launched: float
    state: m.TaskState = m.TaskState.TASK_STAGING
    #: As shown to clients: one a state, the newest of each run of the same state.
    statuses: list[m.TaskStatus] = field(default_factory=list)
    #: A custom executor has not been given it yet.
    queued: bool = False
    #: Launched in a group together with these (itself included), in order.
    group: tuple[TaskId, ...] = ()
    kill: Kill | None = None
    #: Killed because max_completion_time ran out.
    timed_out: bool = False
    health: Health | None = None

    @property
    def id(self) -> TaskId:
        """The task's id as chosen by its framework."""
        return TaskId(self.info.task_id.value)

    @property
    def ended(self) -> bool:
        """Is its latest state terminal?"""
        return self.state in TERMINAL


@dataclass(slots=True)
class Executor:
    """A live executor: a process of its own, or the core playing one."""

    id: ExecutorId
    framework_id: FrameworkId
    kind: ExecutorKind
    info: m.ExecutorInfo
    container_id: ContainerId
    #: Its run directory, relative to the work directory.
    directory: str
    user: str | None
    state: ExecutorState = ExecutorState.REGISTERING
    tasks: dict[TaskId, Task] = field(default_factory=dict)
    #: A custom executor was given a task once.
    ever_sent: bool = False
    #: Ended and acknowledged, oldest first.
    completed_tasks: deque[m.Task] = field(default_factory=deque)
    #: Its tasks' own containers that are not over.
    containers: set[ContainerId] = field(default_factory=set)
    connection: ConnectionId | None = None
    termination: Termination | None = None
    #: Ended by us on purpose: its shutdown needs no excuse.
    asked_to_end: bool = False
    #: wait(2) status of its process, when it ended.
    exit_status: int | None = None
    #: Read back at recovery and not yet subscribed again.
    recovered: bool = False

    @property
    def live(self) -> Iterator[Task]:
        """Tasks that have not ended."""
        return (task for task in self.tasks.values() if not task.ended)


@dataclass(slots=True)
class CompletedExecutor:
    """An executor that is over, for history and for the garbage collector."""

    id: ExecutorId
    container_id: ContainerId
    info: m.ExecutorInfo
    kind: ExecutorKind
    directory: str
    tasks: tuple[m.Task, ...]


@dataclass(slots=True)
class Framework:
    """A framework with something on this agent."""

    id: FrameworkId
    info: m.FrameworkInfo
    executors: dict[ExecutorId, Executor] = field(default_factory=dict)
    #: Where each task (until acknowledged) lives.
    tasks: dict[TaskId, Task] = field(default_factory=dict)
    completed: deque[CompletedExecutor] = field(default_factory=deque)
    #: Everything of it is being ended.
    terminating: bool = False

    def capable(self, capability: m.FrameworkInfoCapabilityType) -> bool:
        """Did the framework declare this capability?"""
        return any(item.type is capability for item in self.info.capabilities)


@dataclass(slots=True)
class UpdateStream:
    """A task's unacknowledged updates, oldest first; only the oldest is sent."""

    framework_id: FrameworkId
    task_id: TaskId
    executor_id: ExecutorId | None
    pending: deque[m.TaskStatus] = field(default_factory=deque)
    #: Number of the oldest pending update; rows are numbered from 0.
    acknowledged: int = 0
    #: The newest acknowledged state, None before the first.
    acknowledged_state: m.TaskState | None = None
    #: Every uuid a custom executor ever sent here: duplicates are dropped.
    seen: set[bytes] = field(default_factory=set)
    #: Seconds until the oldest is sent again.
    retry_s: float = 0.0
    #: The oldest update has been sent on the current registration.
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Garbage:
    """A directory nobody needs: since when, and the row to forget with it."""

    since: float
    row: str | None = None


@dataclass(slots=True)
class AgentState:
    """Everything. `info.id` is set once a master admitted the agent."""

    policy: Policy
    ids: FreshIds
    info: m.AgentInfo
    phase: Phase = Phase.RECOVERING
    boot_id: str = ""
    start_time: float = 0.0
    #: When the agent last became registered.
    registered_time: float | None = None
    link: ConnectionId | None = None
    master_id: str = ""
    master_version: str = ""
    master_hostname: str = ""
    #: Whom the agent followed last; on disk.
    leader: Leader = NOBODY
    ping_timeout_s: float = 75.0
    #: Seconds until the next registration try.
    backoff_s: float = 0.0
    frameworks: dict[FrameworkId, Framework] = field(default_factory=dict)
    completed_frameworks: dict[FrameworkId, Framework] = field(default_factory=dict)
    containers: dict[ContainerId, Container] = field(default_factory=dict)
    streams: dict[tuple[FrameworkId, TaskId], UpdateStream] = field(default_factory=dict)
    #: Subscribed executors by connection.
    connections: dict[ConnectionId, tuple[FrameworkId, ExecutorId]] = field(default_factory=dict)
    #: Directory -> what is known of it, the oldest garbage first.
    garbage: dict[str, Garbage] = field(default_factory=dict)
    #: Directory being deleted -> the row to forget once it is gone, where it has one.
    deleting: dict[str, str | None] = field(default_factory=dict)
    #: Of directories that are gone, while others are still being deleted.
    deleted_rows: list[str] = field(default_factory=list)
    #: Containers that recovery found and nobody knows: being destroyed.
    orphans: set[ContainerId] = field(default_factory=set)
    #: How everything here is to end, and since when; None when it is not, or nothing is left.
    drain: m.DrainConfig | None = None
    drain_began: float = 0.0
    #: Why the agent is ending, for its last line.
    farewell: str = ""
    #: The agent ends because its operator wants it to, and tells the master.
    unregister: bool = False
    #: StopAgent was asked for.
    stopped: bool = False

    @property
    def agent_id(self) -> AgentId | None:
        """The id a master gave, or None before the first registration."""
        return None if self.info.id is None else AgentId(self.info.id.value)

    def executor(self, framework_id: FrameworkId, executor_id: ExecutorId) -> Executor | None:
        """A live executor."""
        framework = self.frameworks.get(framework_id)
        return None if framework is None else framework.executors.get(executor_id)

    def task(self, framework_id: FrameworkId, task_id: TaskId) -> Task | None:
        """A task that ran here and whose terminal update is not acknowledged yet."""
        framework = self.frameworks.get(framework_id)
        return None if framework is None else framework.tasks.get(task_id)


def new_state(policy: Policy, seed: bytes) -> AgentState:
    """An agent before recovery. `seed`: at most 64 random bytes, the source of its uuids."""
    info = m.AgentInfo(
        hostname=policy.hostname,
        port=policy.port,
        resources=policy.resources,
        attributes=policy.attributes,
        domain=policy.domain,
    )
    return AgentState(policy=policy, ids=FreshIds(seed), info=info)
