"""After a restart: what ran goes on, what ended is told as it ended, and nothing is told twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesos_twisted.agent.core import effects as ef
from mesos_twisted.agent.core.state import Policy
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId

World = Any


def test_a_running_task_goes_on_over_a_restart(world: World) -> None:
    """No update, no signal, no second process."""
    container_id = world.running_task()
    world.boot()
    world.register()
    assert world.states() == [] and not world.of(ef.LaunchContainer, world.all)[1:]
    world.exits(container_id, 0)
    assert world.states() == ["TASK_FINISHED"]


def test_a_task_that_ended_meanwhile_is_told_as_it_ended(world: World) -> None:
    """The exit status survived the agent."""
    container_id = world.running_task()
    world.running.clear()
    world.ended[container_id] = 3 << 8
    world.boot()
    world.register()
    [told] = world.statuses()
    assert told.message == "Command exited with status 3"
    assert world.ended == {}


def test_unacknowledged_updates_go_out_after_reregistration(world: World) -> None:
    """In their old order and with their old uuids."""
    world.run(world.task())
    container_id = world.container("t")
    world.sandbox_ready(container_id)
    world.launched(container_id)
    before = [status.uuid for status in world.statuses()]
    world.boot()
    assert world.sent() == []
    world.register()
    assert [status.uuid for status in world.statuses()] == before
    assert world.sent()[-1].status.uuid == before[0]


def test_a_process_started_just_before_the_crash_is_announced(world: World) -> None:
    """The outcome of the launch was lost, the process was not."""
    world.run(world.task())
    container_id = world.container("t")
    world.sandbox_ready(container_id)
    world.running[container_id] = 77
    world.boot()
    world.register()
    assert world.states() == ["TASK_STARTING", "TASK_RUNNING"]
    assert world.statuses()[0].container_status.executor_pid == 77


@pytest.mark.parametrize(("capable", "state"), [(True, "TASK_DROPPED"), (False, "TASK_LOST")])
def test_a_task_that_never_started_is_dropped(world: World, capable: bool, state: str) -> None:
    """It is not launched behind its scheduler's back after a restart."""
    if not capable:
        world.capabilities = ()
    world.run(world.task())
    world.boot()
    world.register()
    [told] = world.statuses()
    assert told.state.value == state
    assert told.reason is m.TaskStatusReason.REASON_AGENT_RESTARTED


def test_after_a_reboot_tasks_failed_and_the_agent_keeps_its_id(world: World) -> None:
    """A sentence says why."""
    container_id = world.running_task()
    world.running.clear()
    assert container_id
    world.boot("another boot")
    world.register()
    assert world.state.agent_id == "S0"
    [told] = world.statuses()
    assert told.state is m.TaskState.TASK_FAILED
    assert "rebooted" in told.message


def test_a_kill_under_way_is_finished_after_a_restart(world: World) -> None:
    """SIGTERM again, what is left of the grace, and KILLED at the end."""
    container_id = world.running_task()
    world.kill(grace_s=10)
    world.now += 4
    world.boot()
    assert ef.SignalContainer(container_id, 15, "group") in world.last
    assert ef.StartTimer(("kill", "f", "t"), 6.0) in world.last
    world.register()
    world.exits(container_id, 15)
    assert world.states() == ["TASK_KILLING", "TASK_KILLED"]


def test_checks_and_the_completion_time_go_on(world: World) -> None:
    """A restart does not lengthen a task's life."""
    check = m.HealthCheck(type=m.HealthCheckType.TCP)
    limit = m.DurationInfo(nanoseconds=60_000_000_000)
    world.running_task(world.task(health_check=check, max_completion_time=limit))
    world.now += 25
    world.boot()
    assert len(world.of(ef.StartChecks)) == 1
    assert ef.StartTimer(("completion", "f", "t"), 35.0) in world.last


def test_containers_nobody_knows_are_destroyed(world: World) -> None:
    """Orphans do not run on unseen."""
    world.running[ContainerId("orphan")] = 5
    world.ended[ContainerId("old")] = 0
    world.boot()
    assert world.of(ef.DestroyContainer) == [ef.DestroyContainer(ContainerId("orphan"))]
    assert world.of(ef.ForgetContainer) == [ef.ForgetContainer(ContainerId("old"))]
    world.exits(ContainerId("orphan"), 9)
    assert world.of(ef.ForgetContainer) == [ef.ForgetContainer(ContainerId("orphan"))]


def test_history_and_garbage_survive_a_restart(world: World) -> None:
    """A finished executor is still shown, and its sandbox still deleted in time."""
    world.exits(world.running_task(), 0)
    world.acknowledge_all()
    garbage = world.state.garbage
    world.now += 500
    world.boot()
    assert world.state.garbage == garbage
    [executor] = world.state.completed_frameworks["f"].completed
    assert executor.tasks[0].state is m.TaskState.TASK_FINISHED


def test_changed_resources_are_refused_by_the_equal_policy(world: World) -> None:
    """The sentence says what changed and what to do."""
    world.policy = replace(world.policy, resources=world.policy.resources[:1])
    world.boot()
    [stop] = world.of(ef.StopAgent)
    assert stop.exit_code == 1 and "the resource mem was mem" in stop.message
    assert "reconfiguration_policy=equal" in stop.message and "--recover=cleanup" in stop.message


def test_grown_resources_are_fine_with_the_additive_policy(world: World) -> None:
    """More is allowed, less is not."""
    more = m.Resource(
        name="disk", type=m.ValueType.SCALAR, scalar=m.ValueScalar(value=1.0), role="*"
    )
    grown = (*world.policy.resources, more)
    world.policy = replace(world.policy, reconfiguration_policy="additive", resources=grown)
    world.boot()
    assert world.of(ef.StopAgent) == [] and world.state.agent_id == "S0"
    world.policy = replace(world.policy, resources=grown[:1])
    world.boot()
    assert len(world.of(ef.StopAgent)) == 1


def test_cleanup_ends_what_ran_and_stops(world: World) -> None:
    """`recover=cleanup` leaves no task behind."""
    container_id = world.running_task()
    policy: Policy = replace(world.policy, recover="cleanup")
    world.policy = policy
    world.boot()
    assert ef.SignalContainer(container_id, 15, "group") in world.last
    world.exits(container_id, 15)
    assert [effect.exit_code for effect in world.of(ef.StopAgent)] == [0]
