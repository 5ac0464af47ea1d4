"""ACCEPT with executors and task groups: charged once, launched as one, failed as one."""

from __future__ import annotations

import msgspec
import pytest

from mesos_twisted.errors import Problem
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.master_world import (
    command_task,
    events_to,
    launch,
    resources,
    sent_to_agents,
    updates_in,
)
from tests.unit.master.core.test_accept import Reason, State, first_offer, stage


def executor(executor_id: str = "e", **more: object) -> m.ExecutorInfo:
    """A custom executor."""
    given: dict[str, object] = {
        "command": m.CommandInfo(value="./run"),
        "resources": resources("cpus:0.1;mem:32"),
        **more,
    }
    return m.ExecutorInfo(
        executor_id=m.ExecutorID(value=executor_id),
        **given,  # type: ignore[arg-type]  # a test's own fields, checked by the constructor
    )


def test_an_executor_is_charged_once() -> None:
    """Two tasks of one executor hold its resources once; it appears in later offers."""
    world, framework, agent, offers = stage()
    tasks = [command_task(one, "M-S0", command=None, executor=executor()) for one in ("a", "b")]
    made = world.accept(framework, offers, launch(*tasks), refuse_seconds=0.0)
    assert updates_in(made) == []
    assert framework.used[agent.agent_id].scalar("cpus") == 300
    run, again = sent_to_agents(made)
    assert isinstance(run, agentlink.RunTask) and run.task.executor is not None
    assert isinstance(again, agentlink.RunTask)
    assert (run.launch_executor, again.launch_executor) == (True, False)
    assert run.task.executor.framework_id == m.FrameworkID(value="M-0000")
    offer = first_offer(world.allocate())
    assert offer.executor_ids == (m.ExecutorID(value="e"),)


def test_an_executor_id_keeps_its_info() -> None:
    """Using a live executor's id with another ExecutorInfo is TASK_ERROR."""
    world, framework, _, offers = stage()
    tasks = (
        command_task("a", "M-S0", command=None, executor=executor()),
        command_task("b", "M-S0", command=None, executor=executor(name="other")),
    )
    (status,) = updates_in(world.accept(framework, offers, launch(*tasks)))
    assert status.task_id.value == "b"
    assert status.message is not None and "not compatible" in status.message


def group(*tasks: m.TaskInfo) -> m.OfferOperation:
    """A LAUNCH_GROUP on a default executor."""
    info = executor(
        type=m.ExecutorInfoType.DEFAULT,
        command=None,
        resources=resources("cpus:0.1;mem:32;disk:32"),
    )
    return m.OfferOperation(
        type=m.OfferOperationType.LAUNCH_GROUP,
        launch_group=m.OfferOperationLaunchGroup(
            executor=info, task_group=m.TaskGroupInfo(tasks=tasks)
        ),
    )


def test_a_group_is_launched_as_one() -> None:
    """One record with all tasks goes to the agent; the executor is charged with them."""
    world, framework, agent, offers = stage()
    made = world.accept(
        framework, offers, group(command_task("a", "M-S0"), command_task("b", "M-S0"))
    )
    (run,) = sent_to_agents(made)
    assert isinstance(run, agentlink.RunTaskGroup)
    assert [one.task_id.value for one in run.task_group.tasks] == ["a", "b"]
    assert framework.used[agent.agent_id].scalar("cpus") == 300
    assert framework.tasks.keys() == {"a", "b"}


def test_a_bad_task_fails_its_whole_group() -> None:
    """Every task of the group gets TASK_ERROR, REASON_TASK_GROUP_INVALID."""
    world, framework, _, offers = stage()
    made = world.accept(
        framework, offers, group(command_task("a", "M-S0"), command_task("b", "other"))
    )
    statuses = updates_in(made)
    assert [one.task_id.value for one in statuses] == ["a", "b"]
    assert {one.reason for one in statuses} == {Reason.REASON_TASK_GROUP_INVALID}
    assert not framework.tasks and not framework.executors


def test_a_task_of_a_group_may_name_the_groups_executor_and_no_other() -> None:
    """The agent is told each task's executor, whether the framework named it or not."""
    world, framework, _, offers = stage()
    whole = group(command_task("a", "M-S0"))
    assert whole.launch_group is not None
    named = command_task("a", "M-S0", executor=whole.launch_group.executor)
    made = world.accept(framework, offers, group(named), refuse_seconds=0.0)
    (run,) = sent_to_agents(made)
    assert isinstance(run, agentlink.RunTaskGroup)
    assert run.task_group.tasks[0].executor == run.executor
    other = command_task("b", "M-S0", executor=executor("other"))
    (status,) = updates_in(world.accept(framework, world.offers(framework), group(other)))
    assert status.reason is Reason.REASON_TASK_GROUP_INVALID
    assert status.message is not None and "different from executor 'e'" in status.message


@pytest.mark.parametrize("grouped", [False, True])
def test_a_launch_with_an_operation_id_is_an_error_of_its_tasks(grouped: bool) -> None:
    """TASK_ERROR for each task, and no operation status: their updates are the feedback."""
    world, framework, _, offers = stage()
    task = command_task("t", "M-S0")
    operation = msgspec.structs.replace(
        group(task) if grouped else launch(task), id=m.OperationID(value="asked")
    )
    (event,) = events_to(world.accept(framework, offers, operation))
    assert event.update is not None
    status = event.update.status
    kind = "LAUNCH_GROUP" if grouped else "LAUNCH"
    assert status.message == f"The `id` field cannot be set on {kind} operations"
    reason = Reason.REASON_TASK_GROUP_INVALID if grouped else Reason.REASON_TASK_INVALID
    assert (status.state, status.reason) == (State.TASK_ERROR, reason)


def test_an_unauthorized_task_fails_its_whole_group() -> None:
    """Every task of the group gets TASK_ERROR, REASON_TASK_GROUP_UNAUTHORIZED."""
    world, framework, _, offers = stage()
    made = world.accept(
        framework,
        offers,
        group(command_task("a", "M-S0"), command_task("b", "M-S0")),
        refusals={"b": Problem("unauthorized", "no")},
    )
    assert {one.reason for one in updates_in(made)} == {Reason.REASON_TASK_GROUP_UNAUTHORIZED}
    assert not framework.tasks
