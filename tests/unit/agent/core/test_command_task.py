"""Command tasks: what their scheduler sees from launch to the last acknowledgement."""

from __future__ import annotations

from typing import Any

import pytest

from mesos_twisted.agent.core import effects as ef
from mesos_twisted.agent.core import events as ev
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m

World = Any


def test_a_task_lives_from_launch_to_its_last_acknowledgement(world: World) -> None:
    """RunTask, sandbox, process, STARTING, RUNNING, exit, FINISHED, and nothing is left."""
    effects = world.run(world.task())
    container_id = world.container("t")
    [sandbox] = world.of(ef.PrepareSandbox)
    assert sandbox.directory == f"slaves/S0/frameworks/f/executors/t/runs/{container_id}"
    assert effects.index(sandbox) > effects.index(world.of(ef.Checkpoint)[-1])
    world.sandbox_ready(container_id)
    [launch] = world.of(ef.LaunchContainer)
    assert (launch.program, launch.argv) == ("/bin/sh", ("sh", "-c", "sleep 1"))
    assert launch.user == "u"
    assert (launch.cpus_milli, launch.mem_bytes) == (1100, 96 << 20)
    world.launched(container_id)
    assert world.states() == ["TASK_STARTING", "TASK_RUNNING"]
    [update] = world.sent()
    assert update.status.state is m.TaskState.TASK_STARTING
    assert update.latest_state is m.TaskState.TASK_STARTING
    world.acknowledge()
    [update] = world.sent()
    assert update.status.state is m.TaskState.TASK_RUNNING
    world.acknowledge()
    assert world.sent() == []
    world.exits(container_id, 0)
    [update] = world.sent()
    assert update.status.state is m.TaskState.TASK_FINISHED
    assert update.status.message == "Command exited with status 0"
    assert update.status.source is m.TaskStatusSource.SOURCE_EXECUTOR
    assert world.of(ef.ForgetContainer) == [ef.ForgetContainer(container_id)]
    world.acknowledge()
    assert not world.state.frameworks and not world.state.containers and not world.state.streams
    left = {key.split("/")[0] for key in world.rows}
    assert left == {"agent", "boot_id", "done"}


def test_a_status_names_its_container_address_and_pid(world: World) -> None:
    """container_status is as a real agent gives it."""
    world.run(world.task())
    container_id = world.container("t")
    world.sandbox_ready(container_id)
    world.launched(container_id, 99)
    status = world.statuses()[0]
    assert status.container_status == m.ContainerStatus(
        container_id=m.ContainerID(value=container_id),
        network_infos=(
            m.NetworkInfo(ip_addresses=(m.NetworkInfoIPAddress(ip_address="127.0.0.1"),)),
        ),
        executor_pid=99,
    )
    assert status.executor_id == m.ExecutorID(value="t")
    assert status.agent_id == m.AgentID(value="S0")
    assert status.uuid is not None and len(status.uuid) == 16


@pytest.mark.parametrize(
    ("status", "state", "message"),
    [
        (0, "TASK_FINISHED", "Command exited with status 0"),
        (3 << 8, "TASK_FAILED", "Command exited with status 3"),
        (11, "TASK_FAILED", "Command terminated with signal Segmentation fault"),
        (None, "TASK_FAILED", "Failed to get exit status for Command"),
    ],
)
def test_the_end_is_told_in_mesos_words(
    world: World, status: int | None, state: str, message: str
) -> None:
    """Exit codes and signals read as a real command executor words them."""
    container_id = world.running_task()
    world.exits(container_id, status)
    [told] = world.statuses()
    assert (told.state.value, told.message) == (state, message)


def test_the_executor_of_a_command_task_is_named_after_it(world: World) -> None:
    """Clients see `Command Executor (Task: ...) (Command: ...)`."""
    world.run(world.task("ok", "echo out; echo err"))
    executor = world.state.frameworks["f"].executors["ok"]
    assert executor.info.name == "Command Executor (Task: ok) (Command: sh -c 'echo out; ec...')"
    assert executor.info.source == "ok"


def test_a_command_without_shell_gets_its_arguments(world: World) -> None:
    """`value` is the program; `arguments` are the whole vector, whose first may be any word."""
    command = m.CommandInfo(shell=False, value="/bin/echo", arguments=("-echo", "a b"))
    world.run(world.task("t", None, command=command))
    world.sandbox_ready(world.container("t"))
    [launch] = world.of(ef.LaunchContainer)
    assert (launch.program, launch.argv) == ("/bin/echo", ("-echo", "a b"))


def test_a_task_sees_its_own_environment_first(world: World) -> None:
    """The task's variables win over ours, except the role, and no token is given to it."""
    variables = (
        m.EnvironmentVariable(name="PATH", value="/mine"),
        m.EnvironmentVariable(name="A", value="b"),
    )
    command = m.CommandInfo(value="env", environment=m.Environment(variables=variables))
    world.run(world.task("t", None, command=command))
    world.sandbox_ready(world.container("t"))
    env = dict(world.of(ef.LaunchContainer)[0].env)
    assert env["PATH"] == "/mine" and env["A"] == "b"
    assert env["MESOS_ALLOCATION_ROLE"] == "web"
    assert env["MESOS_SANDBOX"] == env["MESOS_DIRECTORY"]
    assert env["MESOS_EXECUTOR_ID"] == "t"
    assert "MESOS_EXECUTOR_AUTHENTICATION_TOKEN" not in env


def test_a_killed_task_is_killing_then_killed(world: World) -> None:
    """KILLING for a framework that can, SIGTERM to the group, and KILLED with the signal's name."""
    container_id = world.running_task()
    world.kill()
    assert world.states() == ["TASK_KILLING"]
    assert world.of(ef.SignalContainer) == [ef.SignalContainer(container_id, 15, "group")]
    assert ef.StartTimer(("kill", "f", "t"), 3.0) in world.last
    world.exits(container_id, 15)
    told = world.statuses()[-1]
    assert told.state is m.TaskState.TASK_KILLED
    assert told.message == "Command terminated with signal Terminated"


def test_killing_is_not_told_to_a_framework_that_cannot_hear_it(world: World) -> None:
    """Without TASK_KILLING_STATE only the end is told."""
    world.capabilities = ()
    world.running_task()
    world.kill()
    assert world.states() == []


def test_a_task_that_ignores_sigterm_is_killed_by_force(world: World) -> None:
    """After the grace of the KILL call the whole tree is destroyed."""
    container_id = world.running_task()
    world.kill(grace_s=9.0)
    assert ef.StartTimer(("kill", "f", "t"), 9.0) in world.last
    world.now += 9
    world.timer("kill", "f", "t")
    assert world.of(ef.DestroyContainer) == [ef.DestroyContainer(container_id)]
    world.exits(container_id, 9)
    assert world.statuses()[-1].message == "Command terminated with signal Killed"
    assert world.statuses()[-1].state is m.TaskState.TASK_KILLED


def test_a_second_kill_can_only_shorten_the_grace(world: World) -> None:
    """A repeated or longer kill changes nothing, a shorter one counts from the first."""
    world.running_task()
    world.kill(grace_s=20.0)
    world.now += 2
    world.kill(grace_s=30.0)
    assert world.last == []
    world.kill(grace_s=5.0)
    assert ef.StartTimer(("kill", "f", "t"), 3.0) in world.last
    assert world.of(ef.SignalContainer) == []


def test_the_tasks_own_kill_policy_is_used(world: World) -> None:
    """Without an override the grace is the task's."""
    policy = m.KillPolicy(grace_period=m.DurationInfo(nanoseconds=7_000_000_000))
    world.running_task(world.task(kill_policy=policy))
    world.kill()
    assert ef.StartTimer(("kill", "f", "t"), 7.0) in world.last


def test_a_task_killed_before_its_process_never_starts(world: World) -> None:
    """Killed while its sandbox is made: KILLED with its reason, and the container is destroyed."""
    world.run(world.task())
    container_id = world.container("t")
    world.kill()
    [told] = world.statuses()
    assert told.state is m.TaskState.TASK_KILLED
    assert told.reason is m.TaskStatusReason.REASON_TASK_KILLED_DURING_LAUNCH
    assert told.source is m.TaskStatusSource.SOURCE_AGENT
    assert world.of(ef.DestroyContainer) == [ef.DestroyContainer(container_id)]
    world.sandbox_ready(container_id)
    assert world.of(ef.LaunchContainer) == []
    world.acknowledge()
    world.exits(container_id, None)
    assert not world.state.frameworks and not world.state.containers


def test_a_kill_between_launch_and_its_outcome_is_not_lost(world: World) -> None:
    """The process is signalled as soon as it is known to run."""
    world.run(world.task())
    container_id = world.container("t")
    world.sandbox_ready(container_id)
    world.kill()
    assert world.of(ef.SignalContainer) == []
    world.launched(container_id)
    assert world.states() == ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"]
    assert world.of(ef.SignalContainer) == [ef.SignalContainer(container_id, 15, "group")]


def test_a_sandbox_that_cannot_be_made_fails_the_task(world: World) -> None:
    """The reason and the fetcher's sentence reach the scheduler."""
    world.run(world.task())
    world.feed(ev.SandboxFailed(world.container("t"), "No such URI: http://x/", world.now))
    [told] = world.statuses()
    assert told.state is m.TaskState.TASK_FAILED
    assert told.reason is m.TaskStatusReason.REASON_CONTAINER_LAUNCH_FAILED
    assert told.message == "Failed to launch container: No such URI: http://x/"
    world.acknowledge()
    assert not world.state.frameworks


def test_a_fetch_that_hangs_ends_with_the_registration_timeout(world: World) -> None:
    """After executor_registration_timeout the container is destroyed and the task failed."""
    world.run(world.task())
    container_id = world.container("t")
    assert ef.StartTimer(("launch", container_id), 60.0) in world.last
    world.timer("launch", container_id)
    [told] = world.statuses()
    assert told.reason is m.TaskStatusReason.REASON_EXECUTOR_REGISTRATION_TIMEOUT
    assert told.message == "Executor did not register within 1mins"
    assert world.of(ef.DestroyContainer) == [ef.DestroyContainer(container_id)]
    world.exits(container_id, None)
    world.acknowledge()
    assert not world.state.frameworks


def test_a_limitation_is_the_reason_told(world: World) -> None:
    """An isolator's verdict is the agent's word, with its reason."""
    container_id = world.running_task()
    world.exits(container_id, 9, ("REASON_CONTAINER_LIMITATION_MEMORY", "Memory limit exceeded"))
    [told] = world.statuses()
    assert told.state is m.TaskState.TASK_FAILED
    assert told.reason is m.TaskStatusReason.REASON_CONTAINER_LIMITATION_MEMORY
    assert told.source is m.TaskStatusSource.SOURCE_AGENT
    assert told.message == "Memory limit exceeded"


def test_a_task_over_its_completion_time_is_killed_without_grace(world: World) -> None:
    """It failed, for REASON_MAX_COMPLETION_TIME_REACHED, and no KILLING is told."""
    limit = m.DurationInfo(nanoseconds=60_000_000_000)
    container_id = world.running_task(world.task(max_completion_time=limit))
    assert ef.StartTimer(("completion", "f", "t"), 60.0) in world.all
    world.timer("completion", "f", "t")
    assert world.states() == []
    assert ef.StartTimer(("kill", "f", "t"), 0.0) in world.last
    world.timer("kill", "f", "t")
    world.exits(container_id, 9)
    [told] = world.statuses()
    assert told.state is m.TaskState.TASK_FAILED
    assert told.reason is m.TaskStatusReason.REASON_MAX_COMPLETION_TIME_REACHED


def test_a_task_id_is_never_started_twice(world: World) -> None:
    """A repeated RunTask is refused while the task runs."""
    world.running_task()
    world.run(world.task())
    assert world.of(ef.PrepareSandbox) == []


def test_a_task_for_another_agent_is_not_started(world: World) -> None:
    """The master's mistake is logged, not obeyed."""
    world.run(world.task(agent_id=m.AgentID(value="S9")))
    assert world.of(ef.PrepareSandbox) == [] and not world.state.frameworks


def test_a_kill_of_an_unknown_task_changes_nothing(world: World) -> None:
    """The master reconciles it."""
    assert [type(effect) for effect in world.kill("never")] == [ef.Log]


def test_a_shut_down_framework_leaves_without_updates(world: World) -> None:
    """Its tasks are killed, and nothing is owed to it."""
    container_id = world.running_task()
    world.say(agentlink.ShutdownFramework(framework_id="f"))
    assert world.of(ef.SignalContainer) == [ef.SignalContainer(container_id, 15, "group")]
    world.exits(container_id, 15)
    assert world.sent() == []
    assert not world.state.frameworks and not world.state.streams
    assert not [key for key in world.rows if key.startswith(("task/", "update/", "framework/"))]


def test_a_restart_while_a_framework_is_shut_down_says_nothing_again(world: World) -> None:
    """Another master may know the framework still: its task does not begin anew."""
    container_id = world.running_task()
    world.say(agentlink.ShutdownFramework(framework_id="f"))
    world.boot()
    world.register()
    said = [status.state for status in world.statuses()]
    world.exits(container_id, 15)
    said += [status.state for status in world.statuses()]
    assert m.TaskState.TASK_STARTING not in said and m.TaskState.TASK_RUNNING not in said
    world.acknowledge_all("t")
    assert not [key for key in world.rows if key.startswith(("task/", "update/"))]


def test_shutting_a_command_executor_down_kills_its_task(world: World) -> None:
    """Within the executor's shutdown grace; it is told as killed."""
    container_id = world.running_task()
    world.say(agentlink.ShutdownExecutor(framework_id="f", executor_id="t"))
    assert ef.StartTimer(("kill", "f", "t"), 5.0) in world.last
    world.exits(container_id, 15)
    assert world.statuses()[-1].state is m.TaskState.TASK_KILLED


def test_no_task_is_started_while_the_agent_is_not_registered(world: World) -> None:
    """A launch that crosses a re-registration is left to the master's reconciliation."""
    world.say(agentlink.Ping(connected=False))
    world.run(world.task())
    assert world.of(ef.PrepareSandbox) == []


def test_a_launch_outcome_for_nobody_is_cleaned_up(world: World) -> None:
    """A process that no record tells of is destroyed and then forgotten."""
    world.feed(ev.ContainerLaunched("stray", 5, world.now))
    assert world.of(ef.DestroyContainer) == [ef.DestroyContainer("stray")]
    world.exits("stray", 9)
    assert world.of(ef.ForgetContainer) == [ef.ForgetContainer("stray")]


def test_the_end_before_the_news_of_the_start_is_told_in_order(world: World) -> None:
    """A very short task still starts and runs before it finishes."""
    world.run(world.task())
    container_id = world.container("t")
    world.sandbox_ready(container_id)
    world.exits(container_id, 0)
    assert world.states() == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]


def test_a_memory_limit_above_the_request_is_the_containers(world: World) -> None:
    """`limits` raise what the task may use."""
    world.run(world.task(limits={"mem": m.ValueScalar(value=512.0)}))
    world.sandbox_ready(world.container("t"))
    [launch] = world.of(ef.LaunchContainer)
    assert launch.mem_bytes == 512 << 20
