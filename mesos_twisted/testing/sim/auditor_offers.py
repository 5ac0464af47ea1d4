"""Resources: nothing is offered twice, nothing that is refused comes again too early (I1, I13).

Offers and tasks of an agent are added up here afresh from the master's tables and compared with
the agent's total and with the allocator's own books.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mesos_twisted.errors import BugError
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.core import invariants
from mesos_twisted.master.core.allocator.filters import refusal_time
from mesos_twisted.master.core.offers import refusal_of
from mesos_twisted.master.core.state import Agent, Framework, MasterState
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ExecutorId, FrameworkId, OfferId, TaskId
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.testing.sim.auditor_scene import Check, MasterLife, MasterTurn, Scene

_Call = m.SchedulerCallType
_Event = m.SchedulerEventType
#: A process that was stopped asks for its allocation late, by its own clock: filters last anyway.
_ROUNDING_S = 1e-6


@dataclass(slots=True)
class Refusal:
    """What a framework refused on an agent, until when (the master's own time).

    One that is not `sure` may have been dropped meanwhile.
    """

    role: str
    resources: Resources
    until: float
    agent: Agent
    sure: bool = True


class Offers(Check):
    """See the module's head."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._versions: dict[MasterLife, dict[AgentId, tuple[Agent, int]]] = {}
        #: Those that hold, by master, framework and agent.
        self.refusals: dict[MasterLife, dict[tuple[FrameworkId, AgentId], list[Refusal]]] = {}
        self._whole: dict[MasterLife, bool] = {}

    def master_turn(self, life: MasterLife, turn: MasterTurn) -> None:
        """Filters as the event changes them, and offers that went out."""
        event = turn.event
        if isinstance(event, ev.SchedulerCalled):
            if event.call.type is _Call.DECLINE:
                self._declined(life, turn, event)
            elif event.call.type is _Call.ACCEPT and turn.standing:
                self._taken(life, turn, event)
            elif event.call.type is _Call.REVIVE:
                roles = () if event.call.revive is None else event.call.revive.roles
                self._forget(life, event.framework_id, roles)
        elif isinstance(event, ev.SchedulerClosed):
            # A framework without a stream has no filters.
            for framework in life.state.frameworks.values():
                if not framework.connected:
                    self._forget(life, framework.framework_id, ())
        elif isinstance(event, ev.SchedulerSubscribed):
            owner = life.state.framework_of.get(event.connection)
            if owner is not None and turn.stream is None:
                self._forget(life, owner, ())
            elif owner is not None:
                # One that is revived by this has none.
                self._doubt(life, owner)
        elif isinstance(event, ev.FrameworkUpdated):
            self._doubt(life, event.framework_id)
        if turn.told:
            self._offered(life, turn)
        if _loud(event):
            self._whole[life] = True

    def settle(self, life: MasterLife) -> None:
        """After all turns of one event of the world: the agents that changed are added up."""
        state = life.state
        versions = self._versions.setdefault(life, {})
        for agent_id, agent in state.agents.items():
            seen = versions.get(agent_id)
            if seen is None or seen[0] is not agent or seen[1] != agent.version:
                versions[agent_id] = (agent, agent.version)
                self._add_up(state, agent)
        if self._whole.pop(life, False):
            self.check_all(life)

    def check_all(self, life: MasterLife) -> None:
        """The master's own invariants, all of them."""
        try:
            invariants.check(life.state)
        except BugError as error:
            self.scene.violated("I1", str(error), life.place.name)

    def second(self) -> None:
        """All of it once a second; no agent of one machine is offered by two masters for long."""
        for life in self.scene.leading():
            self.check_all(life)

    def settled(self) -> None:
        """Once more at the end."""
        self.second()

    def _add_up(self, state: MasterState, agent: Agent) -> None:
        parts = [offer.resources for offer in agent.offers.values()]
        parts += [task.resources for task in agent.tasks.values() if task.charged]
        for executors in agent.executors.values():
            parts += [one.resources for one in executors.values()]
        held = Resources.sum(parts).unallocate()
        books = state.allocator.books(agent.agent_id)
        if not agent.total.contains(held):
            self.scene.violated(
                "I1",
                f"More of agent {agent.agent_id} is offered and in use than there is",
                f"{held!r} of {agent.total!r}",
            )
        elif books.total == agent.total and books.free.add(held) != agent.total:
            self.scene.violated(
                "I1",
                f"The allocator's books of agent {agent.agent_id} lose or make resources",
                f"free {books.free!r}, held {held!r}, total {agent.total!r}",
            )

    # I13

    def _declined(self, life: MasterLife, turn: MasterTurn, event: ev.SchedulerCalled) -> None:
        assert event.call.decline is not None
        interval_s = life.service.config.allocation_interval
        wait_s = refusal_time(refusal_of(event.call.decline.filters), interval_s)
        if turn.standing:
            self.scene.probes.sometimes("offer declined")
        if wait_s <= 0:
            return
        refusals = self.refusals.setdefault(life, {})
        for offer in turn.standing:
            agent = life.state.agents.get(offer.agent_id)
            if agent is not None:
                refusal = Refusal(offer.role, offer.resources, event.now + wait_s, agent)
                refusals.setdefault((event.framework_id, offer.agent_id), []).append(refusal)

    def _taken(self, life: MasterLife, turn: MasterTurn, event: ev.SchedulerCalled) -> None:
        """What an ACCEPT leaves of its offers is refused."""
        accept = event.call.accept
        framework = life.state.frameworks.get(event.framework_id)
        if accept is None or framework is None:
            return
        interval_s = life.service.config.allocation_interval
        wait_s = refusal_time(refusal_of(accept.filters), interval_s)
        first = turn.standing[0]
        agent = life.state.agents.get(first.agent_id)
        if wait_s <= 0 or agent is None or any(one.role != first.role for one in turn.standing):
            return
        rest = Resources.sum([one.resources for one in turn.standing]).unallocate()
        for part in _launched(framework, turn):
            rest = rest.subtract(part.unallocate())
        if rest:
            refusal = Refusal(first.role, rest.allocate(first.role), event.now + wait_s, agent)
            held = self.refusals.setdefault(life, {})
            held.setdefault((event.framework_id, first.agent_id), []).append(refusal)

    def _forget(self, life: MasterLife, framework_id: FrameworkId, roles: tuple[str, ...]) -> None:
        for key, held in self.refusals.get(life, {}).items():
            if key[0] == framework_id:
                held[:] = [one for one in held if roles and one.role not in roles]

    def _doubt(self, life: MasterLife, framework_id: FrameworkId) -> None:
        for key, held in self.refusals.get(life, {}).items():
            if key[0] == framework_id:
                for one in held:
                    one.sure = False

    def _offered(self, life: MasterLife, turn: MasterTurn) -> None:
        for _, event in turn.told:
            if event.type is _Event.RESCIND:
                self.scene.probes.sometimes("offer rescinded")
            if event.type is not _Event.OFFERS or event.offers is None:
                continue
            now = getattr(turn.event, "now", 0.0)
            for message in event.offers.offers:
                offer = life.state.offers.get(OfferId(message.id.value))
                if offer is None:
                    continue
                key = (offer.framework_id, offer.agent_id)
                for refusal in self.refusals.get(life, {}).get(key, ()):
                    self._too_early(life, refusal, offer.role, offer.resources, key, now)
        self._expire(life, turn)

    def _too_early(
        self,
        life: MasterLife,
        refusal: Refusal,
        role: str,
        resources: Resources,
        key: tuple[FrameworkId, AgentId],
        now: float,
    ) -> None:
        if (
            not refusal.sure
            or refusal.role != role
            or refusal.agent is not life.state.agents.get(key[1])
        ):
            return
        if now < refusal.until - _ROUNDING_S and refusal.resources.contains(resources):
            self.scene.violated(
                "I13",
                f"Framework {key[0]} is offered again what it refused on agent {key[1]}",
                f"{refusal.until - now:.3f} s too early: {resources!r}",
            )

    def _expire(self, life: MasterLife, turn: MasterTurn) -> None:
        now = getattr(turn.event, "now", None)
        refusals = self.refusals.get(life)
        if now is None or refusals is None:
            return
        for key, held in refusals.items():
            if any(one.until <= now for one in held):
                refusals[key] = [one for one in held if one.until > now]


def _launched(framework: Framework, turn: MasterTurn) -> Iterator[Resources]:
    """What the tasks need that were sent out in this turn, and their groups' executors."""
    for agent_id, message in turn.ordered:
        if isinstance(message, agentlink.RunTask):
            yield framework.tasks[TaskId(message.task.task_id.value)].resources
        elif isinstance(message, agentlink.RunTaskGroup) and agent_id is not None:
            for one in message.task_group.tasks:
                yield framework.tasks[TaskId(one.task_id.value)].resources
            executor_id = message.executor.executor_id
            assert executor_id is not None
            # Groups of the simulation have an executor each.
            yield framework.executors[agent_id][ExecutorId(executor_id.value)].resources


def _loud(event: ev.Event) -> bool:
    """May it change tables beyond the agents it concerns, so that all of them are looked at?"""
    match event:
        case ev.AgentSaid(message=said):
            return isinstance(said, agentlink.Register | agentlink.Reregister)
        case ev.TimerFired(key=key):
            return key[0] != "ping"
        case ev.SchedulerCalled(call=call):
            return call.type is _Call.TEARDOWN
        case ev.AllocationDue() | ev.FrameworkUpdated():
            return False
        case _:
            return True
