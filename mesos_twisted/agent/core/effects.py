"""What an agent's core can ask of its edges. The driver performs them in list order.

Checkpoint and Forget are durable before any later effect of the same list goes out: a killed agent
finds on disk all that it ever told anyone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mesos_twisted.effects import CancelTimer as CancelTimer
from mesos_twisted.effects import Count as Count
from mesos_twisted.effects import Log as Log
from mesos_twisted.effects import StartTimer as StartTimer
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, ContainerId, ExecutorId, FrameworkId, TaskId


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Store a row: it replaces what the key held."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete the row, and with a trailing `/` every row below it."""

    key: str


@dataclass(frozen=True, slots=True)
class SendToMaster:
    """Write one record to the current link; dropped when there is none."""

    message: agentlink.FromAgent


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Close the current link and look for the leader again."""

    reason: str


@dataclass(frozen=True, slots=True)
class PrepareSandbox:
    """Make the sandbox (owner, mode, latest links), fetch the URIs, then SandboxReady or Failed.

    `directory` is relative to the work directory.
    """

    container_id: ContainerId
    framework_id: FrameworkId
    executor_id: ExecutorId
    directory: str
    user: str | None
    command: m.CommandInfo
    #: Relative to `directory`, for tasks of a group: made with the same owner.
    subdirectories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LaunchContainer:
    """Start a container's first process in its sandbox; ContainerLaunched or LaunchFailed follow.

    `program` is executed with argv, whose first word may be another; env is complete (nothing is
    inherited).
    """

    container_id: ContainerId
    program: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    directory: str
    user: str | None
    cpus_milli: int
    mem_bytes: int
    disk_bytes: int | None = None
    rlimits: m.RLimitInfo | None = None
    #: Stands for this one when reading usage and killing: a task group's tasks share a parent.
    parent: ContainerId | None = None


@dataclass(frozen=True, slots=True)
class UpdateContainer:
    """Change a running container's limits: a custom executor's tasks came or went."""

    container_id: ContainerId
    cpus_milli: int
    mem_bytes: int
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SignalContainer:
    """Send a signal to the container: to its leader's process group, or to the whole tree."""

    container_id: ContainerId
    signo: int
    scope: Literal["leader", "group", "tree"] = "group"


@dataclass(frozen=True, slots=True)
class DestroyContainer:
    """Kill the whole tree, by force; ContainerTerminated follows (also when it had ended)."""

    container_id: ContainerId


@dataclass(frozen=True, slots=True)
class ForgetContainer:
    """The container's end is on record here: its exit status need not be kept any longer."""

    container_id: ContainerId


@dataclass(frozen=True, slots=True)
class StartChecks:
    """Run these checks of a task until StopChecks; each run comes back as CheckReported.

    `env`, `user` and `directory` are the task's, for COMMAND checks.
    """

    framework_id: FrameworkId
    task_id: TaskId
    container_id: ContainerId
    health_check: m.HealthCheck | None
    check: m.CheckInfo | None
    env: tuple[tuple[str, str], ...]
    directory: str
    user: str | None


@dataclass(frozen=True, slots=True)
class StopChecks:
    """No more checks of this container."""

    container_id: ContainerId


@dataclass(frozen=True, slots=True)
class SendToExecutor:
    """Write one event to an executor's stream."""

    connection: ConnectionId
    event: m.ExecutorEvent


@dataclass(frozen=True, slots=True)
class CloseExecutorStream:
    """Close an executor's stream after what was written to it."""

    connection: ConnectionId


@dataclass(frozen=True, slots=True)
class DeletePath:
    """Delete a directory below the work directory, never following a symlink; PathDeleted follows.

    A sandbox made below it meanwhile is spared.
    """

    path: str


@dataclass(frozen=True, slots=True)
class StopAgent:
    """Leave: everything has ended (or the agent may not serve). Non-zero means trouble."""

    exit_code: int
    message: str


Effect: TypeAlias = (
    Checkpoint
    | Forget
    | SendToMaster
    | Reconnect
    | PrepareSandbox
    | LaunchContainer
    | UpdateContainer
    | SignalContainer
    | DestroyContainer
    | ForgetContainer
    | StartChecks
    | StopChecks
    | SendToExecutor
    | CloseExecutorStream
    | StartTimer
    | CancelTimer
    | DeletePath
    | StopAgent
    | Count
    | Log
)
