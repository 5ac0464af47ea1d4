"""How the auditor hears: ports and event logs of drivers, wrapped when a process is started.

Nothing here decides or delays anything, draws chance or sets a timer: a world with an auditor has
the same trace as one without.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from mesos_twisted.agent.core import effects as agent_effects
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.core.state import MasterState, Offer
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ConnectionId, FrameworkId, OfferId, TaskId
from mesos_twisted.testing.sim.auditor_scene import AgentLife, AgentTurn, MasterLife, MasterTurn

Life = MasterLife | AgentLife
_Call = m.SchedulerCallType


class Heard(deque[Any]):
    """A driver's log of events that tells of each before it is decided."""

    def __init__(self, known: deque[Any], hear: Callable[[Any], None]) -> None:
        super().__init__(known, known.maxlen)
        self._hear = hear

    def append(self, event: Any, /) -> None:
        """An event is about to be decided."""
        self._hear(event)
        super().append(event)


class _Streams:
    """`StreamPort` of a master."""

    def __init__(self, life: MasterLife, port: Any) -> None:
        self._turns, self._framework_of, self._port = life.turns, life.state.framework_of, port

    def send(self, connection: ConnectionId, event: m.SchedulerEvent) -> None:
        if self._turns:
            self._turns[-1].told.append((self._framework_of.get(connection), event))
        self._port.send(connection, event)

    def close(self, connection: ConnectionId) -> None:
        if self._turns:
            self._turns[-1].closed.append(connection)
        self._port.close(connection)


class _Links:
    """`LinkPort` of a master."""

    def __init__(self, life: MasterLife, port: Any) -> None:
        self._turns, self._agent_of, self._port = life.turns, life.state.agent_of, port

    def send(self, link: ConnectionId, message: agentlink.FromMaster) -> None:
        if self._turns:
            self._turns[-1].ordered.append((self._agent_of.get(link), message))
        self._port.send(link, message)

    def close(self, link: ConnectionId) -> None:
        self._port.close(link)


class _Link:
    """`Link` of an agent."""

    def __init__(self, life: AgentLife, port: Any) -> None:
        self._turns, self._port = life.turns, port

    def send(self, message: agentlink.FromAgent) -> None:
        if self._turns:
            self._turns[-1].said.append(message)
        self._port.send(message)

    def reconnect(self, reason: str) -> None:
        self._port.reconnect(reason)


class _Store:
    """`Store` of an agent."""

    def __init__(self, life: AgentLife, port: Any) -> None:
        self._life, self._port = life, port

    def write(self, changes: list[agent_effects.Checkpoint | agent_effects.Forget]) -> None:
        try:
            self._port.write(changes)
        except BaseException:
            self._life.torn = True
            raise


def tap_master(
    life: MasterLife, dirty: list[Life], publish: Callable[[m.MasterEvent], object]
) -> None:
    """Every event and message of this master is heard; `publish` hears what operators would."""
    service, turns = life.service, life.turns
    state, driver = service.state, service.driver

    def hear(event: ev.Event) -> None:
        if not turns:
            dirty.append(life)
        turn = MasterTurn(event)
        if type(event) is ev.SchedulerCalled:
            turn.standing = _standing(state, event)
            turn.answers = _answers(state, event)
        elif type(event) is ev.SchedulerSubscribed:
            turn.stream = _stream(state, event)
        turns.append(turn)

    driver.recent = Heard(driver.recent, hear)
    ports = driver.ports
    ports.streams, ports.links = _Streams(life, ports.streams), _Links(life, ports.links)
    tell = ports.publish

    def published(event: m.MasterEvent) -> None:
        publish(event)
        tell(event)

    ports.publish = published


def tap_agent(life: AgentLife, dirty: list[Life]) -> None:
    """Every event and message of this agent is heard."""
    driver, turns = life.agent.driver, life.turns

    def hear(event: Any) -> None:
        if not turns:
            dirty.append(life)
        turns.append(AgentTurn(event))

    driver.recent = Heard(driver.recent, hear)
    ports = driver.ports
    ports.link, ports.store = _Link(life, ports.link), _Store(life, ports.store)


def _standing(state: MasterState, event: ev.SchedulerCalled) -> tuple[Offer, ...]:
    call = event.call
    if call.type is _Call.DECLINE and call.decline is not None:
        named = call.decline.offer_ids
    elif call.type is _Call.ACCEPT and call.accept is not None:
        named = call.accept.offer_ids
    else:
        return ()
    framework = state.frameworks.get(event.framework_id)
    if framework is None:
        return ()
    found = [framework.offers.get(OfferId(one.value)) for one in named]
    return tuple([one for one in found if one is not None])


def _answers(state: MasterState, event: ev.SchedulerCalled) -> Counter[str] | None:
    """How often a RECONCILE must be answered, by task; None for other calls. A task that may be on
    an agent that is awaited is passed over, unless it is known."""
    call, framework = event.call, state.frameworks.get(event.framework_id)
    if call.type is not _Call.RECONCILE or call.reconcile is None or framework is None:
        return None
    answers: Counter[str] = Counter()
    for one in call.reconcile.tasks:
        named = None if one.agent_id is None else AgentId(one.agent_id.value)
        awaited = bool(state.recovered) if named is None else named in state.recovered
        if TaskId(one.task_id.value) in framework.tasks or not awaited:
            answers[one.task_id.value] += 1
    if not call.reconcile.tasks:
        answers.update(list(framework.tasks))
    return answers


def _stream(state: MasterState, event: ev.SchedulerSubscribed) -> ConnectionId | None:
    given = event.subscribe.framework_info.id
    framework = None if given is None else state.frameworks.get(FrameworkId(given.value))
    return None if framework is None else framework.connection
