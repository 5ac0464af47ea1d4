"""Custom executors: launch, subscription, updates, kills, shutdown and the ways they end."""

from __future__ import annotations

from typing import Any

from mesos_twisted.agent.core import effects as ef
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core.environment import TOKEN_MARKER
from mesos_twisted.agent.core.state import Policy
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, ContainerId

World = Any
RUNNING = m.TaskState.TASK_RUNNING
FINISHED = m.TaskState.TASK_FINISHED


def executor() -> m.ExecutorInfo:
    return m.ExecutorInfo(
        executor_id=m.ExecutorID(value="e"), command=m.CommandInfo(value="./executor")
    )


def container(world: World) -> ContainerId:
    found: ContainerId = world.state.frameworks["f"].executors["e"].container_id
    return found


def run(world: World, task_id: str = "t") -> None:
    world.run(world.task(task_id, None, executor=executor()))


def started(world: World) -> ContainerId:
    """A subscribed executor with one task."""
    run(world)
    world.sandbox_ready(container(world))
    world.launched(container(world))
    world.subscribe()
    return container(world)


def test_an_executor_is_launched_subscribes_and_gets_its_tasks(world: World) -> None:
    """SUBSCRIBED comes first, then every task that was queued meanwhile, in order."""
    run(world)
    run(world, "t2")
    world.sandbox_ready(container(world))
    [launch] = world.of(ef.LaunchContainer)
    assert (launch.program, launch.argv) == ("/bin/sh", ("sh", "-c", "./executor"))
    world.launched(container(world))
    assert world.states() == []
    world.subscribe()
    subscribed, first, second = world.to_executor()
    assert subscribed.type is m.ExecutorEventType.SUBSCRIBED
    assert subscribed.subscribed.container_id == m.ContainerID(value=container(world))
    assert subscribed.subscribed.framework_info.id == m.FrameworkID(value="f")
    assert subscribed.subscribed.agent_info.id == m.AgentID(value="S0")
    assert first.launch.task.task_id.value == "t"
    assert second.launch.task.task_id.value == "t2"


def test_the_environment_tells_the_executor_where_the_agent_is(world: World) -> None:
    """The variables that executor libraries read are set, and the token is left to the edge."""
    run(world)
    world.sandbox_ready(container(world))
    env = dict(world.of(ef.LaunchContainer)[0].env)
    assert env["MESOS_AGENT_ENDPOINT"] == "127.0.0.1:5053"
    assert "MESOS_DOMAIN_SOCKET" not in env
    assert env["MESOS_FRAMEWORK_ID"] == "f"
    assert env["MESOS_EXECUTOR_ID"] == "e"
    assert env["MESOS_SLAVE_ID"] == "S0"
    assert env["MESOS_CHECKPOINT"] == "1"
    assert env["MESOS_RECOVERY_TIMEOUT"] == "15mins"
    assert env["MESOS_SUBSCRIPTION_BACKOFF_MAX"] == "2secs"
    assert env["MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"] == "5secs"
    assert env["MESOS_DIRECTORY"].endswith(f"/executors/e/runs/{container(world)}")
    assert env["MESOS_EXECUTOR_AUTHENTICATION_TOKEN"] == TOKEN_MARKER


def test_a_second_task_reuses_the_executor(world: World) -> None:
    """No second process; the task is delivered at once and the container's share grows."""
    run_id = started(world)
    run(world, "t2")
    assert world.of(ef.PrepareSandbox) == []
    [event] = world.to_executor()
    assert event.launch.task.task_id.value == "t2"
    assert world.of(ef.UpdateContainer) == [ef.UpdateContainer(run_id, 2000, 128 << 20)]


def test_a_group_is_delivered_whole_to_a_custom_executor(world: World) -> None:
    """LAUNCH_GROUP carries all tasks in order."""
    world.run_group(executor(), world.task("a"), world.task("b"))
    world.sandbox_ready(container(world))
    world.launched(container(world))
    world.subscribe()
    event = world.to_executor()[-1]
    assert [t.task_id.value for t in event.launch_group.task_group.tasks] == ["a", "b"]


def test_an_update_is_stored_forwarded_and_acknowledged_to_the_executor(world: World) -> None:
    """On disk first; the executor's word is completed with who and where."""
    started(world)
    effects = world.update("t", RUNNING, b"u" * 16)
    kinds = [type(effect) for effect in effects]
    assert kinds.index(ef.Checkpoint) < kinds.index(ef.SendToMaster)
    assert kinds.index(ef.Checkpoint) < kinds.index(ef.SendToExecutor)
    [told] = world.statuses()
    assert told.source is m.TaskStatusSource.SOURCE_EXECUTOR
    assert told.executor_id == m.ExecutorID(value="e")
    assert told.container_status.executor_pid == 4242
    [event] = world.to_executor()
    assert event.acknowledged.uuid == b"u" * 16


def test_a_repeated_update_is_acknowledged_but_not_told_twice(world: World) -> None:
    """Duplicates are known by uuid, even after their acknowledgement."""
    started(world)
    world.update("t", RUNNING, b"u" * 16)
    world.acknowledge()
    world.update("t", RUNNING, b"u" * 16)
    assert world.states() == [] and world.sent() == []
    assert world.to_executor()[0].acknowledged.uuid == b"u" * 16


def test_a_kill_is_forwarded_with_its_policy(world: World) -> None:
    """The executor decides how; the agent sends no signal."""
    started(world)
    world.update("t", RUNNING, b"u" * 16)
    world.kill(grace_s=4)
    [event] = world.to_executor()
    assert event.kill.task_id.value == "t"
    assert event.kill.kill_policy.grace_period.nanoseconds == 4_000_000_000
    assert world.of(ef.SignalContainer) == []


def test_killing_the_only_queued_task_ends_the_executor_too(world: World) -> None:
    """A process that was never given a task is not left alive."""
    run(world)
    run_id = container(world)
    world.sandbox_ready(run_id)
    world.launched(run_id)
    world.kill()
    [told] = world.statuses()
    assert told.state is m.TaskState.TASK_KILLED
    assert told.reason is m.TaskStatusReason.REASON_TASK_KILLED_DURING_LAUNCH
    assert world.of(ef.DestroyContainer) == [ef.DestroyContainer(run_id)]
    world.exits(run_id, 9)
    world.acknowledge()
    assert not world.state.frameworks


def test_an_executor_that_never_subscribes_fails_its_tasks(world: World) -> None:
    """After the registration timeout it is destroyed, and the reason told."""
    run(world)
    run_id = container(world)
    world.sandbox_ready(run_id)
    world.launched(run_id)
    world.timer("launch", run_id)
    assert world.of(ef.DestroyContainer) == [ef.DestroyContainer(run_id)]
    world.exits(run_id, 9)
    [told] = world.statuses()
    assert told.state is m.TaskState.TASK_FAILED
    assert told.reason is m.TaskStatusReason.REASON_EXECUTOR_REGISTRATION_TIMEOUT
    assert told.message == "Executor did not register within 1mins"


def test_an_executor_that_dies_takes_its_tasks_with_it(world: World) -> None:
    """TASK_FAILED, REASON_EXECUTOR_TERMINATED, and the master hears of the executor."""
    run_id = started(world)
    world.update("t", RUNNING, b"u" * 16)
    world.acknowledge()
    world.exits(run_id, 256)
    [told] = world.statuses()
    assert told.state is m.TaskState.TASK_FAILED
    assert told.reason is m.TaskStatusReason.REASON_EXECUTOR_TERMINATED
    assert told.message == "Executor terminated"
    exited = [x for x in world.sent() if isinstance(x, agentlink.ExitedExecutor)]
    assert exited == [agentlink.ExitedExecutor(framework_id="f", executor_id="e", status=256)]
    assert world.of(ef.CloseExecutorStream) == [ef.CloseExecutorStream(ConnectionId(1))]


def test_updates_of_a_dead_executor_are_still_owed(world: World) -> None:
    """An executor that exits after its last update loses nothing of it."""
    run_id = started(world)
    world.update("t", RUNNING, b"u" * 16)
    world.update("t", FINISHED, b"v" * 16)
    world.exits(run_id, 0)
    assert world.states() == ["TASK_RUNNING", "TASK_FINISHED"]
    world.acknowledge()
    world.acknowledge()
    assert not world.state.frameworks


def test_shutdown_gives_grace_and_then_force(world: World) -> None:
    """SHUTDOWN to the executor; destroyed after its grace."""
    run_id = started(world)
    world.say(agentlink.ShutdownExecutor(framework_id="f", executor_id="e"))
    assert [event.type for event in world.to_executor()] == [m.ExecutorEventType.SHUTDOWN]
    key = ("shutdown", "f", "e", run_id)
    assert ef.StartTimer(key, 5.0) in world.last
    world.timer(*key)
    assert world.of(ef.DestroyContainer) == [ef.DestroyContainer(run_id)]


def test_a_task_for_an_ending_executor_is_dropped(world: World) -> None:
    """The scheduler learns that the executor is terminating."""
    started(world)
    world.say(agentlink.ShutdownExecutor(framework_id="f", executor_id="e"))
    run(world, "late")
    [told] = world.statuses("late")
    assert told.state is m.TaskState.TASK_DROPPED
    assert told.message == "Executor terminating"
    assert told.reason is m.TaskStatusReason.REASON_EXECUTOR_TERMINATED


def test_messages_pass_both_ways(world: World) -> None:
    """Framework messages reach the executor, and the executor's reach the master."""
    started(world)
    world.say(agentlink.FrameworkMessage(framework_id="f", executor_id="e", data=b"hi"))
    assert world.to_executor()[0].message.data == b"hi"
    call = m.ExecutorCall(
        executor_id=m.ExecutorID(value="e"),
        framework_id=m.FrameworkID(value="f"),
        message=m.ExecutorCallMessage(data=b"ho"),
    )
    world.feed(ev.ExecutorCalled("f", "e", call, world.now))
    assert world.sent() == [
        agentlink.ExecutorMessage(framework_id="f", executor_id="e", data=b"ho")
    ]


def test_an_executor_may_subscribe_again(world: World) -> None:
    """The old stream is closed; what it did not acknowledge or never got is told."""
    started(world)
    run(world, "t2")
    update = m.ExecutorCallUpdate(
        status=m.TaskStatus(task_id=m.TaskID(value="t"), state=RUNNING, uuid=b"u" * 16)
    )
    world.subscribe(connection=2, unacknowledged_updates=(update,))
    assert world.of(ef.CloseExecutorStream) == [ef.CloseExecutorStream(ConnectionId(1))]
    assert world.states("t") == ["TASK_RUNNING"]
    [told] = world.statuses("t2")
    assert told.state is m.TaskState.TASK_DROPPED
    assert told.message == "Task launched during agent restart"


def test_after_a_restart_an_executor_that_returns_keeps_its_tasks(world: World) -> None:
    """Within the re-registration timeout it subscribes again and goes on."""
    run_id = started(world)
    world.update("t", RUNNING, b"u" * 16)
    world.boot()
    key = ("reregistration", "f", "e", run_id)
    assert ef.StartTimer(key, 2.0) in world.last
    world.register()
    world.subscribe(connection=3)
    world.timer(*key)
    assert world.of(ef.DestroyContainer) == []
    world.update("t", RUNNING, b"u" * 16)
    assert world.states() == ["TASK_RUNNING"]


def test_after_a_restart_an_executor_that_stays_away_is_destroyed(world: World) -> None:
    """Its tasks are gone, for REASON_EXECUTOR_REREGISTRATION_TIMEOUT."""
    run_id = started(world)
    world.update("t", RUNNING, b"u" * 16)
    world.acknowledge()
    world.boot()
    world.register()
    world.timer("reregistration", "f", "e", run_id)
    assert world.of(ef.DestroyContainer) == [ef.DestroyContainer(run_id)]
    world.exits(run_id, 9)
    [told] = world.statuses()
    assert told.state is m.TaskState.TASK_GONE
    assert told.message == "Executor did not reregister within 2secs"


def test_the_environment_names_the_unix_socket_where_there_is_one(fresh: World) -> None:
    """The variable that says where else the executor API is served."""
    world = type(fresh)(policy=Policy(hostname="h", domain_socket="/run/agent.sock"))
    world.boot()
    world.register()
    run(world)
    world.sandbox_ready(container(world))
    assert dict(world.of(ef.LaunchContainer)[0].env)["MESOS_DOMAIN_SOCKET"] == "/run/agent.sock"


def test_the_first_terminal_update_counts(world: World) -> None:
    """A second one is acknowledged to the executor and goes no further."""
    started(world)
    world.update("t", FINISHED, b"u" * 16)
    world.update("t", m.TaskState.TASK_FAILED, b"v" * 16)
    assert world.states() == ["TASK_FINISHED"]
    assert world.to_executor()[0].acknowledged.uuid == b"v" * 16


def test_a_kill_is_repeated_to_an_executor_that_comes_back(world: World) -> None:
    """The KILL it may have missed over our restart, with the same grace."""
    started(world)
    world.update("t", RUNNING, b"u" * 16)
    world.kill(grace_s=4)
    world.boot()
    world.register()
    world.subscribe(connection=5)
    kills = [event.kill for event in world.to_executor() if event.kill is not None]
    assert [kill.kill_policy.grace_period.nanoseconds for kill in kills] == [4_000_000_000]


def test_a_launch_that_fails_names_its_reason(world: World) -> None:
    """REASON_CONTAINER_LAUNCH_FAILED with the containerizer's sentence."""
    run(world)
    world.sandbox_ready(container(world))
    world.feed(ev.ContainerLaunchFailed(container(world), "no such file", world.now))
    [told] = world.statuses()
    assert told.reason is m.TaskStatusReason.REASON_CONTAINER_LAUNCH_FAILED
    assert told.message == "Failed to launch container: no such file"


def launch_message(world: World, task_id: str, launch_executor: bool) -> None:
    world.say(
        agentlink.RunTask(
            framework=world.framework(),
            task=world.task(task_id, None, executor=executor()),
            launch_executor=launch_executor,
        )
    )


def test_a_new_run_of_an_executor_that_still_owes_updates_is_taken_back(world: World) -> None:
    """The master charged the new run: it hears that there is none, after the dropped task."""
    run_id = started(world)
    world.update("t", RUNNING, b"1" * 16)
    world.exits(run_id, 256)
    launch_message(world, "t2", True)
    [status] = world.statuses("t2")
    assert status.state is m.TaskState.TASK_DROPPED
    assert status.reason is m.TaskStatusReason.REASON_EXECUTOR_TERMINATED
    assert status.message == "Master wants to launch executor, but one already exists"
    assert world.sent()[-1] == agentlink.ExitedExecutor(
        framework_id="f", executor_id="e", status=-1
    )


def test_an_executor_that_the_master_does_not_know_is_shut_down(world: World) -> None:
    """Asked to launch it although it runs, the agent drops the task and ends what nobody knows."""
    started(world)
    launch_message(world, "t2", True)
    assert world.states("t2") == ["TASK_DROPPED"]
    assert [event.type for event in world.to_executor()] == [m.ExecutorEventType.SHUTDOWN]


def test_a_task_for_an_executor_that_is_gone_meanwhile_starts_no_new_one(world: World) -> None:
    """The master has heard or will hear of the end, and would not know of the new one."""
    launch_message(world, "t", False)
    [status] = world.statuses()
    assert status.state is m.TaskState.TASK_DROPPED
    assert status.message == "No executor is expected to launch and there is none running"
    assert not world.state.frameworks
    assert world.of(ef.PrepareSandbox) == []
    world.acknowledge()
    assert not world.state.streams


def test_a_command_whose_id_an_executor_is_given_goes_on(world: World) -> None:
    """The executor's tasks are dropped and its run is taken back; the command is not touched."""
    world.running_task(world.task("e"))
    launch_message(world, "t", True)
    assert world.states("t") == ["TASK_DROPPED"]
    assert world.sent()[-1] == agentlink.ExitedExecutor(
        framework_id="f", executor_id="e", status=-1
    )
    assert world.of(ef.SignalContainer) == []
