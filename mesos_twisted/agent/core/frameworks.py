"""What the master says of whole frameworks and executors, and the end of the agent itself."""

from __future__ import annotations

from mesos_twisted.agent.core import ending, environment, executors, killing, pods, rows, updates
from mesos_twisted.agent.core.effects import Effect, Log
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import (
    AgentState,
    ExecutorKind,
    Framework,
    Phase,
    Task,
)
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ExecutorId, FrameworkId, TaskId


def kill_task(
    state: AgentState, out: list[Effect], message: agentlink.KillTask, now: float
) -> None:
    """The task is ending; of one that is not here the scheduler is told, if the agent knows it."""
    framework_id, task_id = FrameworkId(message.framework_id), TaskId(message.task_id)
    framework = state.frameworks.get(framework_id)
    task = None if framework is None else framework.tasks.get(task_id)
    if framework is None or task is None or framework.terminating:
        fields = (("framework_id", framework_id), ("task_id", task_id))
        out.append(Log("warn", "Cannot kill task {task_id}: it is not here", fields))
        mute = framework is None or framework.terminating or task is not None
        if not mute and (framework_id, task_id) not in state.streams:
            _report_missing(state, out, framework, task_id, now)
        return
    executor = framework.executors[task.executor_id]
    kill(Scene(state, out, framework, executor, now), task, message.kill_policy)


def kill(scene: Scene, task: Task, policy: m.KillPolicy | None) -> None:
    """The task is ending, by the policy or by its own."""
    if scene.executor.kind is ExecutorKind.CUSTOM:
        executors.kill(scene, task, policy)
        return
    killing.kill(scene, task, policy)
    if scene.stands:
        pods.settle(scene)


def _report_missing(
    state: AgentState, out: list[Effect], framework: Framework | None, task_id: TaskId, now: float
) -> None:
    """A task that never came here was dropped. Source: slave.cpp killTask."""
    assert framework is not None
    status = updates.foreign_status(
        state,
        m.TaskID(value=task_id),
        updates.dropped_state(framework),
        now,
        "Cannot find executor",
        m.TaskStatusReason.REASON_EXECUTOR_TERMINATED,
    )
    updates.enqueue(state, out, framework.id, task_id, None, status)


def shut_down_executor(
    state: AgentState, out: list[Effect], message: agentlink.ShutdownExecutor, now: float
) -> None:
    """The executor is ending."""
    framework = state.frameworks.get(FrameworkId(message.framework_id))
    executor = None
    if framework is not None:
        executor = framework.executors.get(ExecutorId(message.executor_id))
    if framework is not None and executor is not None:
        end(Scene(state, out, framework, executor, now))


def end(scene: Scene) -> None:
    """The executor is ending, with its grace."""
    if scene.executor.kind is ExecutorKind.CUSTOM:
        executors.shut_down(scene)
        return
    grace_s = environment.shutdown_grace_s(scene.state.policy, scene.executor)
    pods.shut_down(scene, grace_s)


def shut_down(state: AgentState, out: list[Effect], framework_id: FrameworkId, now: float) -> None:
    """Everything of the framework is ending; its updates are owed to nobody any more."""
    framework = state.frameworks.get(framework_id)
    for key in [key for key in state.streams if key[0] == framework_id]:
        ending.mute_stream(state, out, *key)
    if framework is None or framework.terminating:
        return
    framework.terminating = True
    fields = (("framework_id", framework_id),)
    out.append(Log("info", "Shutting down framework {framework_id}", fields))
    for task in list(framework.tasks.values()):
        executor = framework.executors[task.executor_id]
        if task.ended:
            ending.complete_task(Scene(state, out, framework, executor, now), task)
    for executor in list(framework.executors.values()):
        end(Scene(state, out, framework, executor, now))
    ending.settle_framework(state, out, framework)


def update(state: AgentState, out: list[Effect], message: agentlink.UpdateFramework) -> None:
    """The framework has this info; a new scheduler behind it gets every owed update again."""
    info = message.framework
    if info.id is None:
        return
    framework = state.frameworks.get(FrameworkId(info.id.value))
    if framework is not None and framework.info != info:
        framework.info = info
        out.append(rows.framework(framework))
    if message.resend:
        updates.resend_all(state, out, FrameworkId(info.id.value))


def shut_down_agent(
    state: AgentState, out: list[Effect], why: str, now: float, unregister: bool
) -> None:
    """Every task is ending, and after the last the agent too."""
    if state.phase is Phase.TERMINATING:
        return
    state.phase = Phase.TERMINATING
    state.farewell = why
    state.unregister = unregister
    out.append(Log("warn", "Shutting down: {why}", (("why", why),)))
    for framework_id in list(state.frameworks):
        shut_down(state, out, framework_id, now)
