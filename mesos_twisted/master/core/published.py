"""Records as messages for operators, and the events that tell of their changes.

Events are made only while an operator listens (`state.operator_subscribers`).
"""

from __future__ import annotations

from mesos_twisted.master.core.effects import Effect, Publish
from mesos_twisted.master.core.state import Agent, Framework, MasterState, Task
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.convert import to_messages

Kind = m.MasterEventType
NO_CONSTRAINTS = m.SchedulerOfferConstraints()


def resource_messages(resources: Resources) -> tuple[m.Resource, ...]:
    """Resources as operators see them: both reservation formats."""
    return to_messages(resources, refined=True, both=True)


def time_info(seconds: float) -> m.TimeInfo:
    """Seconds since the epoch as the protocol writes them."""
    return m.TimeInfo(nanoseconds=int(seconds * 1_000_000_000))


def task_message(task: Task) -> m.Task:
    """The task as it is now."""
    fixed = task.fixed()
    return m.Task(
        name=fixed.name,
        task_id=fixed.task_id,
        framework_id=fixed.framework_id,
        executor_id=fixed.executor_id,
        agent_id=fixed.agent_id,
        state=task.state,
        resources=to_messages(task.resources, refined=True),
        statuses=task.statuses,
        status_update_state=task.forwarded,
        status_update_uuid=task.forwarded_uuid,
        labels=fixed.labels,
        discovery=fixed.discovery,
        container=fixed.container,
        health_check=fixed.health_check,
        kill_policy=fixed.kill_policy,
        user=fixed.user,
        limits=fixed.limits,
    )


def framework_message(framework: Framework) -> m.MasterResponseGetFrameworksFramework:
    """The framework as it is now, without its tasks."""
    return m.MasterResponseGetFrameworksFramework(
        framework_info=framework.info,
        active=framework.active,
        connected=framework.connected,
        recovered=framework.recovered,
        registered_time=time_info(framework.registered_at),
        reregistered_time=time_info(framework.reregistered_at or framework.registered_at),
        unregistered_time=(
            None if framework.unregistered_at is None else time_info(framework.unregistered_at)
        ),
        allocated_resources=resource_messages(framework.total_used()),
        offered_resources=resource_messages(framework.offered()),
        offer_constraints=framework.offer_constraints or NO_CONSTRAINTS,
    )


def agent_used(state: MasterState, agent: Agent) -> Resources:
    """What tasks and executors hold on the agent."""
    total = NOTHING
    for resources in state.allocator.books(agent.agent_id).allocated.values():
        total = total.add(resources)
    return total


def agent_message(state: MasterState, agent: Agent) -> m.MasterResponseGetAgentsAgent:
    """The agent as it is now."""
    capabilities = []
    for name in agent.capabilities:
        try:
            kind = m.AgentInfoCapabilityType(name)
        except ValueError:
            continue  # A newer agent may have capabilities that nobody here knows.
        capabilities.append(m.AgentInfoCapability(type=kind))
    return m.MasterResponseGetAgentsAgent(
        agent_info=agent.info,
        active=agent.active,
        deactivated=agent.deactivated,
        version=agent.agent_version,
        pid=agent.pid,
        registered_time=time_info(agent.registered_at),
        reregistered_time=(
            None if agent.reregistered_at is None else time_info(agent.reregistered_at)
        ),
        total_resources=resource_messages(agent.total),
        allocated_resources=resource_messages(agent_used(state, agent)),
        offered_resources=resource_messages(agent.offered()),
        capabilities=tuple(capabilities),
        drain_info=agent.draining,
        estimated_drain_start_time=(
            None if agent.drain_began is None else time_info(int(agent.drain_began))
        ),
    )


def task_added(state: MasterState, task: Task, out: list[Effect]) -> None:
    """Tell operators of a new task."""
    if state.operator_subscribers > 0:
        added = m.MasterEventTaskAdded(task=task_message(task))
        out.append(Publish(m.MasterEvent(type=Kind.TASK_ADDED, task_added=added)))


def task_updated(state: MasterState, task: Task, status: m.TaskStatus, out: list[Effect]) -> None:
    """Tell operators of a task's new state (or health)."""
    if state.operator_subscribers > 0:
        updated = m.MasterEventTaskUpdated(
            framework_id=m.FrameworkID(value=task.framework_id), status=status, state=task.state
        )
        out.append(Publish(m.MasterEvent(type=Kind.TASK_UPDATED, task_updated=updated)))


def agent_added(state: MasterState, agent: Agent, out: list[Effect]) -> None:
    """Tell operators of an agent that registered or came back."""
    if state.operator_subscribers > 0:
        added = m.MasterEventAgentAdded(agent=agent_message(state, agent))
        out.append(Publish(m.MasterEvent(type=Kind.AGENT_ADDED, agent_added=added)))


def agent_removed(state: MasterState, agent_id: AgentId, out: list[Effect]) -> None:
    """Tell operators of an agent that is no longer registered."""
    if state.operator_subscribers > 0:
        removed = m.MasterEventAgentRemoved(agent_id=m.AgentID(value=agent_id))
        out.append(Publish(m.MasterEvent(type=Kind.AGENT_REMOVED, agent_removed=removed)))


def framework_added(state: MasterState, framework: Framework, out: list[Effect]) -> None:
    """Tell operators of a new framework."""
    if state.operator_subscribers > 0:
        added = m.MasterEventFrameworkAdded(framework=framework_message(framework))
        out.append(Publish(m.MasterEvent(type=Kind.FRAMEWORK_ADDED, framework_added=added)))


def framework_updated(state: MasterState, framework: Framework, out: list[Effect]) -> None:
    """Tell operators that a framework subscribed again, was updated or lost its stream."""
    if state.operator_subscribers > 0:
        updated = m.MasterEventFrameworkUpdated(framework=framework_message(framework))
        out.append(Publish(m.MasterEvent(type=Kind.FRAMEWORK_UPDATED, framework_updated=updated)))


def framework_removed(state: MasterState, framework: Framework, out: list[Effect]) -> None:
    """Tell operators that a framework is over."""
    if state.operator_subscribers > 0:
        removed = m.MasterEventFrameworkRemoved(framework_info=framework.info)
        out.append(Publish(m.MasterEvent(type=Kind.FRAMEWORK_REMOVED, framework_removed=removed)))
