"""Task groups: a pod starts whole, one member's failure ends it, and the executor goes last."""

from __future__ import annotations

from typing import Any

from mesos_twisted.agent.core import effects as ef
from mesos_twisted.agent.core import events as ev
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId

World = Any


def executor() -> m.ExecutorInfo:
    return m.ExecutorInfo(executor_id=m.ExecutorID(value="pod"), type=m.ExecutorInfoType.DEFAULT)


def pod(world: World) -> ContainerId:
    found: ContainerId = world.state.frameworks["f"].executors["pod"].container_id
    return found


def running(world: World, *names: str) -> list[ContainerId]:
    world.run_group(executor(), *(world.task(name) for name in names))
    ids = [world.container(name) for name in names]
    world.sandbox_ready(pod(world))
    for container_id in ids:
        world.sandbox_ready(container_id)
    for container_id in ids:
        world.launched(container_id)
    for name in names:
        world.acknowledge_all(name)
    return ids


def test_a_pod_is_prepared_then_launched_whole(world: World) -> None:
    """No process starts before every member's sandbox is there; RUNNING when all run."""
    world.run_group(executor(), world.task("a"), world.task("b"))
    [sandbox] = world.of(ef.PrepareSandbox)
    assert sandbox.container_id == pod(world)
    assert sandbox.subdirectories == ("tasks/a", "tasks/b")
    a, b = world.container("a"), world.container("b")
    world.sandbox_ready(pod(world))
    directories = [effect.directory for effect in world.of(ef.PrepareSandbox)]
    assert directories == [f"{sandbox.directory}/tasks/a", f"{sandbox.directory}/tasks/b"]
    world.sandbox_ready(b)
    assert world.of(ef.LaunchContainer) == []
    world.sandbox_ready(a)
    launches = world.of(ef.LaunchContainer)
    assert [launch.container_id for launch in launches] == [a, b]
    assert {launch.parent for launch in launches} == {pod(world)}
    assert launches[0].cpus_milli == 1000
    world.launched(a)
    assert world.states("a") == []
    world.launched(b)
    assert world.states("a") == world.states("b") == ["TASK_STARTING", "TASK_RUNNING"]
    status = world.statuses("a")[0]
    assert status.container_status.container_id == m.ContainerID(
        value=a, parent=m.ContainerID(value=pod(world))
    )
    assert status.executor_id == m.ExecutorID(value="pod")


def test_a_failing_member_takes_the_group_with_it(world: World) -> None:
    """It failed; the others are killed; the executor ends after the last."""
    a, b = running(world, "a", "b")
    world.exits(a, 256)
    assert world.statuses("a")[0].state is m.TaskState.TASK_FAILED
    assert world.of(ef.SignalContainer) == [ef.SignalContainer(b, 15, "group")]
    assert world.of(ef.DestroyContainer) == []
    run_id = pod(world)
    world.exits(b, 15)
    assert world.statuses("b")[-1].state is m.TaskState.TASK_KILLED
    assert world.of(ef.DestroyContainer) == [ef.DestroyContainer(run_id)]
    exited = [x for x in world.sent() if isinstance(x, agentlink.ExitedExecutor)]
    assert [x.executor_id for x in exited] == ["pod"]
    world.acknowledge_all("a")
    world.acknowledge_all("b")
    assert not world.state.frameworks and not world.state.containers


def test_a_member_that_finishes_leaves_the_others_alone(world: World) -> None:
    """Success is no reason to end the rest."""
    a, b = running(world, "a", "b")
    world.exits(a, 0)
    assert world.of(ef.SignalContainer) == []
    assert world.statuses("a")[0].state is m.TaskState.TASK_FINISHED
    world.exits(b, 0)
    assert world.statuses("b")[0].state is m.TaskState.TASK_FINISHED


def test_killing_one_member_kills_the_group(world: World) -> None:
    """A pod lives and dies as one."""
    a, b = running(world, "a", "b")
    world.kill("a")
    assert world.of(ef.SignalContainer) == [ef.SignalContainer(a, 15, "group")]
    world.exits(a, 15)
    assert world.of(ef.SignalContainer) == [ef.SignalContainer(b, 15, "group")]


def test_a_group_killed_before_delivery_is_killed_whole(world: World) -> None:
    """Nothing of it ever starts, and each member's scheduler is told."""
    world.run_group(executor(), world.task("a"), world.task("b"))
    world.kill("b")
    for name in ("a", "b"):
        [told] = world.statuses(name)
        assert told.state is m.TaskState.TASK_KILLED
        assert told.reason is m.TaskStatusReason.REASON_TASK_KILLED_DURING_LAUNCH
        assert told.message == (
            "A task within the task group was killed before delivery to the executor"
        )
        world.acknowledge(name)
    assert not world.state.frameworks


def test_a_member_whose_sandbox_fails_fails_the_launch(world: World) -> None:
    """All or nothing: the others are killed without having run."""
    world.run_group(executor(), world.task("a"), world.task("b"))
    a, b = world.container("a"), world.container("b")
    world.sandbox_ready(pod(world))
    world.sandbox_ready(b)
    world.feed(ev.SandboxFailed(a, "no such URI", world.now))
    assert world.statuses("a")[0].state is m.TaskState.TASK_FAILED
    assert world.statuses("b")[0].state is m.TaskState.TASK_KILLED
    assert world.of(ef.DestroyContainer)[0] == ef.DestroyContainer(b)
    world.exits(b, None)
    world.acknowledge_all("a")
    world.acknowledge_all("b")
    assert not world.state.frameworks


def test_a_member_that_cannot_be_launched_ends_those_that_run_already(world: World) -> None:
    """Whatever came first: what runs is said to run and is killed, also when that was asked for."""
    for first, asked in ((True, False), (False, False), (True, True)):
        world.run_group(executor(), world.task("a"), world.task("b"))
        a, b = world.container("a"), world.container("b")
        world.sandbox_ready(pod(world))
        world.sandbox_ready(a)
        world.sandbox_ready(b)
        world.of(ef.LaunchContainer)
        failed = ev.ContainerLaunchFailed(b, "no process", world.now)
        if first:
            world.launched(a)
            if asked:
                world.kill("a")
            world.feed(failed)
        else:
            world.feed(failed)
            world.launched(a)
        assert world.of(ef.SignalContainer) == [ef.SignalContainer(a, 15, "group")]
        world.exits(a, 15)
        world.acknowledge_all("a")
        world.acknowledge_all("b")
        assert not world.state.frameworks and not world.state.containers


def test_a_second_group_joins_a_running_executor(world: World) -> None:
    """It has its own fate: the first group's failure does not touch it."""
    a, _ = running(world, "a", "b")
    c, d = running(world, "c", "d")
    world.exits(a, 256)
    signalled = {effect.container_id for effect in world.of(ef.SignalContainer)}
    assert c not in signalled and d not in signalled


def test_shutting_the_executor_down_kills_every_task(world: World) -> None:
    """Within its shutdown grace period."""
    a, b = running(world, "a", "b")
    world.say(agentlink.ShutdownExecutor(framework_id="f", executor_id="pod"))
    signalled = [effect.container_id for effect in world.of(ef.SignalContainer)]
    assert signalled == [a, b]
    assert ef.StartTimer(("kill", "f", "a"), 5.0) in world.last
