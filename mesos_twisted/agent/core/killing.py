"""How a task with a container of its own is killed: SIGTERM, its grace, and then force.

A task that has no process yet is killed without a trace, and its group with it.
"""

from __future__ import annotations

from mesos_twisted.agent.core import group, rows, updates, watching, words
from mesos_twisted.agent.core.effects import (
    CancelTimer,
    DestroyContainer,
    Effect,
    SignalContainer,
    StartTimer,
)
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import (
    AgentState,
    ContainerPhase,
    ExecutorKind,
    Kill,
    Task,
)
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId, TaskId

_State = m.TaskState
_Reason = m.TaskStatusReason
_AGENT = m.TaskStatusSource.SOURCE_AGENT

KILLED_EARLY = "Killed before delivery to the executor"
GROUP_KILLED_EARLY = "A task within the task group was killed before delivery to the executor"


def kill(
    scene: Scene, task: Task, policy: m.KillPolicy | None, grace_s: float | None = None
) -> None:
    """The task (with a container of its own) ends: by SIGTERM, after its grace by force.

    Not launched yet: it never will be, nor will its group. `grace_s` overrides every policy.
    """
    if task.ended:
        return
    if _unlaunched(scene.state, task):
        kill_unlaunched(scene, task)
        return
    if grace_s is None:
        grace_s = _grace_s(scene.state, task, policy)
    if task.kill is None:
        task.kill = Kill(started=scene.now, grace_s=grace_s)
        if task.state is _State.TASK_STAGING:
            scene.out.append(rows.task(scene.executor, task))
            return
        signal(scene, task)
    elif grace_s < task.kill.grace_s and not task.kill.escalated:
        # A later kill may only shorten what is left.
        task.kill.grace_s = grace_s
        scene.out.append(rows.task(scene.executor, task))
        if task.state is not _State.TASK_STAGING:
            left = max(0.0, task.kill.started + grace_s - scene.now)
            scene.out.append(StartTimer(("kill", task.framework_id, task.id), left))


def _unlaunched(state: AgentState, task: Task) -> bool:
    container = None if task.container_id is None else state.containers.get(task.container_id)
    early = (ContainerPhase.PREPARING, ContainerPhase.WAITING)
    return container is None or container.phase in early


def _grace_s(state: AgentState, task: Task, override: m.KillPolicy | None) -> float:
    for policy in (override, task.info.kill_policy):
        if policy is not None and policy.grace_period is not None:
            return policy.grace_period.nanoseconds / 1e9
    return state.policy.default_kill_grace_s


def kill_unlaunched(scene: Scene, task: Task) -> None:
    """The task and the rest of its group are killed: what never ran without a trace."""
    members = [member for member in group.members(scene.executor, task) if not member.ended]
    message = GROUP_KILLED_EARLY if task.group else KILLED_EARLY
    for member in members:
        if scene.executor.kind is not ExecutorKind.CUSTOM and not _unlaunched(scene.state, member):
            if member.kill is None:
                kill(scene, member, None)
            continue
        updates.say(
            scene,
            member,
            _State.TASK_KILLED,
            message=message,
            reason=_Reason.REASON_TASK_KILLED_DURING_LAUNCH,
            source=_AGENT,
        )
        destroy(scene.state, scene.out, member)


def destroy(state: AgentState, out: list[Effect], task: Task) -> None:
    """The task's container is being torn down, whatever its phase."""
    if task.container_id is None:
        return
    container = state.containers.get(task.container_id)
    if container is None:
        return
    if not container.asked:
        del state.containers[container.id]
        executor = state.executor(task.framework_id, task.executor_id)
        if executor is not None:
            executor.containers.discard(container.id)
    elif container.phase is not ContainerPhase.DESTROYING:
        container.phase = ContainerPhase.DESTROYING
        out.append(CancelTimer(("launch", container.id)))
        out.append(DestroyContainer(container.id))


def signal(scene: Scene, task: Task) -> None:
    """Begin the kill in `task.kill` of a running task."""
    begun = task.kill
    assert begun is not None and task.container_id is not None
    scene.out.append(rows.task(scene.executor, task))
    wants_killing = scene.framework.capable(m.FrameworkInfoCapabilityType.TASK_KILLING_STATE)
    told = task.state is _State.TASK_KILLING
    if wants_killing and not told and not task.timed_out:
        updates.say(scene, task, _State.TASK_KILLING)
    watching.stop_watching(scene.out, task)
    scene.out.append(SignalContainer(task.container_id, words.SIGTERM, "group"))
    left = max(0.0, begun.started + begun.grace_s - scene.now)
    scene.out.append(StartTimer(("kill", task.framework_id, task.id), left))


def escalate(
    state: AgentState, out: list[Effect], framework_id: FrameworkId, task_id: TaskId
) -> None:
    """The grace is over: the whole tree is killed by force."""
    task = state.task(framework_id, task_id)
    if task is None or task.ended or task.kill is None:
        return
    task.kill.escalated = True
    destroy(state, out, task)


def completion_timed_out(
    state: AgentState, out: list[Effect], framework_id: FrameworkId, task_id: TaskId, now: float
) -> None:
    """max_completion_time is over: the task is killed without grace, and it failed."""
    task = state.task(framework_id, task_id)
    if task is None or task.ended or task.kill is not None:
        return
    framework = state.frameworks[framework_id]
    executor = framework.executors[task.executor_id]
    task.timed_out = True
    kill(Scene(state, out, framework, executor, now), task, None, grace_s=0.0)


def kill_others(scene: Scene, task: Task) -> None:
    """The rest of the group is being killed, each member by its own kill policy."""
    for member in group.members(scene.executor, task):
        if member is not task and not member.ended and member.kill is None:
            kill(scene, member, None)
