"""The agent and its master: admission, back-off, pings, reconciliation and the end."""

from __future__ import annotations

from typing import Any

from mesos_twisted.agent.core import effects as ef
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core.state import Phase
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId

World = Any


def test_a_new_agent_registers_without_an_id(fresh: World) -> None:
    """Its total and where it is; the id it gets is on disk before anything else."""
    fresh.boot()
    fresh.feed(ev.LinkOpened(ConnectionId(7), fresh.now))
    [register] = fresh.sent()
    assert isinstance(register, agentlink.Register)
    assert register.info.id is None and register.info.hostname == "h"
    effects = fresh.say(agentlink.Registered(agent_id="S3", master_id="M", ping_timeout_s=75.0))
    assert isinstance(effects[0], ef.Checkpoint) and effects[0].key == "agent/info"
    assert fresh.state.agent_id == "S3" and fresh.state.phase is Phase.RUNNING


def test_registration_backs_off_up_to_a_minute(fresh: World) -> None:
    """Each unanswered try waits up to twice as long, with jitter."""
    fresh.boot()
    fresh.feed(ev.LinkOpened(ConnectionId(7), fresh.now))
    waits = [effect.after_s for effect in fresh.of(ef.StartTimer)]
    for _ in range(9):
        fresh.timer("register")
        assert isinstance(fresh.sent()[0], agentlink.Register)
        waits += [effect.after_s for effect in fresh.of(ef.StartTimer)]
    limits = [min(60.0, 2.0**turn) for turn in range(10)]
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))


def test_a_returning_agent_brings_all_it_has(world: World) -> None:
    """Frameworks, executors, tasks with their states: the master rebuilds its view from it."""
    world.running_task()
    world.boot()
    world.feed(ev.LinkOpened(ConnectionId(7), world.now))
    [message] = world.sent()
    assert isinstance(message, agentlink.Reregister)
    assert message.info.id == m.AgentID(value="S0")
    [task] = message.tasks
    assert task.state is m.TaskState.TASK_RUNNING
    assert task.executor_id is None
    assert [status.state.value for status in task.statuses] == ["TASK_STARTING", "TASK_RUNNING"]
    assert task.status_update_state is m.TaskState.TASK_RUNNING
    assert [framework.name for framework in message.frameworks] == ["n"]


def test_pings_are_answered_and_their_absence_noticed(world: World) -> None:
    """Each moves the time-out; silence makes the agent look for the leader again."""
    world.say(agentlink.Ping())
    assert world.sent() == [agentlink.Pong()]
    assert ef.StartTimer(("ping",), 75.0) in world.last
    world.timer("ping")
    assert [effect.reason for effect in world.of(ef.Reconnect)] == [
        "No ping from the master in 75 s"
    ]


def test_a_master_that_lost_the_registration_gets_it_again(world: World) -> None:
    """Ping(connected=False) is answered by a re-registration."""
    world.say(agentlink.Ping(connected=False))
    assert [type(message) for message in world.sent()] == [agentlink.Pong, agentlink.Reregister]


def test_words_of_an_old_link_are_not_heard(world: World) -> None:
    """A deposed master's last commands do nothing."""
    message = agentlink.RunTask(framework=world.framework(), task=world.task())
    assert world.feed(ev.MasterSaid(ConnectionId(99), message, world.now)) == []


def test_tasks_the_agent_does_not_know_are_answered_as_dropped(world: World) -> None:
    """The master's belief is corrected by an acknowledged update."""
    world.feed(ev.LinkOpened(ConnectionId(7), world.now))
    answer = agentlink.Reregistered(
        agent_id="S0", master_id="M", ping_timeout_s=75.0, unknown=(("f", "lost"),)
    )
    world.say(answer)
    [told] = world.statuses("lost")
    assert told.state is m.TaskState.TASK_DROPPED
    assert told.reason is m.TaskStatusReason.REASON_RECONCILIATION
    world.acknowledge("lost")
    assert not world.state.streams and not [k for k in world.rows if k.startswith("update/")]


def test_frameworks_removed_meanwhile_are_shut_down(world: World) -> None:
    """Their tasks are killed when the agent returns."""
    container_id = world.running_task()
    world.feed(ev.LinkOpened(ConnectionId(7), world.now))
    answer = agentlink.Reregistered(
        agent_id="S0", master_id="M", ping_timeout_s=75.0, removed=("f",)
    )
    world.say(answer)
    assert ef.SignalContainer(container_id, 15, "group") in world.last


def test_an_agent_that_may_not_serve_kills_its_tasks_and_leaves(world: World) -> None:
    """After Shutdown the agent stops once nothing runs, with trouble as its exit code."""
    container_id = world.running_task()
    world.say(agentlink.Shutdown(message="the agent was marked gone"))
    assert world.of(ef.StopAgent) == []
    world.exits(container_id, 15)
    assert world.of(ef.StopAgent) == [ef.StopAgent(1, "the agent was marked gone")]


def test_an_operators_shutdown_says_goodbye(world: World) -> None:
    """An idle agent unregisters, stops at once, and starts as a new one the next time."""
    world.feed(ev.ShutdownAsked(world.now))
    assert world.sent() == [agentlink.Unregister()]
    assert ef.Forget("agent/info") in world.last
    assert [effect.exit_code for effect in world.of(ef.StopAgent)] == [0]


def test_an_agent_known_by_another_id_stops(world: World) -> None:
    """Two agents must not share a work directory."""
    world.feed(ev.LinkOpened(ConnectionId(7), world.now))
    world.say(agentlink.Reregistered(agent_id="S9", master_id="M", ping_timeout_s=75.0))
    [stop] = world.of(ef.StopAgent)
    assert stop.exit_code == 1 and "S9" in stop.message


def led(epoch: int, registry_id: str = "R", master_id: str = "") -> agentlink.Reregistered:
    """The answer of a master of that epoch."""
    return agentlink.Reregistered(
        agent_id="S0",
        master_id=master_id or f"M{epoch}",
        ping_timeout_s=75.0,
        registry_id=registry_id,
        epoch=epoch,
    )


def test_a_master_behind_the_last_followed_is_refused(world: World) -> None:
    """Also after a restart; nothing else that it says is obeyed, and tasks go on."""
    world.running_task()
    world.say(led(3))
    assert [effect.key for effect in world.of(ef.Checkpoint)] == ["agent/info"]
    world.say(led(3))
    assert world.of(ef.Checkpoint) == []
    for answer in (led(2), led(3, master_id="fork"), led(2)):
        world.boot()
        world.feed(ev.LinkOpened(ConnectionId(7), world.now))
        world.say(answer)
        (again,) = world.of(ef.Reconnect)
        assert answer.master_id in again.reason and "mesos-twisted registry restore" in again.reason
        assert world.state.phase is Phase.DISCONNECTED and world.state.leader.master_id == "M3"
        kill = agentlink.ShutdownFramework(framework_id="f")
        assert world.say(kill) == [] and world.state.frameworks


def test_a_master_behind_the_last_followed_ends_no_agent(world: World) -> None:
    """What refused it there may be right no more; a later one is obeyed."""
    world.running_task()
    world.say(led(3))
    late = agentlink.Shutdown(message="no", master_id="M2", registry_id="R", epoch=2)
    world.say(late)
    assert world.of(ef.Reconnect) and world.state.phase is Phase.DISCONNECTED
    assert world.state.frameworks
    world.feed(ev.LinkOpened(ConnectionId(7), world.now))
    world.say(agentlink.Shutdown(message="no", master_id="M4", registry_id="R", epoch=4))
    assert world.state.phase is Phase.TERMINATING


def test_a_later_master_or_another_registry_is_followed(world: World) -> None:
    """A restored registry has another id; a master that says none is of an older release."""
    world.say(led(3))
    for answer in (led(4), led(1, "restored"), led(0, ""), led(1)):
        world.feed(ev.LinkOpened(ConnectionId(7), world.now))
        world.say(answer)
        assert world.state.phase is Phase.RUNNING
        assert world.state.leader.epoch == answer.epoch


def test_updates_without_a_framework_are_announced(world: World) -> None:
    """So that the master knows whom to ask for them when the framework is back."""
    world.say(led(3))
    again = agentlink.Reregistered(
        agent_id="S0", master_id="M", ping_timeout_s=75.0, unknown=(("stranger", "t"),)
    )
    world.say(again)
    world.feed(ev.LinkOpened(ConnectionId(7), world.now))
    (message,) = world.sent()
    assert message.owing == ("stranger",)
