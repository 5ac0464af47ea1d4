"""An agent that is drained: what ends, how it is told, and when it is over."""

from __future__ import annotations

import pytest

from mesos_twisted.agent.core import effects as ef
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ExecutorId, TaskId
from tests.unit.agent.core.conftest import F, World
from tests.unit.agent.core.test_custom_executor import container, executor

Reason = m.TaskStatusReason
GONE = m.DrainConfig(mark_gone=True)


def config(grace_s: float | None = None) -> m.DrainConfig:
    """How to drain, with the longest grace if any."""
    if grace_s is None:
        return m.DrainConfig()
    return m.DrainConfig(max_grace_period=m.DurationInfo(nanoseconds=int(grace_s * 1e9)))


def drain(world: World, how: m.DrainConfig | None) -> list[ef.Effect]:
    """What the master says."""
    return world.say(agentlink.Drain(config=how))


def policy(grace_s: float) -> m.KillPolicy:
    """A task's own."""
    return m.KillPolicy(grace_period=m.DurationInfo(nanoseconds=int(grace_s * 1e9)))


def graces(world: World) -> list[float]:
    """How long what is being killed has."""
    return [one.after_s for one in world.of(ef.StartTimer) if one.key[0] == "kill"]


def says_draining(world: World) -> bool:
    """What a master is told at the next registration."""
    world.register()
    (said,) = [one for one in world.sent(world.all) if isinstance(one, agentlink.Reregister)][-1:]
    assert said.drains
    return said.draining


@pytest.mark.parametrize(
    ("own_s", "most_s", "grace_s"),
    [(60.0, 5.0, 5.0), (5.0, 60.0, 5.0), (60.0, None, 60.0), (None, 60.0, 3.0), (None, 1.0, 1.0)],
)
def test_tasks_are_killed_with_a_limited_grace(
    world: World, own_s: float | None, most_s: float | None, grace_s: float
) -> None:
    """The task's own, or the agent's, but no more than the operator allows."""
    own = None if own_s is None else policy(own_s)
    world.running_task(world.task(kill_policy=own))
    drain(world, config(most_s))
    assert graces(world) == [grace_s]
    assert world.of(ef.SignalContainer) != []


def test_killed_tasks_are_told_to_be_drained(world: World) -> None:
    """KILLING and KILLED have the reason; a task that ends by itself has its own end."""
    first = world.running_task()
    drain(world, config())
    (killing,) = world.statuses()
    assert (killing.state.value, killing.reason) == ("TASK_KILLING", Reason.REASON_AGENT_DRAINING)
    world.exits(first, 15)
    killed = world.statuses()[-1]
    assert (killed.state.value, killed.reason) == ("TASK_KILLED", Reason.REASON_AGENT_DRAINING)


def test_a_task_that_had_no_process_yet_is_killed(world: World) -> None:
    """It never starts, and is told for the same reason."""
    world.run(world.task())
    drain(world, config())
    (killed,) = world.statuses()
    assert (killed.state.value, killed.reason) == ("TASK_KILLED", Reason.REASON_AGENT_DRAINING)


@pytest.mark.parametrize(
    ("aware", "end"), [(True, "TASK_GONE_BY_OPERATOR"), (False, "TASK_KILLED")]
)
def test_before_the_agent_is_marked_gone_its_tasks_are(world: World, aware: bool, end: str) -> None:
    """To frameworks that know the state, once they have ended."""
    if not aware:
        world.capabilities = (m.FrameworkInfoCapabilityType.TASK_KILLING_STATE,)
    container_id = world.running_task()
    drain(world, GONE)
    assert world.states() == ["TASK_KILLING"]
    world.exits(container_id, 15)
    assert world.states()[-1] == end
    assert world.statuses()[-1].reason is Reason.REASON_AGENT_DRAINING


def test_nothing_starts_on_an_agent_that_is_drained(world: World) -> None:
    """What was under way to it is dropped, and its framework hears why."""
    world.running_task()
    drain(world, config())
    world.run(world.task("late"))
    (dropped,) = world.statuses("late")
    assert (dropped.state.value, dropped.reason) == ("TASK_DROPPED", Reason.REASON_AGENT_DRAINING)
    assert dropped.message == "Task was received while agent was already draining"
    assert world.state.task(F, TaskId("late")) is None and not world.of(ef.PrepareSandbox)


def test_it_is_over_when_the_last_end_is_acknowledged(world: World) -> None:
    """Then nothing of it is left on disk, and tasks are welcome."""
    container_id = world.running_task()
    drain(world, config())
    assert world.state.drain is not None and "drain/config" in world.rows
    world.exits(container_id, 15)
    world.acknowledge()
    assert world.state.drain is not None
    world.acknowledge()
    assert world.state.drain is None and "drain/config" not in world.rows
    world.running_task(world.task("next"))


def test_an_empty_agent_has_nothing_to_remember(world: World) -> None:
    """It would never be over: what comes later must be welcome."""
    drain(world, config())
    assert world.state.drain is None and "drain/config" not in world.rows
    world.running_task()


def test_it_goes_on_after_a_restart(world: World) -> None:
    """Also a task that the kill had not reached; nothing new starts."""
    container_id = world.running_task()
    drain(world, config(2.0))
    row = world.rows["task/f/t"]
    world.boot()
    assert world.state.drain == config(2.0) and world.state.drain_began == 1000.0
    assert [one.container_id for one in world.of(ef.SignalContainer)] != []
    assert says_draining(world)
    world.exits(container_id, 15)
    world.acknowledge_all()
    assert world.state.drain is None and not says_draining(world)
    assert row != b""


def test_a_kill_that_was_not_written_is_made_after_a_restart(world: World) -> None:
    """The agent ended between its row and the tasks'."""
    world.running_task()
    row = world.rows["task/f/t"]
    drain(world, config(2.0))
    world.rows["task/f/t"] = row
    world.boot()
    assert graces(world) == [2.0] and world.of(ef.SignalContainer) != []


def test_what_ended_while_the_agent_was_down_was_drained_too(world: World) -> None:
    """Nothing is left when it is back: that is the end of it."""
    container_id = world.running_task()
    drain(world, config())
    world.acknowledge_all()
    del world.running[container_id]
    world.ended[container_id] = 15
    world.boot()
    world.register()
    assert world.statuses()[-1].reason is Reason.REASON_AGENT_DRAINING
    world.acknowledge_all()
    assert world.state.drain is None and "drain/config" not in world.rows


def test_an_agent_in_use_again_takes_tasks(world: World) -> None:
    """The master says so; a task that is being killed is killed all the same."""
    container_id = world.running_task()
    drain(world, config())
    drain(world, None)
    assert world.state.drain is None and "drain/config" not in world.rows
    world.running_task(world.task("next"))
    world.exits(container_id, 15)
    assert world.states()[-1] == "TASK_KILLED"
    assert drain(world, None) == []


def test_being_told_again_changes_only_how(world: World) -> None:
    """At each registration the master says it again; a shorter grace counts, a longer does not."""
    world.running_task(world.task(kill_policy=policy(60.0)))
    drain(world, config(30.0))
    world.now += 10.0
    drain(world, config(30.0))
    assert graces(world) == [] and world.state.drain_began == 1000.0
    drain(world, config(15.0))
    assert graces(world) == [5.0]
    drain(world, config(50.0))
    assert graces(world) == []


@pytest.mark.parametrize(
    ("own_s", "most_s", "told_s"), [(60.0, 5.0, 5.0), (5.0, 60.0, None), (None, 60.0, 60.0)]
)
def test_an_executor_is_asked_with_a_limited_grace(
    world: World, own_s: float | None, most_s: float, told_s: float | None
) -> None:
    """What it does without a policy is not known: it gets the operator's. What it says of the end
    has the reason."""
    own = None if own_s is None else policy(own_s)
    world.run(world.task("t", None, executor=executor(), kill_policy=own))
    world.sandbox_ready(container(world))
    world.launched(container(world))
    world.subscribe()
    drain(world, config(most_s))
    (kill,) = [one.kill for one in world.to_executor()]
    told = None if kill.kill_policy is None else kill.kill_policy.grace_period.nanoseconds / 1e9
    assert told == told_s
    world.update("t", m.TaskState.TASK_KILLED, b"u" * 16)
    assert world.statuses()[-1].reason is Reason.REASON_AGENT_DRAINING


def test_a_task_that_its_executor_had_not_got_is_killed(world: World) -> None:
    """It is queued no more, and its executor, which never had one, ends."""
    world.run(world.task("t", None, executor=executor()))
    drain(world, config())
    (killed,) = world.statuses()
    assert (killed.state.value, killed.reason) == ("TASK_KILLED", Reason.REASON_AGENT_DRAINING)
    assert world.state.frameworks[F].executors[ExecutorId("e")].asked_to_end


def test_another_agents_drain_is_not_taken_over(world: World) -> None:
    """A row that was left behind under another id means nothing."""
    world.running_task()
    drain(world, config())
    world.rows["drain/config"] = world.rows["drain/config"].replace(b"S0", b"S9")
    world.boot()
    assert world.state.drain is None
