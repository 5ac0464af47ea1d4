"""Tasks after their launch: updates, acknowledgements, kills, messages, executors, questions."""

from __future__ import annotations

import pytest

from mesos_twisted.master.core import events
from mesos_twisted.master.core.effects import Effect, Log, Publish, RequestAllocation
from mesos_twisted.master.core.state import Agent, Framework
from mesos_twisted.master.core.tasks import MASTERS_OWN, TRANSITIONS
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, TaskId
from mesos_twisted.protocol.states import TERMINAL
from mesos_twisted.testing.master_world import (
    World,
    command_task,
    events_to,
    framework_info,
    launch,
    resources,
    sent_to_agents,
    updates_in,
    uuid_of,
)

State = m.TaskState
Reason = m.TaskStatusReason


def stage(info: m.FrameworkInfo | None = None) -> tuple[World, Framework, Agent]:
    """A framework with a running task t on an agent."""
    world = World()
    framework = world.framework(info)
    agent = world.agent()
    world.running(framework, agent, "t")
    return world, framework, agent


def test_every_pair_of_states_has_its_transition() -> None:
    """Terminal states stay, states that only a master gives are not believed, the rest is taken."""
    assert len(TRANSITIONS) == len(State) ** 2
    for (state, reported), result in TRANSITIONS.items():
        if state in TERMINAL or reported in MASTERS_OWN:
            assert result is state
        else:
            assert result is reported


def test_an_update_is_forwarded_as_it_came() -> None:
    """The framework gets the agent's status with its uuid, to be acknowledged."""
    world, framework, agent = stage()
    made = world.status(framework, agent, "t", "TASK_FINISHED", message="done", data=b"x")
    (status,) = updates_in(made)
    assert status.uuid == uuid_of("t", "TASK_FINISHED")
    assert status.data == b"x" and status.message == "done"
    assert framework.tasks[next(iter(framework.tasks))].statuses[-1].data is None
    assert world.counts()["master/tasks_finished"] == 1


def test_resources_are_free_when_the_terminal_state_arrives() -> None:
    """latest_state frees them even behind an older update; the task stays until its terminal
    update is acknowledged."""
    world, framework, agent = stage()
    made = world.status(framework, agent, "t", "TASK_KILLING", latest="TASK_KILLED")
    assert any(isinstance(one, RequestAllocation) for one in world.last)
    assert world.counts()["master/tasks_killed"] == 1
    (status,) = updates_in(made)
    assert status.state is State.TASK_KILLING
    assert framework.used == {} and "t" in framework.tasks
    world.ack(framework, agent.agent_id, "t", status.uuid or b"")
    assert "t" in framework.tasks
    world.status(framework, agent, "t", "TASK_KILLED")
    made = world.ack(framework, agent.agent_id, "t", uuid_of("t", "TASK_KILLED"))
    assert not framework.tasks
    assert sent_to_agents(made) == [
        agentlink.Acknowledge(framework_id="M-0000", task_id="t", uuid=uuid_of("t", "TASK_KILLED"))
    ]


def test_a_repeated_update_is_sent_again_and_counted_once() -> None:
    """The same uuid again reaches the framework; the books do not change."""
    world, framework, agent = stage()
    world.status(framework, agent, "t", "TASK_FAILED")
    task = next(iter(framework.tasks.values()))
    before = task.statuses
    made = world.status(framework, agent, "t", "TASK_FAILED")
    assert len(updates_in(made)) == 1
    assert task.statuses == before
    assert "master/tasks_failed" not in world.counts()


def test_a_wrong_uuid_does_not_end_the_task() -> None:
    """Only the terminal update's own uuid removes the task; the agent hears every one."""
    world, framework, agent = stage()
    world.status(framework, agent, "t", "TASK_FAILED")
    made = world.ack(framework, agent.agent_id, "t", b"0" * 16)
    assert "t" in framework.tasks
    assert len(sent_to_agents(made)) == 1


def test_an_acknowledgement_to_no_agent_is_counted_invalid() -> None:
    """An unknown or disconnected agent gets nothing."""
    world, framework, agent = stage()
    assert world.ack(framework, "nowhere", "t", b"0" * 16) == []
    assert world.counts()["master/invalid_status_update_acknowledgements"] == 1
    assert agent.link is not None
    world.do(events.AgentLinkClosed(agent.link, world.now))
    assert world.ack(framework, agent.agent_id, "t", b"0" * 16) == []


def test_a_disconnected_framework_gets_its_update_later() -> None:
    """Nothing is forwarded without a stream; the state is known all the same."""
    world, framework, agent = stage()
    assert framework.connection is not None
    world.do(events.SchedulerClosed(framework.connection, world.now))
    assert world.status(framework, agent, "t", "TASK_FINISHED") == []
    task = next(iter(framework.tasks.values()))
    assert task.state is State.TASK_FINISHED and task.forwarded is State.TASK_RUNNING
    world.subscribe(framework_info(framework_id="M-0000"))
    assert len(updates_in(world.status(framework, agent, "t", "TASK_FINISHED"))) == 1


def test_an_update_of_an_unknown_task_is_forwarded() -> None:
    """The framework may know better; its acknowledgement reaches the agent."""
    world, framework, agent = stage()
    made = world.status(framework, agent, "ghost", "TASK_FINISHED")
    assert len(updates_in(made)) == 1
    assert world.counts()["master/invalid_status_updates"] == 1
    made = world.ack(framework, agent.agent_id, "ghost", b"0" * 16)
    assert len(sent_to_agents(made)) == 1


def test_operators_see_new_states_and_health_only() -> None:
    """TASK_UPDATED is published for a new state and for health, not for the same state again."""
    world, framework, agent = stage()
    world.state.operator_subscribers = 1

    def published(
        uuid: bytes, reason: m.TaskStatusReason | None = None, healthy: bool | None = None
    ) -> int:
        made = world.status(
            framework, agent, "t", "TASK_RUNNING", uuid=uuid, reason=reason, healthy=healthy
        )
        return sum(isinstance(one, Publish) for one in made)

    assert published(b"1" * 16) == 0
    health = Reason.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
    assert published(b"2" * 16, reason=health, healthy=True) == 1
    assert world.status(framework, agent, "t", "TASK_FAILED") != []


def test_operators_hear_of_a_state_that_came_with_an_older_update() -> None:
    """An update sent again carries the task's newest state; whoever follows events knows it too."""
    world, framework, agent = stage()
    world.state.operator_subscribers = 1
    world.status(framework, agent, "t", "TASK_RUNNING", uuid=b"1" * 16)
    made = world.status(
        framework, agent, "t", "TASK_RUNNING", latest="TASK_FINISHED", uuid=b"1" * 16
    )
    told = [one.event.task_updated for one in made if isinstance(one, Publish)]
    assert [one and one.state for one in told] == [m.TaskState.TASK_FINISHED]
    made = world.status(
        framework, agent, "t", "TASK_RUNNING", latest="TASK_FINISHED", uuid=b"1" * 16
    )
    assert not [one for one in made if isinstance(one, Publish)]


def kill(task_id: str, agent_id: str | None = None) -> m.SchedulerCallKill:
    """A KILL with a grace period of one second."""
    return m.SchedulerCallKill(
        task_id=m.TaskID(value=task_id),
        agent_id=None if agent_id is None else m.AgentID(value=agent_id),
        kill_policy=m.KillPolicy(grace_period=m.DurationInfo(nanoseconds=10**9)),
    )


def test_a_kill_goes_to_the_tasks_agent() -> None:
    """With its kill policy."""
    world, framework, _ = stage()
    (sent,) = sent_to_agents(world.call(framework, "KILL", kill=kill("t")))
    assert isinstance(sent, agentlink.KillTask)
    assert sent.kill_policy == kill("t").kill_policy


def test_a_kill_naming_the_wrong_agent_is_ignored() -> None:
    """Nothing is sent."""
    world, framework, _ = stage()
    assert world.call(framework, "KILL", kill=kill("t", "other")) == []


def test_a_kill_of_an_unknown_task_is_answered_like_a_question() -> None:
    """TASK_UNKNOWN, REASON_RECONCILIATION."""
    world, framework, _ = stage()
    (status,) = updates_in(world.call(framework, "KILL", kill=kill("nowhere")))
    assert status.state is State.TASK_UNKNOWN
    assert status.reason is Reason.REASON_RECONCILIATION
    assert status.message == "Reconciliation: Task is unknown"


def test_an_operators_kill_is_noted_and_goes_to_the_tasks_agent() -> None:
    """As the scheduler's own would; the log says who asked. Of a task that is gone, nothing."""
    world, framework, _ = stage()

    def asked(task_id: str) -> list[Effect]:
        return world.do(
            events.TaskKillAsked(framework.framework_id, TaskId(task_id), "ann", world.now)
        )

    made = asked("t")
    assert sent_to_agents(made) == [
        agentlink.KillTask(framework_id=framework.framework_id, task_id="t", kill_policy=None)
    ]
    (line,) = [one for one in world.last if isinstance(one, Log)]
    assert line.level == "info" and dict(line.fields)["principal"] == "ann"
    assert asked("other") == []


def test_a_kill_while_the_agent_is_away_is_repeated() -> None:
    """The agent gets it when it is back with the task still running."""
    world, framework, agent = stage()
    assert agent.link is not None
    world.do(events.AgentLinkClosed(agent.link, world.now))
    assert world.call(framework, "KILL", kill=kill("t")) == []
    made = world.reregister(
        agent.agent_id, frameworks=(framework.info,), tasks=(task_report("t", "TASK_RUNNING"),)
    )
    kills = [one for one in sent_to_agents(made) if isinstance(one, agentlink.KillTask)]
    assert [one.task_id for one in kills] == ["t"]
    assert kills[0].kill_policy == kill("t").kill_policy


def task_report(task_id: str, state: str) -> m.Task:
    """A task as agent M-S0 reports it."""
    return m.Task(
        name=task_id,
        task_id=m.TaskID(value=task_id),
        framework_id=m.FrameworkID(value="M-0000"),
        agent_id=m.AgentID(value="M-S0"),
        state=State(state),
        resources=resources("cpus:0.1;mem:32"),
    )


def test_messages_go_both_ways_at_most_once() -> None:
    """MESSAGE to an executor, and an executor's to its framework."""
    world, framework, agent = stage()
    body = m.SchedulerCallMessage(
        agent_id=m.AgentID(value=agent.agent_id), executor_id=m.ExecutorID(value="e"), data=b"hi"
    )
    assert sent_to_agents(world.call(framework, "MESSAGE", message=body)) == [
        agentlink.FrameworkMessage(framework_id="M-0000", executor_id="e", data=b"hi")
    ]
    assert agent.link is not None
    said = agentlink.ExecutorMessage(framework_id="M-0000", executor_id="e", data=b"ho")
    (event,) = events_to(world.say(agent.link, said))
    assert event.message is not None and event.message.data == b"ho"
    world.do(events.AgentLinkClosed(agent.link, world.now))
    assert world.call(framework, "MESSAGE", message=body) == []


def test_an_executors_end_is_a_failure_event() -> None:
    """FAILURE with agent, executor and wait status, for custom executors only."""
    world = World()
    framework, agent = world.framework(), world.agent()
    executor = m.ExecutorInfo(
        executor_id=m.ExecutorID(value="e"),
        command=m.CommandInfo(value="run"),
        resources=resources("cpus:1;mem:32"),
    )
    task = command_task("t", agent.agent_id, command=None, executor=executor)
    world.accept(framework, world.offers(framework), launch(task))
    body = m.SchedulerCallShutdown(
        executor_id=m.ExecutorID(value="e"), agent_id=m.AgentID(value=agent.agent_id)
    )
    assert sent_to_agents(world.call(framework, "SHUTDOWN", shutdown=body)) == [
        agentlink.ShutdownExecutor(framework_id="M-0000", executor_id="e")
    ]
    assert agent.link is not None
    said = agentlink.ExitedExecutor(framework_id="M-0000", executor_id="e", status=9)
    (event,) = events_to(world.say(agent.link, said))
    assert event.failure == m.SchedulerEventFailure(
        agent_id=m.AgentID(value=agent.agent_id), executor_id=m.ExecutorID(value="e"), status=9
    )
    assert framework.used[agent.agent_id].scalar("cpus") == 100
    assert world.say(agent.link, said) == []


# Questions


def ask(world: World, framework: Framework, *tasks: tuple[str, str | None]) -> list[m.TaskStatus]:
    """The answers to RECONCILE."""
    body = m.SchedulerCallReconcile(
        tasks=tuple(
            m.SchedulerCallReconcileTask(
                task_id=m.TaskID(value=task_id),
                agent_id=None if agent_id is None else m.AgentID(value=agent_id),
            )
            for task_id, agent_id in tasks
        )
    )
    return updates_in(world.call(framework, "RECONCILE", reconcile=body))


def test_a_known_task_is_in_the_state_last_sent_on() -> None:
    """Not the newest the agent told, but the newest the framework was told."""
    world, framework, agent = stage()
    world.status(framework, agent, "t", "TASK_KILLING", latest="TASK_KILLED", healthy=True)
    for answer in (ask(world, framework, ("t", None)), ask(world, framework)):
        (status,) = answer
        assert status.state is State.TASK_KILLING
        assert status.message == "Reconciliation: Latest task state"
        assert status.reason is Reason.REASON_RECONCILIATION
        assert status.source is m.TaskStatusSource.SOURCE_MASTER
        assert status.uuid is None and status.healthy is True


@pytest.mark.parametrize("aware", [True, False])
@pytest.mark.parametrize(
    ("agent_id", "state", "message"),
    [
        ("M-S0", "TASK_GONE", "Task is unknown to the agent"),
        ("away", "TASK_UNREACHABLE", "Task is unreachable"),
        ("gone", "TASK_GONE_BY_OPERATOR", "Task is gone"),
        ("never", "TASK_UNKNOWN", "Task is unknown"),
        (None, "TASK_UNKNOWN", "Task is unknown"),
    ],
)
def test_an_unknown_task_is_explained_by_its_agent(
    aware: bool, agent_id: str | None, state: str, message: str
) -> None:
    """The finer state for partition-aware frameworks, TASK_LOST for others."""
    world = World()
    framework = world.framework(framework_info(("PARTITION_AWARE",) if aware else ()))
    world.agent()
    world.state.unreachable[AgentId("away")] = 900.0
    world.state.gone[AgentId("gone")] = 900.0
    (status,) = ask(world, framework, ("x", agent_id))
    assert status.state.value == (state if aware else "TASK_LOST")
    assert status.message == f"Reconciliation: {message}"
    assert (status.unreachable_time is not None) == (agent_id == "away")
    assert (status.agent_id is None) == (agent_id is None)


def test_no_answer_while_agents_may_still_bring_the_task() -> None:
    """After a failover: none for an agent that is not back, nor without an agent."""
    world = World()
    framework = world.framework()
    world.state.recovered[AgentId("late")] = m.AgentInfo(hostname="h")
    assert ask(world, framework, ("x", "late")) == []
    assert ask(world, framework, ("x", None)) == []
    assert len(ask(world, framework, ("x", "never"))) == 1


@pytest.mark.parametrize(
    ("agent_id", "state"),
    [
        ("late", "OPERATION_RECOVERING"),
        ("M-S0", "OPERATION_UNKNOWN"),
        ("away", "OPERATION_UNREACHABLE"),
        ("gone", "OPERATION_GONE_BY_OPERATOR"),
        (None, "OPERATION_UNKNOWN"),
    ],
)
def test_an_operation_is_explained_by_its_agent(agent_id: str | None, state: str) -> None:
    """RECONCILE_OPERATIONS is answered for each operation named."""
    world = World()
    framework = world.framework()
    world.agent()
    world.state.recovered[AgentId("late")] = m.AgentInfo(hostname="h")
    world.state.unreachable[AgentId("away")] = 900.0
    world.state.gone[AgentId("gone")] = 900.0
    body = m.SchedulerCallReconcileOperations(
        operations=(
            m.SchedulerCallReconcileOperationsOperation(
                operation_id=m.OperationID(value="op"),
                agent_id=None if agent_id is None else m.AgentID(value=agent_id),
            ),
        )
    )
    made = world.call(framework, "RECONCILE_OPERATIONS", reconcile_operations=body)
    (event,) = events_to(made)
    assert event.update_operation_status is not None
    assert event.update_operation_status.status.state.value == state
