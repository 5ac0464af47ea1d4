"""The rows of the checkpoint: what is written down of a framework, executor, task and update.

Rows are msgpack; fields may be added with defaults, never renamed. A command task's executor has no
row of its own: it follows from the task's. See `paths` for the keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from mesos_twisted.agent.core import paths
from mesos_twisted.agent.core.effects import Checkpoint
from mesos_twisted.agent.core.state import CompletedExecutor, Executor, Framework, Leader, Task
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of all rows."""


class AgentRow(Row, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who the agent is: its info with the id that a master gave. And whom it followed last: the
    master, and its epoch by the registry of that id."""

    info: m.AgentInfo
    registry_id: str = ""
    epoch: int = 0
    master_id: str = ""


class FrameworkRow(Row, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A framework with something here."""

    info: m.FrameworkInfo


class ExecutorRow(Row, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A live default or custom executor."""

    info: m.ExecutorInfo
    kind: str
    container_id: str
    user: str | None = None
    asked_to_end: bool = False


class KillRow(Row, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A kill in progress."""

    started: float
    grace_s: float


class TaskRow(Row, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A task whose terminal update is not acknowledged."""

    info: m.TaskInfo
    kind: str
    executor_id: str
    #: The executor's container; `container_id` is the task's own.
    run: str
    container_id: str | None = None
    launched: float
    group: tuple[str, ...] = ()
    kill: KillRow | None = None
    timed_out: bool = False
    unhealthy: bool = False


class UpdateRow(Row, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A status update, and whether the scheduler has acknowledged it."""

    status: m.TaskStatus
    executor_id: str | None = None
    acknowledged: bool = False


class DoneRow(Row, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An executor that is over: its history, and since when its sandbox is garbage."""

    framework: m.FrameworkInfo
    info: m.ExecutorInfo
    kind: str
    container_id: str
    directory: str
    since: float
    tasks: tuple[m.Task, ...] = ()


class DrainRow(Row, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How the agent of that id is being drained, and since when."""

    agent_id: str
    config: m.DrainConfig
    began: float


def leader_of(row: AgentRow) -> Leader:
    """Whom the agent of that row followed."""
    return Leader(row.registry_id, row.epoch, row.master_id)


_RowT = TypeVar("_RowT", bound=Row)
_encode = msgspec.msgpack.Encoder().encode


def _decoder(kind: type[_RowT]) -> Callable[[bytes], _RowT]:
    return msgspec.msgpack.Decoder(kind).decode


#: First component of a row's key -> its decoder, which raises msgspec.DecodeError for a torn row.
DECODERS: dict[str, Callable[[bytes], Row]] = {
    "agent": _decoder(AgentRow),
    "framework": _decoder(FrameworkRow),
    "executor": _decoder(ExecutorRow),
    "task": _decoder(TaskRow),
    "update": _decoder(UpdateRow),
    "done": _decoder(DoneRow),
    "drain": _decoder(DrainRow),
}


def agent(info: m.AgentInfo, leader: Leader) -> Checkpoint:
    """Write down who we are and whom we follow."""
    row = AgentRow(
        info=info,
        registry_id=leader.registry_id,
        epoch=leader.epoch,
        master_id=leader.master_id,
    )
    return Checkpoint(paths.AGENT_KEY, _encode(row))


def framework(framework: Framework) -> Checkpoint:
    """Write down a framework."""
    return Checkpoint(paths.framework_key(framework.id), _encode(FrameworkRow(info=framework.info)))


def executor(executor: Executor) -> Checkpoint:
    """Write down a default or custom executor."""
    row = ExecutorRow(
        info=executor.info,
        kind=executor.kind.value,
        container_id=executor.container_id,
        user=executor.user,
        asked_to_end=executor.asked_to_end,
    )
    key = paths.executor_key(executor.framework_id, executor.id, executor.container_id)
    return Checkpoint(key, _encode(row))


def task(executor: Executor, task: Task) -> Checkpoint:
    """Write down a task."""
    kill = None
    if task.kill is not None:
        kill = KillRow(started=task.kill.started, grace_s=task.kill.grace_s)
    row = TaskRow(
        info=task.info,
        kind=executor.kind.value,
        executor_id=executor.id,
        run=executor.container_id,
        container_id=task.container_id,
        launched=task.launched,
        group=task.group,
        kill=kill,
        timed_out=task.timed_out,
        unhealthy=task.health is not None and task.health.killed,
    )
    return Checkpoint(paths.task_key(task.framework_id, task.id), _encode(row))


def update(key: str, status: m.TaskStatus, executor_id: str | None, acked: bool) -> Checkpoint:
    """Write down an update, or that it was acknowledged."""
    row = UpdateRow(status=status, executor_id=executor_id, acknowledged=acked)
    return Checkpoint(key, _encode(row))


def done(framework: Framework, completed: CompletedExecutor, since: float) -> Checkpoint:
    """Write down an executor that is over."""
    row = DoneRow(
        framework=framework.info,
        info=completed.info,
        kind=completed.kind.value,
        container_id=completed.container_id,
        directory=completed.directory,
        since=since,
        tasks=completed.tasks,
    )
    key = paths.done_key(FrameworkId(framework.id), completed.id, completed.container_id)
    return Checkpoint(key, _encode(row))


def drain(agent_id: str, config: m.DrainConfig, began: float) -> Checkpoint:
    """Write down that everything here is to end, and how."""
    row = DrainRow(agent_id=agent_id, config=config, began=began)
    return Checkpoint(paths.DRAIN_KEY, _encode(row))
