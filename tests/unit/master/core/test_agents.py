"""Agents: admission, liveness, loss and return."""

from __future__ import annotations

import pytest

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import effects, events
from mesos_twisted.master.core.effects import ApplyRegistry, CloseLink, Effect, StartTimer
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
    updates_in,
    uuid_of,
)

Kind = m.SchedulerEventType
State = m.TaskState
Reason = m.TaskStatusReason


def stage(info: m.FrameworkInfo | None = None) -> tuple[World, Framework, Agent]:
    """A framework with a running task t on an agent, and an open offer."""
    world = World()
    framework = world.framework(info)
    agent = world.agent()
    world.running(framework, agent, "t")
    assert len(world.offers(framework)) == 1
    return world, framework, agent


def report(task_id: str = "t", state: str = "TASK_RUNNING", framework_id: str = "M-0000") -> m.Task:
    """A task as agent M-S0 reports it."""
    return m.Task(
        name=task_id,
        task_id=m.TaskID(value=task_id),
        framework_id=m.FrameworkID(value=framework_id),
        agent_id=m.AgentID(value="M-S0"),
        state=State(state),
        resources=resources("cpus:0.1;mem:32"),
    )


def link_of(agent: Agent) -> ConnectionId:
    """The link of a connected agent."""
    assert agent.link is not None
    return agent.link


def kinds(made: list[Effect]) -> list[str]:
    """The types of the scheduler events, in order."""
    return [one.type.value for one in events_to(made) if one.type is not None]


def test_ids_count_from_zero() -> None:
    """Agents are M-S0, M-S1, … and their answer says how long a silence is fatal."""
    world = World()
    assert [world.agent(n).agent_id for n in range(2)] == ["M-S0", "M-S1"]
    link = link_of(world.state.agents[AgentId("M-S1")])
    said = agentlink.Register(info=agent_info(1), pid="slave(1)@10.0.0.1:5051", version="1")
    assert world.say(link, said) == [
        effects.SendToAgent(
            link,
            agentlink.Registered(
                agent_id="M-S1",
                master_id="M",
                ping_timeout_s=75.0,
                master_version="1.12.0",
                master_hostname="localhost",
            ),
        )
    ]


def test_asking_twice_on_a_link_admits_once() -> None:
    """A second Register before the registry answered changes nothing."""
    world = World()
    link = world.connection()
    said = agentlink.Register(info=agent_info(), pid="p", version="1")
    assert len(world.say(link, said)) == 1
    assert world.say(link, said) == []
    world.durable()
    assert list(world.state.agents) == ["M-S0"]


def test_an_agent_that_left_before_its_id_came_is_forgotten() -> None:
    """The registry does not keep what nobody will ask for."""
    world = World()
    link = world.connection()
    world.say(link, agentlink.Register(info=agent_info(), pid="p", version="1"))
    world.do(events.AgentLinkClosed(link, world.now))
    (effect,) = world.durable()
    assert isinstance(effect, ApplyRegistry)
    assert effect.operation == effects.RemoveAgent(AgentId("M-S0"))
    world.durable()
    assert not world.state.agents


@pytest.mark.parametrize(
    ("info", "refusal", "words"),
    [
        (agent_info(), Problem("x", "This certificate is another agent's."), "certificate"),
        (agent_info(), None, "fault domain"),
    ],
)
def test_a_refused_agent_is_told_to_go(
    info: m.AgentInfo, refusal: Problem | None, words: str
) -> None:
    """Shutdown with the reason, and the link closes."""
    world = World(Policy(require_agent_domain=True))
    said = agentlink.Register(info=info, pid="p", version="1")
    made = world.say(world.connection(), said, refusal=refusal)
    (shutdown,) = sent_to_agents(made)
    assert isinstance(shutdown, agentlink.Shutdown) and words in shutdown.message
    assert isinstance(made[-1], CloseLink)


def test_a_new_agent_at_an_old_address_replaces_the_old_one() -> None:
    """What registered from the same address before is removed."""
    world, framework, agent = stage()
    said = agentlink.Register(info=agent_info(), pid=agent.pid, version="1")
    world.say(world.connection(), said)
    made = world.durable()
    assert list(world.state.agents) == ["M-S1"]
    (status,) = updates_in(made)
    assert (status.state, status.reason) == (State.TASK_LOST, Reason.REASON_AGENT_REMOVED)
    assert status.message == "Agent h0 removed: a new agent registered at the same address"
    assert "FAILURE" in kinds(made)
    assert not framework.tasks


def test_pings_that_nobody_answers_make_an_agent_unreachable() -> None:
    """Five unanswered pings: registry first; then updates, RESCIND, FAILURE to everybody."""
    world, framework, agent = stage()
    bystander = world.framework()
    for _ in range(5):
        made = world.fire("ping", "M-S0")
        assert sent_to_agents(made) == [agentlink.Ping()]
        assert StartTimer(("ping", "M-S0"), 15.0) in made
    made = world.fire("ping", "M-S0")
    operations = [one.operation for one in made if isinstance(one, ApplyRegistry)]
    assert operations == [effects.MarkUnreachable(AgentId("M-S0"), world.now)]
    assert kinds(made) == [] and not any(isinstance(one, effects.Log) for one in world.last)
    made = world.durable()
    assert [one.format for one in world.last if isinstance(one, effects.Log)] == [
        "Agent {agent_id} is marked unreachable: {why}"
    ]
    assert events_to(made, framework.connection)[0].type is Kind.UPDATE
    assert kinds(made) == ["UPDATE", "RESCIND", "FAILURE", "FAILURE"]
    assert [one.type for one in events_to(made, bystander.connection)] == [Kind.FAILURE]
    (status,) = updates_in(made)
    assert status.state is State.TASK_UNREACHABLE and status.uuid is None
    assert status.reason is Reason.REASON_AGENT_REMOVED
    assert status.message == "health check timed out"
    assert status.unreachable_time == m.TimeInfo(nanoseconds=int(world.now * 1e9))
    assert world.state.unreachable == {"M-S0": world.now}
    assert list(framework.unreachable) == ["t"] and not framework.tasks
    assert any(isinstance(one, CloseLink) for one in made)
    assert agent.agent_id not in world.state.agents


def test_a_pong_starts_the_count_again() -> None:
    """Only pings unanswered in a row count."""
    world, _, agent = stage()
    for _ in range(10):
        world.fire("ping", "M-S0")
        world.say(link_of(agent), agentlink.Pong())
    assert agent.missed == 0 and agent.active


def test_others_than_partition_aware_ones_see_lost() -> None:
    """TASK_LOST with unreachable_time."""
    world, _, _ = stage(framework_info(()))
    for _ in range(6):
        world.fire("ping", "M-S0")
    (status,) = updates_in(world.durable())
    assert status.state is State.TASK_LOST and status.unreachable_time is not None


def test_a_broken_link_rescinds_offers_and_keeps_tasks_of_checkpointing_frameworks() -> None:
    """The agent has agent_reregister_timeout to come back."""
    world, framework, agent = stage()
    made = world.do(events.AgentLinkClosed(link_of(agent), world.now))
    assert kinds(made) == ["RESCIND"]
    assert StartTimer(("reregister", "M-S0"), 600.0) in made
    assert "t" in framework.tasks and not agent.active
    assert world.offers(framework) == []
    made = world.fire("reregister", "M-S0")
    assert [type(one) for one in made if isinstance(one, ApplyRegistry)] == [ApplyRegistry]
    assert updates_in(world.durable())[0].state is State.TASK_UNREACHABLE


def test_a_broken_link_loses_tasks_of_others_at_once() -> None:
    """Without checkpointing: TASK_LOST, REASON_AGENT_DISCONNECTED even when partition-aware."""
    world, framework, agent = stage(framework_info(checkpoint=False))
    made = world.do(events.AgentLinkClosed(link_of(agent), world.now))
    (status,) = updates_in(made)
    assert status.state is State.TASK_LOST
    assert status.reason is Reason.REASON_AGENT_DISCONNECTED
    assert status.message == "Agent h0 disconnected"
    assert not framework.tasks and not agent.tasks
    made = world.reregister("M-S0", frameworks=(framework.info,), tasks=(report(),))
    assert [one for one in sent_to_agents(made) if isinstance(one, agentlink.KillTask)] != []


def test_an_agent_that_is_back_in_time_goes_on() -> None:
    """It is told of tasks it does not know, and gets offers again."""
    world, framework, agent = stage()
    world.do(events.AgentLinkClosed(link_of(agent), world.now))
    made = world.reregister("M-S0")
    (answer,) = sent_to_agents(made)
    assert isinstance(answer, agentlink.Reregistered)
    assert answer.unknown == (("M-0000", "t"),)
    assert agent.active and "t" in framework.tasks
    assert len(world.offers(framework)) == 1
    assert world.fire("reregister", "M-S0") == []


def test_a_new_link_of_a_connected_agent_closes_the_old_one() -> None:
    """The newest link is the agent's."""
    world, _, agent = stage()
    old = link_of(agent)
    made = world.reregister("M-S0", tasks=(report(),))
    assert CloseLink(old) in made
    assert world.do(events.AgentLinkClosed(old, world.now)) == []
    assert agent.connected


def test_an_unreachable_agent_that_returns_brings_its_tasks_back() -> None:
    """Tasks survive for everybody; the framework gets their state, REASON_AGENT_REREGISTERED."""
    world, framework, _ = stage()
    for _ in range(6):
        world.fire("ping", "M-S0")
    world.durable()
    made = world.reregister("M-S0", frameworks=(framework.info,), tasks=(report(),))
    assert [one.operation for one in made if isinstance(one, ApplyRegistry)] == [
        effects.MarkReachable(agent_info(0, agent_id="M-S0"))
    ]
    made = world.durable()
    (status,) = updates_in(made)
    assert status.state is State.TASK_RUNNING
    assert status.reason is Reason.REASON_AGENT_REREGISTERED and status.uuid is None
    assert list(framework.tasks) == ["t"] and not framework.unreachable
    assert not world.state.unreachable


def test_a_task_that_an_unreachable_agent_does_not_bring_back_is_unreachable_no_more() -> None:
    """The agent is right about what it has: the id may be used again, and asking says GONE."""
    world, framework, _ = stage()
    for _ in range(6):
        world.fire("ping", "M-S0")
    world.durable()
    assert list(framework.unreachable) == ["t"]
    world.reregister("M-S0", frameworks=(framework.info,))
    world.durable()
    assert not framework.unreachable and not framework.tasks
    asked = m.SchedulerCallReconcileTask(
        task_id=m.TaskID(value="t"), agent_id=m.AgentID(value="M-S0")
    )
    body = m.SchedulerCallReconcile(tasks=(asked,))
    (status,) = updates_in(world.call(framework, "RECONCILE", reconcile=body))
    assert status.state is State.TASK_GONE


def test_a_kill_lost_with_its_link_is_asked_again_until_the_task_ends() -> None:
    """However often the link breaks before the agent has read it."""
    world, framework, agent = stage()
    kill = m.SchedulerCallKill(task_id=m.TaskID(value="t"))
    world.do(events.AgentLinkClosed(link_of(agent), world.now))
    world.call(framework, "KILL", kill=kill)
    for _ in range(3):
        made = world.reregister("M-S0", frameworks=(framework.info,), tasks=(report(),))
        again = [one for one in sent_to_agents(made) if isinstance(one, agentlink.KillTask)]
        assert [one.task_id for one in again] == ["t"]
        world.do(events.AgentLinkClosed(link_of(agent), world.now))
    killed = report(state="TASK_KILLED")
    made = world.reregister("M-S0", frameworks=(framework.info,), tasks=(killed,))
    assert not any(isinstance(one, agentlink.KillTask) for one in sent_to_agents(made))


def test_a_gone_agent_is_shut_down() -> None:
    """An agent marked gone may never serve again."""
    world = World()
    world.state.gone[AgentId("G")] = 1.0
    (shutdown,) = sent_to_agents(world.reregister("G"))
    assert isinstance(shutdown, agentlink.Shutdown)


def test_a_new_leader_learns_frameworks_and_tasks_from_agents() -> None:
    """Frameworks are recovered until they subscribe; nothing is offered to them before."""
    world = World()
    world.do(events.Recovered(world.now, agents=(agent_info(0, agent_id="M-S0"),)))
    assert StartTimer(("recovered",), 600.0) in world.last
    info = framework_info(framework_id="old-0000")
    made = world.reregister("M-S0", frameworks=(info,), tasks=(report(framework_id="old-0000"),))
    assert isinstance(sent_to_agents(made)[0], agentlink.Reregistered)
    framework = next(iter(world.state.frameworks.values()))
    assert framework.recovered and "t" in framework.tasks
    assert world.offers(framework) == []
    world.subscribe(info)
    assert framework.active and "t" in framework.tasks
    assert len(world.offers(framework)) == 1


def test_agents_that_never_return_after_a_failover_are_unreachable() -> None:
    """When the time is over each is marked, and frameworks hear of it."""
    world = World()
    world.do(events.Recovered(world.now, agents=(agent_info(0, agent_id="M-S0"),)))
    world.framework()
    world.fire("recovered")
    assert kinds(world.durable()) == ["FAILURE"]
    assert list(world.state.unreachable) == ["M-S0"] and not world.state.recovered


def test_a_removed_framework_is_ended_on_returning_agents() -> None:
    """The answer names it; its tasks do not come back."""
    world, framework, agent = stage()
    world.do(events.AgentLinkClosed(link_of(agent), world.now))
    world.call(framework, "TEARDOWN")
    made = world.reregister("M-S0", frameworks=(framework.info,), tasks=(report(),))
    (answer,) = sent_to_agents(made)
    assert isinstance(answer, agentlink.Reregistered) and answer.removed == ("M-0000",)
    assert not agent.tasks


def test_an_agent_may_leave_for_good() -> None:
    """Unregister: forgotten by the registry, then gone from the tables."""
    world = World()
    framework, agent = world.framework(), world.agent()
    world.offers(framework)
    world.say(link_of(agent), agentlink.Unregister())
    assert kinds(world.durable()) == ["RESCIND", "FAILURE"]
    assert not world.state.agents


def test_weights_are_stored_before_they_hold_and_rescind_offers() -> None:
    """Offers made under the old weights are taken back."""
    world, framework, _ = stage()
    (made,) = world.do(events.WeightsUpdated({"*": 2.0}, world.now))
    assert isinstance(made, ApplyRegistry)
    assert made.operation == effects.StoreWeights((("*", 2.0),))
    assert framework.offers
    assert kinds(world.durable()) == ["RESCIND"]
    assert world.state.weights == {"*": 2.0}


def test_only_whitelisted_hosts_are_offered() -> None:
    """The whitelist holds from the next cycle on."""
    world = World()
    framework = world.framework()
    world.agent(0)
    world.agent(1)
    world.do(events.WhitelistRead(frozenset({"h1"})))
    world.offers(framework)
    assert [one.agent_id for one in framework.offers.values()] == ["M-S1"]


def test_a_returning_terminal_task_waits_for_its_acknowledgement() -> None:
    """A task that ended while the master was another holds no resources, and is removed by ack."""
    world = World()
    framework = world.framework(framework_info(framework_id="M-0000"))
    world.reregister("M-S0", frameworks=(framework.info,), tasks=(report(state="TASK_FINISHED"),))
    world.durable()
    agent = world.state.agents[AgentId("M-S0")]
    assert framework.used == {} and "t" in framework.tasks
    world.status(framework, agent, "t", "TASK_FINISHED")
    world.ack(framework, "M-S0", "t", uuid_of("t", "TASK_FINISHED"))
    assert not framework.tasks and len(framework.completed) == 1


def test_an_agent_may_hold_more_than_it_says_it_has() -> None:
    """A total that shrank below what runs offers nothing, and everything ends in order."""
    world = World()
    framework = world.framework(framework_info(framework_id="M-0000"))
    world.reregister(
        "M-S0", total="cpus:0.05;mem:8", frameworks=(framework.info,), tasks=(report(),)
    )
    world.durable()
    assert world.offers(framework) == []
    agent = world.state.agents[AgentId("M-S0")]
    world.status(framework, agent, "t", "TASK_FINISHED")
    world.ack(framework, "M-S0", "t", uuid_of("t", "TASK_FINISHED"))
    assert not framework.tasks


def test_an_unknown_agents_tasks_are_told_to_their_framework() -> None:
    """An agent no registry knew is taken back, and frameworks hear of their tasks."""
    world = World()
    framework = world.framework(framework_info(framework_id="M-0000"))
    world.reregister("M-S0", frameworks=(framework.info,), tasks=(report(),))
    (status,) = updates_in(world.durable())
    assert status.message == "Unknown agent reregistered"


def test_one_link_is_for_one_agent() -> None:
    """A registered link that names another agent is refused."""
    world, _, agent = stage()
    made = world.reregister("other", link=link_of(agent))
    (shutdown,) = sent_to_agents(made)
    assert isinstance(shutdown, agentlink.Shutdown)
