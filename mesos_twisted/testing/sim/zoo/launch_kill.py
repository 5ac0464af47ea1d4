"""Launches that are dropped or happen after all, and executors that nobody ends."""

from __future__ import annotations

from mesos_twisted.agent.core import group, killing, pods, run, updates
from mesos_twisted.agent.core.scene import Scene
from mesos_twisted.agent.core.state import AgentState, ExecutorKind, ExecutorState, Task
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId
from mesos_twisted.testing.sim.zoo.planted import PlantedBug, swap

AREA = "launch and kill"

_why_not = run._why_not
_settle = pods.settle


def _said_and_not_done(scene: Scene, task: Task) -> None:
    """KILLED is told; the launch under way is left to itself."""
    for member in group.members(scene.executor, task):
        if not member.ended:
            status = updates.status_of(
                scene.state,
                member,
                m.TaskState.TASK_KILLED,
                scene.now,
                message=killing.KILLED_EARLY,
                reason=m.TaskStatusReason.REASON_TASK_KILLED_DURING_LAUNCH,
                source=m.TaskStatusSource.SOURCE_AGENT,
            )
            updates.enqueue(
                scene.state, scene.out, scene.framework.id, member.id, scene.executor.id, status
            )


def _framework_was_here(
    state: AgentState, framework_info: m.FrameworkInfo, infos: tuple[m.TaskInfo, ...]
) -> str | None:
    """A framework that was here and went is still going."""
    if framework_info.id is not None:
        if FrameworkId(framework_info.id.value) in state.completed_frameworks:
            return "the framework is being shut down"
    return _why_not(state, framework_info, infos)


def _only_what_was_up(scene: Scene, status: int | None = None) -> None:
    """A pod that never was ready has nothing to end."""
    pod = scene.executor.kind is ExecutorKind.DEFAULT
    if not pod or scene.executor.state is not ExecutorState.REGISTERING:
        _settle(scene, status)


BUGS = (
    PlantedBug(
        "killed-and-launched",
        AREA,
        "a task is said to be killed, and then its launch goes on",
        swap((killing, "kill_unlaunched", _said_and_not_done)),
        (7744,),
    ),
    PlantedBug(
        "launch-meets-a-leaving-framework",
        AREA,
        "a launch for a framework whose last task has just gone from the agent is dropped",
        swap((run, "_why_not", _framework_was_here)),
        (8624,),
    ),
    PlantedBug(
        "executor-without-tasks-stays",
        AREA,
        "every task of an executor is killed before it is ready, and the executor stays for ever",
        swap((pods, "settle", _only_what_was_up)),
        (5380, 8411),
    ),
)
