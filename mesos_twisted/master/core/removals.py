"""When an agent that is lost may be marked unreachable: at once, or when the rate allows.

`--agent_removal_rate_limit` spaces the removals of agents that fail their pings or do not return;
an agent that shows up again before its turn is not removed. Source: SlaveObserver in Mesos's
master.cpp. Unlike there, one that leaves the queue leaves its place to the next.
"""

from __future__ import annotations

from mesos_twisted.master.core import liveness, notify
from mesos_twisted.master.core.effects import CancelTimer, Effect, StartTimer
from mesos_twisted.master.core.state import MasterState
from mesos_twisted.protocol.ids import AgentId

#: The timer of the next removal that the rate allows.
KEY = ("removal",)


def schedule(
    state: MasterState, agent_id: AgentId, why: str, now: float, out: list[Effect]
) -> None:
    """The agent, registered or recovered, is to be unreachable; asking again changes nothing."""
    if agent_id in state.removals or not liveness.removable(state, agent_id):
        return
    out.append(notify.count("master/slave_unreachable_scheduled"))
    interval_s = state.policy.removal_interval_s
    if not state.removals and now >= state.next_removal_at:
        state.next_removal_at = now + interval_s
        _mark(state, agent_id, why, now, out)
        return
    if not state.removals:
        out.append(StartTimer(KEY, state.next_removal_at - now))
    state.removals[agent_id] = why
    notify.log(
        out,
        "warn",
        "Agent {agent_id} is to be marked unreachable once the rate limit allows: {why}",
        agent_id=agent_id,
        why=why,
    )


def cancel(state: MasterState, agent_id: AgentId, out: list[Effect]) -> None:
    """The agent showed up, or is removed another way: no removal waits for its turn."""
    if state.removals.pop(agent_id, None) is None:
        return
    out.append(notify.count("master/slave_unreachable_canceled"))
    notify.log(out, "info", "Agent {agent_id} is not removed: it is back", agent_id=agent_id)
    if not state.removals:
        out.append(CancelTimer(KEY))


def due(state: MasterState, now: float, out: list[Effect]) -> None:
    """The rate allows one more."""
    if not state.removals:
        return
    agent_id = next(iter(state.removals))
    why = state.removals.pop(agent_id)
    state.next_removal_at = now + state.policy.removal_interval_s
    if state.removals:
        out.append(StartTimer(KEY, state.policy.removal_interval_s))
    _mark(state, agent_id, why, now, out)


def _mark(state: MasterState, agent_id: AgentId, why: str, now: float, out: list[Effect]) -> None:
    out.append(notify.count("master/slave_unreachable_completed"))
    liveness.mark_unreachable(state, agent_id, why, now, out)
