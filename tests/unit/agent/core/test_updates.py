"""Update streams: one at a time, again until acknowledged, never after."""

from __future__ import annotations

from typing import Any

import pytest

from mesos_twisted.agent.core import effects as ef
from mesos_twisted.agent.core import events as ev
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m

World = Any


def launched(world: World) -> None:
    """STARTING is with the master, RUNNING waits."""
    world.run(world.task())
    world.sandbox_ready(world.container("t"))
    world.launched(world.container("t"))


def test_an_update_is_on_disk_before_it_is_sent(world: World) -> None:
    """A killed agent finds what it told."""
    launched(world)
    first = next(i for i, e in enumerate(world.last) if isinstance(e, ef.SendToMaster))
    assert any(
        isinstance(e, ef.Checkpoint) and e.key.startswith("update/") for e in world.last[:first]
    )


def test_an_unacknowledged_update_comes_again_with_growing_patience(world: World) -> None:
    """10 s, doubling to 10 minutes, always with the same uuid."""
    launched(world)
    uuid = world.statuses()[0].uuid
    waits = [effect.after_s for effect in world.of(ef.StartTimer) if effect.key[0] == "update"]
    for _ in range(8):
        world.timer("update", "f", "t")
        [again] = world.sent()
        assert again.status.uuid == uuid
        waits += [effect.after_s for effect in world.of(ef.StartTimer)]
    assert waits == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def test_a_retried_update_tells_where_the_task_is_by_now(world: World) -> None:
    """`latest_state` lets the master free resources before the old updates are acknowledged."""
    launched(world)
    world.exits(world.container("t"), 0)
    world.timer("update", "f", "t")
    [again] = world.sent()
    assert again.status.state is m.TaskState.TASK_STARTING
    assert again.latest_state is m.TaskState.TASK_FINISHED


def test_only_the_oldest_can_be_acknowledged(world: World) -> None:
    """A stray or repeated acknowledgement changes nothing."""
    launched(world)
    first, second = (status.uuid for status in world.statuses())
    world.say(agentlink.Acknowledge(framework_id="f", task_id="t", uuid=second))
    assert len(world.statuses()) == 2
    world.say(agentlink.Acknowledge(framework_id="f", task_id="t", uuid=first))
    world.say(agentlink.Acknowledge(framework_id="f", task_id="t", uuid=first))
    assert [status.uuid for status in world.statuses()] == [second]


def test_without_a_master_updates_wait_and_go_out_on_registration(world: World) -> None:
    """Nothing is sent while disconnected; the oldest of each stream is, afterwards."""
    world.feed(ev.LinkClosed(world.state.link, world.now))
    world.timer("update", "f", "t")
    assert world.sent() == []
    world.register()
    launched(world)
    world.feed(ev.LinkClosed(world.state.link, world.now))
    world.timer("update", "f", "t")
    assert world.sent() == []
    world.register()
    [again] = [x for x in world.sent() if isinstance(x, agentlink.StatusUpdate)]
    assert again.status.state is m.TaskState.TASK_STARTING


def test_a_new_scheduler_gets_owed_updates_at_once(world: World) -> None:
    """UpdateFramework with resend does not wait for the retry timer."""
    launched(world)
    world.say(agentlink.UpdateFramework(framework=world.framework(), resend=True))
    [again] = world.sent()
    assert again.status.state is m.TaskState.TASK_STARTING


def test_rows_of_acknowledged_updates_do_not_pile_up(world: World) -> None:
    """A flapping health check leaves one row a state."""
    check = m.HealthCheck(type=m.HealthCheckType.TCP, consecutive_failures=99)
    container_id = world.running_task(world.task(health_check=check))
    for turn in range(20):
        world.now += 100
        event = ev.CheckReported("f", "t", container_id, "health", turn % 2 == 0, "", world.now)
        world.feed(event)
        world.acknowledge_all()
    assert len([key for key in world.rows if key.startswith("update/")]) == 2


@pytest.mark.parametrize(("passed", "told"), [(True, [True]), (None, [])])
def test_health_is_told_when_it_changes(
    world: World, passed: bool | None, told: list[bool]
) -> None:
    """The first success is news; a failure within the grace period is not."""
    check = m.HealthCheck(type=m.HealthCheckType.TCP)
    container_id = world.running_task(world.task(health_check=check))
    for _ in range(3):
        world.feed(ev.CheckReported("f", "t", container_id, "health", passed, "", world.now))
    assert [status.healthy for status in world.statuses()] == told
    for status in world.statuses():
        assert status.reason is m.TaskStatusReason.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
        assert status.state is m.TaskState.TASK_RUNNING


def test_a_task_that_stays_unhealthy_is_killed(world: World) -> None:
    """After consecutive_failures; its last word says that it was unhealthy."""
    check = m.HealthCheck(type=m.HealthCheckType.HTTP, consecutive_failures=2)
    container_id = world.running_task(world.task(health_check=check))
    world.now += 60
    for _ in range(2):
        world.feed(ev.CheckReported("f", "t", container_id, "health", False, "503", world.now))
    assert [status.healthy for status in world.statuses()][:2] == [False, False]
    assert world.of(ef.SignalContainer) == [ef.SignalContainer(container_id, 15, "group")]
    assert world.of(ef.StopChecks) == [ef.StopChecks(container_id)]
    world.exits(container_id, 15)
    assert world.statuses()[-1].state is m.TaskState.TASK_KILLED
    assert world.statuses()[-1].healthy is False


def test_a_general_check_is_shown_and_never_kills(world: World) -> None:
    """check_status is there from the first update on, and told when it changes."""
    check = m.CheckInfo(
        type=m.CheckInfoType.COMMAND, command=m.CheckInfoCommand(command=m.CommandInfo(value="x"))
    )
    world.run(world.task(check=check))
    container_id = world.container("t")
    world.sandbox_ready(container_id)
    world.launched(container_id)
    assert world.statuses()[0].check_status == m.CheckStatusInfo(
        type=m.CheckInfoType.COMMAND, command=m.CheckStatusInfoCommand()
    )
    [start] = world.of(ef.StartChecks)
    assert start.check == check
    outcome = m.CheckStatusInfo(
        type=m.CheckInfoType.COMMAND, command=m.CheckStatusInfoCommand(exit_code=7)
    )
    for _ in range(2):
        event = ev.CheckReported(
            "f", "t", container_id, "check", True, "", world.now, outcome=outcome
        )
        world.feed(event)
    told = [status for status in world.statuses() if status.check_status == outcome]
    assert len(told) == 1
    assert told[0].reason is m.TaskStatusReason.REASON_TASK_CHECK_STATUS_UPDATED
