"""Agents: admitted, pinged, gone quiet, unreachable, back again.

    Register    -> AdmitAgent durable -> Registered
    Reregister  -> known or recovered: at once; unreachable or never heard of: MarkReachable durable
                   -> Reregistered; marked gone: Shutdown
    link closed -> no offers of it; tasks of frameworks that do not checkpoint are LOST
    no Pong for max_agent_ping_timeouts pings, or not back in agent_reregister_timeout
                -> MarkUnreachable durable -> its tasks UNREACHABLE (or LOST), FAILURE to everybody
    marked gone -> MarkGone durable -> Shutdown, its tasks GONE_BY_OPERATOR (or LOST), FAILURE

What an operator wants of an agent beside that is in `drain.py`: no offers, or that it is emptied.
What an agent's return brings is sorted out in `returning.py`; how one is lost, in `liveness.py` and
`gone.py`.
"""

from __future__ import annotations

import msgspec

from mesos_twisted.errors import BugError, Problem
from mesos_twisted.master.core import (
    drain,
    gone,
    liveness,
    notify,
    offers,
    published,
    removals,
    returning,
    weights,
)
from mesos_twisted.master.core.books import REQUEST_ALLOCATION
from mesos_twisted.master.core.changes import (
    Admitting,
    Departing,
    Marking,
    Pruning,
    Removing,
    Returning,
)
from mesos_twisted.master.core.effects import (
    AdmitAgent,
    CancelTimer,
    CloseLink,
    Effect,
    MarkReachable,
    RemoveAgent,
    SendToAgent,
    StartTimer,
)
from mesos_twisted.master.core.events import AgentSaid, Recovered
from mesos_twisted.master.core.inflight import apply_registry
from mesos_twisted.master.core.state import Agent, MasterState
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ConnectionId
from mesos_twisted.resources.convert import from_messages


def lead(state: MasterState, event: Recovered, out: list[Effect]) -> None:
    """The registry is read: agents it knows may return for a while."""
    state.leading = True
    state.elected_at = event.now
    state.recovered = {AgentId(info.id.value): info for info in event.agents if info.id is not None}
    state.admitted_before = len(state.recovered)
    state.registry_id, state.epoch = event.registry_id, event.epoch
    state.unreachable = dict(event.unreachable)
    state.gone = dict(event.gone)
    state.deactivated = dict.fromkeys(sorted(event.deactivated))
    state.draining = dict(event.draining)
    if event.weights:
        state.weights = dict(event.weights)
    elif state.weights:
        weights.store(state, state.weights, out)
    if state.weights:
        state.allocator.set_weights(state.weights)
    if state.recovered:
        out.append(StartTimer(liveness.RECOVERED_KEY, state.policy.agent_reregister_timeout_s))


def _refuse(state: MasterState, link: ConnectionId, sentence: str, out: list[Effect]) -> None:
    out.append(SendToAgent(link, notify.shutdown(state, sentence)))
    out.append(CloseLink(link))
    notify.log(out, "warn", "Refusing an agent: {reason}", reason=sentence)


def _check(state: MasterState, event: AgentSaid, info: m.AgentInfo) -> Problem | None:
    if event.refusal is not None:
        return event.refusal
    if state.policy.require_agent_domain and info.domain is None:
        return Problem(
            "agent_domain",
            "This master requires a fault domain of each agent; start the agent with --domain.",
        )
    total = from_messages(info.resources)
    return total if isinstance(total, Problem) else None


def register(
    state: MasterState, event: AgentSaid, said: agentlink.Register, out: list[Effect]
) -> None:
    """A new agent gets an id once the registry has it; asking again on one link changes nothing."""
    out.append(notify.count("master/messages_register_slave"))
    link = event.link
    known = state.agent_of.get(link)
    if known is not None:
        out.append(SendToAgent(link, _registered(state, known)))
        return
    if link in state.joining:
        return
    problem = _check(state, event, said.info)
    if problem is not None:
        _refuse(state, link, problem.sentence, out)
        return
    other = state.agents.get(state.agent_at.get(said.pid, AgentId("")))
    if other is not None and other.address == event.address:
        # The address is the agent's alone, so what registered from it before has no future.
        liveness.leave(state, other, out, "registered")
    agent_id = state.new_agent_id()
    info = msgspec.structs.replace(said.info, id=m.AgentID(value=agent_id))
    what = Admitting(link, agent_id, info, said, event.address)
    state.joining[link] = apply_registry(state, what, AdmitAgent(info), out)


def _registered(state: MasterState, agent_id: AgentId) -> agentlink.Registered:
    return agentlink.Registered(
        agent_id=agent_id,
        master_id=state.info.id,
        ping_timeout_s=state.policy.total_ping_timeout_s,
        master_version=state.info.version or "",
        master_hostname=state.info.hostname or "",
        registry_id=state.registry_id,
        epoch=state.epoch,
    )


def reregister(
    state: MasterState, event: AgentSaid, said: agentlink.Reregister, out: list[Effect]
) -> None:
    """A known agent returns; see the module's head."""
    out.append(notify.count("master/messages_reregister_slave"))
    link = event.link
    problem = _check(state, event, said.info)
    if problem is None and said.info.id is None:
        problem = Problem("agent_id", "A returning agent must say its id; start it afresh.")
    if problem is not None:
        _refuse(state, link, problem.sentence, out)
        return
    assert said.info.id is not None
    agent_id = AgentId(said.info.id.value)
    if agent_id in state.gone:
        _refuse(state, link, gone.MESSAGE, out)
        return
    if state.agent_of.get(link, agent_id) != agent_id:
        _refuse(state, link, "This link is another agent's; one link is for one agent.", out)
        return
    if link in state.joining or agent_id in state.changing:
        return  # The agent asks again; by then the registry is done with it.
    agent = state.agents.get(agent_id)
    if agent is not None:
        if agent.leaving:
            return
        _reconnect(state, agent, link, event, out)
        returning.rejoin(state, agent, said, event.now, out)
        drain.go_on(state, agent, said.draining, event.now, out)
    elif agent_id in state.recovered:
        liveness.forget_recovered(state, agent_id, out)
        _welcome(state, link, said, event.address, event.now, None, out)
    else:
        what = Returning(link, said, event.address)
        number = apply_registry(state, what, MarkReachable(said.info), out)
        state.joining[link] = number
        state.changing[agent_id] = number


def _reconnect(
    state: MasterState, agent: Agent, link: ConnectionId, event: AgentSaid, out: list[Effect]
) -> None:
    old = agent.link
    if old is not None and old != link:
        del state.agent_of[old]
        out.append(CloseLink(old))
    removals.cancel(state, agent.agent_id, out)
    was_connected = agent.connected
    agent.link = link
    agent.address = event.address
    agent.pinged, agent.missed = False, 0
    agent.reregistered_at = event.now
    agent.version += 1
    state.agent_of[link] = agent.agent_id
    if not was_connected:
        out.append(CancelTimer(liveness.reregister_key(agent.agent_id)))
        if not agent.deactivated:
            state.allocator.activate_agent(agent.agent_id)
            out.append(REQUEST_ALLOCATION)
    out.append(notify.count("master/slave_reregistrations"))


def _welcome(
    state: MasterState,
    link: ConnectionId,
    said: agentlink.Reregister,
    address: str,
    now: float,
    news: str | None,
    out: list[Effect],
) -> None:
    agent = make(said.info, said, link, address, now)
    agent.reregistered_at = now
    drain.remember(state, agent)
    returning.join(state, agent, said, now, news, out)
    drain.go_on(state, agent, said.draining, now, out)
    _enter(state, agent, link, out)
    out.append(notify.count("master/slave_reregistrations"))


def make(
    info: m.AgentInfo,
    said: agentlink.Register | agentlink.Reregister,
    link: ConnectionId,
    address: str,
    now: float,
) -> Agent:
    """The record of an agent that said so; `info`, with its id, has been checked."""
    total = from_messages(info.resources)
    if isinstance(total, Problem) or info.id is None:
        raise BugError(f"The agent {info!r} was let in unchecked.")
    return Agent(
        AgentId(info.id.value),
        info,
        total.unallocate(),
        offers.parts_of(info, said.pid, address),
        link,
        address,
        said.pid,
        said.version,
        said.capabilities,
        now,
        drains=said.drains,
    )


def _enter(state: MasterState, agent: Agent, link: ConnectionId, out: list[Effect]) -> None:
    state.agent_of[link] = agent.agent_id
    state.agent_at[agent.pid] = agent.agent_id
    out.append(StartTimer(liveness.ping_key(agent.agent_id), state.policy.agent_ping_timeout_s))
    out.append(REQUEST_ALLOCATION)
    published.agent_added(state, agent, out)
    notify.log(
        out,
        "info",
        "Agent {agent_id} at {hostname} registered",
        agent_id=agent.agent_id,
        hostname=agent.hostname,
    )


def applied(state: MasterState, number: int, now: float, out: list[Effect]) -> None:
    """A registry operation on an agent is durable: what waited for it happens."""
    what = state.in_flight.pop(number)
    match what:
        case Admitting():
            if state.joining.pop(what.link, None) is None:
                # The agent left before it knew its id, and will ask for another.
                apply_registry(state, Removing(what.agent_id), RemoveAgent(what.agent_id), out)
                return
            agent = make(what.info, what.said, what.link, what.address, now)
            state.agents[agent.agent_id] = agent
            state.allocator.add_agent(agent.agent_id, returning.spec_of(agent), {})
            out.append(SendToAgent(what.link, _registered(state, agent.agent_id)))
            out.append(notify.count("master/slave_registrations"))
            _enter(state, agent, what.link, out)
        case Returning():
            assert what.said.info.id is not None
            agent_id = AgentId(what.said.info.id.value)
            state.changing.pop(agent_id, None)
            was_unreachable = state.unreachable.pop(agent_id, None) is not None
            if state.joining.pop(what.link, None) is None:
                state.recovered[agent_id] = what.said.info
                state.alone[agent_id] = None
                wait = state.policy.agent_reregister_timeout_s
                out.append(StartTimer(liveness.reregister_key(agent_id), wait))
                return
            news = f"{'Unreachable' if was_unreachable else 'Unknown'} agent reregistered"
            _welcome(state, what.link, what.said, what.address, now, news, out)
        case Marking():
            _marked(state, what, now, out)
        case Removing():
            state.changing.pop(what.agent_id, None)
            removed = state.agents.get(what.agent_id)
            if removed is not None:
                liveness.remove(state, removed, liveness.LEFT, what.why, now, out)
        case Departing():
            gone.gone(state, what, now, out)
        case Pruning():
            gone.pruned(state, what, out)
        case _:
            raise BugError(f"Nobody waits for {what!r} here.")


def _marked(state: MasterState, what: Marking, now: float, out: list[Effect]) -> None:
    state.changing.pop(what.agent_id, None)
    state.unreachable[what.agent_id] = what.at
    notify.log(
        out,
        "warn",
        "Agent {agent_id} is marked unreachable: {why}",
        agent_id=what.agent_id,
        why=what.why,
    )
    out.append(notify.count("master/slave_removals"))
    out.append(notify.count("master/slave_removals/reason_unhealthy"))
    agent = state.agents.get(what.agent_id)
    if agent is not None:
        loss = liveness.Loss(at=what.at)
        liveness.remove(state, agent, loss, what.why, now, out)
    elif what.agent_id in state.recovered:
        liveness.forget_recovered(state, what.agent_id, out)
        out.append(notify.count("master/recovery_slave_removals"))
        notify.send_agent_failure(state, what.agent_id, out)
