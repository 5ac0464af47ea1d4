"""RunTask and RunTaskGroup: what is new becomes records, rows and a sandbox being made.

A task id that runs here is never started twice; one that has ended is free again, and what was
still owed of the old task is not: its end would be taken for the new one's. Delivery from the
master is ordered; a task for another agent, or for a framework that is being ended, is not started.
"""

from __future__ import annotations

from mesos_twisted.agent.core import (
    ending,
    environment,
    executors,
    frameworks,
    gc,
    paths,
    pods,
    rows,
    updates,
    words,
)
from mesos_twisted.agent.core.effects import Effect, Log, PrepareSandbox, SendToMaster, StartTimer
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import (
    AgentState,
    Container,
    ContainerPhase,
    Executor,
    ExecutorKind,
    ExecutorState,
    Framework,
    Phase,
    Task,
)
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId, ExecutorId, FrameworkId, TaskId

DRAINING = "Task was received while agent was already draining"


def run_task(state: AgentState, out: list[Effect], message: agentlink.RunTask, now: float) -> None:
    """The task is being launched, or its scheduler will know why not."""
    _run(state, out, message, message.task.executor, (message.task,), now)


def run_task_group(
    state: AgentState, out: list[Effect], message: agentlink.RunTaskGroup, now: float
) -> None:
    """All tasks of the group are being launched, or none."""
    _run(state, out, message, message.executor, message.task_group.tasks, now)


def _run(
    state: AgentState,
    out: list[Effect],
    message: agentlink.RunTask | agentlink.RunTaskGroup,
    executor_info: m.ExecutorInfo | None,
    infos: tuple[m.TaskInfo, ...],
    now: float,
) -> None:
    why = _why_not(state, message.framework, infos)
    if why is not None:
        ids = ", ".join(info.task_id.value for info in infos)
        out.append(
            Log("warn", "Not launching {task_ids}: {why}", (("task_ids", ids), ("why", why)))
        )
        return
    _make_way(state, out, message.framework, infos, now)
    framework = ensure_framework(state, out, message.framework)
    kind = kind_of(executor_info)
    if executor_info is None:
        executor_id = ExecutorId(infos[0].task_id.value)
    else:
        executor_id = ExecutorId(executor_info.executor_id.value)
    executor = framework.executors.get(executor_id)
    refusal = _refusal(executor, executor_id, kind, message.launch_executor)
    reason = m.TaskStatusReason.REASON_EXECUTOR_TERMINATED
    if state.drain is not None:
        refusal, reason = DRAINING, m.TaskStatusReason.REASON_AGENT_DRAINING
    if refusal is not None:
        _drop(state, out, framework, executor_id, infos, refusal, reason, now)
        if message.launch_executor:
            _take_back(state, out, framework, executor, executor_id, now)
        ending.settle_framework(state, out, framework)
        return
    fresh = executor is None
    if executor is None:
        info = executor_info or command_executor(framework, infos[0])
        executor = new_executor(state, out, framework, executor_id, kind, info)
    scene = Scene(state, out, framework, executor, now)
    grouped = isinstance(message, agentlink.RunTaskGroup)
    added = [_add(scene, info, infos, grouped) for info in infos]
    if kind is ExecutorKind.CUSTOM:
        executors.start(scene, fresh)
        return
    if fresh:
        _prepare(scene, added)
    elif state.containers[executor.container_id].phase is ContainerPhase.RUNNING:
        for task in added:
            pods.prepare_member(scene, task)


def _why_not(
    state: AgentState, framework_info: m.FrameworkInfo, infos: tuple[m.TaskInfo, ...]
) -> str | None:
    if state.phase is not Phase.RUNNING:
        return f"the agent is {state.phase.value}"
    if framework_info.id is None or not infos:
        return "the master named no framework or no task"
    framework_id = FrameworkId(framework_info.id.value)
    framework = state.frameworks.get(framework_id)
    if framework is not None and framework.terminating:
        return "the framework is being shut down"
    for info in infos:
        if info.agent_id.value != state.agent_id:
            return "the task is for another agent"
        task = state.task(framework_id, TaskId(info.task_id.value))
        if task is not None and not task.ended:
            return f"task {task.id} is here already"
    return None


def _make_way(
    state: AgentState,
    out: list[Effect],
    framework_info: m.FrameworkInfo,
    infos: tuple[m.TaskInfo, ...],
    now: float,
) -> None:
    """Nothing is owed any more of tasks that had these ids and ended."""
    assert framework_info.id is not None
    framework_id = FrameworkId(framework_info.id.value)
    for info in infos:
        task_id = TaskId(info.task_id.value)
        framework = state.frameworks.get(framework_id)
        task = None if framework is None else framework.tasks.get(task_id)
        if framework is not None and task is not None:
            executor = framework.executors[task.executor_id]
            ending.complete_task(Scene(state, out, framework, executor, now), task)
        else:
            ending.close_stream(state, out, framework_id, task_id)


def kind_of(info: m.ExecutorInfo | None) -> ExecutorKind:
    """Who supervises the tasks of an executor like this."""
    if info is None:
        return ExecutorKind.COMMAND
    if info.type is m.ExecutorInfoType.DEFAULT:
        return ExecutorKind.DEFAULT
    return ExecutorKind.CUSTOM


def _is_ending(executor: Executor) -> bool:
    return executor.state in (ExecutorState.TERMINATING, ExecutorState.TERMINATED)


def ensure_framework(state: AgentState, out: list[Effect], info: m.FrameworkInfo) -> Framework:
    """The framework is known, with this info, on disk too."""
    assert info.id is not None
    framework_id = FrameworkId(info.id.value)
    framework = state.frameworks.get(framework_id)
    if framework is None:
        framework = state.completed_frameworks.pop(framework_id, None) or Framework(
            framework_id, info
        )
        framework.terminating = False
        framework.info = info
        state.frameworks[framework_id] = framework
        out.append(rows.framework(framework))
    elif framework.info != info:
        framework.info = info
        out.append(rows.framework(framework))
    return framework


def _refusal(
    executor: Executor | None, executor_id: ExecutorId, kind: ExecutorKind, fresh: bool | None
) -> str | None:
    """Why the tasks must be dropped; `fresh` is what the master says of the executor."""
    if executor is None:
        if fresh is False:
            return "No executor is expected to launch and there is none running"
        return None
    if executor.kind is not kind:
        return f"Executor {executor_id} is in use by an executor of another type"
    if fresh:
        return "Master wants to launch executor, but one already exists"
    return f"Executor {executor.state.value}" if _is_ending(executor) else None


def _drop(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor_id: ExecutorId,
    infos: tuple[m.TaskInfo, ...],
    message: str,
    reason: m.TaskStatusReason,
    now: float,
) -> None:
    dropped = updates.dropped_state(framework)
    for info in infos:
        status = updates.foreign_status(state, info.task_id, dropped, now, message, reason)
        task_id = TaskId(info.task_id.value)
        updates.enqueue(state, out, framework.id, task_id, executor_id, status)


def _take_back(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor | None,
    executor_id: ExecutorId,
    now: float,
) -> None:
    """The master has charged a run that will not be, and hears so.

    Of an earlier run that ended it has heard already; one that still runs it does not know, so that
    one is ended, which it will hear of. A command that has the id goes on. Source: slave.cpp __run.
    """
    alien = executor is None or executor.kind is ExecutorKind.COMMAND
    if executor is not None and not alien and executor.state is not ExecutorState.TERMINATED:
        frameworks.end(Scene(state, out, framework, executor, now))
        return
    message = agentlink.ExitedExecutor(
        framework_id=framework.id, executor_id=executor_id, status=-1
    )
    out.append(SendToMaster(message))


def new_executor(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor_id: ExecutorId,
    kind: ExecutorKind,
    info: m.ExecutorInfo,
) -> Executor:
    """A live executor with a fresh run directory; its row is on disk unless it is a command's."""
    assert state.agent_id is not None
    run = ContainerId(state.ids.uuid())
    executor = Executor(
        id=executor_id,
        framework_id=framework.id,
        kind=kind,
        info=info,
        container_id=run,
        directory=paths.run_directory(state.agent_id, framework.id, executor_id, run),
        user=environment.user(state.policy, framework, info.command),
    )
    framework.executors[executor_id] = executor
    gc.unschedule(state, framework.id, executor_id)
    if kind is not ExecutorKind.COMMAND:
        out.append(rows.executor(executor))
        state.containers[run] = Container(run, framework.id, executor_id, executor.directory)
    return executor


def command_executor(framework: Framework, task: m.TaskInfo) -> m.ExecutorInfo:
    """The executor that clients see for a command task."""
    role = environment.role(task.resources)
    allocation = m.ResourceAllocationInfo(role=role)
    overhead = tuple(
        m.Resource(
            name=name,
            type=m.ValueType.SCALAR,
            scalar=m.ValueScalar(value=value),
            allocation_info=allocation,
        )
        for name, value in (
            ("cpus", environment.OVERHEAD_CPUS_MILLI / 1000),
            ("mem", float(environment.OVERHEAD_MEM_MB)),
        )
    )
    command = task.command or m.CommandInfo()
    grace = None
    if task.kill_policy is not None and task.kill_policy.grace_period is not None:
        second = 1_000_000_000
        grace = m.DurationInfo(nanoseconds=task.kill_policy.grace_period.nanoseconds + second)
    return m.ExecutorInfo(
        executor_id=m.ExecutorID(value=task.task_id.value),
        framework_id=m.FrameworkID(value=framework.id),
        command=m.CommandInfo(
            shell=False,
            value="mesos-executor",
            arguments=("mesos-executor",),
            uris=command.uris,
            environment=command.environment,
            user=command.user,
        ),
        container=task.container,
        resources=overhead,
        name=words.command_executor_name(task),
        source=task.task_id.value,
        discovery=task.discovery,
        labels=task.labels,
        shutdown_grace_period=grace,
    )


def _add(scene: Scene, info: m.TaskInfo, infos: tuple[m.TaskInfo, ...], grouped: bool) -> Task:
    task_id = TaskId(info.task_id.value)
    container_id: ContainerId | None = None
    if scene.executor.kind is ExecutorKind.COMMAND:
        container_id = scene.executor.container_id
        directory, parent = scene.executor.directory, None
    elif scene.executor.kind is ExecutorKind.DEFAULT:
        container_id = ContainerId(scene.state.ids.uuid())
        directory = paths.task_directory(scene.executor.directory, task_id)
        parent = scene.executor.container_id
    task = Task(
        info=info,
        framework_id=scene.framework.id,
        executor_id=scene.executor.id,
        container_id=container_id,
        launched=scene.now,
        queued=scene.executor.kind is ExecutorKind.CUSTOM,
        group=tuple(TaskId(item.task_id.value) for item in infos) if grouped else (),
    )
    scene.framework.tasks[task_id] = task
    scene.executor.tasks[task_id] = task
    if container_id is not None:
        scene.state.containers[container_id] = Container(
            container_id, scene.framework.id, scene.executor.id, directory, task_id, parent
        )
        scene.executor.containers.add(container_id)
    scene.out.append(rows.task(scene.executor, task))
    return task


def _prepare(scene: Scene, added: list[Task]) -> None:
    """The sandbox of a new built-in executor is being made."""
    if scene.executor.kind is ExecutorKind.COMMAND:
        pods.prepare_member(scene, added[0])
        return
    scene.out.append(
        PrepareSandbox(
            container_id=scene.executor.container_id,
            framework_id=scene.framework.id,
            executor_id=scene.executor.id,
            directory=scene.executor.directory,
            user=scene.executor.user,
            command=scene.executor.info.command or m.CommandInfo(),
            subdirectories=tuple(f"tasks/{task.id}" for task in added),
        )
    )
    after_s = scene.state.policy.executor_registration_timeout_s
    scene.out.append(StartTimer(("launch", scene.executor.container_id), after_s))
