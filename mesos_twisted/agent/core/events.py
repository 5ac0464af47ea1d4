"""What can happen to an agent: every input of its core, as frozen values.

`now` is seconds since the epoch. Container outcomes come from the containerizer, check results from
the checks' edge, executor calls from the executor API after authentication.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, ContainerId, ExecutorId, FrameworkId, TaskId


@dataclass(frozen=True, slots=True)
class RecoveredContainer:
    """What the containerizer still knows: running (with a pid), or ended with a wait status."""

    container_id: ContainerId
    running: bool
    pid: int | None = None
    #: wait(2) status; None when it ended and nobody knows how.
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Recovered:
    """Checkpoints and containers are read. `records` are the checkpoint's rows, key to value.

    `errors`: what the store had to give up, as sentences. `agents`: the ids of all agents that have
    sandboxes in the work directory.
    """

    records: Mapping[str, bytes]
    containers: tuple[RecoveredContainer, ...]
    boot_id: str
    now: float
    errors: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """A link to the leading master is up: time to register."""

    link: ConnectionId
    now: float


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The link broke; the edge looks for the leader again."""

    link: ConnectionId
    now: float


@dataclass(frozen=True, slots=True)
class MasterSaid:
    """A record from the master on the current link."""

    link: ConnectionId
    message: agentlink.FromMaster
    now: float


@dataclass(frozen=True, slots=True)
class SandboxReady:
    """Sandbox made and everything fetched for a container."""

    container_id: ContainerId
    now: float


@dataclass(frozen=True, slots=True)
class SandboxFailed:
    """The sandbox could not be made or a URI not fetched; `message` says which and why."""

    container_id: ContainerId
    message: str
    now: float


@dataclass(frozen=True, slots=True)
class ContainerLaunched:
    """The container's first process runs."""

    container_id: ContainerId
    pid: int
    now: float


@dataclass(frozen=True, slots=True)
class ContainerLaunchFailed:
    """The container could not be started; nothing of it is left."""

    container_id: ContainerId
    message: str
    now: float


@dataclass(frozen=True, slots=True)
class ContainerTerminated:
    """The container's first process ended and its whole tree is gone.

    `status`: wait(2) status or None when unknown. `limitation`: set when an isolator ended it:
    the reason's name (`REASON_CONTAINER_LIMITATION_DISK`) and its sentence.
    """

    container_id: ContainerId
    status: int | None
    now: float
    limitation: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ExecutorSubscribed:
    """An executor opened its event stream (its id and token already fit)."""

    connection: ConnectionId
    framework_id: FrameworkId
    executor_id: ExecutorId
    subscribe: m.ExecutorCallSubscribe
    now: float


@dataclass(frozen=True, slots=True)
class ExecutorCalled:
    """UPDATE, MESSAGE or HEARTBEAT from a subscribed executor."""

    framework_id: FrameworkId
    executor_id: ExecutorId
    call: m.ExecutorCall
    now: float


@dataclass(frozen=True, slots=True)
class ExecutorClosed:
    """An executor's stream broke."""

    connection: ConnectionId
    now: float


@dataclass(frozen=True, slots=True)
class CheckReported:
    """A health check or general check ran once.

    `kind` is `health` or `check`; `outcome` is the CheckStatusInfo a general check shows;
    `passed` None: it could not be decided (timed out or failed to run), `message` says why.
    """

    framework_id: FrameworkId
    task_id: TaskId
    container_id: ContainerId
    kind: str
    passed: bool | None
    message: str
    now: float
    outcome: m.CheckStatusInfo | None = None


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that a StartTimer effect asked for ran out."""

    key: tuple[str, ...]
    now: float


@dataclass(frozen=True, slots=True)
class DiskMeasured:
    """How full the work directory's file system is, 0.0 to 1.0."""

    used_fraction: float
    now: float


@dataclass(frozen=True, slots=True)
class PathDeleted:
    """A DeletePath came to its end; not `gone`: it failed, or the directory is in use again."""

    path: str
    gone: bool
    now: float


@dataclass(frozen=True, slots=True)
class ShutdownAsked:
    """The operator ends the agent for good: every task is killed first."""

    now: float
    message: str = ""


Event: TypeAlias = (
    Recovered
    | LinkOpened
    | LinkClosed
    | MasterSaid
    | SandboxReady
    | SandboxFailed
    | ContainerLaunched
    | ContainerLaunchFailed
    | ContainerTerminated
    | ExecutorSubscribed
    | ExecutorCalled
    | ExecutorClosed
    | CheckReported
    | TimerFired
    | DiskMeasured
    | PathDeleted
    | ShutdownAsked
)
