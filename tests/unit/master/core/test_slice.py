"""One task from subscription to its last acknowledgement."""

from __future__ import annotations

from mesos_twisted.master.core.effects import ApplyRegistry, SendEvent, SendToAgent
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.master_world import (
    World,
    agent_info,
    command_task,
    events_to,
    launch,
    sent_to_agents,
    updates_in,
    uuid_of,
)


def test_a_task_lives_from_offer_to_acknowledged_end() -> None:
    """subscribe, offer, launch, run, finish, acknowledge: each step reaches whom it concerns."""
    world = World()
    made = world.subscribe()
    assert [one.type for one in events_to(made)] == [
        m.SchedulerEventType.SUBSCRIBED,
        m.SchedulerEventType.HEARTBEAT,
    ]
    framework = next(iter(world.state.frameworks.values()))
    assert framework.framework_id == "M-0000"
    agent = world.agent()
    assert agent.agent_id == "M-S0"
    offered = events_to(world.allocate())
    assert [one.type for one in offered] == [m.SchedulerEventType.OFFERS]
    assert offered[0].offers is not None
    offer = offered[0].offers.offers[0]
    assert offer.id.value == "M-O0"

    made = world.accept(framework, ["M-O0"], launch(command_task("t", "M-S0")))
    (run,) = sent_to_agents(made)
    assert isinstance(run, agentlink.RunTask)
    assert run.task.task_id.value == "t"
    assert run.task.resources[0].allocation_info == m.ResourceAllocationInfo(role="*")
    assert not world.state.offers

    for state in ("TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"):
        made = world.status(framework, agent, "t", state)
        (status,) = updates_in(made)
        assert status.state.value == state
        made = world.ack(framework, "M-S0", "t", uuid_of("t", state))
        assert [type(one) for one in sent_to_agents(made)] == [agentlink.Acknowledge]
    assert not framework.tasks and not agent.tasks
    assert [one.state for one in framework.completed] == [m.TaskState.TASK_FINISHED]


def test_the_registry_knows_an_agent_before_it_serves() -> None:
    """An agent gets its id only when AdmitAgent is durable."""
    world = World()
    link = world.connection()
    made = world.say(link, agentlink.Register(info=agent_info(), pid="slave(1)@1:1", version="1"))
    assert [type(one) for one in made] == [ApplyRegistry]
    assert not world.state.agents
    made = world.durable()
    assert isinstance(made[0], SendToAgent)
    assert isinstance(made[0].message, agentlink.Registered)
    assert not [one for one in made if isinstance(one, SendEvent)]
