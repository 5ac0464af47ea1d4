"""Agents that go quiet, leave or are lost, and what becomes of their tasks and offers.

A ping goes out every agent_ping_timeout; max_agent_ping_timeouts of them unanswered in a row, or
agent_reregister_timeout without a link, make an agent unreachable, as fast as `removals` allows.
The registry is written first.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesos_twisted.master.core import books, notify, offers, published, removals, returning
from mesos_twisted.master.core.books import REQUEST_ALLOCATION
from mesos_twisted.master.core.changes import Marking, Removing
from mesos_twisted.master.core.effects import (
    CancelTimer,
    CloseLink,
    Effect,
    MarkUnreachable,
    RemoveAgent,
    SendToAgent,
    StartTimer,
    StopMaster,
)
from mesos_twisted.master.core.inflight import apply_registry
from mesos_twisted.master.core.state import Agent, Framework, MasterState, Task
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ConnectionId
from mesos_twisted.units import format_duration

RECOVERED_KEY = ("recovered",)
PING = agentlink.Ping()
#: Agents named in a sentence about many.
SHOWN = 5
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


@dataclass(frozen=True, slots=True)
class Loss:
    """How an agent is lost: it `left` by itself, is `gone` by an operator's word, or neither and
    unreachable since `at`, epoch seconds."""

    at: float | None = None
    gone: bool = False

    @property
    def unreachable(self) -> bool:
        """May it come back with its tasks?"""
        return self.at is not None


LEFT = Loss()
GONE = Loss(gone=True)


def removable(state: MasterState, agent_id: AgentId) -> bool:
    """May the agent be marked unreachable now: here or awaited, and not on its way out?"""
    if agent_id in state.changing:
        return False
    agent = state.agents.get(agent_id)
    return agent_id in state.recovered if agent is None else not agent.leaving


def suspend(state: MasterState, agent: Agent, out: list[Effect]) -> None:
    """The agent is on its way out: nothing of it is offered while the registry is written."""
    agent.leaving = True
    agent.version += 1
    state.allocator.deactivate_agent(agent.agent_id)
    out.append(CancelTimer(ping_key(agent.agent_id)))
    out.append(CancelTimer(reregister_key(agent.agent_id)))


def mark_unreachable(
    state: MasterState, agent_id: AgentId, why: str, now: float, out: list[Effect]
) -> None:
    """The agent is unreachable once the registry says so."""
    if not removable(state, agent_id):
        return
    agent = state.agents.get(agent_id)
    if agent is not None:
        suspend(state, agent, out)
    number = apply_registry(state, Marking(agent_id, now, why), MarkUnreachable(agent_id, now), out)
    state.changing[agent_id] = number


def leave(state: MasterState, agent: Agent, out: list[Effect], why: str = "unregistered") -> None:
    """The agent is removed once the registry has forgotten it; `why` is a key of LEAVING."""
    if agent.leaving:
        return
    removals.cancel(state, agent.agent_id, out)
    suspend(state, agent, out)
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
    loss: Loss,
    message: str,
    now: float,
    out: list[Effect],
) -> None:
    """The agent is out of the tables and its offers are rescinded, all told. Its tasks are
    UNREACHABLE or GONE_BY_OPERATOR to partition-aware frameworks, LOST to others and when it left
    by itself."""
    agent_id = agent.agent_id
    state.allocator.remove_agent(agent_id)
    for task in list(agent.tasks.values()):
        _lose(state, task, loss, message, now, out)
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
    for framework in state.frameworks.values():
        framework.known_on.pop(agent_id, None)
    del state.agents[agent_id]
    if not loss.unreachable:
        state.forget_wishes(agent_id)
    if state.agent_at.get(agent.pid) == agent_id:
        del state.agent_at[agent.pid]
    published.agent_removed(state, agent_id, out)
    notify.send_agent_failure(state, agent_id, out)
    out.append(REQUEST_ALLOCATION)


def _lose(
    state: MasterState, task: Task, loss: Loss, message: str, now: float, out: list[Effect]
) -> None:
    framework = state.frameworks[task.framework_id]
    status = lost_status(framework, task, loss, message, now)
    was_terminal = task.terminal
    if not was_terminal:
        task.state = status.state
        notify.count_end(framework, status, out)
    books.note_status(state, task, status, out)
    books.remove_task(state, framework, task, now, out, loss.unreachable and not was_terminal)
    notify.send_update(framework, status, out)


def lost_status(
    framework: Framework, task: Task, loss: Loss, message: str, now: float
) -> m.TaskStatus:
    """What the framework is told of a task whose agent is lost."""
    found, reason = m.TaskState.TASK_LOST, m.TaskStatusReason.REASON_AGENT_REMOVED
    if framework.partition_aware and loss.gone:
        found = m.TaskState.TASK_GONE_BY_OPERATOR
        reason = m.TaskStatusReason.REASON_AGENT_REMOVED_BY_OPERATOR
    elif framework.partition_aware and loss.unreachable:
        found = m.TaskState.TASK_UNREACHABLE
    return notify.master_status(
        task.task_id, task.agent_id, found, message, reason, now, task.executor_id, loss.at
    )


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


def forget_recovered(state: MasterState, agent_id: AgentId, out: list[Effect]) -> None:
    """The agent is not awaited any more."""
    del state.recovered[agent_id]
    removals.cancel(state, agent_id, out)
    if agent_id in state.alone:
        del state.alone[agent_id]
        out.append(CancelTimer(reregister_key(agent_id)))


def ping_due(state: MasterState, agent_id: AgentId, now: float, out: list[Effect]) -> None:
    """Time for a ping, or too late for the answer to the last one."""
    agent = state.agents.get(agent_id)
    if agent is None or agent.leaving:
        return
    if agent.pinged:
        agent.missed += 1
        if agent.missed >= state.policy.max_agent_ping_timeouts:
            removals.schedule(state, agent_id, "health check timed out", now, out)
            if agent_id in state.changing:
                return
            # Its turn has not come: an answer to another ping may still save it.
    agent.pinged = True
    if agent.link is not None:
        out.append(SendToAgent(agent.link, PING))
    out.append(StartTimer(ping_key(agent_id), state.policy.agent_ping_timeout_s))


def ponged(state: MasterState, agent: Agent, out: list[Effect]) -> None:
    """The agent answered."""
    agent.pinged, agent.missed = False, 0
    removals.cancel(state, agent.agent_id, out)


def not_back(state: MasterState, agent_id: AgentId, now: float, out: list[Effect]) -> None:
    """The time to return is over for one agent."""
    agent = state.agents.get(agent_id)
    if agent is None or not agent.connected:
        limit = format_duration(state.policy.agent_reregister_timeout_s)
        why = f"agent did not reregister within {limit} after disconnecting"
        removals.schedule(state, agent_id, why, now, out)


def none_back(state: MasterState, now: float, out: list[Effect]) -> None:
    """The time to return after a failover is over for all agents that the registry knew. When more
    of them are missing than the operator allows, something else is wrong: the master stops."""
    limit = format_duration(state.policy.agent_reregister_timeout_s)
    missing = [agent_id for agent_id in state.recovered if agent_id not in state.alone]
    allowed = state.policy.recovery_removal_limit
    if state.admitted_before and len(missing) / state.admitted_before > allowed:
        some = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
        out.append(
            StopMaster(
                1,
                f"{len(missing)} of {state.admitted_before} agents did not return within {limit} "
                f"of the failover ({some}), more than the {allowed * 100:g}% that "
                "--recovery_agent_removal_limit allows to be removed. Bring them back, or start "
                "this master with a higher limit.",
            )
        )
        return
    why = f"did not reregister within {limit} after master failover"
    for agent_id in missing:
        removals.schedule(state, agent_id, why, now, out)
