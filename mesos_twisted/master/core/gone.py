"""Agents that never come back: marked gone by an operator, and lost ones forgotten in time.

MARK_AGENT_GONE -> MarkGone durable -> Shutdown to the agent, its tasks GONE_BY_OPERATOR (or LOST)
An agent marked gone is refused for as long as the registry remembers it. Every registry_gc_interval
agents unreachable or gone longer than registry_max_agent_age, and the oldest of more than
registry_max_agent_count, are forgotten. Source: markGone and doRegistryGc in Mesos's master.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import books, liveness, notify, removals
from mesos_twisted.master.core.changes import Departing, Pruning
from mesos_twisted.master.core.effects import Effect, MarkGone, Prune, SendToAgent
from mesos_twisted.master.core.events import AgentGoneAsked
from mesos_twisted.master.core.inflight import apply_registry
from mesos_twisted.master.core.state import MasterState
from mesos_twisted.protocol.ids import AgentId

MESSAGE = "Agent has been marked gone"


def check(state: MasterState, agent_id: AgentId) -> Problem | None:
    """Why the agent cannot be marked gone (code: the HTTP status), or None."""
    if agent_id in state.changing:
        return Problem(
            "503", f"Agent '{agent_id}' is being changed in the registry; try again in a moment."
        )
    if not any(agent_id in table for table in (state.agents, state.recovered, state.unreachable)):
        return Problem("404", f"Agent '{agent_id}' not found")
    return None


def ask(state: MasterState, event: AgentGoneAsked, out: list[Effect]) -> None:
    """The agent is gone once the registry says so; nothing of it is offered meanwhile."""
    agent_id = event.agent_id
    if agent_id in state.gone or check(state, agent_id) is not None:
        return
    removals.cancel(state, agent_id, out)
    agent = state.agents.get(agent_id)
    if agent is not None:
        liveness.suspend(state, agent, out)
    what = Departing(agent_id, event.now, event.principal)
    state.changing[agent_id] = apply_registry(state, what, MarkGone(agent_id, event.now), out)


def gone(state: MasterState, what: Departing, now: float, out: list[Effect]) -> None:
    """The registry says so: the agent is told, and so is everybody who counts on it."""
    agent_id = what.agent_id
    state.changing.pop(agent_id, None)
    state.gone[agent_id] = what.at
    notify.log(
        out,
        "warn",
        "Agent {agent_id} is marked gone: asked for by {principal}",
        agent_id=agent_id,
        principal=what.principal,
    )
    agent = state.agents.get(agent_id)
    if agent is not None:
        if agent.link is not None:
            out.append(SendToAgent(agent.link, notify.shutdown(state, MESSAGE)))
        liveness.remove(state, agent, liveness.GONE, MESSAGE, now, out)
    elif agent_id in state.recovered:
        # What it ran nobody here knows. Mesos tells nobody; a framework that hears of it can ask.
        liveness.forget_recovered(state, agent_id, out)
        notify.send_agent_failure(state, agent_id, out)
    elif state.unreachable.pop(agent_id, None) is not None:
        _end_unreachable_tasks(state, agent_id, now, out)
    state.forget_wishes(agent_id)


def _end_unreachable_tasks(
    state: MasterState, agent_id: AgentId, now: float, out: list[Effect]
) -> None:
    for framework_id, task_id in list(state.unreachable_tasks.get(agent_id, ())):
        framework = state.frameworks[framework_id]
        task = books.drop_unreachable(state, framework, task_id)
        status = liveness.lost_status(framework, task, liveness.GONE, MESSAGE, now)
        if not task.terminal:
            task.state = status.state
            notify.count_end(framework, status, out)
        books.note_status(state, task, status, out)
        books.remember(state, framework, task)
        notify.send_update(framework, status, out)


def prune(state: MasterState, now: float, out: list[Effect]) -> None:
    """Time to forget agents that were lost long ago."""
    unreachable = _stale(state, state.unreachable, now)
    lost = _stale(state, state.gone, now)
    if unreachable or lost:
        what = Pruning(unreachable, lost)
        wanted = tuple(one for one in unreachable if one in state.deactivated)
        apply_registry(state, what, Prune(unreachable, lost, wanted), out)


def _stale(state: MasterState, table: Mapping[AgentId, float], now: float) -> tuple[AgentId, ...]:
    oldest_first = sorted(table.items(), key=lambda item: (item[1], item[0]))
    surplus = len(table) - state.policy.registry_max_agent_count
    limit = now - state.policy.registry_max_agent_age_s
    return tuple(
        agent_id
        for number, (agent_id, at) in enumerate(oldest_first)
        if (number < surplus or at < limit) and agent_id not in state.changing
    )


def pruned(state: MasterState, what: Pruning, out: list[Effect]) -> None:
    """The registry has forgotten them; one that changed meanwhile is where it went."""
    for agent_id in what.unreachable:
        if agent_id in state.unreachable and agent_id not in state.changing:
            del state.unreachable[agent_id]
            state.forget_wishes(agent_id)
            for framework_id, task_id in list(state.unreachable_tasks.get(agent_id, ())):
                books.drop_unreachable(state, state.frameworks[framework_id], task_id)
    for agent_id in what.gone:
        state.gone.pop(agent_id, None)
    notify.log(
        out,
        "info",
        "Forgot {unreachable} unreachable and {gone} gone agents",
        unreachable=len(what.unreachable),
        gone=len(what.gone),
    )
