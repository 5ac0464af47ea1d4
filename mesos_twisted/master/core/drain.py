"""Agents that an operator takes out of use: deactivated, draining, drained, and in use again.

    DRAIN_AGENT       -> DrainAgent durable -> its offers rescinded, Drain to the agent, which ends
                         all its tasks; the last of them acknowledged -> MarkAgentDrained durable,
                         or with mark_gone as MARK_AGENT_GONE
    DEACTIVATE_AGENT  -> DeactivateAgent durable -> its offers rescinded, no others made
    REACTIVATE_AGENT  -> ReactivateAgent durable -> offers again, and the agent is told

An agent that is away when it is asked for, or that goes away meanwhile, hears of it when it is
back, from whoever leads then. Source: Master::Http::_drainAgent, checkAndTransitionDrainingAgent in
Mesos's master. Unlike there, tasks that end with their framework count as well, and an agent that
is in use again is told so: it may still have an executor, and would drop what it gets.
"""

from __future__ import annotations

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import gone, notify, offers
from mesos_twisted.master.core.books import REQUEST_ALLOCATION
from mesos_twisted.master.core.changes import (
    Deactivating,
    Departing,
    Drained,
    Draining,
    Reactivating,
    Removing,
    Wish,
)
from mesos_twisted.master.core.effects import (
    DeactivateAgent,
    DrainAgent,
    Effect,
    MarkAgentDrained,
    ReactivateAgent,
    SendToAgent,
)
from mesos_twisted.master.core.events import (
    AgentDeactivationAsked,
    AgentDrainAsked,
    AgentGoneAsked,
    AgentReactivationAsked,
)
from mesos_twisted.master.core.inflight import apply_registry
from mesos_twisted.master.core.state import Agent, MasterState
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId

CAPABILITY = "AGENT_DRAINING"
REMOVED = "Agent removed while processing the call"


def check(state: MasterState, agent_id: AgentId) -> Problem | None:
    """Why the agent cannot be drained (code: the HTTP status), or None."""
    agent = state.agents.get(agent_id)
    if agent is not None and not (agent.drains and CAPABILITY in agent.capabilities):
        return Problem("400", f"Agent {agent_id} is not capable of draining")
    return check_known(state, agent_id)


def check_known(state: MasterState, agent_id: AgentId) -> Problem | None:
    """Why the agent cannot be deactivated (code: the HTTP status), or None."""
    known = any(agent_id in table for table in (state.agents, state.recovered, state.unreachable))
    change = state.in_flight.get(state.changing.get(agent_id, -1))
    if not known or isinstance(change, Removing):
        return Problem("400", "Unknown agent")
    if isinstance(change, Departing):
        return Problem("409", "Agent is currently being marked gone")
    return None


def check_inactive(state: MasterState, agent_id: AgentId) -> Problem | None:
    """Why the agent cannot be reactivated (code: the HTTP status), or None."""
    if agent_id not in state.deactivated:
        return Problem("400", "Agent is not deactivated")
    drain = state.draining.get(agent_id)
    if (drain is not None and drain.state is m.DrainState.DRAINING) or any(
        isinstance(what, Draining) and what.agent_id == agent_id
        for what in state.in_flight.values()
    ):
        return Problem("400", "Agent is still in the DRAINING state")
    return None


def ask(state: MasterState, event: AgentDrainAsked, out: list[Effect]) -> None:
    """The agent is drained, or drained in another way, once the registry says that it is to be."""
    if check(state, event.agent_id) is None:
        what = Draining(event.agent_id, event.config, event.principal)
        apply_registry(state, what, DrainAgent(event.agent_id, event.config), out)


def ask_deactivation(state: MasterState, event: AgentDeactivationAsked, out: list[Effect]) -> None:
    """The agent gets no offers once the registry says so."""
    if check_known(state, event.agent_id) is None:
        what = Deactivating(event.agent_id, event.principal)
        apply_registry(state, what, DeactivateAgent(event.agent_id), out)


def ask_reactivation(state: MasterState, event: AgentReactivationAsked, out: list[Effect]) -> None:
    """The agent gets offers again once the registry says so."""
    if check_inactive(state, event.agent_id) is None:
        what = Reactivating(event.agent_id, event.principal)
        apply_registry(state, what, ReactivateAgent(event.agent_id), out)


def applied(state: MasterState, wish: Wish, now: float, out: list[Effect]) -> None:
    """The registry says what an operator wants of the agent: it happens."""
    if check_known(state, wish.agent_id) is not None:
        return  # It left, or was forgotten, meanwhile.
    agent = state.agents.get(wish.agent_id)
    match wish:
        case Draining():
            _drain(state, agent, wish, now, out)
        case Drained():
            _drained(state, agent, wish.agent_id, out)
        case Deactivating():
            state.deactivated[wish.agent_id] = None
            _deactivate(state, agent, now, out)
            _tell(out, "Agent {agent_id} is deactivated: asked for by {principal}", wish)
        case Reactivating():
            _reactivate(state, agent, wish, out)


def _tell(out: list[Effect], text: str, wish: Draining | Deactivating | Reactivating) -> None:
    notify.log(out, "info", text, agent_id=wish.agent_id, principal=wish.principal)


def _deactivate(state: MasterState, agent: Agent | None, now: float, out: list[Effect]) -> None:
    if agent is not None:
        agent.deactivated = True
        agent.version += 1
        state.allocator.deactivate_agent(agent.agent_id)
        offers.rescind_all(state, agent.offers.values(), now, out)


def _drain(
    state: MasterState, agent: Agent | None, wish: Draining, now: float, out: list[Effect]
) -> None:
    drain = m.DrainInfo(state=m.DrainState.DRAINING, config=wish.config)
    state.deactivated[wish.agent_id] = None
    state.draining[wish.agent_id] = drain
    _deactivate(state, agent, now, out)
    if agent is not None:
        agent.draining, agent.drain_began = drain, now
        if agent.link is not None:
            out.append(SendToAgent(agent.link, agentlink.Drain(config=wish.config)))
        if not agent.tasks:
            state.emptied[agent.agent_id] = now
    _tell(out, "Agent {agent_id} is being drained: asked for by {principal}", wish)


def _drained(state: MasterState, agent: Agent | None, agent_id: AgentId, out: list[Effect]) -> None:
    drain = state.draining.get(agent_id)
    newer = any(
        isinstance(what, Draining) and what.agent_id == agent_id
        for what in state.in_flight.values()
    )
    if drain is None or newer:
        return
    drain = m.DrainInfo(state=m.DrainState.DRAINED, config=drain.config)
    state.draining[agent_id] = drain
    if agent is not None:
        agent.draining = drain
        agent.version += 1
    notify.log(out, "info", "Agent {agent_id} is drained", agent_id=agent_id)


def _reactivate(
    state: MasterState, agent: Agent | None, wish: Reactivating, out: list[Effect]
) -> None:
    state.forget_wishes(wish.agent_id)
    if agent is not None:
        was_draining = agent.draining is not None
        agent.deactivated, agent.draining, agent.drain_began = False, None, None
        agent.version += 1
        if agent.link is not None and not agent.leaving:
            if was_draining and agent.drains:
                out.append(SendToAgent(agent.link, agentlink.Drain()))
            state.allocator.activate_agent(agent.agent_id)
            out.append(REQUEST_ALLOCATION)
    _tell(out, "Agent {agent_id} is in use again: asked for by {principal}", wish)


def remember(state: MasterState, agent: Agent) -> None:
    """The record of an agent that comes back says what is wanted of it."""
    agent.deactivated = agent.agent_id in state.deactivated
    agent.draining = state.draining.get(agent.agent_id)


def go_on(
    state: MasterState, agent: Agent, says_draining: bool, now: float, out: list[Effect]
) -> None:
    """An agent that is back, and in the tables, hears what is wanted of it: draining, or drained
    with whatever it brought, or no draining that it still knows of."""
    assert agent.link is not None
    if agent.deactivated:
        state.allocator.deactivate_agent(agent.agent_id)
    if agent.draining is not None:
        if not agent.drains:
            notify.log(
                out,
                "warn",
                "Agent {agent_id} is to be drained and does not know how; end its tasks, or start "
                "a newer release of it",
                agent_id=agent.agent_id,
            )
        out.append(SendToAgent(agent.link, agentlink.Drain(config=agent.draining.config)))
        if not agent.tasks:
            state.emptied[agent.agent_id] = now
    elif says_draining:
        out.append(SendToAgent(agent.link, agentlink.Drain()))


def settle(state: MasterState, out: list[Effect]) -> None:
    """Agents that are to be drained and on which nothing is left are drained, or marked gone, once
    the registry says so."""
    emptied, state.emptied = state.emptied, {}
    for agent_id, now in emptied.items():
        agent = state.agents.get(agent_id)
        drain = None if agent is None else agent.draining
        if agent is None or agent.tasks or agent.leaving:
            continue
        if drain is None or drain.state is m.DrainState.DRAINED:
            continue
        if drain.config.mark_gone:
            gone.ask(state, AgentGoneAsked(agent_id, "whoever had it drained", now), out)
        elif Drained(agent_id) not in state.in_flight.values():
            apply_registry(state, Drained(agent_id), MarkAgentDrained(agent_id), out)
