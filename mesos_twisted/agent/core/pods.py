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
    ForgetContainer,
    PrepareSandbox,
    StartTimer,
)
from mesos_twisted.agent.core.environment import user
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import (
    Container,
    ContainerPhase,
    ExecutorKind,
    ExecutorState,
    Task,
)
from mesos_twisted.protocol.generated import messages as m

_State = m.TaskState
_Reason = m.TaskStatusReason
_AGENT = m.TaskStatusSource.SOURCE_AGENT


def pod_ready(scene: Scene) -> None:
    """The pod's own sandbox is there: its members' sandboxes are being made."""
    scene.state.containers[scene.executor.container_id].phase = ContainerPhase.RUNNING
    scene.executor.state = tasks.max_state(scene.executor.state)
    for task in list(scene.executor.live):
        prepare_member(scene, task)


def prepare_member(scene: Scene, task: Task) -> None:
    """The member's sandbox is being made, inside its executor's."""
    container = None if task.container_id is None else scene.state.containers.get(task.container_id)
    if container is None or container.phase is not ContainerPhase.PREPARING:
        return
    command = task.info.command or m.CommandInfo()
    container.asked = True
    scene.out.append(
        PrepareSandbox(
            container_id=container.id,
            framework_id=scene.framework.id,
            executor_id=scene.executor.id,
            directory=container.directory,
            user=user(scene.state.policy, scene.framework, command),
            command=command,
        )
    )
    after_s = scene.state.policy.executor_registration_timeout_s
    scene.out.append(StartTimer(("launch", container.id), after_s))


def sandbox_ready(scene: Scene, task: Task, container: Container) -> None:
    """All members' sandboxes are ready: all are launched. Until then this one waits."""
    container.phase = ContainerPhase.WAITING
    waiting: list[tuple[Task, Container]] = []
    for member in group.members(scene.executor, task):
        if member.ended or member.container_id is None:
            continue
        own = scene.state.containers[member.container_id]
        if own.phase is ContainerPhase.PREPARING:
            return
        if own.phase is ContainerPhase.WAITING:
            waiting.append((member, own))
    for member, own in waiting:
        tasks.launch(scene, member, own)


def settle(scene: Scene, status: int | None = None) -> None:
    """A built-in executor with nothing left to supervise is over."""
    if scene.executor.kind is ExecutorKind.CUSTOM or any(True for _ in scene.executor.live):
        return
    if scene.executor.containers:
        return
    if scene.executor.kind is ExecutorKind.COMMAND:
        ending.executor_over(scene, status)
        return
    pod = scene.executor.container_id
    if scene.state.containers.pop(pod, None) is not None:
        scene.out.append(CancelTimer(("launch", pod)))
        scene.out.append(DestroyContainer(pod))
        scene.out.append(ForgetContainer(pod))
    failed = any(
        task.state is not m.TaskState.TASK_FINISHED for task in scene.executor.tasks.values()
    )
    ending.executor_over(scene, 256 if failed else 0)


def shut_down(scene: Scene, grace_s: float) -> None:
    """Every task of a built-in executor is being killed, within its shutdown grace."""
    scene.executor.asked_to_end = True
    if scene.executor.state is not ExecutorState.TERMINATED:
        scene.executor.state = ExecutorState.TERMINATING
    for task in list(scene.executor.live):
        killing.kill(scene, task, None, grace_s=grace_s)
    if scene.stands:
        settle(scene)
