"""Status updates: how one is made, and the ordered, checkpointed stream that carries them.

Per task only the oldest unacknowledged update is with the master; it is sent again after 10 s,
doubling to 10 minutes, and at once after a registration. Every update is on disk before anyone
hears of it, and nothing is forgotten before its acknowledgement is on disk.
"""

from __future__ import annotations

import msgspec

from mesos_twisted.agent.core import ending, paths, rows
from mesos_twisted.agent.core.effects import Count, Effect, Log, SendToMaster, StartTimer
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import (
    AgentState,
    ExecutorKind,
    Framework,
    Phase,
    Task,
    UpdateStream,
)
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ExecutorId, FrameworkId, TaskId
from mesos_twisted.protocol.states import TERMINAL

RETRY_MIN_S = 10.0
RETRY_MAX_S = 600.0

_NO_CHECK = {
    m.CheckInfoType.COMMAND: m.CheckStatusInfo(
        type=m.CheckInfoType.COMMAND, command=m.CheckStatusInfoCommand()
    ),
    m.CheckInfoType.HTTP: m.CheckStatusInfo(
        type=m.CheckInfoType.HTTP, http=m.CheckStatusInfoHttp()
    ),
    m.CheckInfoType.TCP: m.CheckStatusInfo(type=m.CheckInfoType.TCP, tcp=m.CheckStatusInfoTcp()),
}


def status_of(
    state: AgentState,
    task: Task,
    task_state: m.TaskState,
    now: float,
    *,
    message: str | None = None,
    reason: m.TaskStatusReason | None = None,
    source: m.TaskStatusSource = m.TaskStatusSource.SOURCE_EXECUTOR,
    healthy: bool | None = None,
) -> m.TaskStatus:
    """A new update of a task of ours, with a fresh uuid; a checked task shows an empty outcome."""
    check = task.info.check
    check_status = None
    if check is not None and source is m.TaskStatusSource.SOURCE_EXECUTOR:
        check_status = _NO_CHECK.get(check.type) if check.type is not None else None
    return m.TaskStatus(
        task_id=task.info.task_id,
        state=task_state,
        message=message,
        source=source,
        reason=reason,
        agent_id=state.info.id,
        executor_id=m.ExecutorID(value=task.executor_id),
        timestamp=now,
        uuid=state.ids.uuid_bytes(),
        healthy=healthy,
        check_status=check_status,
        container_status=container_status(state, task),
    )


def foreign_status(
    state: AgentState,
    task_id: m.TaskID,
    task_state: m.TaskState,
    now: float,
    message: str,
    reason: m.TaskStatusReason,
) -> m.TaskStatus:
    """A new update of the agent's own about a task it does not have."""
    return m.TaskStatus(
        task_id=task_id,
        state=task_state,
        message=message,
        source=m.TaskStatusSource.SOURCE_AGENT,
        reason=reason,
        agent_id=state.info.id,
        timestamp=now,
        uuid=state.ids.uuid_bytes(),
    )


def dropped_state(framework: Framework | None) -> m.TaskState:
    """TASK_DROPPED, or TASK_LOST to a framework that is not partition-aware."""
    aware = m.FrameworkInfoCapabilityType.PARTITION_AWARE
    if framework is None or framework.capable(aware):
        return m.TaskState.TASK_DROPPED
    return m.TaskState.TASK_LOST


def container_status(state: AgentState, task: Task) -> m.ContainerStatus | None:
    """Where the task runs, as clients see it; None before there is a process."""
    executor = state.executor(task.framework_id, task.executor_id)
    if executor is None:
        return None
    own = task.container_id or executor.container_id
    container = state.containers.get(own)
    if container is None or container.pid is None:
        return None
    parent = None if container.parent is None else m.ContainerID(value=container.parent)
    return m.ContainerStatus(
        container_id=m.ContainerID(value=own, parent=parent),
        network_infos=(
            m.NetworkInfo(ip_addresses=(m.NetworkInfoIPAddress(ip_address=state.policy.ip),)),
        ),
        executor_pid=container.pid,
    )


def report(scene: Scene, task: Task, status: m.TaskStatus) -> bool:
    """The task is in the status's state, and the status on its way. False: it had ended before.

    The update of a terminating framework goes nowhere: nobody could acknowledge it.
    """
    if task.ended:
        return False
    status = while_draining(scene, status)
    show(task, status)
    if scene.framework.terminating:
        if status.state in TERMINAL:
            ending.complete_task(scene, task)
        return True
    scene.out.append(Count("slave/valid_status_updates"))
    enqueue(
        scene.state,
        scene.out,
        scene.framework.id,
        task.id,
        scene.executor.id,
        status,
        scene.executor.kind,
    )
    if status.state in TERMINAL and status.state is not m.TaskState.TASK_GONE_BY_OPERATOR:
        scene.out.append(Count(_COUNTERS.get(status.state, "slave/tasks_failed")))
    return True


_COUNTERS = {
    m.TaskState.TASK_FINISHED: "slave/tasks_finished",
    m.TaskState.TASK_KILLED: "slave/tasks_killed",
    m.TaskState.TASK_LOST: "slave/tasks_lost",
    m.TaskState.TASK_GONE: "slave/tasks_gone",
}


def while_draining(scene: Scene, status: m.TaskStatus) -> m.TaskStatus:
    """What is said of a task that is killed, or was, while the agent is drained.

    To be marked gone, it is GONE_BY_OPERATOR to a framework that is partition-aware, once it has
    ended. (Mesos says so of one that is still being killed, too.) Source: slave.cpp _statusUpdate.
    """
    drain, killed = scene.state.drain, m.TaskState.TASK_KILLED
    if drain is None or status.state not in (m.TaskState.TASK_KILLING, killed):
        return status
    said = status.state
    aware = m.FrameworkInfoCapabilityType.PARTITION_AWARE
    if drain.mark_gone and said is killed and scene.framework.capable(aware):
        said = m.TaskState.TASK_GONE_BY_OPERATOR
    reason = m.TaskStatusReason.REASON_AGENT_DRAINING
    return msgspec.structs.replace(status, state=said, reason=reason)


def say(
    scene: Scene,
    task: Task,
    task_state: m.TaskState,
    *,
    message: str | None = None,
    reason: m.TaskStatusReason | None = None,
    source: m.TaskStatusSource = m.TaskStatusSource.SOURCE_EXECUTOR,
    healthy: bool | None = None,
) -> None:
    """The task is in this state and its scheduler will know."""
    status = status_of(
        scene.state,
        task,
        task_state,
        scene.now,
        message=message,
        reason=reason,
        source=source,
        healthy=healthy,
    )
    report(scene, task, status)


def show(task: Task, status: m.TaskStatus) -> None:
    """The task's state and its list of statuses include this one (without its data)."""
    shown = status if status.data is None else msgspec.structs.replace(status, data=None)
    if task.statuses and task.statuses[-1].state is status.state:
        task.statuses[-1] = shown
    else:
        task.statuses.append(shown)
    task.state = status.state


def enqueue(
    state: AgentState,
    out: list[Effect],
    framework_id: FrameworkId,
    task_id: TaskId,
    executor_id: ExecutorId | None,
    status: m.TaskStatus,
    kind: ExecutorKind | None = None,
) -> None:
    """The update is the last of its stream, on disk, and sent when it is also the first."""
    stream = state.streams.get((framework_id, task_id))
    if stream is None:
        stream = UpdateStream(framework_id, task_id, executor_id)
        state.streams[framework_id, task_id] = stream
    number = stream.acknowledged + len(stream.pending)
    stream.pending.append(status)
    if kind is ExecutorKind.CUSTOM and status.uuid is not None:
        stream.seen.add(status.uuid)
    key = paths.update_key(framework_id, task_id, number)
    out.append(rows.update(key, status, executor_id, False))
    if len(stream.pending) == 1:
        send_oldest(state, out, stream)


def send_oldest(state: AgentState, out: list[Effect], stream: UpdateStream) -> None:
    """The oldest update is with the master, and comes again unless acknowledged."""
    if state.phase is not Phase.RUNNING or not stream.pending:
        return
    stream.retry_s = RETRY_MIN_S
    _send(state, out, stream)


def _send(state: AgentState, out: list[Effect], stream: UpdateStream) -> None:
    status = stream.pending[0]
    task = state.task(stream.framework_id, stream.task_id)
    message = agentlink.StatusUpdate(
        framework_id=stream.framework_id,
        status=status,
        latest_state=status.state if task is None else task.state,
        executor_id=stream.executor_id,
    )
    out.append(SendToMaster(message))
    out.append(StartTimer(("update", stream.framework_id, stream.task_id), stream.retry_s))


def retry(state: AgentState, out: list[Effect], framework_id: FrameworkId, task_id: TaskId) -> None:
    """No acknowledgement came in time: the oldest update is sent again, with twice the patience."""
    stream = state.streams.get((framework_id, task_id))
    if stream is None or not stream.pending or state.phase is not Phase.RUNNING:
        return
    stream.retry_s = min(stream.retry_s * 2 or RETRY_MIN_S, RETRY_MAX_S)
    _send(state, out, stream)


def resend_all(
    state: AgentState, out: list[Effect], framework_id: FrameworkId | None = None
) -> None:
    """The oldest update of every stream (or of one framework's) is sent, patience reset."""
    for stream in state.streams.values():
        if framework_id is None or stream.framework_id == framework_id:
            send_oldest(state, out, stream)


def acknowledge(
    state: AgentState, out: list[Effect], ack: agentlink.Acknowledge, now: float
) -> None:
    """The scheduler has the oldest update: that is on disk, and the next one goes out.

    After a terminal update the task is over. A stray or repeated acknowledgement changes nothing.
    """
    framework_id, task_id = FrameworkId(ack.framework_id), TaskId(ack.task_id)
    stream = state.streams.get((framework_id, task_id))
    if stream is None or not stream.pending or stream.pending[0].uuid != ack.uuid:
        fields = (("framework_id", framework_id), ("task_id", task_id))
        text = "Ignoring an acknowledgement of task {task_id} that nothing waits for"
        out.append(Log("debug", text, fields))
        return
    status = stream.pending.popleft()
    number = stream.acknowledged
    stream.acknowledged += 1
    key = paths.update_key(framework_id, task_id, number)
    out.append(rows.update(key, status, stream.executor_id, True))
    if not stream.seen and number and stream.acknowledged_state is status.state:
        out.append(_forget_previous(framework_id, task_id, number))
    stream.acknowledged_state = status.state
    framework = state.frameworks.get(framework_id)
    task = None if framework is None else framework.tasks.get(task_id)
    if not stream.pending and (framework is None or task is None):
        ending.close_stream(state, out, framework_id, task_id)
    elif framework is not None and task is not None and status.state in TERMINAL:
        executor = framework.executors[task.executor_id]
        ending.complete_task(Scene(state, out, framework, executor, now), task)
    elif stream.pending:
        send_oldest(state, out, stream)
    else:
        out.append(ending.cancel_retry(framework_id, task_id))


def _forget_previous(framework_id: FrameworkId, task_id: TaskId, number: int) -> Effect:
    """An acknowledged update of the same state says all that the one before it said."""
    return ending.forget(paths.update_key(framework_id, task_id, number - 1))
