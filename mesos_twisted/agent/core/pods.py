"""What a built-in executor does as a whole: its sandboxes, its start, its end.

The core plays the default executor: the pod's own container has no process and holds its members'
sandboxes; the executor is over when its last task is. A command task is the group of one whose
container is its executor's. Source: default_executor.cpp.
"""

from __future__ import annotations

from mesos_twisted.agent.core import ending, group, killing, tasks
from mesos_twisted.agent.core.effects import (
    CancelTimer,
    DestroyContainer,
    Effect,
    ForgetContainer,
    PrepareSandbox,
    StartTimer,
)
from mesos_twisted.agent.core.environment import user
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


def pod_ready(
    state: AgentState, out: list[Effect], framework: Framework, executor: Executor
) -> None:
    """The pod's own sandbox is there: its members' sandboxes are being made."""
    state.containers[executor.container_id].phase = ContainerPhase.RUNNING
    executor.state = tasks.max_state(executor.state)
    for task in list(executor.live):
        prepare_member(state, out, framework, executor, task)


def prepare_member(
    state: AgentState, out: list[Effect], framework: Framework, executor: Executor, task: Task
) -> None:
    """The member's sandbox is being made, inside its executor's."""
    container = None if task.container_id is None else state.containers.get(task.container_id)
    if container is None or container.phase is not ContainerPhase.PREPARING:
        return
    command = task.info.command or m.CommandInfo()
    container.asked = True
    out.append(
        PrepareSandbox(
            container_id=container.id,
            framework_id=framework.id,
            executor_id=executor.id,
            directory=container.directory,
            user=user(state.policy, framework, command),
            command=command,
        )
    )
    after_s = state.policy.executor_registration_timeout_s
    out.append(StartTimer(("launch", container.id), after_s))


def sandbox_ready(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    task: Task,
    container: Container,
) -> None:
    """All members' sandboxes are ready: all are launched. Until then this one waits."""
    container.phase = ContainerPhase.WAITING
    waiting: list[tuple[Task, Container]] = []
    for member in group.members(executor, task):
        if member.ended or member.container_id is None:
            continue
        own = state.containers[member.container_id]
        if own.phase is ContainerPhase.PREPARING:
            return
        if own.phase is ContainerPhase.WAITING:
            waiting.append((member, own))
    for member, own in waiting:
        tasks.launch(state, out, framework, executor, member, own)


def settle(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    now: float,
    status: int | None = None,
) -> None:
    """A built-in executor with nothing left to supervise is over."""
    if executor.kind is ExecutorKind.CUSTOM or any(True for _ in executor.live):
        return
    if executor.containers:
        return
    if executor.kind is ExecutorKind.COMMAND:
        ending.executor_over(state, out, framework, executor, now, status)
        return
    pod = executor.container_id
    if state.containers.pop(pod, None) is not None:
        out.append(CancelTimer(("launch", pod)))
        out.append(DestroyContainer(pod))
        out.append(ForgetContainer(pod))
    failed = any(task.state is not m.TaskState.TASK_FINISHED for task in executor.tasks.values())
    ending.executor_over(state, out, framework, executor, now, 256 if failed else 0)


def shut_down(
    state: AgentState,
    out: list[Effect],
    framework: Framework,
    executor: Executor,
    grace_s: float,
    now: float,
) -> None:
    """Every task of a built-in executor is being killed, within its shutdown grace."""
    executor.asked_to_end = True
    if executor.state is not ExecutorState.TERMINATED:
        executor.state = ExecutorState.TERMINATING
    for task in list(executor.live):
        killing.kill(state, out, framework, executor, task, None, now, grace_s=grace_s)
    if framework.executors.get(executor.id) is executor:
        settle(state, out, framework, executor, now)
