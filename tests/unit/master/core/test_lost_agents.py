"""Agents that are lost or removed slowly: the limits of removal, failovers, what is forgotten."""

from __future__ import annotations

import pytest

from mesos_twisted.master.core import effects, events
from mesos_twisted.master.core.effects import (
    ApplyRegistry,
    CancelTimer,
    Effect,
    StartTimer,
    StopMaster,
)
from mesos_twisted.master.core.state import Agent, Framework, Policy
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ConnectionId
from mesos_twisted.testing.master_world import (
    World,
    agent_info,
    events_to,
    framework_info,
    resources,
    sent_to_agents,
)

State = m.TaskState
Reason = m.TaskStatusReason
S0, S1, S2 = AgentId("M-S0"), AgentId("M-S1"), AgentId("M-S2")
SLOWLY = Policy(publish_per_framework_metrics=False, removal_interval_s=600.0)
SHUTDOWN = agentlink.Shutdown(message="Agent has been marked gone", master_id="M")
AWARE = pytest.mark.parametrize("aware", [True, False])


def stage(aware: bool = True, policy: Policy | None = None) -> tuple[World, Framework, Agent]:
    """A framework with a running task t on an agent, and an open offer."""
    world = World(policy)
    framework = world.framework(framework_info(("PARTITION_AWARE",) if aware else ()))
    agent = world.agent()
    world.running(framework, agent, "t")
    world.offers(framework)
    return world, framework, agent


def leading(*names: str, policy: Policy | None = None) -> World:
    """A new leader that expects these agents back."""
    world = World(policy)
    infos = tuple(agent_info(0, agent_id=name) for name in names)
    world.do(events.Recovered(world.now, agents=infos, registry_id="R", epoch=3))
    return world


def mark_gone(world: World, agent_id: AgentId) -> list[Effect]:
    """An operator says so."""
    return world.do(events.AgentGoneAsked(agent_id, "ops", world.now))


def kinds(made: list[Effect]) -> list[str]:
    """The types of the scheduler events, in order."""
    return [one.type.value for one in events_to(made) if one.type is not None]


def operations(made: list[Effect]) -> list[object]:
    """What the registry is asked."""
    return [one.operation for one in made if isinstance(one, ApplyRegistry)]


def silence(world: World, agent_id: AgentId) -> list[Effect]:
    """Nobody answers this agent's pings for the whole time."""
    for _ in range(5):
        world.fire("ping", agent_id)
    return world.fire("ping", agent_id)


def lost(world: World, agent_id: AgentId) -> list[Effect]:
    """The agent is unreachable."""
    silence(world, agent_id)
    return world.durable()


def report(task_id: str, framework_id: str = "M-0000", agent_id: str = "M-S0") -> m.Task:
    """A running task as an agent reports it."""
    return m.Task(
        name=task_id,
        task_id=m.TaskID(value=task_id),
        framework_id=m.FrameworkID(value=framework_id),
        agent_id=m.AgentID(value=agent_id),
        state=State.TASK_RUNNING,
        resources=resources("cpus:0.1;mem:32"),
    )


def link_of(agent: Agent) -> ConnectionId:
    """The link of a connected agent."""
    assert agent.link is not None
    return agent.link


# Gone


# The rate of removals


def test_removals_wait_for_their_turn_and_an_answer_cancels() -> None:
    """One at once, then one each interval; a pong of one that waits saves it."""
    world = World(SLOWLY)
    agents = [world.agent(number) for number in range(3)]
    assert operations(silence(world, S0)) == [effects.MarkUnreachable(S0, world.now)]
    made = silence(world, S1)
    assert operations(made) == [] and StartTimer(("removal",), 600.0) in made
    assert sent_to_agents(made) == [agentlink.Ping()] and agents[1].active
    silence(world, S2)
    assert list(world.state.removals) == [S1, S2]
    world.say(link_of(agents[1]), agentlink.Pong())
    assert world.counts()["master/slave_unreachable_canceled"] == 1
    world.durable()
    world.now += 600.0
    assert operations(world.fire("removal")) == [effects.MarkUnreachable(S2, world.now)]
    assert world.fire("removal") == []
    world.durable()
    assert list(world.state.unreachable) == [S0, S2] and list(world.state.agents) == [S1]


def test_the_last_answer_stops_the_timer() -> None:
    """Nothing is armed when nobody waits."""
    world = World(SLOWLY)
    agents = [world.agent(number) for number in range(2)]
    silence(world, S0)
    silence(world, S1)
    assert CancelTimer(("removal",)) in world.say(link_of(agents[1]), agentlink.Pong())


def test_an_agent_that_is_back_before_its_turn_stays() -> None:
    """A disconnected agent whose time is over waits for its turn as well."""
    world = World(SLOWLY)
    agents = [world.agent(number) for number in range(2)]
    silence(world, S0)
    world.do(events.AgentLinkClosed(link_of(agents[1]), world.now))
    assert operations(world.fire("reregister", S1)) == []
    assert list(world.state.removals) == [S1]
    world.reregister("M-S1", 1)
    assert not world.state.removals and agents[1].active


def test_a_waiting_agent_may_be_marked_gone() -> None:
    """What an operator says is not limited."""
    world = World(SLOWLY)
    for number in range(2):
        world.agent(number)
    silence(world, S0)
    silence(world, S1)
    assert operations(mark_gone(world, S1)) == [effects.MarkGone(S1, world.now)]
    assert not world.state.removals


# After a failover


def test_agents_missing_after_a_failover_are_removed_slowly() -> None:
    """And one that returns before its turn is welcome."""
    world = leading("a", "b", policy=SLOWLY)
    assert len(operations(world.fire("recovered"))) == 1
    world.reregister("b")
    assert not world.state.removals and list(world.state.agents) == ["b"]


def test_too_many_missing_agents_stop_the_master() -> None:
    """Half of them may be lost, more means that something else is wrong."""
    policy = Policy(recovery_removal_limit=0.5)
    world = leading("a", "b", policy=policy)
    world.reregister("a")
    assert len(operations(world.fire("recovered"))) == 1
    (made,) = leading("a", "b", policy=policy).fire("recovered")
    assert isinstance(made, StopMaster) and made.exit_code == 1
    assert made.sentence == (
        "2 of 2 agents did not return within 10mins of the failover (a, b), more than the 50% that "
        "--recovery_agent_removal_limit allows to be removed. Bring them back, or start this "
        "master with a higher limit."
    )


def test_a_link_that_broke_on_return_has_its_own_time() -> None:
    """An agent that is nearly back when the failover's time is over is not counted as missing."""
    world = leading("a", policy=Policy(recovery_removal_limit=0.5))
    world.state.unreachable[AgentId("b")] = 1.0
    link = world.connection()
    world.reregister("b", link=link)
    world.do(events.AgentLinkClosed(link, world.now))
    assert StartTimer(("reregister", "b"), 600.0) in world.durable()
    world.reregister("a")
    assert world.fire("recovered") == []
    assert operations(world.fire("reregister", "b")) == [
        effects.MarkUnreachable(AgentId("b"), world.now)
    ]


def test_agents_learn_whose_epoch_it_is() -> None:
    """New and returning ones, from each answer."""
    world = leading("old")
    (answer,) = sent_to_agents(world.reregister("old"))
    assert isinstance(answer, agentlink.Reregistered)
    assert (answer.registry_id, answer.epoch) == ("R", 3)
    said = agentlink.Register(info=agent_info(1), pid="p", version="1")
    world.say(world.connection(), said)
    (registered,) = sent_to_agents(world.durable())
    assert isinstance(registered, agentlink.Registered)
    assert (registered.registry_id, registered.epoch) == ("R", 3)


# What is forgotten


def test_agents_lost_long_ago_are_forgotten() -> None:
    """By age, each kind for itself; the registry first."""
    world, framework, _ = stage(policy=Policy(registry_max_agent_age_s=100.0))
    lost(world, S0)
    world.state.gone[AgentId("g")] = world.now
    world.now += 100.0
    world.state.gone[AgentId("h")] = world.now
    assert world.do(events.RegistryGcDue(world.now)) == []
    world.now += 1.0
    made = world.do(events.RegistryGcDue(world.now))
    assert operations(made) == [effects.Prune((S0,), (AgentId("g"),))]
    assert framework.unreachable
    world.durable()
    assert not world.state.unreachable and list(world.state.gone) == ["h"]
    assert not framework.unreachable and not world.state.unreachable_tasks


def test_the_oldest_of_too_many_lost_agents_are_forgotten() -> None:
    """Whatever the order they were read in."""
    world = World(Policy(registry_max_agent_count=1))
    times = {AgentId("new"): 3.0, AgentId("old"): 1.0, AgentId("mid"): 2.0}
    world.do(events.Recovered(world.now, unreachable=times, gone={AgentId("g"): 1.0}))
    made = world.do(events.RegistryGcDue(world.now))
    assert operations(made) == [effects.Prune((AgentId("old"), AgentId("mid")), ())]
    world.durable()
    assert list(world.state.unreachable) == ["new"] and list(world.state.gone) == ["g"]


def test_an_agent_that_returns_while_it_is_forgotten_is_here() -> None:
    """The registry does both in order, and the tables follow."""
    world = World(Policy(registry_max_agent_age_s=1.0))
    world.do(events.Recovered(world.now, unreachable={S0: 1.0}))
    world.do(events.RegistryGcDue(world.now))
    world.reregister("M-S0")
    assert world.do(events.RegistryGcDue(world.now)) == []
    world.durable()
    assert list(world.state.agents) == [S0] and not world.state.unreachable
