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
    LaunchContainer,
    Log,
)
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import (
    Container,
    ContainerPhase,
    ExecutorKind,
    ExecutorState,
    Task,
)
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId

_State = m.TaskState
_Reason = m.TaskStatusReason
_AGENT = m.TaskStatusSource.SOURCE_AGENT


def launch(scene: Scene, task: Task, container: Container) -> None:
    """The task's process is being started."""
    container.phase = ContainerPhase.LAUNCHING
    command = task.info.command or m.CommandInfo()
    cpus, mem, disk = environment.share(task.info, scene.executor.kind is ExecutorKind.COMMAND)
    info = task.info.container
    scene.out.append(
        LaunchContainer(
            container_id=container.id,
            program=environment.program(command),
            argv=environment.argv(command),
            env=environment.task_environment(
                scene.state, scene.framework, scene.executor, task, container.directory
            ),
            directory=container.directory,
            user=environment.user(scene.state.policy, scene.framework, command),
            cpus_milli=cpus,
            mem_bytes=mem,
            disk_bytes=disk,
            rlimits=None if info is None else info.rlimit_info,
            parent=container.parent,
        )
    )


def launched(scene: Scene, task: Task) -> None:
    """The task's process runs: the scheduler hears so once its whole group does."""
    scene.executor.state = max_state(scene.executor.state)
    members = group.members(scene.executor, task)
    if all(group.is_up(scene.state, member) for member in members):
        for member in members:
            announce(scene, member)


def max_state(current: ExecutorState) -> ExecutorState:
    """RUNNING, unless it is past that."""
    return ExecutorState.RUNNING if current is ExecutorState.REGISTERING else current


def announce(scene: Scene, task: Task) -> None:
    """STARTING and RUNNING are said, checks and the completion time run; a waiting kill begins."""
    if task.state is not _State.TASK_STAGING:
        return
    updates.say(scene, task, _State.TASK_STARTING)
    updates.say(scene, task, _State.TASK_RUNNING)
    if task.kill is not None:
        killing.signal(scene, task)
        return
    watching.supervise(scene, task)


def exited(
    scene: Scene, task: Task, status: int | None, limitation: tuple[str, str] | None
) -> bool:
    """The task's process ended: its scheduler will know how. True when it did not finish well."""
    if task.ended:
        return False
    announce_late(scene, task)
    watching.stop_watching(scene.out, task)
    scene.out.append(CancelTimer(("kill", task.framework_id, task.id)))
    return _say_exit(scene, task, status, limitation)


def announce_late(scene: Scene, task: Task) -> None:
    """A task that ended before it was announced did start and run."""
    if task.state is _State.TASK_STAGING:
        updates.say(scene, task, _State.TASK_STARTING)
        updates.say(scene, task, _State.TASK_RUNNING)


def _say_exit(
    scene: Scene, task: Task, status: int | None, limitation: tuple[str, str] | None
) -> bool:
    reason = None
    source = m.TaskStatusSource.SOURCE_EXECUTOR
    message = "Failed to get exit status for Command"
    if status is not None:
        message = "Command " + words.wait_words(status)
    if limitation is not None:
        ended = _State.TASK_FAILED
        reason = limitation_reason(limitation[0])
        if scene.executor.kind is ExecutorKind.COMMAND:
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
        scene,
        task,
        ended,
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
    scene: Scene,
    task: Task,
    message: str,
    reason: m.TaskStatusReason = _Reason.REASON_CONTAINER_LAUNCH_FAILED,
) -> None:
    """The task could not be started: it failed, its group is killed, nothing of it is left."""
    if not task.ended:
        killed = task.kill is not None and not task.timed_out
        updates.say(
            scene,
            task,
            _State.TASK_KILLED if killed else _State.TASK_FAILED,
            message=killing.KILLED_EARLY if killed else message,
            reason=_Reason.REASON_TASK_KILLED_DURING_LAUNCH if killed else reason,
            source=_AGENT,
        )
        fields = (("framework_id", scene.framework.id), ("task_id", task.id), ("why", message))
        scene.out.append(Log("warn", "Task {task_id} could not be launched: {why}", fields))
        scene.out.append(Count("slave/container_launch_errors"))
    killing.kill_others(scene, task)
    for member in group.members(scene.executor, task):
        container = scene.state.containers.get(member.container_id or ContainerId(""))
        if container is not None and container.phase is ContainerPhase.RUNNING:
            # Its start waits for the group's, which never comes; the kill waits for its start.
            announce(scene, member)
