"""Status updates that are lost, doubled, out of order, or not what happened."""

from __future__ import annotations

from mesos_twisted.agent.core import ending, group, killing, tasks, updates, watching
from mesos_twisted.agent.core.effects import CancelTimer, Effect, SendToMaster
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import AgentState, ExecutorKind, Phase, Task
from mesos_twisted.containerizer.core.container import ContainerId
from mesos_twisted.containerizer.core.lifecycle import ContainerState
from mesos_twisted.containerizer.core.termination import STATUS_LOST
from mesos_twisted.containerizer.mesos import MesosContainerizer
from mesos_twisted.containerizer.zygote_messages import Rusage
from mesos_twisted.errors import BugError
from mesos_twisted.master.core import notify, reconcile
from mesos_twisted.master.core import state as master
from mesos_twisted.master.core.effects import Effect as MasterEffect
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ExecutorId, FrameworkId, TaskId
from mesos_twisted.protocol.states import TERMINAL
from mesos_twisted.testing.sim.zoo.planted import PlantedBug, swap

AREA = "updates"
_State = m.TaskState

_acknowledge = updates.acknowledge
_enqueue = updates.enqueue
_executor_over = ending.executor_over
_report = updates.report
_explain = reconcile.explain
_exited = MesosContainerizer.exited


def _over_with_the_state(
    state: AgentState, out: list[Effect], ack: agentlink.Acknowledge, now: float
) -> None:
    """The task is over once its state is terminal, whatever was acknowledged."""
    framework_id, task_id = FrameworkId(ack.framework_id), TaskId(ack.task_id)
    _acknowledge(state, out, ack, now)
    framework = state.frameworks.get(framework_id)
    task = None if framework is None else framework.tasks.get(task_id)
    if framework is not None and task is not None and task.ended:
        executor = framework.executors[task.executor_id]
        ending.complete_task(Scene(state, out, framework, executor, now), task)


def _insists(state: AgentState, out: list[Effect], ack: agentlink.Acknowledge, now: float) -> None:
    """An acknowledgement always finds what it acknowledges."""
    stream = state.streams.get((FrameworkId(ack.framework_id), TaskId(ack.task_id)))
    if stream is None or not stream.pending or stream.pending[0].uuid != ack.uuid:
        raise BugError(f"Nothing of task {ack.task_id} waits for this acknowledgement.")
    _acknowledge(state, out, ack, now)


def _at_once(
    state: AgentState,
    out: list[Effect],
    framework_id: FrameworkId,
    task_id: TaskId,
    executor_id: ExecutorId | None,
    status: m.TaskStatus,
    kind: ExecutorKind | None = None,
) -> None:
    """Every update is sent as soon as it is there."""
    _enqueue(state, out, framework_id, task_id, executor_id, status, kind)
    if len(state.streams[framework_id, task_id].pending) > 1 and state.phase is Phase.RUNNING:
        task = state.task(framework_id, task_id)
        latest = status.state if task is None else task.state
        update = agentlink.StatusUpdate(
            framework_id=framework_id, status=status, latest_state=latest, executor_id=executor_id
        )
        out.append(SendToMaster(update))


def _gone_without_a_word(scene: Scene, task: Task) -> None:
    """What never ran need not be told of."""
    for member in group.members(scene.executor, task):
        if not member.ended:
            killing.destroy(scene.state, scene.out, member)
            member.state = _State.TASK_KILLED
            ending.complete_task(scene, member)


def _takes_its_streams_along(scene: Scene, status: int | None = None) -> None:
    """An executor that is over owes nothing."""
    for task in list(scene.executor.tasks.values()):
        ending.complete_task(scene, task)
    _executor_over(scene, status)


def _exited_again(
    scene: Scene, task: Task, status: int | None, limitation: tuple[str, str] | None
) -> bool:
    """The exit of a process is always told."""
    if not task.ended:
        tasks.announce_late(scene, task)
    watching.stop_watching(scene.out, task)
    scene.out.append(CancelTimer(("kill", task.framework_id, task.id)))
    return tasks._say_exit(scene, task, status, limitation)


def _any_report(scene: Scene, task: Task, status: m.TaskStatus) -> bool:
    """A report in other words is news."""
    if task.ended and status.message != task.statuses[-1].message:
        task.state = _State.TASK_RUNNING
    return _report(scene, task, status)


def _killing_first(scene: Scene, task: Task) -> None:
    """A kill that waited for the process comes before anything else is said of it."""
    if task.state is not _State.TASK_STAGING:
        return
    updates.say(scene, task, _State.TASK_STARTING)
    if task.kill is not None:
        killing.signal(scene, task)
    updates.say(scene, task, _State.TASK_RUNNING)
    if task.kill is None:
        watching.supervise(scene, task)


def _reaped_before(
    self: MesosContainerizer, container_id: str, status: int, rusage: Rusage
) -> None:
    """Of a process that ended before its launch was confirmed the status went to somebody else."""
    container = self._containers.get(ContainerId(container_id))
    if container is not None and container.state is ContainerState.STARTING:
        status = STATUS_LOST
    _exited(self, container_id, status, rusage)


def _lost_when_over(
    state: master.MasterState,
    framework: master.Framework,
    task_id: TaskId,
    agent_id: AgentId | None,
    now: float,
    out: list[MasterEffect],
) -> None:
    """A task that ended in the books is lost to who asks."""
    task = framework.tasks.get(task_id)
    if task is None or not task.terminal or task.forwarded in TERMINAL:
        _explain(state, framework, task_id, agent_id, now, out)
        return
    text = "Reconciliation: Task is unknown"
    status = notify.master_status(
        task_id, task.agent_id, _State.TASK_LOST, text, reconcile.REASON, now
    )
    notify.send_update(framework, status, out)


BUGS = (
    PlantedBug(
        "stream-over-with-its-task",
        AREA,
        "a terminal state ends the stream of updates while earlier ones are unacknowledged",
        swap((updates, "acknowledge", _over_with_the_state)),
        (482,),
    ),
    PlantedBug(
        "stray-acknowledgement-is-fatal",
        AREA,
        "an update delivered twice is acknowledged twice, and the second time ends the agent",
        swap((updates, "acknowledge", _insists)),
        (640,),
    ),
    PlantedBug(
        "updates-overtake",
        AREA,
        "updates go out before the one ahead of them was acknowledged",
        swap((updates, "enqueue", _at_once)),
        (4671,),
    ),
    PlantedBug(
        "early-kill-is-silent",
        AREA,
        "a task that is killed before it ran vanishes, and nobody says that it was killed",
        swap((killing, "kill_unlaunched", _gone_without_a_word)),
        (7863, 7783),
    ),
    PlantedBug(
        "executor-takes-updates-along",
        AREA,
        "an executor exits, and updates that were not acknowledged go with it",
        swap((ending, "executor_over", _takes_its_streams_along)),
        (8537, 9847),
    ),
    PlantedBug(
        "two-ends",
        AREA,
        "a kill and an exit are both told as the end of one task",
        swap((tasks, "exited", _exited_again), (updates, "report", _any_report)),
        (9887,),
    ),
    PlantedBug(
        "running-after-killing",
        AREA,
        "a kill that came during the launch is told before the task is said to run",
        swap((tasks, "announce", _killing_first)),
        (6457,),
    ),
    PlantedBug(
        "exit-status-reaped-elsewhere",
        AREA,
        "the exit status of a very short task is lost",
        swap((MesosContainerizer, "exited", _reaped_before)),
        (10007,),
    ),
    PlantedBug(
        "lost-before-its-end-is-told",
        AREA,
        "reconciliation says LOST of a task whose real end waits to be delivered",
        swap((reconcile, "explain", _lost_when_over)),
        (1389,),
    ),
)
