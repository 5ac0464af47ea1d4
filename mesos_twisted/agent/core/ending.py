"""How things end and leave the tables: tasks, executors, frameworks, and the agent itself.

A task leaves when its terminal update is acknowledged, an executor when nothing of it runs and its
last task has left, a framework with its last executor. What leaves becomes bounded history and
garbage; its rows go in an order that a crash between any two of them cannot harm.
"""

from __future__ import annotations

from mesos_twisted.agent.core import gc, paths, rows
from mesos_twisted.agent.core.effects import (
    CancelTimer,
    Count,
    Effect,
    Forget,
    Log,
    SendToMaster,
    StopAgent,
)
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import (
    AgentState,
    CompletedExecutor,
    Executor,
    ExecutorKind,
    ExecutorState,
    Framework,
    Phase,
    Task,
)
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId, TaskId


def forget(key: str) -> Effect:
    """The row (or every row below a trailing slash) is no more."""
    return Forget(key)


def cancel_retry(framework_id: FrameworkId, task_id: TaskId) -> Effect:
    """Nothing of the task waits for an acknowledgement."""
    return CancelTimer(("update", framework_id, task_id))


def to_task(state: AgentState, executor: Executor, task: Task) -> m.Task:
    """The task as clients and the master see it."""
    info = task.info
    stream = state.streams.get((task.framework_id, task.id))
    told = task.statuses[-1] if task.statuses else None
    if stream is not None and stream.pending:
        told = stream.pending[0]
    command = info.command or (None if info.executor is None else info.executor.command)
    command_task = executor.kind is ExecutorKind.COMMAND
    return m.Task(
        name=info.name,
        task_id=info.task_id,
        framework_id=m.FrameworkID(value=task.framework_id),
        executor_id=None if command_task else executor.info.executor_id,
        agent_id=info.agent_id,
        state=task.state,
        resources=info.resources,
        statuses=tuple(task.statuses),
        status_update_state=None if told is None else told.state,
        status_update_uuid=None if told is None else told.uuid,
        labels=info.labels,
        discovery=info.discovery,
        container=info.container,
        health_check=info.health_check,
        kill_policy=info.kill_policy,
        user=None if command is None else command.user,
        limits=info.limits,
    )


def complete_task(scene: Scene, task: Task) -> None:
    """The ended task is history; so is its executor when that was the last of it."""
    scene.executor.completed_tasks.append(to_task(scene.state, scene.executor, task))
    while len(scene.executor.completed_tasks) > scene.state.policy.max_completed_tasks_per_executor:
        scene.executor.completed_tasks.popleft()
    scene.executor.tasks.pop(task.id, None)
    scene.framework.tasks.pop(task.id, None)
    settle_executor(scene)
    scene.out.append(Forget(paths.task_key(scene.framework.id, task.id)))
    if (scene.framework.id, task.id) in scene.state.streams:
        close_stream(scene.state, scene.out, scene.framework.id, task.id)
    elif scene.framework.terminating:
        scene.out.append(Forget(paths.updates_key(scene.framework.id, task.id)))


def close_stream(
    state: AgentState, out: list[Effect], framework_id: FrameworkId, task_id: TaskId
) -> None:
    """No update of the task is owed any more."""
    if state.streams.pop((framework_id, task_id), None) is not None:
        out.append(Forget(paths.updates_key(framework_id, task_id)))
        out.append(cancel_retry(framework_id, task_id))


def mute_stream(
    state: AgentState, out: list[Effect], framework_id: FrameworkId, task_id: TaskId
) -> None:
    """No update is owed, but what was said stays written until the task has ended: an agent that
    starts again before that must not say it anew."""
    if state.task(framework_id, task_id) is None:
        close_stream(state, out, framework_id, task_id)
    elif state.streams.pop((framework_id, task_id), None) is not None:
        out.append(cancel_retry(framework_id, task_id))


def executor_over(scene: Scene, status: int | None = None) -> None:
    """Nothing of the executor runs any more; the master hears of it unless it was a command's."""
    if scene.executor.state is ExecutorState.TERMINATED:
        return
    scene.executor.state = ExecutorState.TERMINATED
    scene.executor.exit_status = status
    scene.out.append(Count("slave/executors_terminated"))
    if scene.executor.kind is ExecutorKind.CUSTOM:
        for name in ("shutdown", "reregistration"):
            scene.out.append(
                CancelTimer(
                    (name, scene.framework.id, scene.executor.id, scene.executor.container_id)
                )
            )
    if scene.executor.kind is not ExecutorKind.COMMAND:
        message = agentlink.ExitedExecutor(
            framework_id=scene.framework.id,
            executor_id=scene.executor.id,
            status=-1 if status is None else status,
        )
        scene.out.append(SendToMaster(message))
    settle_executor(scene)


def settle_executor(scene: Scene) -> None:
    """An executor that is over and owes nothing is history, and its sandbox garbage."""
    if scene.executor.state is not ExecutorState.TERMINATED or scene.executor.tasks:
        return
    if not scene.stands:
        return
    del scene.framework.executors[scene.executor.id]
    completed = CompletedExecutor(
        id=scene.executor.id,
        container_id=scene.executor.container_id,
        info=scene.executor.info,
        kind=scene.executor.kind,
        directory=scene.executor.directory,
        tasks=tuple(scene.executor.completed_tasks),
    )
    remember(scene.state, scene.framework, completed)
    scene.out.append(rows.done(scene.framework, completed, scene.now))
    gc.schedule(scene.state, scene.framework.id, completed, scene.now)
    if scene.executor.kind is not ExecutorKind.COMMAND:
        scene.out.append(
            Forget(
                paths.executor_key(
                    scene.framework.id, scene.executor.id, scene.executor.container_id
                )
            )
        )
    settle_framework(scene.state, scene.out, scene.framework)


def remember(state: AgentState, framework: Framework, completed: CompletedExecutor) -> None:
    """The executor is in the framework's bounded history."""
    framework.completed.append(completed)
    while len(framework.completed) > state.policy.max_completed_executors_per_framework:
        framework.completed.popleft()


def settle_framework(state: AgentState, out: list[Effect], framework: Framework) -> None:
    """A framework with nothing left here is history."""
    if framework.executors or state.frameworks.get(framework.id) is not framework:
        return
    del state.frameworks[framework.id]
    if framework.terminating:
        for key in [key for key in state.streams if key[0] == framework.id]:
            close_stream(state, out, *key)
    keep_framework(state, framework)
    out.append(Forget(paths.framework_key(framework.id)))


def keep_framework(state: AgentState, framework: Framework) -> None:
    """The framework is in the agent's bounded history."""
    state.completed_frameworks.pop(framework.id, None)
    state.completed_frameworks[framework.id] = framework
    while len(state.completed_frameworks) > state.policy.max_completed_frameworks:
        del state.completed_frameworks[next(iter(state.completed_frameworks))]


def settle_agent(state: AgentState, out: list[Effect]) -> None:
    """An agent that was told to end does, once nothing runs on it."""
    if state.phase is not Phase.TERMINATING or state.stopped:
        return
    if state.frameworks or state.orphans:
        return
    state.stopped = True
    if state.unregister:
        # It left by the operator's will: the next start is a new agent, to which nothing of this
        # one means anything. Its sandboxes are found by their directory.
        out.append(Forget(paths.AGENT_KEY))
        out += [Forget(prefix) for prefix in paths.PREFIXES]
        if state.link is not None:
            out.append(SendToMaster(agentlink.Unregister()))
    out.append(Log("info", "Every task has ended: {why}", (("why", state.farewell),)))
    out.append(StopAgent(0 if state.unregister else 1, state.farewell))
