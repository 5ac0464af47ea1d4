"""From checkpoint and containers back to the state before the crash, and what to do about it.

    rows -> records: agent, frameworks, executors, tasks with what was said of them, history
    containers -> what runs is ours again; what ended meanwhile is reported as it ended; what nobody
    knows any more is reported too; what nobody here knows is destroyed

Nothing is sent before the agent is registered again: updates queue up in their streams. A row that
cannot be read is logged and skipped. Recovery may itself be cut short at any row and started anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mesos_twisted.agent.core import (
    compatibility,
    containers,
    ending,
    environment,
    executors,
    frameworks,
    killing,
    paths,
    pods,
    registration,
    rows,
    run,
    tasks,
    updates,
    watching,
)
from mesos_twisted.agent.core.effects import (
    Checkpoint,
    DestroyContainer,
    Effect,
    Forget,
    ForgetContainer,
    Log,
    StartTimer,
    StopAgent,
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

REBOOTED = "The host of the agent was rebooted while the task was running"
UNKNOWN = "Abnormal executor termination: unknown container"

_AGENT = m.TaskStatusSource.SOURCE_AGENT


def recovered(state: AgentState, out: list[Effect], event: Recovered) -> None:
    """The agent knows what it knew, has a plan for what changed, and may look for its master."""
    state.start_time = event.now
    state.boot_id = event.boot_id
    before = event.records.get(paths.BOOT_KEY, event.boot_id.encode()).decode("utf-8", "replace")
    rebooted = before != event.boot_id
    read = read_rows(event.records, out)
    if not _same_agent(state, out, read, rebooted, event.records):
        return
    containers_left = {item.container_id: item for item in event.containers}
    if read.agent is not None:
        restore(state, out, read)
        _reconcile(state, out, read, containers_left, rebooted, event.now)
    _destroy_orphans(state, out, containers_left)
    if paths.BOOT_KEY not in event.records or rebooted:
        out.append(Checkpoint(paths.BOOT_KEY, event.boot_id.encode()))
    state.phase = Phase.DISCONNECTED
    if state.policy.recover == "cleanup":
        why = "recover=cleanup was asked for"
        frameworks.shut_down_agent(state, out, why, event.now, unregister=True)
    elif state.link is not None:
        state.phase = Phase.REGISTERING
        state.backoff_s = state.policy.registration_backoff_s
        registration.register(state, out)


def _same_agent(
    state: AgentState,
    out: list[Effect],
    read: Read,
    rebooted: bool,
    records: Mapping[str, bytes],
) -> bool:
    """Is the agent still the one that the rows tell of? False: it may not start."""
    if read.agent is None:
        if any(key != paths.BOOT_KEY for key in records):
            out.append(
                Log("error", "The row of the agent's own id is gone: starting as a new agent")
            )
            _forget_all(records, out)
        return True
    problem = compatibility.check(state.policy.reconfiguration_policy, read.agent.info, state.info)
    if problem is None:
        state.info = msgspec.structs.replace(state.info, id=read.agent.info.id)
        if state.info != read.agent.info:
            out.append(rows.agent(state.info))
        return True
    if rebooted:
        # Nothing runs any more, so nothing ties us to the old id.
        fields = (("why", problem.sentence),)
        out.append(Log("warn", "Starting as a new agent after a reboot: {why}", fields))
        _forget_all(records, out)
        read.agent = None
        return True
    out.append(Log("error", "{why}", (("why", problem.sentence),)))
    out.append(StopAgent(1, problem.sentence))
    return False


def _forget_all(records: Mapping[str, bytes], out: list[Effect]) -> None:
    out.extend(Forget(key) for key in sorted(records) if key != paths.BOOT_KEY)


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
        ended, message = run.dropped_state(scene.framework), "Task launched during agent restart"
        reason = m.TaskStatusReason.REASON_AGENT_RESTARTED
        if task.kill is not None:
            ended, message = m.TaskState.TASK_KILLED, killing.KILLED_EARLY
            reason = m.TaskStatusReason.REASON_TASK_KILLED_DURING_LAUNCH
    updates.say(scene, task, ended, message=message, reason=reason, source=_AGENT)
    killing.kill_others(scene, task)


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
