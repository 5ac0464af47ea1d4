"""Tasks from RunTask to their last word: who runs them, launching, killing, and how they end.

A command task and the tasks of a group have a container each, which the core supervises itself; a
custom executor's tasks are its own affair (`executors`). What groups do together is in `group`.

    STAGING -> STARTING -> RUNNING -> (KILLING) -> FINISHED | FAILED | KILLED
"""

from __future__ import annotations

from mesos_twisted.agent.core import environment, group, rows, updates, words
from mesos_twisted.agent.core.effects import (
    CancelTimer,
    Count,
    DestroyContainer,
    Effect,
    LaunchContainer,
    Log,
    SignalContainer,
    StartChecks,
    StartTimer,
    StopChecks,
)
from mesos_twisted.agent.core.state import (
    AgentState,
    Container,
    ContainerPhase,
    Executor,
    ExecutorKind,
    ExecutorState,
    Framework,
    Health,
    Kill,
    Task,
)
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId, TaskId

KILLED_EARLY = "Killed before delivery to the executor"
GROUP_KILLED_EARLY = "A task within the task group was killed before delivery to the executor"

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
    say(state, out, framework, executor, task, _State.TASK_STARTING, now)
    say(state, out, framework, executor, task, _State.TASK_RUNNING, now)
    if task.kill is not None:
        signal(state, out, framework, executor, task, now)
        return
    supervise(state, out, framework, executor, task, now)


def supervise(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    now: float,
) -> None:
    """Checks and the completion timer of a running task are under way."""
    info = task.info
    limit = info.max_completion_time
    if limit is not None and limit.nanoseconds > 0:
        began = task.statuses[0].timestamp or task.launched
        left = began + limit.nanoseconds / 1e9 - now
        out.append(StartTimer(("completion", task.framework_id, task.id), max(0.0, left)))
    if (info.health_check is None and info.check is None) or task.container_id is None:
        return
    container = state.containers[task.container_id]
    if task.health is None:
        task.health = Health(started=now)
    out.append(
        StartChecks(
            framework_id=framework.id,
            task_id=task.id,
            container_id=container.id,
            health_check=info.health_check,
            check=info.check,
            env=environment.task_environment(state, framework, executor, task, container.directory),
            directory=container.directory,
            user=environment.user(state.policy, framework, info.command),
        )
    )


def say(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    task_state: m.TaskState,
    now: float,
    *,
    message: str | None = None,
    reason: m.TaskStatusReason | None = None,
    source: m.TaskStatusSource = m.TaskStatusSource.SOURCE_EXECUTOR,
    healthy: bool | None = None,
) -> None:
    """The task is in this state and its scheduler will know."""
    status = updates.status_of(
        state,
        task,
        task_state,
        now,
        message=message,
        reason=reason,
        source=source,
        healthy=healthy,
    )
    updates.report(state, out, framework, executor, task, status)


def kill(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    policy: m.KillPolicy | None,
    now: float,
    grace_s: float | None = None,
) -> None:
    """The task (with a container of its own) ends: by SIGTERM, after its grace by force.

    Not launched yet: it never will be, nor will its group. `grace_s` overrides every policy.
    """
    if task.ended:
        return
    if _unlaunched(state, task):
        kill_unlaunched(state, out, framework, executor, task, now)
        return
    if grace_s is None:
        grace_s = _grace_s(state, task, policy)
    if task.kill is None:
        task.kill = Kill(started=now, grace_s=grace_s)
        if task.state is _State.TASK_STAGING:
            out.append(rows.task(executor, task))
            return
        signal(state, out, framework, executor, task, now)
    elif grace_s < task.kill.grace_s and not task.kill.escalated:
        # A later kill may only shorten what is left.
        task.kill.grace_s = grace_s
        out.append(rows.task(executor, task))
        if task.state is not _State.TASK_STAGING:
            left = max(0.0, task.kill.started + grace_s - now)
            out.append(StartTimer(("kill", task.framework_id, task.id), left))


def _unlaunched(state: AgentState, task: Task) -> bool:
    container = None if task.container_id is None else state.containers.get(task.container_id)
    early = (ContainerPhase.PREPARING, ContainerPhase.WAITING)
    return container is None or container.phase in early


def _grace_s(state: AgentState, task: Task, override: m.KillPolicy | None) -> float:
    for policy in (override, task.info.kill_policy):
        if policy is not None and policy.grace_period is not None:
            return policy.grace_period.nanoseconds / 1e9
    return state.policy.default_kill_grace_s


def kill_unlaunched(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    now: float,
) -> None:
    """The task and the rest of its group are killed: what never ran without a trace."""
    members = [member for member in group.members(executor, task) if not member.ended]
    message = GROUP_KILLED_EARLY if task.group else KILLED_EARLY
    for member in members:
        if executor.kind is not ExecutorKind.CUSTOM and not _unlaunched(state, member):
            if member.kill is None:
                kill(state, out, framework, executor, member, None, now)
            continue
        say(
            state,
            out,
            framework,
            executor,
            member,
            _State.TASK_KILLED,
            now,
            message=message,
            reason=_Reason.REASON_TASK_KILLED_DURING_LAUNCH,
            source=_AGENT,
        )
        destroy(state, out, member)


def destroy(state: AgentState, out: list[Effect], task: Task) -> None:
    """The task's container is being torn down, whatever its phase."""
    if task.container_id is None:
        return
    container = state.containers.get(task.container_id)
    if container is None:
        return
    if not container.asked:
        del state.containers[container.id]
        executor = state.executor(task.framework_id, task.executor_id)
        if executor is not None:
            executor.containers.discard(container.id)
    elif container.phase is not ContainerPhase.DESTROYING:
        container.phase = ContainerPhase.DESTROYING
        out.append(CancelTimer(("launch", container.id)))
        out.append(DestroyContainer(container.id))


def signal(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    now: float,
) -> None:
    """Begin the kill in `task.kill` of a running task."""
    begun = task.kill
    assert begun is not None and task.container_id is not None
    out.append(rows.task(executor, task))
    wants_killing = framework.capable(m.FrameworkInfoCapabilityType.TASK_KILLING_STATE)
    told = task.state is _State.TASK_KILLING
    if wants_killing and not told and not task.timed_out:
        say(state, out, framework, executor, task, _State.TASK_KILLING, now)
    stop_watching(out, task)
    out.append(SignalContainer(task.container_id, words.SIGTERM, "group"))
    left = max(0.0, begun.started + begun.grace_s - now)
    out.append(StartTimer(("kill", task.framework_id, task.id), left))


def stop_watching(out: list[Effect], task: Task) -> None:
    """No check or completion timer of the task is under way."""
    info = task.info
    if task.container_id is not None and task.health is not None:
        out.append(StopChecks(task.container_id))
    if info.max_completion_time is not None:
        out.append(CancelTimer(("completion", task.framework_id, task.id)))


def escalate(
    state: AgentState, out: list[Effect], framework_id: FrameworkId, task_id: TaskId
) -> None:
    """The grace is over: the whole tree is killed by force."""
    task = state.task(framework_id, task_id)
    if task is None or task.ended or task.kill is None:
        return
    task.kill.escalated = True
    destroy(state, out, task)


def completion_timed_out(
    state: AgentState, out: list[Effect], framework_id: FrameworkId, task_id: TaskId, now: float
) -> None:
    """max_completion_time is over: the task is killed without grace, and it failed."""
    task = state.task(framework_id, task_id)
    if task is None or task.ended or task.kill is not None:
        return
    framework = state.frameworks[framework_id]
    executor = framework.executors[task.executor_id]
    task.timed_out = True
    kill(state, out, framework, executor, task, None, now, grace_s=0.0)


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
    stop_watching(out, task)
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
        say(state, out, framework, executor, task, _State.TASK_STARTING, now)
        say(state, out, framework, executor, task, _State.TASK_RUNNING, now)


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
    say(
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
        say(
            state,
            out,
            framework,
            executor,
            task,
            _State.TASK_KILLED if killed else _State.TASK_FAILED,
            now,
            message=KILLED_EARLY if killed else message,
            reason=_Reason.REASON_TASK_KILLED_DURING_LAUNCH if killed else reason,
            source=_AGENT,
        )
        fields = (("framework_id", framework.id), ("task_id", task.id), ("why", message))
        out.append(Log("warn", "Task {task_id} could not be launched: {why}", fields))
        out.append(Count("slave/container_launch_errors"))
    group.member_failed(state, out, framework, executor, task, now)
