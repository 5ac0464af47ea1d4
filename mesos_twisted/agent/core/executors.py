"""Custom executors: processes of their own that speak the executor API to us.

    launch the process -> it SUBSCRIBEs within the registration timeout -> LAUNCH, KILL, MESSAGE to
    it, UPDATE and MESSAGE from it -> SHUTDOWN, and force after its grace -> its process ends

An executor may subscribe again at any time (its stream broke, or the agent restarted) and brings
what was not acknowledged. What its tasks do is its own word; when it ends, we speak for them.
"""

from __future__ import annotations

import msgspec

from mesos_twisted.agent.core import ending, environment, killing, rows, tasks, updates, words
from mesos_twisted.agent.core.effects import (
    CancelTimer,
    CloseExecutorStream,
    Count,
    DestroyContainer,
    Effect,
    LaunchContainer,
    Log,
    PrepareSandbox,
    SendToExecutor,
    SendToMaster,
    StartTimer,
    UpdateContainer,
)
from mesos_twisted.agent.core.events import ExecutorCalled, ExecutorClosed, ExecutorSubscribed
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import (
    AgentState,
    Container,
    ContainerPhase,
    Executor,
    ExecutorKind,
    ExecutorState,
    Framework,
    Kill,
    Phase,
    Task,
    Termination,
    UpdateStream,
)
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, ContainerId, ExecutorId, FrameworkId, TaskId
from mesos_twisted.protocol.states import TERMINAL

#: Stands for a grace that nobody overrode: the executor knows the task's kill policy.
_EXECUTORS_OWN = -1.0

_Event = m.ExecutorEvent
_Type = m.ExecutorEventType
_Reason = m.TaskStatusReason
_AGENT = m.TaskStatusSource.SOURCE_AGENT


def start(scene: Scene, fresh: bool) -> None:
    """A new executor's sandbox is being made; a subscribed one gets its queued tasks."""
    if not fresh:
        _deliver(scene.state, scene.out, scene.executor)
        return
    scene.out.append(
        PrepareSandbox(
            container_id=scene.executor.container_id,
            framework_id=scene.framework.id,
            executor_id=scene.executor.id,
            directory=scene.executor.directory,
            user=scene.executor.user,
            command=scene.executor.info.command or m.CommandInfo(),
        )
    )
    after_s = scene.state.policy.executor_registration_timeout_s
    scene.out.append(StartTimer(("launch", scene.executor.container_id), after_s))


def launch(scene: Scene, container: Container) -> None:
    """The executor's process is being started."""
    container.phase = ContainerPhase.LAUNCHING
    command = scene.executor.info.command or m.CommandInfo()
    cpus, mem, disk = environment.executor_share(scene.executor)
    info = scene.executor.info.container
    scene.out.append(
        LaunchContainer(
            container_id=container.id,
            program=environment.program(command),
            argv=environment.argv(command),
            env=environment.executor_environment(
                scene.state, scene.framework, scene.executor, scene.executor.tasks.values()
            ),
            directory=container.directory,
            user=scene.executor.user,
            cpus_milli=cpus,
            mem_bytes=mem,
            disk_bytes=disk,
            rlimits=None if info is None else info.rlimit_info,
        )
    )


def registration_timed_out(
    state: AgentState, out: list[Effect], executor: Executor, container: Container, message: str
) -> None:
    """The executor never subscribed: it is destroyed, and its tasks failed for that reason."""
    if executor.state is not ExecutorState.REGISTERING:
        return
    reason = _Reason.REASON_EXECUTOR_REGISTRATION_TIMEOUT
    executor.termination = Termination(m.TaskState.TASK_FAILED, reason, message)
    _destroy(state, out, executor)


def reregistration_timed_out(
    state: AgentState, out: list[Effect], framework_id: FrameworkId, executor_id: ExecutorId
) -> None:
    """After our restart the executor did not come back: it is destroyed."""
    framework = state.frameworks.get(framework_id)
    executor = None if framework is None else framework.executors.get(executor_id)
    if framework is None or executor is None or not executor.recovered:
        return
    limit = words.duration(state.policy.executor_reregistration_timeout_s)
    executor.termination = Termination(
        gone_state(framework),
        _Reason.REASON_EXECUTOR_REREGISTRATION_TIMEOUT,
        f"Executor did not reregister within {limit}",
    )
    _destroy(state, out, executor)


def gone_state(framework: Framework | None) -> m.TaskState:
    """TASK_GONE, or TASK_LOST to a framework that is not partition-aware or not known any more."""
    aware = m.FrameworkInfoCapabilityType.PARTITION_AWARE
    if framework is not None and framework.capable(aware):
        return m.TaskState.TASK_GONE
    return m.TaskState.TASK_LOST


def _destroy(state: AgentState, out: list[Effect], executor: Executor) -> None:
    container = state.containers.get(executor.container_id)
    executor.state = ExecutorState.TERMINATING
    if container is not None and container.phase is not ContainerPhase.DESTROYING:
        container.phase = ContainerPhase.DESTROYING
        out.append(DestroyContainer(container.id))


def subscribed(state: AgentState, out: list[Effect], event: ExecutorSubscribed) -> None:
    """The executor's stream is open: it knows who it is, and gets what waits for it."""
    framework = state.frameworks.get(event.framework_id)
    executor = None if framework is None else framework.executors.get(event.executor_id)
    if framework is None or executor is None or executor.kind is not ExecutorKind.CUSTOM:
        out.append(CloseExecutorStream(event.connection))
        return
    if executor.state in (ExecutorState.TERMINATING, ExecutorState.TERMINATED):
        # It has nothing more to hear.
        out.append(SendToExecutor(event.connection, _Event(type=_Type.SHUTDOWN)))
        out.append(CloseExecutorStream(event.connection))
        return
    if executor.connection is not None and executor.connection != event.connection:
        state.connections.pop(executor.connection, None)
        out.append(CloseExecutorStream(executor.connection))
    executor.connection = event.connection
    state.connections[event.connection] = (framework.id, executor.id)
    scene = Scene(state, out, framework, executor, event.now)
    executor.state = ExecutorState.RUNNING
    executor.recovered = False
    run = executor.container_id
    out.append(CancelTimer(("launch", run)))
    out.append(CancelTimer(("reregistration", framework.id, executor.id, run)))
    out.append(_subscribed_event(scene, event.connection))
    for update in event.subscribe.unacknowledged_updates:
        _update(scene, update.status)
    known = {info.task_id.value for info in event.subscribe.unacknowledged_tasks}
    _drop_undelivered(scene, known)
    if not scene.stands:
        return
    for task in list(executor.live):
        if task.kill is not None and not task.queued:
            policy = None
            if task.kill.grace_s != _EXECUTORS_OWN:
                grace = m.DurationInfo(nanoseconds=round(task.kill.grace_s * 1e9))
                policy = m.KillPolicy(grace_period=grace)
            _send_kill(out, executor, task, policy)
    if not executor.ever_sent and not any(True for _ in executor.live):
        shut_down(scene)
        return
    _deliver(state, out, executor)


def _subscribed_event(scene: Scene, connection: ConnectionId) -> Effect:
    framework_id = m.FrameworkID(value=scene.framework.id)
    subscribed = m.ExecutorEventSubscribed(
        executor_info=msgspec.structs.replace(scene.executor.info, framework_id=framework_id),
        framework_info=msgspec.structs.replace(scene.framework.info, id=framework_id),
        agent_info=scene.state.info,
        container_id=m.ContainerID(value=scene.executor.container_id),
    )
    return SendToExecutor(connection, _Event(type=_Type.SUBSCRIBED, subscribed=subscribed))


def _drop_undelivered(scene: Scene, known: set[str]) -> None:
    """Tasks that were sent but never reached the executor are reported as dropped."""
    aware = scene.framework.capable(m.FrameworkInfoCapabilityType.PARTITION_AWARE)
    for task in list(scene.executor.tasks.values()):
        staging = task.state is m.TaskState.TASK_STAGING and not task.queued
        if not staging or task.id in known:
            continue
        updates.say(
            scene,
            task,
            m.TaskState.TASK_DROPPED if aware else m.TaskState.TASK_LOST,
            message="Task launched during agent restart",
            reason=_Reason.REASON_AGENT_RESTARTED,
            source=_AGENT,
        )


def _deliver(state: AgentState, out: list[Effect], executor: Executor) -> None:
    """A subscribed executor has every queued task, groups whole."""
    connection = executor.connection
    if connection is None or executor.state is not ExecutorState.RUNNING:
        return
    queued = [task for task in executor.live if task.queued]
    if not queued:
        return
    sent: set[TaskId] = set()
    out.append(UpdateContainer(executor.container_id, *environment.executor_share(executor)))
    for task in queued:
        task.queued = False
        if task.id in sent:
            continue
        if task.group:
            members = [executor.tasks[task_id] for task_id in task.group]
            sent.update(task.group)
            infos = m.TaskGroupInfo(tasks=tuple(member.info for member in members))
            launch_group = m.ExecutorEventLaunchGroup(task_group=infos)
            event = _Event(type=_Type.LAUNCH_GROUP, launch_group=launch_group)
        else:
            event = _Event(type=_Type.LAUNCH, launch=m.ExecutorEventLaunch(task=task.info))
        out.append(SendToExecutor(connection, event))
    executor.ever_sent = True


def called(state: AgentState, out: list[Effect], event: ExecutorCalled) -> None:
    """An UPDATE or MESSAGE of a subscribed executor took effect."""
    framework = state.frameworks.get(event.framework_id)
    executor = None if framework is None else framework.executors.get(event.executor_id)
    if framework is None or executor is None or executor.kind is not ExecutorKind.CUSTOM:
        return
    call = event.call
    if call.update is not None:
        _update(Scene(state, out, framework, executor, event.now), call.update.status)
    elif call.message is not None and state.phase is Phase.RUNNING:
        message = agentlink.ExecutorMessage(
            framework_id=framework.id, executor_id=executor.id, data=call.message.data
        )
        out.append(SendToMaster(message))
        out.append(Count("slave/valid_framework_messages"))


def _update(scene: Scene, status: m.TaskStatus) -> None:
    """The update is in its stream (once), and the executor knows that we have it."""
    if status.state is m.TaskState.TASK_STAGING:
        scene.out.append(
            Log("error", "An executor sent TASK_STAGING", (("executor_id", scene.executor.id),))
        )
        scene.out.append(Count("slave/invalid_status_updates"))
        shut_down(scene)
        return
    task_id = TaskId(status.task_id.value)
    stream = scene.state.streams.get((scene.framework.id, task_id))
    task = scene.executor.tasks.get(task_id)
    repeated = stream is not None and status.uuid in stream.seen
    if task is None and not repeated:
        _forward(scene, task_id, stream, status)
    elif task is not None and not repeated and not task.ended:
        task.queued = False
        container_status = updates.container_status(scene.state, task)
        updates.report(scene, task, _complete(scene, status, container_status))
        if status.state in TERMINAL and scene.executor.state is ExecutorState.RUNNING:
            share = environment.executor_share(scene.executor)
            scene.out.append(UpdateContainer(scene.executor.container_id, *share))
    if scene.executor.connection is not None and status.uuid is not None:
        acknowledged = m.ExecutorEventAcknowledged(task_id=status.task_id, uuid=status.uuid)
        event = _Event(type=_Type.ACKNOWLEDGED, acknowledged=acknowledged)
        scene.out.append(SendToExecutor(scene.executor.connection, event))


def _complete(
    scene: Scene, status: m.TaskStatus, container_status: m.ContainerStatus | None
) -> m.TaskStatus:
    """The executor's status with what only the agent knows."""
    return msgspec.structs.replace(
        status,
        agent_id=scene.state.info.id,
        executor_id=scene.executor.info.executor_id,
        source=m.TaskStatusSource.SOURCE_EXECUTOR,
        timestamp=scene.now if status.timestamp is None else status.timestamp,
        uuid=status.uuid or scene.state.ids.uuid_bytes(),
        container_status=status.container_status or container_status,
    )


def _forward(
    scene: Scene, task_id: TaskId, stream: UpdateStream | None, status: m.TaskStatus
) -> None:
    """An update of a task nobody here knows is on its way; nothing follows a last word.

    Unlike Mesos's agent, ours takes no word of one executor for another's task.
    """
    ended = stream is not None and stream.pending and stream.pending[-1].state in TERMINAL
    over = any(one.task_id.value == task_id for one in scene.executor.completed_tasks)
    if task_id in scene.framework.tasks or scene.framework.terminating or ended or over:
        scene.out.append(Count("slave/invalid_status_updates"))
        return
    scene.out.append(Count("slave/valid_status_updates"))
    updates.enqueue(
        scene.state,
        scene.out,
        scene.framework.id,
        task_id,
        scene.executor.id,
        updates.while_draining(scene, _complete(scene, status, None)),
        ExecutorKind.CUSTOM,
    )


def closed(state: AgentState, event: ExecutorClosed) -> None:
    """The stream is gone; the executor may open another."""
    ids = state.connections.pop(event.connection, None)
    executor = None if ids is None else state.executor(*ids)
    if executor is not None and executor.connection == event.connection:
        executor.connection = None


def kill(scene: Scene, task: Task, policy: m.KillPolicy | None) -> None:
    """The executor is asked to end the task; one it was not given yet never starts."""
    if task.ended or scene.executor.state in (ExecutorState.TERMINATING, ExecutorState.TERMINATED):
        return
    if not task.queued:
        if task.kill is None:
            grace_s = _EXECUTORS_OWN
            if policy is not None and policy.grace_period is not None:
                grace_s = policy.grace_period.nanoseconds / 1e9
            task.kill = Kill(started=scene.now, grace_s=grace_s)
            scene.out.append(rows.task(scene.executor, task))
        _send_kill(scene.out, scene.executor, task, policy)
        return
    killing.kill_unlaunched(scene, task)
    if not scene.stands:
        return
    if not scene.executor.ever_sent and not any(True for _ in scene.executor.live):
        shut_down(scene)


def _send_kill(
    out: list[Effect], executor: Executor, task: Task, policy: m.KillPolicy | None
) -> None:
    if executor.connection is not None:
        kill = m.ExecutorEventKill(task_id=task.info.task_id, kill_policy=policy)
        out.append(SendToExecutor(executor.connection, _Event(type=_Type.KILL, kill=kill)))


def message(state: AgentState, out: list[Effect], message: agentlink.FrameworkMessage) -> None:
    """The bytes are with the executor, if it listens; otherwise they are lost."""
    executor = state.executor(FrameworkId(message.framework_id), ExecutorId(message.executor_id))
    if executor is None or executor.connection is None:
        out.append(Count("slave/invalid_framework_messages"))
        return
    event = _Event(type=_Type.MESSAGE, message=m.ExecutorEventMessage(data=message.data))
    out.append(SendToExecutor(executor.connection, event))
    out.append(Count("slave/valid_framework_messages"))


def shut_down(scene: Scene) -> None:
    """The executor is asked to end; by force after its grace, at once when it cannot hear."""
    if scene.executor.state in (ExecutorState.TERMINATING, ExecutorState.TERMINATED):
        return
    scene.executor.asked_to_end = True
    if scene.executor.connection is None and not scene.executor.recovered:
        _destroy(scene.state, scene.out, scene.executor)
        return
    scene.executor.state = ExecutorState.TERMINATING
    scene.out.append(rows.executor(scene.executor))
    if scene.executor.connection is not None:
        scene.out.append(SendToExecutor(scene.executor.connection, _Event(type=_Type.SHUTDOWN)))
    key = ("shutdown", scene.framework.id, scene.executor.id, scene.executor.container_id)
    scene.out.append(
        StartTimer(key, environment.shutdown_grace_s(scene.state.policy, scene.executor))
    )


def shutdown_timed_out(
    state: AgentState,
    out: list[Effect],
    framework_id: FrameworkId,
    executor_id: ExecutorId,
    run: ContainerId,
) -> None:
    """The grace is over: the executor is destroyed."""
    executor = state.executor(framework_id, executor_id)
    if executor is not None and executor.container_id == run:
        _destroy(state, out, executor)


def exited(
    scene: Scene, status: int | None, limitation: tuple[str, str] | None, launch_failure: str | None
) -> None:
    """The executor's process is gone: its live tasks ended with it, and the master knows."""
    if scene.executor.connection is not None:
        scene.state.connections.pop(scene.executor.connection, None)
        scene.out.append(CloseExecutorStream(scene.executor.connection))
        scene.executor.connection = None
    ended = scene.executor.termination
    if ended is None and launch_failure is not None:
        reason = _Reason.REASON_CONTAINER_LAUNCH_FAILED
        ended = Termination(m.TaskState.TASK_FAILED, reason, launch_failure)
    if ended is None and limitation is not None:
        reason = tasks.limitation_reason(limitation[0])
        ended = Termination(m.TaskState.TASK_FAILED, reason, limitation[1])
    if ended is None:
        reason = _Reason.REASON_EXECUTOR_TERMINATED
        ended = Termination(m.TaskState.TASK_FAILED, reason, "Executor terminated")
    for task in list(scene.executor.live):
        updates.say(
            scene, task, ended.state, message=ended.message, reason=ended.reason, source=_AGENT
        )
    ending.executor_over(scene, status)
