"""What clients and networks can do to a daemon, and what its operators then do not hear."""

from __future__ import annotations

from mesos_twisted.master.core import published, tasks
from mesos_twisted.master.core.effects import Effect
from mesos_twisted.master.core.state import Framework, MasterState, Task
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.testing.sim.zoo.planted import PlantedBug, swap
from mesos_twisted.transport.tls_factory import TLSServerFactory

AREA = "denial of service"

_acknowledge = tasks.acknowledge
_task_added = published.task_added


def _agent_is_there(
    state: MasterState,
    framework: Framework,
    call: m.SchedulerCallAcknowledge,
    now: float,
    out: list[Effect],
) -> None:
    """A framework names agents that there are."""
    assert state.agents[AgentId(call.agent_id.value)] is not None
    _acknowledge(state, framework, call, now, out)


def _only_new_tasks(state: MasterState, task: Task, out: list[Effect]) -> None:
    """A task that was there before has been told of."""
    if not task.statuses:
        _task_added(state, task, out)


def _still_waiting(self: TLSServerFactory, connection: object) -> None:
    """A handshake that failed stays among those under way."""


BUGS = (
    PlantedBug(
        "nonsense-in-an-acknowledgement",
        AREA,
        "a framework's acknowledgement that names nobody ends the master",
        swap((tasks, "acknowledge", _agent_is_there)),
        (6917,),
    ),
    PlantedBug(
        "operators-miss-returning-tasks",
        AREA,
        "an operator's stream says nothing of tasks that an agent brings back",
        swap((published, "task_added", _only_new_tasks)),
        (9000, 8469),
    ),
)
