"""What operators' streams are told, in the order it happened."""

from __future__ import annotations

from collections.abc import Iterable

from mesos_twisted.master.core import events
from mesos_twisted.master.core.effects import Effect, Publish
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.master_world import World, command_task, launch


def published(made: Iterable[Effect]) -> list[m.MasterEvent]:
    """The operators' events among the effects; each can be written as JSON."""
    found = [one.event for one in made if isinstance(one, Publish)]
    for event in found:
        assert codec_json.decode(m.MasterEvent, codec_json.encode(event)) == event
    return found


def test_each_change_is_told_beside_the_change() -> None:
    """Framework, agent and task come, change and go as events."""
    world = World()
    world.state.operator_subscribers = 1
    told = published(world.subscribe())
    framework = next(iter(world.state.frameworks.values()))
    agent = world.agent()
    told += published(world.last)
    offers = world.offers(framework)
    told += published(world.accept(framework, offers, launch(command_task("t", agent.agent_id))))
    told += published(world.status(framework, agent, "t", "TASK_RUNNING"))
    assert framework.connection is not None
    told += published(world.do(events.SchedulerClosed(framework.connection, world.now)))
    for _ in range(6):
        world.fire("ping", agent.agent_id)
    told += published(world.durable())
    told += published(world.fire("failover", framework.framework_id))
    assert [one.type.value for one in told if one.type is not None] == [
        "FRAMEWORK_ADDED",
        "AGENT_ADDED",
        "TASK_ADDED",
        "TASK_UPDATED",
        "FRAMEWORK_UPDATED",
        "TASK_UPDATED",
        "AGENT_REMOVED",
        "TASK_UPDATED",
        "FRAMEWORK_REMOVED",
    ]


def test_nothing_is_made_for_nobody() -> None:
    """Without operators listening no event is built."""
    world = World()
    assert published(world.subscribe()) == []
    world.agent()
    assert published(world.last) == []
