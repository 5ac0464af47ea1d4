"""Leaders, deposed and new, and those who must find out which is which."""

from __future__ import annotations

from twisted.python.failure import Failure

from mesos_twisted.agent.core import registration
from mesos_twisted.agent.core.effects import Effect as AgentEffect
from mesos_twisted.agent.core.state import AgentState, Leader
from mesos_twisted.master.core import agents, liveness, returning
from mesos_twisted.master.core.effects import Effect
from mesos_twisted.master.core.events import Recovered
from mesos_twisted.master.core.state import Agent, MasterState, Task
from mesos_twisted.master.core.validation.framework import has_capability
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.registry.zookeeper import ZooKeeperRegistry, _Write
from mesos_twisted.sdk.core.session import Session
from mesos_twisted.testing.sim.zoo.planted import PlantedBug, swap
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.errors import ConnectionLostError

AREA = "failover"

_send = ZooKeeperRegistry._send
_not_held = ZooKeeperRegistry._not_held
_lead = agents.lead
_know_frameworks = returning._know_frameworks
_forget_recovered = liveness.forget_recovered
_lose = liveness._lose


def _unfenced(self: ZooKeeperRegistry, write: _Write) -> None:
    """Writes check neither who leads nor what was written last."""
    first, version, *rest = write.operations
    if isinstance(first, r.Check) and isinstance(version, r.SetData):
        write.operations = [r.SetData(version.path, version.data, r.ANY_VERSION), *rest]
    _send(self, write)


def _never_behind(self: Leader, other: Leader) -> bool:
    """Whoever answers leads."""
    return False


def _surely_written(self: ZooKeeperRegistry, failure: Failure, write: _Write) -> None:
    """A write whose answer was lost was written."""
    if failure.check(ConnectionLostError) is None:
        _not_held(self, failure, write)
    else:
        self._held(write)


def _nobody_unreachable(state: MasterState, event: Recovered, out: list[Effect]) -> None:
    """Who was unreachable is the last leader's knowledge."""
    _lead(state, event, out)
    state.unreachable = {}


def _known_or_over(
    state: MasterState, agent: Agent, said: agentlink.Reregister, now: float, out: list[Effect]
) -> tuple[str, ...]:
    """A framework that is not partition-aware and did not subscribe first is over."""
    over = [
        info.id.value
        for info in said.frameworks
        if info.id is not None
        and FrameworkId(info.id.value) not in state.frameworks
        and not has_capability(info, m.FrameworkInfoCapabilityType.PARTITION_AWARE)
    ]
    return (*_know_frameworks(state, agent, said, now, out), *over)


def _awaited_alone(state: MasterState, agent_id: AgentId, out: list[Effect]) -> None:
    """An agent that is awaited has a timer of its own."""
    del state.alone[agent_id]
    _forget_recovered(state, agent_id, out)


def _lose_of_connected(
    state: MasterState,
    task: Task,
    loss: liveness.Loss,
    message: str,
    now: float,
    out: list[Effect],
) -> None:
    """A framework whose task is lost is connected."""
    assert state.frameworks[task.framework_id].connection is not None
    _lose(state, task, loss, message, now, out)


def _patient(state: AgentState, out: list[AgentEffect]) -> None:
    """A link that is open has a master behind it."""


def _never_silent(self: Session, now: float) -> bool:
    """A stream that is open is alive."""
    return False


BUGS = (
    PlantedBug(
        "registry-without-a-fence",
        AREA,
        "a deposed master's writes reach the registry",
        swap((ZooKeeperRegistry, "_send", _unfenced)),
        (841,),
    ),
    PlantedBug(
        "agent-obeys-anybody",
        AREA,
        "an agent registers with a master that was deposed by one it had followed",
        swap((Leader, "is_behind", _never_behind)),
        (858,),
    ),
    PlantedBug(
        "lost-write-taken-for-written",
        AREA,
        "a partition eats writes of the registry, and the master goes on as if they held",
        swap((ZooKeeperRegistry, "_not_held", _surely_written)),
        (3280,),
    ),
    PlantedBug(
        "new-leader-forgets-the-unreachable",
        AREA,
        "a new leader does not know which agents are unreachable, and answers wrongly",
        swap((agents, "lead", _nobody_unreachable)),
        (6445,),
    ),
    PlantedBug(
        "old-frameworks-must-come-first",
        AREA,
        "after a failover an agent is back before a framework that is not partition-aware, "
        "and the framework's tasks are ended",
        swap((returning, "_know_frameworks", _known_or_over)),
        (7215,),
    ),
    PlantedBug(
        "leader-stops-at-returning-agents",
        AREA,
        "a new leader stops when it adds an agent that comes back",
        swap((liveness, "forget_recovered", _awaited_alone)),
        (8601, 10109),
    ),
    PlantedBug(
        "unreachable-with-absent-framework",
        AREA,
        "a master stops marking an agent unreachable on which an absent framework has tasks",
        swap((liveness, "_lose", _lose_of_connected)),
        (9609, 6482),
    ),
    PlantedBug(
        "agent-trusts-a-silent-master",
        AREA,
        "an agent does not notice that its master is gone while the link looks whole",
        swap((registration, "ping_timed_out", _patient)),
    ),
    PlantedBug(
        "framework-trusts-a-silent-stream",
        AREA,
        "after a partition a framework waits for ever on a stream that nobody serves",
        swap((Session, "silent", _never_silent)),
    ),
)
