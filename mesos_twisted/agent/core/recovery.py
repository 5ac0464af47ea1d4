"""From checkpoint and containers back to the state before the crash, and what to do about it.

    rows -> records: agent, frameworks, executors, tasks with what was said of them, history
    containers -> what runs is ours again; what ended meanwhile is reported as it ended; what nobody
    knows any more is reported too; what nobody here knows is destroyed

Nothing is sent before the agent is registered again: updates queue up in their streams. Recovery
may itself be cut short at any row and started anew. Whether it may begin at all, and as whom, is in
`identity`.
"""

from __future__ import annotations

from mesos_twisted.agent.core import (
    containers,
    drain,
    ending,
    environment,
    executors,
    frameworks,
    gc,
    identity,
    killing,
    paths,
    pods,
    registration,
    tasks,
    updates,
    watching,
)
from mesos_twisted.agent.core.effects import (
    Checkpoint,
    DestroyContainer,
    Effect,
    ForgetContainer,
    Log,
    StartTimer,
)
from mesos_twisted.agent.core.events import ContainerTerminated, Recovered, RecoveredContainer
from mesos_twisted.agent.core.restore import Read, read_rows, restore
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import (
    AgentState,
    Container,
    ContainerPhase,
    ExecutorKind,
    ExecutorState,
    Health,
    Phase,
    Task,
    Termination,
)
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId
from mesos_twisted.protocol.states import TERMINAL

REBOOTED = "The host of the agent was rebooted while the task was running"
UNKNOWN = "Abnormal executor termination: unknown container"

_AGENT = m.TaskStatusSource.SOURCE_AGENT


def recovered(state: AgentState, out: list[Effect], event: Recovered) -> None:
    """The agent knows what it knew, has a plan for what changed, and may look for its master."""
    state.start_time = event.now
    state.boot_id = event.boot_id
    rebooted = _rebooted(event)
    read = read_rows(event.records, out)
    if not identity.settle(state, out, read, event, rebooted):
        return
    containers_left = {item.container_id: item for item in event.containers}
    if read.agent is not None:
        restore(state, out, read)
        _reconcile(state, out, read, containers_left, rebooted, event.now)
    _destroy_orphans(state, out, containers_left)
    gc.schedule_old_agents(state, event.agents, event.now)
    if paths.BOOT_KEY not in event.records or rebooted:
        out.append(Checkpoint(paths.BOOT_KEY, event.boot_id.encode()))
    state.phase = Phase.DISCONNECTED
    drain.go_on(state, out, event.now)
    if state.policy.recover == "cleanup":
        why = "recover=cleanup was asked for"
        frameworks.shut_down_agent(state, out, why, event.now, unregister=True)
    elif state.link is not None:
        state.phase = Phase.REGISTERING
        state.backoff_s = state.policy.registration_backoff_s
        registration.register(state, out)


def refusal(state: AgentState, event: Recovered) -> str | None:
    """Why the agent may not start, or None; asked before any container is touched.

    Rows of what is over (`done/`) may be left out then.
    """
    read = read_rows(event.records, [])
    return identity.refusal(state.policy, state.info, read, event, _rebooted(event))


def _rebooted(event: Recovered) -> bool:
    before = event.records.get(paths.BOOT_KEY)
    return before is not None and before.decode("utf-8", "replace") != event.boot_id


def _reconcile(
    state: AgentState,
    out: list[Effect],
    read: Read,
    left: dict[ContainerId, RecoveredContainer],
    rebooted: bool,
    now: float,
) -> None:
    """What the containers say is taken in; those that are ours leave `left`."""
    ended: list[tuple[ContainerId, int | None]] = []
    lost: list[tuple[Scene, Task]] = []
    for framework in state.frameworks.values():
        for executor in framework.executors.values():
            _claim(Scene(state, out, framework, executor, now), left, ended, lost)
    for container_id, status in ended:
        containers.terminated(state, out, ContainerTerminated(container_id, status, now))
    for scene, task in lost:
        _report_lost(scene, task, rebooted)
    _report_unreadable(state, out, read, now)
    for framework in list(state.frameworks.values()):
        for executor in list(framework.executors.values()):
            scene = Scene(state, out, framework, executor, now)
            if executor.kind is ExecutorKind.CUSTOM:
                _resume_custom(scene, rebooted)
            else:
                _resume_tasks(scene, read)
            for task in list(executor.tasks.values()):
                stream = state.streams.get((framework.id, task.id))
                if task.ended and (stream is None or not stream.pending):
                    ending.complete_task(scene, task)
            if scene.stands:
                pods.settle(scene)
        ending.settle_framework(state, out, framework)


def _claim(
    scene: Scene,
    left: dict[ContainerId, RecoveredContainer],
    ended: list[tuple[ContainerId, int | None]],
    lost: list[tuple[Scene, Task]],
) -> None:
    """The executor's and its tasks' containers are in the table as far as they are known."""
    run_id = scene.executor.container_id
    pod = None if scene.executor.kind is not ExecutorKind.DEFAULT else run_id
    if scene.executor.kind is ExecutorKind.CUSTOM:
        found = left.pop(run_id, None)
        if found is None:
            return
        container = Container(
            run_id, scene.framework.id, scene.executor.id, scene.executor.directory
        )
        container.phase, container.pid = ContainerPhase.RUNNING, found.pid
        scene.state.containers[run_id] = container
        if not found.running:
            ended.append((run_id, found.status))
        return
    if pod is not None:
        left.pop(pod, None)
        container = Container(pod, scene.framework.id, scene.executor.id, scene.executor.directory)
        container.phase = ContainerPhase.RUNNING
        scene.state.containers[pod] = container
    for task in scene.executor.tasks.values():
        if task.container_id is None:
            continue
        found = left.pop(task.container_id, None)
        if found is None:
            if not task.ended:
                lost.append((scene, task))
            continue
        if task.ended and not found.running:
            scene.out.append(ForgetContainer(found.container_id))
            continue
        directory = scene.executor.directory
        if pod is not None:
            directory = paths.task_directory(directory, task.id)
        container = Container(
            found.container_id, scene.framework.id, scene.executor.id, directory, task.id, pod
        )
        container.phase, container.pid = ContainerPhase.RUNNING, found.pid
        container.asked = True
        scene.state.containers[container.id] = container
        scene.executor.containers.add(container.id)
        if not found.running:
            ended.append((container.id, found.status))
        elif task.ended:
            killing.destroy(scene.state, scene.out, task)


def _report_lost(scene: Scene, task: Task, rebooted: bool) -> None:
    """Nobody knows the task's process: it never was, or its end cannot be known."""
    if task.ended:
        return
    ended, message = m.TaskState.TASK_FAILED, REBOOTED if rebooted else UNKNOWN
    reason = m.TaskStatusReason.REASON_EXECUTOR_TERMINATED
    if task.state is m.TaskState.TASK_STAGING:
        ended, message = (
            updates.dropped_state(scene.framework),
            "Task launched during agent restart",
        )
        reason = m.TaskStatusReason.REASON_AGENT_RESTARTED
        if task.kill is not None:
            ended, message = m.TaskState.TASK_KILLED, killing.KILLED_EARLY
            reason = m.TaskStatusReason.REASON_TASK_KILLED_DURING_LAUNCH
    updates.say(scene, task, ended, message=message, reason=reason, source=_AGENT)
    killing.kill_others(scene, task)


def _report_unreadable(state: AgentState, out: list[Effect], read: Read, now: float) -> None:
    """A task whose own row cannot be read, but of which something was said, is told to be gone.

    Its process is nobody's and destroyed. Of a task without any row the master asks.
    """
    unreadable = {key for key, _ in read.errors}
    for (framework_id, task_id), stream in list(state.streams.items()):
        if paths.task_key(framework_id, task_id) not in unreadable:
            continue
        if stream.pending[-1].state not in TERMINAL:
            status = updates.foreign_status(
                state,
                m.TaskID(value=task_id),
                executors.gone_state(state.frameworks.get(framework_id)),
                now,
                "The agent could not read its record of the task after a restart",
                m.TaskStatusReason.REASON_EXECUTOR_TERMINATED,
            )
            updates.enqueue(state, out, framework_id, task_id, stream.executor_id, status)


def _resume_tasks(scene: Scene, read: Read) -> None:
    """Running tasks are announced if they were not, watched, and killed further."""
    for task in list(scene.executor.live):
        if task.container_id is None or task.container_id not in scene.state.containers:
            continue
        row = read.tasks.get((scene.framework.id, task.id))
        if task.state is m.TaskState.TASK_STAGING:
            tasks.announce(scene, task)
        elif task.kill is None:
            last = task.statuses[-1]
            if task.info.health_check is not None or task.info.check is not None:
                task.health = Health(scene.now, last.healthy, check_status=last.check_status)
            watching.supervise(scene, task)
        elif row is not None and row.kill is not None:
            killing.signal(scene, task)


def _resume_custom(scene: Scene, rebooted: bool) -> None:
    """A running executor may subscribe again for a while; of a vanished one its tasks ended."""
    if scene.executor.state is ExecutorState.TERMINATED:
        return
    if scene.executor.container_id not in scene.state.containers:
        for task in list(scene.executor.live):
            if task.state is m.TaskState.TASK_STAGING:
                _report_lost(scene, task, rebooted)
        reason = m.TaskStatusReason.REASON_EXECUTOR_TERMINATED
        message = REBOOTED if rebooted else UNKNOWN
        scene.executor.termination = Termination(m.TaskState.TASK_FAILED, reason, message)
        executors.exited(scene, None, None, None)
        return
    ids = (scene.framework.id, scene.executor.id, scene.executor.container_id)
    if scene.executor.asked_to_end:
        scene.executor.state = ExecutorState.TERMINATING
        after_s = environment.shutdown_grace_s(scene.state.policy, scene.executor)
        scene.out.append(StartTimer(("shutdown", *ids), after_s))
        return
    scene.executor.recovered = True
    after_s = scene.state.policy.executor_reregistration_timeout_s
    scene.out.append(StartTimer(("reregistration", *ids), after_s))


def _destroy_orphans(
    state: AgentState, out: list[Effect], left: dict[ContainerId, RecoveredContainer]
) -> None:
    """Containers that no row tells of are destroyed, or forgotten when they ended."""
    for found in left.values():
        if found.running:
            state.orphans.add(found.container_id)
            fields = (("container_id", found.container_id),)
            out.append(Log("warn", "Destroying orphan container {container_id}", fields))
            out.append(DestroyContainer(found.container_id))
        else:
            out.append(ForgetContainer(found.container_id))
