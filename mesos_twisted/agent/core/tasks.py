"""Tasks from RunTask to their last word: launching, running, and how they end.

A command task and the tasks of a group have a container each, which the core supervises itself; a
custom executor's tasks are its own affair (`executors`). How they are killed is in `killing`, what
a pod does as a whole in `pods`.

    STAGING -> STARTING -> RUNNING -> (KILLING) -> FINISHED | FAILED | KILLED
"""

from __future__ import annotations

from mesos_twisted.agent.core import environment, group, killing, updates, watching, words
from mesos_twisted.agent.core.effects import (
    CancelTimer,
    Count,
    Effect,
    LaunchContainer,
    Log,
)
from mesos_twisted.agent.core.state import (
    AgentState,
    Container,
    ContainerPhase,
    Executor,
    ExecutorKind,
    ExecutorState,
    Framework,
    Task,
)
from mesos_twisted.protocol.generated import messages as m

_State = m.TaskState
_Reason = m.TaskStatusReason
_AGENT = m.TaskStatusSource.SOURCE_AGENT


def launch(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    container: Container,
) -> None:
    """The task's process is being started."""
    container.phase = ContainerPhase.LAUNCHING
    command = task.info.command or m.CommandInfo()
    cpus, mem, disk = environment.share(task.info, executor.kind is ExecutorKind.COMMAND)
    info = task.info.container
    out.append(
        LaunchContainer(
            container_id=container.id,
            program=environment.program(command),
            argv=environment.argv(command),
            env=environment.task_environment(state, framework, executor, task, container.directory),
            directory=container.directory,
            user=environment.user(state.policy, framework, command),
            cpus_milli=cpus,
            mem_bytes=mem,
            disk_bytes=disk,
            rlimits=None if info is None else info.rlimit_info,
            parent=container.parent,
        )
    )


def launched(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    now: float,
) -> None:
    """The task's process runs: the scheduler hears so once its whole group does."""
    executor.state = max_state(executor.state)
    members = group.members(executor, task)
    if all(group.is_up(state, member) for member in members):
        for member in members:
            announce(state, out, framework, executor, member, now)


def max_state(current: ExecutorState) -> ExecutorState:
    """RUNNING, unless it is past that."""
    return ExecutorState.RUNNING if current is ExecutorState.REGISTERING else current


def announce(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    now: float,
) -> None:
    """STARTING and RUNNING are said, checks and the completion time run; a waiting kill begins."""
    if task.state is not _State.TASK_STAGING:
        return
    updates.say(state, out, framework, executor, task, _State.TASK_STARTING, now)
    updates.say(state, out, framework, executor, task, _State.TASK_RUNNING, now)
    if task.kill is not None:
        killing.signal(state, out, framework, executor, task, now)
        return
    watching.supervise(state, out, framework, executor, task, now)


def exited(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    status: int | None,
    limitation: tuple[str, str] | None,
    now: float,
) -> bool:
    """The task's process ended: its scheduler will know how. True when it did not finish well."""
    if task.ended:
        return False
    announce_late(state, out, framework, executor, task, now)
    watching.stop_watching(out, task)
    out.append(CancelTimer(("kill", task.framework_id, task.id)))
    return _say_exit(state, out, framework, executor, task, status, limitation, now)


def announce_late(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    now: float,
) -> None:
    """A task that ended before it was announced did start and run."""
    if task.state is _State.TASK_STAGING:
        updates.say(state, out, framework, executor, task, _State.TASK_STARTING, now)
        updates.say(state, out, framework, executor, task, _State.TASK_RUNNING, now)


def _say_exit(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    status: int | None,
    limitation: tuple[str, str] | None,
    now: float,
) -> bool:
    reason = None
    source = m.TaskStatusSource.SOURCE_EXECUTOR
    message = "Failed to get exit status for Command"
    if status is not None:
        message = "Command " + words.wait_words(status)
    if limitation is not None:
        ended = _State.TASK_FAILED
        reason = limitation_reason(limitation[0])
        if executor.kind is ExecutorKind.COMMAND:
            source, message = _AGENT, limitation[1]
        else:
            message = f"{message}: {limitation[1]}"
    elif status is None:
        ended = _State.TASK_KILLED if task.kill and not task.timed_out else _State.TASK_FAILED
    elif task.timed_out:
        ended, reason = _State.TASK_FAILED, _Reason.REASON_MAX_COMPLETION_TIME_REACHED
    elif task.kill is not None:
        ended = _State.TASK_KILLED
    else:
        ended = _State.TASK_FINISHED if words.succeeded(status) else _State.TASK_FAILED
    unhealthy = task.health is not None and task.health.killed
    updates.say(
        state,
        out,
        framework,
        executor,
        task,
        ended,
        now,
        message=message,
        reason=reason,
        source=source,
        healthy=False if unhealthy else None,
    )
    return ended is not _State.TASK_FINISHED


def limitation_reason(name: str) -> m.TaskStatusReason:
    """The reason of that name; one nobody knows is a plain limitation."""
    try:
        return _Reason(name)
    except ValueError:
        return _Reason.REASON_CONTAINER_LIMITATION


def launch_failed(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    message: str,
    now: float,
    reason: m.TaskStatusReason = _Reason.REASON_CONTAINER_LAUNCH_FAILED,
) -> None:
    """The task could not be started: it failed, its group is killed, nothing of it is left."""
    if not task.ended:
        killed = task.kill is not None and not task.timed_out
        updates.say(
            state,
            out,
            framework,
            executor,
            task,
            _State.TASK_KILLED if killed else _State.TASK_FAILED,
            now,
            message=killing.KILLED_EARLY if killed else message,
            reason=_Reason.REASON_TASK_KILLED_DURING_LAUNCH if killed else reason,
            source=_AGENT,
        )
        fields = (("framework_id", framework.id), ("task_id", task.id), ("why", message))
        out.append(Log("warn", "Task {task_id} could not be launched: {why}", fields))
        out.append(Count("slave/container_launch_errors"))
    killing.kill_others(state, out, framework, executor, task, now)
