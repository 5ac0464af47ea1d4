"""Broken by hand, a world of tasks is found out: I3, I4, I5, I6, I11, I18 and the truth of ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesos_twisted.agent.core import updates
from mesos_twisted.agent.core.decide import decide
from mesos_twisted.agent.core.state import AgentState
from mesos_twisted.containerizer.zygote_messages import LaunchRequest
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import TaskId
from mesos_twisted.testing.sim import auditor_agents
from mesos_twisted.testing.sim.auditor import Auditor
from mesos_twisted.testing.sim.auditor_tasks import Tasks
from mesos_twisted.testing.sim.frameworks import Plan, SimFramework
from mesos_twisted.testing.sim.kernel import Process
from mesos_twisted.testing.sim.ledger import Launch
from mesos_twisted.testing.sim.world import Shape, World

State = m.TaskState


class Quiet(SimFramework):
    """Every task runs as long as `command` says, and nothing is killed."""

    command = "run forever"

    def _command(self) -> str:
        return self.command

    def _act(self) -> None:
        pass


@pytest.fixture(name="auditor")
def _auditor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Auditor]:
    monkeypatch.setattr("mesos_twisted.testing.sim.world.SimFramework", Quiet)
    world = World(1, Shape(agents=1, frameworks=(Plan("f", tasks=3),)))
    auditor = Auditor(world)
    world.run(3)
    assert auditor.violations == [] and len(world.hosts["a1"].kernel.running()) == 3
    yield auditor
    auditor.close()


def found(auditor: Auditor) -> str:
    """All that it says, one a line."""
    return "\n".join(map(str, auditor.violations))


def process_of(auditor: Auditor, number: int = 0) -> Process:
    """One that runs."""
    return auditor.world.hosts["a1"].kernel.running()[number]


def launch_of(auditor: Auditor) -> Launch:
    """The launch of the first that runs."""
    return auditor.world.ledger.launches[process_of(auditor).task_id]


def tell(
    auditor: Auditor,
    state: m.TaskState,
    uuid: bytes | None = b"n" * 16,
    message: str | None = None,
    reason: m.TaskStatusReason | None = None,
    acked: bool = True,
) -> None:
    """The framework is told something of the first task that runs."""
    launch = launch_of(auditor)
    if acked:
        launch.acked += [seen.uuid for seen in launch.seen if seen.uuid is not None]
    source = m.TaskStatusSource
    status = m.TaskStatus(
        task_id=m.TaskID(value=launch.task_id),
        agent_id=m.AgentID(value=launch.agent_id),
        state=state,
        uuid=uuid,
        message=message,
        reason=reason,
        source=source.SOURCE_EXECUTOR if uuid else source.SOURCE_MASTER,
    )
    auditor.world.ledger.told("f", status, auditor.world.clock.now)


def test_a_task_that_starts_twice(auditor: Auditor) -> None:
    """I5."""
    request = process_of(auditor).request
    again = LaunchRequest(
        **{
            name: getattr(request, name)
            for name in request.__dataclass_fields__
            if name != "container_id"
        },
        container_id="another",
    )
    auditor.world.hosts["a1"].kernel.launch(again)
    assert "I5" in found(auditor) and "was started 2 times" in found(auditor)


def test_a_task_that_starts_after_its_end(auditor: Auditor) -> None:
    """I5."""
    tell(auditor, State.TASK_FAILED, message="no")
    auditor.violations.clear()
    auditor._started(auditor.world.hosts["a1"], "a1", process_of(auditor))
    assert "was started after its framework was told TASK_FAILED" in found(auditor)


def test_a_process_of_nobodys_task(auditor: Auditor) -> None:
    """I5."""
    del auditor.world.ledger.launches[process_of(auditor).task_id]
    auditor._started(auditor.world.hosts["a1"], "a1", process_of(auditor))
    assert "nobody launched it" in found(auditor)


def test_an_update_that_changes(auditor: Auditor) -> None:
    """I3: the same uuid says the same."""
    last = launch_of(auditor).seen[-1]
    tell(auditor, State.TASK_KILLING, uuid=last.uuid)
    assert "came again and said something else" in found(auditor)


def test_an_update_that_goes_back(auditor: Auditor) -> None:
    """I3."""
    tell(auditor, State.TASK_STARTING)
    assert "the update TASK_STARTING goes back behind TASK_RUNNING" in found(auditor)


def test_an_older_update_that_comes_again(auditor: Auditor) -> None:
    """I3."""
    first = launch_of(auditor).seen[0]
    tell(auditor, first.state, uuid=first.uuid)
    assert "came again after TASK_RUNNING" in found(auditor)


def test_an_update_that_does_not_wait(auditor: Auditor) -> None:
    """I3."""
    launch_of(auditor).acked.clear()
    tell(auditor, State.TASK_KILLING, acked=False)
    assert "did not wait for the acknowledgement" in found(auditor)


def test_two_ends(auditor: Auditor) -> None:
    """I3."""
    tell(auditor, State.TASK_FAILED, message="no")
    auditor.violations.clear()
    tell(auditor, State.TASK_FAILED, uuid=b"m" * 16, message="no")
    assert "TASK_FAILED came after the end" in found(auditor)


def test_a_master_that_takes_an_end_back(auditor: Auditor) -> None:
    """I3: a reconciliation that says less than was told."""
    tell(auditor, State.TASK_FAILED, message="no")
    tell(auditor, State.TASK_RUNNING, uuid=None)
    assert "TASK_RUNNING by the master goes back behind TASK_FAILED" in found(auditor)


def test_an_end_that_is_not_true(auditor: Auditor) -> None:
    """A process that runs has not finished."""
    tell(auditor, State.TASK_FINISHED, message="Command exited with status 0")
    assert "told TASK_FINISHED and its process runs" in found(auditor)


def test_a_status_that_is_not_true(auditor: Auditor) -> None:
    """FAILED says how the process really ended."""
    process = process_of(auditor)
    launch = launch_of(auditor)
    process.status, process.ended_at = 3 << 8, auditor.world.clock.now
    launch.acked += [seen.uuid for seen in launch.seen if seen.uuid is not None]
    status = m.TaskStatus(
        task_id=m.TaskID(value=launch.task_id),
        state=State.TASK_FAILED,
        uuid=b"n" * 16,
        message="Command exited with status 4",
        source=m.TaskStatusSource.SOURCE_EXECUTOR,
    )
    auditor.world.ledger.told("f", status, auditor.world.clock.now)
    assert "TASK_FAILED and its process exited with status 3" in found(auditor)


def test_a_good_end_that_is_told_as_a_failure(
    monkeypatch: pytest.MonkeyPatch, auditor: Auditor
) -> None:
    """A process that exited with 0 by itself has finished."""
    monkeypatch.setattr(Quiet, "command", "run 1.0 exit 0")
    monkeypatch.setattr("mesos_twisted.agent.core.words.succeeded", lambda status: False)
    auditor.world.frameworks["f"].wanted = 1
    auditor.world.run(10)
    assert "told TASK_FAILED and its process exited with status 0" in found(auditor)


def test_an_end_that_is_known_and_told_as_unknown(
    monkeypatch: pytest.MonkeyPatch, auditor: Auditor
) -> None:
    """The launcher knows how a process ended: so does its framework."""
    monkeypatch.setattr(Quiet, "command", "run 1.0 exit 0")
    monkeypatch.setattr(
        "mesos_twisted.agent.core.tasks._say_exit",
        lambda scene, task, status, limitation: updates.say(
            scene, task, State.TASK_LOST, message="Executor terminated"
        ),
    )
    auditor.world.frameworks["f"].wanted = 1
    auditor.world.run(10)
    assert "told TASK_LOST and its process exited with status 0" in found(auditor)


def test_a_kill_that_nobody_asked_for(auditor: Auditor) -> None:
    """KILLED is said only of what was killed."""
    tell(auditor, State.TASK_KILLED, message="Command terminated with signal Terminated")
    assert "told TASK_KILLED and nobody had asked for that" in found(auditor)


def test_an_ended_task_that_runs(auditor: Auditor) -> None:
    """I4."""
    tell(auditor, State.TASK_FAILED, message="no")
    auditor.world.run(15)
    assert "runs and its framework was told TASK_FAILED" in found(auditor)


def test_a_process_without_an_owner(auditor: Auditor) -> None:
    """I6."""
    container_id = process_of(auditor).container_id
    life = auditor.scene.agents["a1"]
    life.state.containers.pop(next(one for one in life.state.containers if one == container_id))
    auditor.world.run(70)
    assert "A process has no owner for 60 s" in found(auditor)


def test_a_task_that_is_over_to_the_leader(auditor: Auditor) -> None:
    """I4: the agent runs what the master has ended."""
    leader = auditor.world.leader()
    assert leader is not None
    for task in leader.state.tasks():
        task.state = State.TASK_LOST
    auditor.world.run(70)
    assert "A task runs and is over to the leader" in found(auditor)


def test_agents_tables_that_disagree(auditor: Auditor) -> None:
    """I6: the agent's own invariants are asked after each of its events."""
    life = auditor.scene.agents["a1"]
    next(iter(life.state.frameworks.values())).tasks.clear()
    auditor.world.run(20)
    assert "counts 0 tasks, has" in found(auditor)


def test_an_agent_that_forgets_what_it_said(auditor: Auditor) -> None:
    """I18: an update that was on its way is lost with the process."""
    world = auditor.world
    world.net.cut(world.places["a1"].node, world.places["m1"].node)
    kernel = world.hosts["a1"].kernel
    kernel.oom()
    world.run(1)
    rows = world.hosts["a1"].rows
    for key in [key for key in rows.rows() if key.startswith("update/")]:
        del rows._rows[key]
    world.kill(world.places["a1"])
    world.run(5)
    assert "a1 forgot updates of task" in found(auditor)


def test_an_agent_that_forgets_a_task(auditor: Auditor) -> None:
    """I18."""
    rows = auditor.world.hosts["a1"].rows
    for key in [key for key in rows.rows() if key.startswith(("update/", "task/"))]:
        del rows._rows[key]
    auditor.world.kill(auditor.world.places["a1"])
    auditor.world.run(5)
    assert "a1 forgot task" in found(auditor)


def test_a_recovery_that_is_not_repeatable(
    auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I18: what recovery writes must lead to the same state again."""

    def forgetful(state: AgentState, event: object) -> object:
        made = decide(state, event)  # type: ignore[arg-type]  # as the auditor calls it
        if auditor_agents.signature(state) and state.ids.uuid_bytes() and seen:
            state.frameworks.clear()
        seen.append(state)
        return made

    seen: list[AgentState] = []
    monkeypatch.setattr(auditor_agents, "decide", forgetful)
    auditor.world.kill(auditor.world.places["a1"])
    auditor.world.run(5)
    assert "a1 would recover differently a second time" in found(auditor)


def test_a_kill_of_a_task_that_is_wanted(auditor: Auditor) -> None:
    """I11: an agent comes back and a master kills what nobody asked it to kill."""
    world = auditor.world
    leader = world.leader()
    assert leader is not None
    for agent in leader.state.agents.values():
        agent.kills[next(iter(agent.tasks))] = None
    world.net.reset(world.places["a1"].node, world.places["m1"].node)
    world.run(10)
    assert "is killed and nobody asked" in found(auditor)


def test_a_task_that_its_agent_has_not(auditor: Auditor) -> None:
    """I2, and I11 once all is settled: both sides have the same tasks and executors."""
    leader = auditor.world.leader()
    assert leader is not None
    agent, framework = (
        next(iter(one.values())) for one in (leader.state.agents, leader.state.frameworks)
    )
    ghost = replace(next(iter(framework.tasks.values())), task_id=TaskId("ghost"))
    framework.tasks[ghost.task_id] = ghost
    agent.tasks[framework.framework_id, ghost.task_id] = ghost
    auditor.world.run(70)
    # Nothing was cut or stopped, so it need not wait for what is repeated.
    assert "The leader has a task that its agent has not for 15 s" in found(auditor)
    auditor.settled()
    assert "Task ghost is unknown on a1 and TASK_RUNNING to the leader" in found(auditor)


def test_what_is_left_over(auditor: Auditor) -> None:
    """I6 and I18: sandboxes, rows and the launcher's memory are somebody's."""
    host = auditor.world.hosts["a1"]
    host.sandboxes.add("slaves/x/frameworks/y/executors/z/runs/w")
    host.rows._rows["task/y/z"] = host.rows._rows["update/y/z/00000000"] = b""
    process = process_of(auditor)
    auditor.scene.agents["a1"].state.containers.pop(
        next(
            one
            for one in auditor.scene.agents["a1"].state.containers
            if one == process.container_id
        )
    )
    process.status = 0
    auditor.settled()
    assert "The sandbox slaves/x/frameworks/y/executors/z/runs/w on a1 is nobody's" in found(
        auditor
    )
    assert "a1 has 3 tasks and 4 rows of tasks" in found(auditor)
    assert "a1 has 3 streams of updates and rows of 4" in found(auditor)
    assert f"The launcher of a1 still remembers {process.container_id}" in found(auditor)


def test_a_group_that_goes_on(auditor: Auditor) -> None:
    """I4: the rest of a group ends with the first that does not finish."""
    world = auditor.world
    first, second = (process_of(auditor, number) for number in (0, 1))
    tasks = next(one for one in auditor._checks if isinstance(one, Tasks))
    group = (first.task_id, second.task_id)
    tasks.groups.update(dict.fromkeys(group, group))
    first.fate = replace(first.fate, status=1 << 8)
    world.hosts["a1"].kernel._end(first, 1 << 8)
    world.run(50)
    assert f"Task {second.task_id} runs on, and {first.task_id} of its group" in found(auditor)


def test_a_kill_without_effect(auditor: Auditor, monkeypatch: pytest.MonkeyPatch) -> None:
    """I20: what was asked to end has ended in a healed world."""
    monkeypatch.setattr("mesos_twisted.agent.core.killing.kill", lambda *_: None)
    framework = auditor.world.frameworks["f"]
    assert framework.driver is not None
    framework._kill(framework.driver, process_of(auditor).task_id)
    auditor.world.run(20)
    auditor.settled()
    assert "was asked to end and runs" in found(auditor)
