"""Agents that are drained, deactivated and in use again, as operators ask for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesos_twisted.master.core import effects, events
from mesos_twisted.master.core.drain import check, check_inactive, check_known
from mesos_twisted.master.core.effects import Effect
from mesos_twisted.master.core.state import Agent, Framework
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.testing.master_world import (
    World,
    agent_info,
    events_to,
    framework_info,
    sent_to_agents,
    updates_in,
    uuid_of,
)
from tests.unit.master.core.test_lost_agents import (
    S0,
    SHUTDOWN,
    kinds,
    link_of,
    lost,
    operations,
    report,
)

CONFIG = m.DrainConfig(max_grace_period=m.DurationInfo(nanoseconds=7))
DRAINING, DRAINED = m.DrainState.DRAINING, m.DrainState.DRAINED
INFO = framework_info(framework_id="F")


def stage(*tasks: str) -> tuple[World, Framework, Agent]:
    """A framework with these tasks on an agent that knows how to be drained."""
    world = World()
    framework = world.framework()
    world.agent()
    agent = world.state.agents[S0]
    if tasks:
        world.running(framework, agent, *tasks)
    return world, framework, agent


def drain(world: World, config: m.DrainConfig = CONFIG) -> list[Effect]:
    """An operator's wish, not durable yet."""
    return world.do(events.AgentDrainAsked(S0, config, "op", world.now))


def drained(world: World, config: m.DrainConfig = CONFIG) -> list[Effect]:
    """The same, durable, with all that follows at once."""
    drain(world, config)
    return world.durable()


def deactivated(world: World) -> list[Effect]:
    """DEACTIVATE_AGENT, durable."""
    world.do(events.AgentDeactivationAsked(S0, "op", world.now))
    return world.durable()


def reactivated(world: World) -> list[Effect]:
    """REACTIVATE_AGENT, durable."""
    world.do(events.AgentReactivationAsked(S0, "op", world.now))
    return world.durable()


def back(world: World, *tasks: str, **more: object) -> list[Effect]:
    """The agent returns, with these tasks of the framework F; what the registry must say, says."""
    given: dict[str, object] = {"frameworks": (INFO,), "tasks": tuple(map(report, tasks))}
    made = world.reregister("M-S0", **{**given, "drains": True, **more})  # type: ignore[arg-type]
    return made + world.durable()


def drains_in(made: list[Effect]) -> list[m.DrainConfig | None]:
    """What agents were told of draining."""
    return [one.config for one in sent_to_agents(made) if isinstance(one, agentlink.Drain)]


def after_failover(state: m.DrainState, config: m.DrainConfig = CONFIG) -> World:
    """A leader that found the agent being drained, or drained, in its registry."""
    world = World()
    info = m.DrainInfo(state=state, config=config)
    world.do(
        events.Recovered(
            world.now,
            (agent_info(0, agent_id="M-S0"),),
            deactivated=frozenset((S0,)),
            draining={S0: info},
        )
    )
    return world


def ends(world: World, framework: Framework, agent: Agent, task_id: str) -> list[Effect]:
    """The task was killed, and its framework knows."""
    world.status(framework, agent, task_id, "TASK_KILLED")
    return world.ack(framework, agent.agent_id, task_id, uuid_of(task_id, "TASK_KILLED"))


def test_a_drained_agent_gets_no_offers_and_is_told() -> None:
    """Registry first; then its offers are rescinded, it is told, and no other is made."""
    world, framework, agent = stage("t")
    assert world.offers(framework) != []
    made = drain(world)
    assert operations(made) == [effects.DrainAgent(S0, CONFIG)]
    assert len(made) == 1 and agent.active
    made = world.durable()
    assert kinds(made) == ["RESCIND"] and drains_in(made) == [CONFIG]
    assert not agent.active and agent.deactivated and world.offers(framework) == []
    assert world.state.draining[S0].state is DRAINING and agent.drain_began == world.now


def test_it_is_drained_when_the_last_end_is_acknowledged() -> None:
    """Not when the task has ended: its framework may not know yet."""
    world, framework, agent = stage("t", "u")
    drained(world)
    assert operations(ends(world, framework, agent, "t")) == []
    assert operations(world.status(framework, agent, "u", "TASK_KILLED")) == []
    made = world.ack(framework, S0, "u", uuid_of("u", "TASK_KILLED"))
    assert operations(made) == [effects.MarkAgentDrained(S0)]
    assert world.state.draining[S0].state is DRAINING
    world.durable()
    assert world.state.draining[S0].state is DRAINED
    assert agent.draining is not None and agent.draining.config == CONFIG
    assert not agent.active and world.offers(framework) == []


def test_an_empty_agent_is_drained_at_once() -> None:
    """Nothing needs to end."""
    world, _, agent = stage()
    drain(world)
    made = world.durable()
    assert operations(made) == [effects.MarkAgentDrained(S0)]
    world.durable()
    assert agent.draining is not None and agent.draining.state is DRAINED


def test_it_is_drained_when_the_last_framework_is_torn_down() -> None:
    """Its tasks end with it, whether or not anybody acknowledges that."""
    world, framework, _ = stage("t")
    drained(world)
    made = world.do(events.TeardownAsked(framework.framework_id, world.now))
    assert operations(made) == [effects.MarkAgentDrained(S0)]


def test_what_is_drained_to_be_gone_is_marked_gone() -> None:
    """With the last acknowledgement on its way to the agent, it is told to end."""
    world, framework, agent = stage("t")
    drained(world, m.DrainConfig(mark_gone=True))
    world.status(framework, agent, "t", "TASK_GONE_BY_OPERATOR")
    assert framework.tasks[next(iter(framework.tasks))].terminal
    made = world.ack(framework, S0, "t", uuid_of("t", "TASK_GONE_BY_OPERATOR"))
    assert isinstance(sent_to_agents(made)[0], agentlink.Acknowledge)
    assert operations(made) == [effects.MarkGone(S0, world.now)]
    made = world.durable()
    assert sent_to_agents(made) == [SHUTDOWN] and updates_in(made) == []
    assert list(world.state.gone) == [S0]
    assert not world.state.draining and not world.state.deactivated


def test_draining_again_replaces_how() -> None:
    """While it is under way, and when it is done."""
    world, framework, agent = stage("t")
    drained(world)
    sooner = m.DrainConfig(max_grace_period=m.DurationInfo(nanoseconds=1))
    assert drains_in(drained(world, sooner)) == [sooner]
    assert world.state.draining[S0] == m.DrainInfo(state=DRAINING, config=sooner)
    ends(world, framework, agent, "t")
    drain(world)  # asked for before the registry says that the agent is drained
    world.durable()
    world.durable()
    assert world.state.draining[S0] == m.DrainInfo(state=DRAINED, config=CONFIG)


def test_who_cannot_be_drained() -> None:
    """Agents nobody knows, or that do not know how, or that are on their way out."""
    world, _, agent = stage()
    unknown = check(world.state, AgentId("x"))
    assert unknown is not None and (unknown.code, unknown.sentence) == ("400", "Unknown agent")
    agent.drains = False
    problem = check(world.state, S0)
    assert problem is not None
    assert (problem.code, problem.sentence) == ("400", "Agent M-S0 is not capable of draining")
    assert drain(world) == []
    agent.drains, agent.capabilities = True, ()
    assert check(world.state, S0) == problem and check_known(world.state, S0) is None
    agent.capabilities = ("AGENT_DRAINING",)
    world.do(events.AgentGoneAsked(S0, "op", world.now))
    problem = check(world.state, S0)
    assert problem is not None
    assert (problem.code, problem.sentence) == ("409", "Agent is currently being marked gone")
    assert drain(world) == []
    world.durable()
    assert check(world.state, S0) == unknown


def test_an_agent_marked_gone_while_its_drain_is_written_is_gone() -> None:
    """What is asked for last holds."""
    world, _, _ = stage("t")
    drain(world)
    world.do(events.AgentGoneAsked(S0, "op", world.now))
    world.durable()
    assert list(world.state.gone) == [S0] and not world.state.draining


def test_a_deactivated_agent_keeps_its_tasks() -> None:
    """Offers are rescinded and none is made; the agent hears nothing."""
    world, framework, agent = stage("t")
    assert world.offers(framework) != []
    made = deactivated(world)
    assert kinds(made) == ["RESCIND"] and sent_to_agents(made) == []
    assert not agent.active and world.offers(framework) == []
    assert list(framework.tasks) == ["t"]
    back_again = world.reregister("M-S0", frameworks=(framework.info,), tasks=(report("t"),))
    assert drains_in(back_again) == [] and world.offers(framework) == []
    reactivated(world)
    assert agent.active and world.offers(framework) != []


def test_a_drained_agent_is_in_use_again() -> None:
    """It gets offers; and it hears so, as it may still have an executor and think otherwise."""
    world, framework, agent = stage()
    drained(world)
    world.durable()
    made = reactivated(world)
    assert drains_in(made) == [None]
    assert agent.active and world.offers(framework) != []
    assert agent.draining is None and agent.drain_began is None


@pytest.mark.parametrize("durable", [False, True])
def test_an_agent_that_is_being_drained_cannot_be_reactivated(durable: bool) -> None:
    """Its tasks are being killed, from the moment that somebody asked for it."""
    world, _, _ = stage("t")
    problem = check_inactive(world.state, S0)
    assert problem is not None and problem.sentence == "Agent is not deactivated"
    deactivated(world)
    assert check_inactive(world.state, S0) is None
    drain(world)
    if durable:
        world.durable()
    problem = check_inactive(world.state, S0)
    assert problem is not None and problem.sentence == "Agent is still in the DRAINING state"
    assert world.do(events.AgentReactivationAsked(S0, "op", world.now)) == []


@pytest.mark.parametrize("wish", [drained, deactivated])
def test_a_disconnected_agent_is_reactivated_when_it_is_back(
    wish: Callable[[World], list[Effect]],
) -> None:
    """Nobody is there to be told, and nothing breaks; one that still drains hears of it then."""
    world, framework, agent = stage()
    wish(world)
    world.durable()
    world.do(events.AgentLinkClosed(link_of(agent), world.now))
    assert sent_to_agents(reactivated(world)) == []
    assert not agent.deactivated and not agent.active and world.offers(framework) == []
    made = world.reregister("M-S0", drains=True, draining=wish is drained)
    assert drains_in(made) == ([None] if wish is drained else [])
    assert agent.active and world.offers(framework) != []


def test_an_agent_drained_while_disconnected_is_told_when_it_is_back() -> None:
    """With how, and it stays without offers."""
    world, framework, agent = stage("t")
    world.do(events.AgentLinkClosed(link_of(agent), world.now))
    assert drains_in(drained(world)) == []
    made = world.reregister("M-S0", frameworks=(framework.info,), tasks=(report("t"),), drains=True)
    assert drains_in(made) == [CONFIG] and not agent.active and world.offers(framework) == []


@pytest.mark.parametrize("before", [True, False])
def test_an_unreachable_agent_that_returns_is_drained(before: bool) -> None:
    """Whether it was lost before it was asked for, or after."""
    world, framework, _ = stage("t")
    if before:
        drained(world)
    lost(world, S0)
    if not before:
        drained(world)
    assert world.state.draining[S0].state is DRAINING
    made = world.reregister("M-S0", frameworks=(framework.info,), tasks=(report("t"),), drains=True)
    made += world.durable()
    agent = world.state.agents[S0]
    assert drains_in(made) == [CONFIG] and agent.deactivated and not agent.active
    assert world.offers(framework) == []
    assert operations(ends(world, framework, agent, "t")) == [effects.MarkAgentDrained(S0)]


def test_an_unreachable_agent_that_is_deactivated_returns_so() -> None:
    """And one that is reactivated meanwhile returns to be used."""
    world, framework, _ = stage()
    lost(world, S0)
    deactivated(world)
    back(world)
    assert world.offers(framework) == []
    lost(world, S0)
    reactivated(world)
    back(world)
    assert world.offers(framework) != []


def test_an_agent_that_still_drains_and_need_not_is_told() -> None:
    """It was reactivated while it was away."""
    world, _, agent = stage("t")
    assert drains_in(back(world, "t", draining=True)) == [None]
    assert agent.active


def test_a_new_leader_goes_on_draining() -> None:
    """From the registry: the agent is told when it is back, and drained when its tasks are over."""
    world = after_failover(DRAINING)
    world.subscribe(INFO)
    framework = next(iter(world.state.frameworks.values()))
    made = world.reregister("M-S0", frameworks=(framework.info,), tasks=(report("t"),), drains=True)
    agent = world.state.agents[S0]
    assert drains_in(made) == [CONFIG] and agent.draining == world.state.draining[S0]
    assert agent.drain_began is None and not agent.active and world.offers(framework) == []


@pytest.mark.parametrize("config", [CONFIG, m.DrainConfig(mark_gone=True)])
def test_a_new_leader_ends_what_was_drained_before(config: m.DrainConfig) -> None:
    """An agent that comes back empty is drained, or gone."""
    world = after_failover(DRAINING, config)
    made = world.reregister("M-S0", drains=True)
    wanted = effects.MarkGone(S0, world.now) if config.mark_gone else effects.MarkAgentDrained(S0)
    assert operations(made) == [wanted]


def test_a_drained_agent_that_comes_back_with_tasks_is_told() -> None:
    """Whoever started them, they end; it stays drained."""
    world = after_failover(DRAINED)
    assert drains_in(back(world, "t")) == [CONFIG]
    assert operations(world.last) == [] and world.state.draining[S0].state is DRAINED


def test_an_agent_recovered_and_drained_is_told_when_it_is_back() -> None:
    """It had not returned from the failover when it was asked for."""
    world = World()
    world.do(events.Recovered(world.now, (agent_info(0, agent_id="M-S0"),)))
    drained(world)
    assert list(world.state.recovered) == [S0]
    assert drains_in(back(world, "t")) == [CONFIG]


def test_an_agent_that_leaves_is_forgotten_with_what_was_wanted() -> None:
    """Its id will not be used again."""
    world, _, agent = stage("t")
    drained(world)
    world.say(link_of(agent), agentlink.Unregister())
    world.durable()
    assert not world.state.draining and not world.state.deactivated


def test_pruned_agents_are_forgotten_with_what_was_wanted() -> None:
    """The registry is told to forget both."""
    world, _, _ = stage("t")
    drained(world)
    lost(world, S0)
    world.now += 30 * 86400.0
    made = world.do(events.RegistryGcDue(world.now))
    assert operations(made) == [effects.Prune((S0,), (), (S0,))]
    world.durable()
    assert not world.state.draining and not world.state.deactivated


def test_an_older_agent_that_returns_to_be_drained_is_asked_all_the_same() -> None:
    """It skips the record; the operator reads of it in the log, and the agent gets no offers."""
    world, framework, agent = stage("t")
    drained(world)
    made = world.reregister("M-S0", frameworks=(framework.info,), tasks=(report("t"),))
    assert drains_in(made) == [CONFIG] and not agent.active
    assert any(
        isinstance(one, effects.Log) and "does not know how" in one.format for one in world.last
    )
    assert events_to(made) == []
