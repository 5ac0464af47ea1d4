"""What the containerizer says, brought to whom it concerns: a task, a pod, a custom executor.

A container nobody knows is destroyed when it runs, and forgotten when it is over.
"""

from __future__ import annotations

from mesos_twisted.agent.core import executors, killing, pods, tasks, words
from mesos_twisted.agent.core.effects import (
    CancelTimer,
    DestroyContainer,
    Effect,
    ForgetContainer,
    Log,
)
from mesos_twisted.agent.core.events import (
    ContainerLaunched,
    ContainerLaunchFailed,
    ContainerTerminated,
    SandboxFailed,
    SandboxReady,
)
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import (
    AgentState,
    Container,
    ContainerPhase,
    ExecutorKind,
    ExecutorState,
    Task,
)
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId

_DESTROYING = ContainerPhase.DESTROYING
_EARLY = (ContainerPhase.PREPARING, ContainerPhase.WAITING, ContainerPhase.LAUNCHING)


def _owner(
    state: AgentState, out: list[Effect], container: Container, now: float
) -> tuple[Scene, Task | None] | None:
    framework = state.frameworks.get(container.framework_id)
    executor = None if framework is None else framework.executors.get(container.executor_id)
    if framework is None or executor is None:
        return None
    task = None if container.task_id is None else executor.tasks.get(container.task_id)
    return Scene(state, out, framework, executor, now), task


def sandbox_ready(state: AgentState, out: list[Effect], event: SandboxReady) -> None:
    """The sandbox is there: what belongs into it is launched, or waits for its group."""
    container = state.containers.get(event.container_id)
    if container is None or container.phase is not ContainerPhase.PREPARING:
        return
    owner = _owner(state, out, container, event.now)
    if owner is None:
        return
    scene, task = owner
    if task is not None:
        pods.sandbox_ready(scene, task, container)
    elif scene.executor.kind is ExecutorKind.DEFAULT:
        out.append(CancelTimer(("launch", container.id)))
        pods.pod_ready(scene)
    else:
        executors.launch(scene, container)


def launched(state: AgentState, out: list[Effect], event: ContainerLaunched) -> None:
    """The process runs."""
    container = state.containers.get(event.container_id)
    if container is None:
        if event.container_id not in state.orphans:
            state.orphans.add(event.container_id)
            out.append(DestroyContainer(event.container_id))
        return
    container.pid = event.pid
    owner = _owner(state, out, container, event.now)
    if container.phase is _DESTROYING or owner is None:
        return
    container.phase = ContainerPhase.RUNNING
    scene, task = owner
    if task is not None:
        out.append(CancelTimer(("launch", container.id)))
        tasks.launched(scene, task)


def failed(
    state: AgentState, out: list[Effect], event: SandboxFailed | ContainerLaunchFailed
) -> None:
    """The sandbox or the first process could not be made: its tasks failed."""
    container = state.containers.get(event.container_id)
    if container is None:
        return
    message = f"Failed to launch container: {event.message}"
    _gone(state, out, container, None, None, event.now, message)


def terminated(state: AgentState, out: list[Effect], event: ContainerTerminated) -> None:
    """The whole tree is gone; `status` and `limitation` say how."""
    container = state.containers.get(event.container_id)
    if container is None:
        state.orphans.discard(event.container_id)
        out.append(ForgetContainer(event.container_id))
        return
    _gone(state, out, container, event.status, event.limitation, event.now, None)


def _gone(
    state: AgentState,
    out: list[Effect],
    container: Container,
    status: int | None,
    limitation: tuple[str, str] | None,
    now: float,
    launch_failure: str | None,
) -> None:
    out.append(CancelTimer(("launch", container.id)))
    owner = _owner(state, out, container, now)
    if owner is None:
        state.containers.pop(container.id, None)
        out.append(ForgetContainer(container.id))
        return
    scene, task = owner
    if container.task_id is None:
        if scene.executor.kind is ExecutorKind.DEFAULT:
            state.containers.pop(container.id, None)
            pod_gone(scene, launch_failure)
            if scene.stands:
                pods.settle(scene)
        else:
            executors.exited(scene, status, limitation, launch_failure)
        state.containers.pop(container.id, None)
        out.append(ForgetContainer(container.id))
        return
    bad = False
    if task is not None:
        if launch_failure is not None:
            tasks.launch_failed(scene, task, launch_failure)
        elif container.phase in _EARLY and status is None and limitation is None:
            # Destroyed from outside before its process started.
            message = "Container was destroyed before its process started"
            tasks.launch_failed(scene, task, message)
        else:
            bad = tasks.exited(scene, task, status, limitation)
    state.containers.pop(container.id, None)
    scene.executor.containers.discard(container.id)
    out.append(ForgetContainer(container.id))
    if bad and task is not None:
        killing.kill_others(scene, task)
    if scene.stands:
        pods.settle(scene, status)


def pod_gone(scene: Scene, message: str | None) -> None:
    """The pod's own sandbox could not be made, or it was destroyed: all of its tasks failed."""
    scene.executor.state = ExecutorState.TERMINATING
    for task in list(scene.executor.live):
        why = message or "The container of the executor is gone"
        tasks.launch_failed(scene, task, why)
        killing.destroy(scene.state, scene.out, task)


def launch_timed_out(
    state: AgentState, out: list[Effect], container_id: ContainerId, now: float
) -> None:
    """The sandbox (or an executor's subscription) took too long: the container is destroyed."""
    container = state.containers.get(container_id)
    if container is None or container.phase is _DESTROYING:
        return
    owner = _owner(state, out, container, now)
    if owner is None:
        return
    scene, task = owner
    limit = words.duration(state.policy.executor_registration_timeout_s)
    message = f"Executor did not register within {limit}"
    reason = m.TaskStatusReason.REASON_EXECUTOR_REGISTRATION_TIMEOUT
    fields = (
        ("executor_id", scene.executor.id),
        ("framework_id", scene.framework.id),
        ("limit", limit),
    )
    text = "Executor {executor_id} did not register within {limit}: destroying its container"
    out.append(Log("warn", text, fields))
    if task is None and scene.executor.kind is ExecutorKind.CUSTOM:
        executors.registration_timed_out(state, out, scene.executor, container, message)
        return
    live = [task] if task is not None else list(scene.executor.live)
    if task is None:
        scene.executor.state = ExecutorState.TERMINATING
    for late in live:
        tasks.launch_failed(scene, late, message, reason)
        killing.destroy(state, out, late)
    if scene.stands:
        pods.settle(scene)
