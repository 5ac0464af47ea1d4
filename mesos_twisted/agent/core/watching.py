"""What is watched of a running task: its checks, and how long it may take."""

from __future__ import annotations

from mesos_twisted.agent.core import environment
from mesos_twisted.agent.core.effects import (
    CancelTimer,
    Effect,
    StartChecks,
    StartTimer,
    StopChecks,
)
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import (
    Health,
    Task,
)
from mesos_twisted.protocol.generated import messages as m

_State = m.TaskState
_Reason = m.TaskStatusReason
_AGENT = m.TaskStatusSource.SOURCE_AGENT


def supervise(scene: Scene, task: Task) -> None:
    """Checks and the completion timer of a running task are under way."""
    info = task.info
    limit = info.max_completion_time
    if limit is not None and limit.nanoseconds > 0:
        began = task.statuses[0].timestamp or task.launched
        left = began + limit.nanoseconds / 1e9 - scene.now
        scene.out.append(StartTimer(("completion", task.framework_id, task.id), max(0.0, left)))
    if (info.health_check is None and info.check is None) or task.container_id is None:
        return
    container = scene.state.containers[task.container_id]
    if task.health is None:
        task.health = Health(started=scene.now)
    scene.out.append(
        StartChecks(
            framework_id=scene.framework.id,
            task_id=task.id,
            container_id=container.id,
            health_check=info.health_check,
            check=info.check,
            env=environment.task_environment(
                scene.state, scene.framework, scene.executor, task, container.directory
            ),
            directory=container.directory,
            user=environment.user(scene.state.policy, scene.framework, info.command),
        )
    )


def stop_watching(out: list[Effect], task: Task) -> None:
    """No check or completion timer of the task is under way."""
    info = task.info
    if task.container_id is not None and task.health is not None:
        out.append(StopChecks(task.container_id))
    if info.max_completion_time is not None:
        out.append(CancelTimer(("completion", task.framework_id, task.id)))
