"""From the checkpoint's rows back to the tables as they were, without containers.

A row that cannot be read is left out and told; a missing framework or executor row loses a name,
never a task, and of a missing task row what was said of the task is still delivered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from mesos_twisted.agent.core import ending, environment, gc, paths, rows, run, updates
from mesos_twisted.agent.core.effects import Effect, Forget, Log
from mesos_twisted.agent.core.state import (
    AgentState,
    CompletedExecutor,
    Executor,
    ExecutorKind,
    ExecutorState,
    Framework,
    Health,
    Kill,
    Task,
    UpdateStream,
)
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId, ExecutorId, FrameworkId, TaskId
from mesos_twisted.protocol.states import TERMINAL

_TaskKey = tuple[FrameworkId, TaskId]


@dataclass(slots=True)
class Read:
    """The rows, sorted by what they are; `errors` are the keys left out, and why."""

    agent: rows.AgentRow | None = None
    drain: rows.DrainRow | None = None
    frameworks: dict[FrameworkId, rows.FrameworkRow] = field(default_factory=dict)
    executors: dict[tuple[FrameworkId, ExecutorId, ContainerId], rows.ExecutorRow] = field(
        default_factory=dict
    )
    tasks: dict[_TaskKey, rows.TaskRow] = field(default_factory=dict)
    updates: dict[_TaskKey, list[tuple[int, rows.UpdateRow]]] = field(default_factory=dict)
    #: Since when, and the row: thousands of them would fill the memory if all were decoded at once.
    done: dict[tuple[FrameworkId, ExecutorId, ContainerId], tuple[float, bytes]] = field(
        default_factory=dict
    )
    errors: list[tuple[str, str]] = field(default_factory=list)


def read_rows(records: Mapping[str, bytes], out: list[Effect]) -> Read:
    """The rows by kind; those of kinds that another version knows are logged and left alone."""
    read = Read()
    for key in sorted(records):
        kind, *parts = (paths.unescape(part) for part in key.split("/"))
        decode = rows.DECODERS.get(kind)
        if decode is None:
            if key != paths.BOOT_KEY and not key.startswith(paths.UNREADABLE):
                out.append(Log("warn", "Row {key} is of no kind known here", (("key", key),)))
            continue
        try:
            _file(read, parts, decode(records[key]), records[key])
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            read.errors.append((key, str(error)))
    return read


def _file(read: Read, parts: list[str], row: rows.Row, value: bytes) -> None:
    """Put a row where it belongs; ValueError when its key does not fit."""
    match row, parts:
        case rows.AgentRow(), [_]:
            if row.info.id is None:
                raise ValueError("it has no id")
            read.agent = row
        case rows.DrainRow(), [_]:
            read.drain = row
        case rows.FrameworkRow(), [framework_id]:
            read.frameworks[FrameworkId(framework_id)] = row
        case rows.ExecutorRow(), [framework_id, executor_id, container_id]:
            ExecutorKind(row.kind)
            ids = (FrameworkId(framework_id), ExecutorId(executor_id), ContainerId(container_id))
            read.executors[ids] = row
        case rows.TaskRow(), [framework_id, task_id]:
            ExecutorKind(row.kind)
            read.tasks[FrameworkId(framework_id), TaskId(task_id)] = row
        case rows.UpdateRow(), [framework_id, task_id, number]:
            key = (FrameworkId(framework_id), TaskId(task_id))
            read.updates.setdefault(key, []).append((int(number), row))
        case rows.DoneRow(), [framework_id, executor_id, container_id]:
            ExecutorKind(row.kind)
            ids = (FrameworkId(framework_id), ExecutorId(executor_id), ContainerId(container_id))
            read.done[ids] = (row.since, value)
        case _:
            raise ValueError("its key does not fit its kind")


def restore(state: AgentState, out: list[Effect], read: Read) -> None:
    """The tables are as they were, without containers."""
    if read.agent is not None:
        state.leader = rows.leader_of(read.agent)
    if read.drain is not None and read.drain.agent_id == state.agent_id:
        state.drain, state.drain_began = read.drain.config, read.drain.began
    for framework_id, framework_row in read.frameworks.items():
        state.frameworks[framework_id] = Framework(framework_id, framework_row.info)
    for key, executor_row in read.executors.items():
        if key in read.done:
            out.append(Forget(paths.executor_key(*key)))
        else:
            kind = ExecutorKind(executor_row.kind)
            executor = _executor(state, out, *key, kind, executor_row.info)
            executor.asked_to_end = executor_row.asked_to_end
    for task_key, task_row in read.tasks.items():
        _restore_task(state, out, read, *task_key, task_row)
    for task_key, update_rows in read.updates.items():
        _restore_stream(state, out, *task_key, update_rows)
    for ids, (_, value) in sorted(read.done.items(), key=lambda item: item[1][0]):
        done_row = rows.DECODERS["done"](value)
        assert isinstance(done_row, rows.DoneRow)
        _restore_done(state, *ids, done_row)


def _executor(
    state: AgentState,
    out: list[Effect],
    framework_id: FrameworkId,
    executor_id: ExecutorId,
    run_id: ContainerId,
    kind: ExecutorKind,
    info: m.ExecutorInfo,
) -> Executor:
    framework = state.frameworks.get(framework_id)
    if framework is None:
        text = "The row of framework {framework_id} is gone: its tasks are kept without its name"
        out.append(Log("warn", text, (("framework_id", framework_id),)))
        named = m.FrameworkInfo(user="", name="", id=m.FrameworkID(value=framework_id))
        framework = state.frameworks[framework_id] = Framework(framework_id, named)
        out.append(rows.framework(framework))
    assert state.agent_id is not None
    executor = Executor(
        id=executor_id,
        framework_id=framework_id,
        kind=kind,
        info=info,
        container_id=run_id,
        directory=paths.run_directory(state.agent_id, framework_id, executor_id, run_id),
        user=environment.user(state.policy, framework, info.command),
        state=ExecutorState.RUNNING,
        ever_sent=True,
    )
    framework.executors[executor_id] = executor
    return executor


def _restore_task(
    state: AgentState,
    out: list[Effect],
    read: Read,
    framework_id: FrameworkId,
    task_id: TaskId,
    row: rows.TaskRow,
) -> None:
    executor_id, run_id = ExecutorId(row.executor_id), ContainerId(row.run)
    said = read.updates.get((framework_id, task_id), [])
    over = bool(said) and said[-1][1].acknowledged and said[-1][1].status.state in TERMINAL
    framework = state.frameworks.get(framework_id)
    executor = None if framework is None else framework.executors.get(executor_id)
    same_run = executor is not None and executor.container_id == run_id
    kind = ExecutorKind(row.kind)
    if over and ((framework_id, executor_id, run_id) in read.done or not same_run):
        if kind is not ExecutorKind.COMMAND or (framework_id, executor_id, run_id) in read.done:
            # Only its last rows were left to forget.
            out.append(Forget(paths.task_key(framework_id, task_id)))
            out.append(Forget(paths.updates_key(framework_id, task_id)))
            read.updates.pop((framework_id, task_id), None)
            return
    if executor is None or not same_run:
        info = row.info.executor or m.ExecutorInfo(executor_id=m.ExecutorID(value=executor_id))
        if kind is ExecutorKind.COMMAND:
            named = Framework(framework_id, m.FrameworkInfo(user="", name=""))
            info = run.command_executor(named, row.info)
        executor = _executor(state, out, framework_id, executor_id, run_id, kind, info)
    task = Task(
        info=row.info,
        framework_id=framework_id,
        executor_id=executor_id,
        container_id=None if row.container_id is None else ContainerId(row.container_id),
        launched=row.launched,
        group=tuple(TaskId(item) for item in row.group),
        kill=None if row.kill is None else Kill(row.kill.started, row.kill.grace_s),
        timed_out=row.timed_out,
        health=Health(0.0, killed=True) if row.unhealthy else None,
    )
    state.frameworks[framework_id].tasks[task_id] = task
    executor.tasks[task_id] = task


def _restore_stream(
    state: AgentState,
    out: list[Effect],
    framework_id: FrameworkId,
    task_id: TaskId,
    numbered: list[tuple[int, rows.UpdateRow]],
) -> None:
    numbered.sort(key=lambda item: item[0])
    executor_id = numbered[-1][1].executor_id
    stream = UpdateStream(
        framework_id, task_id, None if executor_id is None else ExecutorId(executor_id)
    )
    task = state.task(framework_id, task_id)
    executor = None if task is None else state.executor(framework_id, task.executor_id)
    for number, row in numbered:
        if task is not None:
            updates.show(task, row.status)
        if executor is not None and executor.kind is ExecutorKind.CUSTOM and row.status.uuid:
            stream.seen.add(row.status.uuid)
        if row.acknowledged:
            stream.acknowledged = number + 1
            stream.acknowledged_state = row.status.state
        else:
            if not stream.pending:
                stream.acknowledged = number
            stream.pending.append(row.status)
    if task is None and not stream.pending:
        out.append(Forget(paths.updates_key(framework_id, task_id)))
        return
    state.streams[framework_id, task_id] = stream


def _restore_done(
    state: AgentState,
    framework_id: FrameworkId,
    executor_id: ExecutorId,
    container_id: ContainerId,
    row: rows.DoneRow,
) -> None:
    completed = CompletedExecutor(
        id=executor_id,
        container_id=container_id,
        info=row.info,
        kind=ExecutorKind(row.kind),
        directory=row.directory,
        tasks=row.tasks,
    )
    framework = state.frameworks.get(framework_id)
    if framework is None:
        framework = state.completed_frameworks.get(framework_id)
        framework = framework or Framework(framework_id, row.framework)
        ending.keep_framework(state, framework)
    ending.remember(state, framework, completed)
    gc.schedule(state, framework_id, completed, row.since)
