"""What master or executor say of tasks the agent does not have, or has only words of."""

from __future__ import annotations

from typing import Any

import pytest

from mesos_twisted.agent.core import effects as ef
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId

World = Any
RUNNING, FINISHED = m.TaskState.TASK_RUNNING, m.TaskState.TASK_FINISHED
EXECUTOR = m.ExecutorInfo(
    executor_id=m.ExecutorID(value="e"), command=m.CommandInfo(value="./executor")
)


def executor(world: World) -> str:
    """A subscribed executor with the task `own`; the id of its container."""
    world.run(world.task("own", None, executor=EXECUTOR))
    run_id = world.state.frameworks["f"].executors["e"].container_id
    world.sandbox_ready(run_id)
    world.launched(run_id)
    world.subscribe()
    return str(run_id)


def acknowledged(world: World) -> list[bytes]:
    return [e.acknowledged.uuid for e in world.to_executor() if e.acknowledged is not None]


# RunTask for an id of which something is still owed.


def test_an_id_whose_last_word_is_still_owed_is_launched_anew(world: World) -> None:
    """The old end is owed to nobody: told later, it would end the new task."""
    world.exits(world.running_task(), 0)
    assert world.states() == ["TASK_FINISHED"]
    world.run(world.task())
    assert world.states() == [] and len(world.of(ef.PrepareSandbox)) == 1
    container_id = world.container("t")
    world.sandbox_ready(container_id)
    world.launched(container_id)
    assert world.states() == ["TASK_STARTING", "TASK_RUNNING"]
    world.boot()
    assert world.states() == ["TASK_STARTING", "TASK_RUNNING"]
    [done] = world.state.frameworks["f"].completed
    assert [task.state for task in done.tasks] == [FINISHED]


def test_an_id_that_was_dropped_before_is_launched_anew(world: World) -> None:
    """Of a task that never was here only the word is forgotten."""
    world.say(
        agentlink.RunTask(
            framework=world.framework(),
            task=world.task("t", None, executor=EXECUTOR),
            launch_executor=False,
        )
    )
    assert world.states() == ["TASK_DROPPED"]
    world.run(world.task())
    assert world.states() == [] and world.state.task("f", "t") is not None
    assert not [key for key in world.rows if key.startswith("update/")]


def test_a_task_that_runs_is_not_started_twice(world: World) -> None:
    """It goes on, and nothing is said."""
    container_id = world.running_task()
    assert {type(effect) for effect in world.run(world.task())} == {ef.Log}
    assert world.container("t") == container_id


# Updates of an executor for tasks the agent does not know.


def test_an_update_of_an_unknown_task_is_forwarded_and_acknowledged(world: World) -> None:
    """In order, each once, and nothing is left of it when the scheduler has it."""
    executor(world)
    world.update("stranger", RUNNING, b"1" * 16)
    assert acknowledged(world) == [b"1" * 16]
    [sent] = world.sent()
    assert sent.status.task_id.value == "stranger" and sent.status.state is RUNNING
    assert sent.status.agent_id.value == "S0" and sent.executor_id == "e"
    assert sent.status.source is m.TaskStatusSource.SOURCE_EXECUTOR
    world.update("stranger", RUNNING, b"1" * 16)
    world.update("stranger", FINISHED, b"2" * 16)
    assert world.states("stranger") == ["TASK_RUNNING", "TASK_FINISHED"]
    # Nothing follows a last word.
    world.update("stranger", RUNNING, b"3" * 16)
    assert acknowledged(world) == [b"3" * 16]
    assert world.states("stranger") == ["TASK_RUNNING", "TASK_FINISHED"]
    world.acknowledge("stranger")
    world.acknowledge("stranger")
    assert ("f", "stranger") not in world.state.streams
    assert not [key for key in world.rows if key.startswith("update/f/stranger")]


def test_a_stranger_that_has_not_ended_leaves_nothing_behind(world: World) -> None:
    """The stream of a task that nobody knows ends with what it owes, over a restart too."""
    executor(world)
    world.update("stranger", RUNNING, b"1" * 16)
    world.boot()
    world.register()
    assert world.states("stranger") == ["TASK_RUNNING"]
    world.acknowledge("stranger")
    assert ("f", "stranger") not in world.state.streams
    assert not [key for key in world.rows if key.startswith("update/f/stranger")]


def test_an_executor_cannot_speak_for_anothers_task(world: World) -> None:
    """It is told that it was heard, and nothing comes of it."""
    world.running_task(world.task("other"))
    executor(world)
    world.update("other", FINISHED, b"1" * 16)
    assert acknowledged(world) == [b"1" * 16]
    assert world.states("other") == [] and world.sent() == []
    assert ef.Count("slave/invalid_status_updates") in world.last


# SHUTDOWN.


def test_an_executor_that_comes_back_to_end_is_told_so_and_let_go(world: World) -> None:
    """SHUTDOWN, and the stream is closed after it."""
    executor(world)
    world.say(agentlink.ShutdownExecutor(framework_id="f", executor_id="e"))
    world.boot()
    world.subscribe(connection=9)
    assert [event.type for event in world.to_executor()] == [m.ExecutorEventType.SHUTDOWN]
    assert world.last[-1] == ef.CloseExecutorStream(ConnectionId(9))
    assert world.state.connections == {}
    # What it still says counts.
    world.update("own", FINISHED, b"1" * 16)
    assert "TASK_FINISHED" in world.states("own")


# Kills.


@pytest.mark.parametrize(("capable", "state"), [(True, "TASK_DROPPED"), (False, "TASK_LOST")])
def test_a_kill_of_an_unknown_task_is_answered(world: World, capable: bool, state: str) -> None:
    """As long as the framework is known: the scheduler need not wait for a reconciliation."""
    if not capable:
        world.capabilities = ()
    world.running_task()
    world.kill("stranger")
    [status] = world.statuses("stranger")
    assert status.state.value == state and status.message == "Cannot find executor"
    assert status.reason is m.TaskStatusReason.REASON_EXECUTOR_TERMINATED
    world.kill("stranger")
    assert world.states("stranger") == [state]


def test_a_kill_for_an_unknown_framework_is_only_logged(world: World) -> None:
    """There is nobody to whom the agent could speak."""
    assert [type(effect) for effect in world.kill("stranger")] == [ef.Log]
