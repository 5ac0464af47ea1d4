"""Agents that an operator marks gone: refused for ever, their tasks gone with them."""

from __future__ import annotations

from mesos_twisted.master.core import effects, events
from mesos_twisted.master.core.effects import CloseLink
from mesos_twisted.master.core.gone import check
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.testing.master_world import World, sent_to_agents, updates_in
from tests.unit.master.core.test_lost_agents import (
    AWARE,
    S0,
    SHUTDOWN,
    Reason,
    State,
    kinds,
    leading,
    link_of,
    lost,
    mark_gone,
    operations,
    report,
    silence,
    stage,
)


@AWARE
def test_a_registered_agent_is_marked_gone(aware: bool) -> None:
    """Registry first; then Shutdown, the tasks' end, RESCIND, FAILURE, and never again."""
    world, framework, agent = stage(aware)
    made = mark_gone(world, S0)
    assert operations(made) == [effects.MarkGone(S0, world.now)]
    assert kinds(made) == [] and not agent.active and world.offers(framework) != []
    made = world.durable()
    assert sent_to_agents(made) == [SHUTDOWN]
    assert kinds(made) == ["UPDATE", "RESCIND", "FAILURE"]
    (status,) = updates_in(made)
    assert status.message == "Agent has been marked gone"
    assert status.source is m.TaskStatusSource.SOURCE_MASTER
    assert (status.uuid, status.unreachable_time) == (None, None)
    assert (status.state, status.reason) == (
        (State.TASK_GONE_BY_OPERATOR, Reason.REASON_AGENT_REMOVED_BY_OPERATOR)
        if aware
        else (State.TASK_LOST, Reason.REASON_AGENT_REMOVED)
    )
    assert not framework.tasks and not framework.unreachable
    assert [one.state for one in framework.completed] == [status.state]
    assert world.state.gone == {"M-S0": world.now} and not world.state.agents
    made = world.reregister("M-S0", frameworks=(framework.info,), tasks=(report("t"),))
    assert sent_to_agents(made) == [SHUTDOWN]
    assert isinstance(made[-1], CloseLink) and not world.state.agents


@AWARE
def test_an_unreachable_agent_is_marked_gone(aware: bool) -> None:
    """Its tasks end; there is no second FAILURE."""
    world, framework, _ = stage(aware)
    lost(world, S0)
    mark_gone(world, S0)
    assert list(world.state.unreachable) == ["M-S0"]
    made = world.durable()
    assert kinds(made) == ["UPDATE"]
    (status,) = updates_in(made)
    assert status.unreachable_time is None
    assert (status.state, status.reason) == (
        (State.TASK_GONE_BY_OPERATOR, Reason.REASON_AGENT_REMOVED_BY_OPERATOR)
        if aware
        else (State.TASK_LOST, Reason.REASON_AGENT_REMOVED)
    )
    assert not framework.unreachable and not world.state.unreachable_tasks
    assert [one.state for one in framework.completed] == [
        State.TASK_GONE_BY_OPERATOR if aware else State.TASK_LOST
    ]
    assert not world.state.unreachable and list(world.state.gone) == ["M-S0"]


def test_a_recovered_agent_is_marked_gone() -> None:
    """Nobody knows what it ran; frameworks hear that it is lost, and may ask."""
    world = leading("M-S0")
    framework = world.framework()
    mark_gone(world, S0)
    assert kinds(world.durable()) == ["FAILURE"]
    assert not world.state.recovered and list(world.state.gone) == ["M-S0"]
    world.fire("recovered")
    assert list(world.state.unreachable) == []
    task = m.SchedulerCallReconcileTask(
        task_id=m.TaskID(value="t"), agent_id=m.AgentID(value="M-S0")
    )
    body = m.SchedulerCallReconcile(tasks=(task,))
    (status,) = updates_in(world.call(framework, "RECONCILE", reconcile=body))
    assert status.state is State.TASK_GONE_BY_OPERATOR


def test_an_agent_gone_before_a_failover_is_refused_after_it() -> None:
    """The registry remembers."""
    world = World()
    world.do(events.Recovered(world.now, gone={S0: 1.0}))
    (shutdown,) = sent_to_agents(world.reregister("M-S0"))
    assert isinstance(shutdown, agentlink.Shutdown)


def test_a_disconnected_agent_is_marked_gone() -> None:
    """Nobody is there to be told; it hears of it when it returns."""
    world, _, agent = stage()
    world.do(events.AgentLinkClosed(link_of(agent), world.now))
    mark_gone(world, S0)
    made = world.durable()
    assert sent_to_agents(made) == [] and kinds(made) == ["UPDATE", "FAILURE"]
    assert isinstance(sent_to_agents(world.reregister("M-S0"))[0], agentlink.Shutdown)


def test_what_cannot_be_marked_gone() -> None:
    """An unknown agent is not found; one that is being changed can be marked a moment later."""
    world, _, _ = stage()
    problem = check(world.state, AgentId("nobody"))
    assert problem is not None and problem.code == "404"
    assert check(world.state, S0) is None
    silence(world, S0)
    problem = check(world.state, S0)
    assert problem is not None and problem.code == "503"
    assert mark_gone(world, S0) == []
    world.durable()
    mark_gone(world, S0)
    assert mark_gone(world, S0) == [] and world.reregister("M-S0") == []
    world.durable()
    assert mark_gone(world, S0) == []


def test_a_terminal_task_of_a_gone_agent_keeps_its_state() -> None:
    """Its end was known; the framework hears that the agent's word will not come."""
    world, framework, agent = stage()
    world.status(framework, agent, "t", "TASK_FINISHED")
    mark_gone(world, S0)
    assert updates_in(world.durable())[0].state is State.TASK_GONE_BY_OPERATOR
    assert [one.state for one in framework.completed] == [State.TASK_FINISHED]
