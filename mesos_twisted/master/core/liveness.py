"""Agents that go quiet, leave or are lost, and what becomes of their tasks and offers.

A ping goes out every agent_ping_timeout; max_agent_ping_timeouts of them unanswered in a row, or
agent_reregister_timeout without a link, make an agent unreachable. The registry is written first.
"""

from __future__ import annotations

from mesos_twisted.master.core import books, notify, offers, published, returning
from mesos_twisted.master.core.books import REQUEST_ALLOCATION
from mesos_twisted.master.core.effects import (
    CancelTimer,
    CloseLink,
    Effect,
    MarkUnreachable,
    RemoveAgent,
    SendToAgent,
    StartTimer,
)
from mesos_twisted.master.core.inflight import apply_registry
from mesos_twisted.master.core.state import Agent, Marking, MasterState, Removing, Task
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ConnectionId
from mesos_twisted.units import format_duration

RECOVERED_KEY = ("recovered",)
PING = agentlink.Ping()
#: Why an agent leaves the tables for good, as frameworks read it; the keys name metrics.
LEAVING = {
    "unregistered": "the agent unregistered",
    "registered": "a new agent registered at the same address",
}


def ping_key(agent_id: AgentId) -> tuple[str, ...]:
    """The timer of the next ping, or of the answer to the last."""
    return ("ping", agent_id)


def reregister_key(agent_id: AgentId) -> tuple[str, ...]:
    """The timer by which an agent without a link must be back."""
    return ("reregister", agent_id)


def mark_unreachable(
    state: MasterState, agent_id: AgentId, why: str, now: float, out: list[Effect]
) -> None:
    """The agent is to be unreachable; nothing of it is offered while the registry is written."""
    if agent_id in state.changing:
        return
    agent = state.agents.get(agent_id)
    if agent is not None:
        if agent.leaving:
            return
        agent.leaving = True
        agent.version += 1
        state.allocator.deactivate_agent(agent_id)
        out.append(CancelTimer(ping_key(agent_id)))
        out.append(CancelTimer(reregister_key(agent_id)))
    elif agent_id not in state.recovered:
        return
    out.append(notify.count("master/slave_unreachable_scheduled"))
    out.append(notify.count("master/slave_unreachable_completed"))
    notify.log(out, "warn", "Agent {agent_id} is marked unreachable", agent_id=agent_id)
    number = apply_registry(state, Marking(agent_id, now, why), MarkUnreachable(agent_id, now), out)
    state.changing[agent_id] = number


def leave(state: MasterState, agent: Agent, out: list[Effect], why: str = "unregistered") -> None:
    """The agent is removed once the registry has forgotten it; `why` is a key of LEAVING."""
    if agent.leaving:
        return
    agent.leaving = True
    agent.version += 1
    state.allocator.deactivate_agent(agent.agent_id)
    out.append(CancelTimer(ping_key(agent.agent_id)))
    out.append(CancelTimer(reregister_key(agent.agent_id)))
    out.append(notify.count("master/slave_removals"))
    out.append(notify.count("master/slave_removals/reason_" + why))
    number = apply_registry(
        state,
        Removing(agent.agent_id, f"Agent {agent.hostname} removed: {LEAVING[why]}"),
        RemoveAgent(agent.agent_id),
        out,
    )
    state.changing[agent.agent_id] = number


def remove(
    state: MasterState,
    agent: Agent,
    unreachable_at: float | None,
    message: str,
    now: float,
    out: list[Effect],
) -> None:
    """The agent is out of the tables and its offers are rescinded, all told. Its tasks are
    UNREACHABLE to partition-aware frameworks, LOST to others and when it left by itself."""
    agent_id = agent.agent_id
    state.allocator.remove_agent(agent_id)
    for task in list(agent.tasks.values()):
        _lose(state, task, unreachable_at, message, now, out)
    for executors in list(agent.executors.values()):
        for executor in list(executors.values()):
            framework = state.frameworks[executor.framework_id]
            books.remove_executor(state, framework, agent, executor, now)
    offers.rescind_all(state, agent.offers.values(), now, out)
    if agent.link is not None:
        out.append(CloseLink(agent.link))
        state.agent_of.pop(agent.link, None)
    out.append(CancelTimer(ping_key(agent_id)))
    out.append(CancelTimer(reregister_key(agent_id)))
    del state.agents[agent_id]
    if state.agent_at.get(agent.pid) == agent_id:
        del state.agent_at[agent.pid]
    published.agent_removed(state, agent_id, out)
    notify.send_agent_failure(state, agent_id, out)
    out.append(REQUEST_ALLOCATION)


def _lose(
    state: MasterState,
    task: Task,
    unreachable_at: float | None,
    message: str,
    now: float,
    out: list[Effect],
) -> None:
    framework = state.frameworks[task.framework_id]
    unreachable = unreachable_at is not None
    aware = unreachable and framework.partition_aware
    status = notify.master_status(
        task.task_id,
        task.agent_id,
        m.TaskState.TASK_UNREACHABLE if aware else m.TaskState.TASK_LOST,
        message,
        m.TaskStatusReason.REASON_AGENT_REMOVED,
        now,
        task.executor_id,
        unreachable_at,
    )
    was_terminal = task.terminal
    if not was_terminal:
        task.state = status.state
        notify.count_end(framework, status, out)
    books.note_status(state, task, status, out)
    books.remove_task(state, framework, task, now, out, unreachable and not was_terminal)
    notify.send_update(framework, status, out)


def closed(state: MasterState, link: ConnectionId, now: float, out: list[Effect]) -> None:
    """A link broke: nothing of the agent is offered; see the module's head."""
    state.joining.pop(link, None)
    agent_id = state.agent_of.pop(link, None)
    agent = None if agent_id is None else state.agents.get(agent_id)
    if agent is None:
        return
    agent.link = None
    agent.version += 1
    if not agent.leaving:
        state.allocator.deactivate_agent(agent.agent_id)
        wait = state.policy.agent_reregister_timeout_s
        out.append(StartTimer(reregister_key(agent.agent_id), wait))
    offers.rescind_all(state, agent.offers.values(), now, out)
    for framework_id in {key[0] for key in agent.tasks} | set(agent.executors):
        if not state.frameworks[framework_id].info.checkpoint:
            returning.forget_framework(state, agent, framework_id, now, out)
    notify.log(out, "warn", "Agent {agent_id} disconnected", agent_id=agent.agent_id)


def ping_due(state: MasterState, agent_id: AgentId, now: float, out: list[Effect]) -> None:
    """Time for a ping, or too late for the answer to the last one."""
    agent = state.agents.get(agent_id)
    if agent is None or agent.leaving:
        return
    if agent.pinged:
        agent.missed += 1
        if agent.missed >= state.policy.max_agent_ping_timeouts:
            mark_unreachable(state, agent_id, "health check timed out", now, out)
            return
    agent.pinged = True
    if agent.link is not None:
        out.append(SendToAgent(agent.link, PING))
    out.append(StartTimer(ping_key(agent_id), state.policy.agent_ping_timeout_s))


def ponged(agent: Agent) -> None:
    """The agent answered."""
    agent.pinged, agent.missed = False, 0


def not_back(state: MasterState, agent_id: AgentId, now: float, out: list[Effect]) -> None:
    """The time to return is over for one agent."""
    agent = state.agents.get(agent_id)
    if agent is None or not agent.connected:
        limit = format_duration(state.policy.agent_reregister_timeout_s)
        why = f"agent did not reregister within {limit} after disconnecting"
        mark_unreachable(state, agent_id, why, now, out)


def none_back(state: MasterState, now: float, out: list[Effect]) -> None:
    """The time to return after a failover is over for all agents."""
    limit = format_duration(state.policy.agent_reregister_timeout_s)
    for agent_id in list(state.recovered):
        why = f"did not reregister within {limit} after master failover"
        mark_unreachable(state, agent_id, why, now, out)
