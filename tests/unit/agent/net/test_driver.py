"""Effects go out in order, rows first; events wait their turn; a bug stops the agent."""

from dataclasses import dataclass, field
from typing import Any, get_args

import pytest
from twisted.internet.task import Clock

from mesos_twisted.agent.core import effects as fx
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core.state import AgentState, Policy, new_state
from mesos_twisted.agent.net.driver import ROUND, AgentDriver
from mesos_twisted.clock import Timers
from mesos_twisted.errors import UnavailableError
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, ContainerId, ExecutorId, FrameworkId, TaskId

PONG = agentlink.Pong()
LINK = ConnectionId(1)


@dataclass
class Recorder:
    """Stands for every port, and for the core."""

    log: list[Any] = field(default_factory=list)
    answers: list[list[fx.Effect]] = field(default_factory=list)
    driver: AgentDriver | None = None
    echo: list[ev.Event] = field(default_factory=list)

    def decide(self, state: AgentState, event: ev.Event) -> list[fx.Effect]:
        self.log.append(("decide", type(event).__name__))
        return self.answers.pop(0) if self.answers else []

    def write(self, changes: list[Any]) -> None:
        self.log.append(("write", [c.key for c in changes]))

    def send(self, *args: Any) -> None:
        self.log.append(("send", args[-1]))
        if self.echo and self.driver is not None:
            self.driver.handle(self.echo.pop())

    def perform(self, effect: Any) -> None:
        self.log.append(("perform", type(effect).__name__))

    def note(self, *args: Any) -> None:
        self.log.append(("note", args))

    reconnect = start = stop = close = note


@pytest.fixture
def world() -> tuple[Recorder, AgentDriver, Clock]:
    """A driver whose core says what the test wants."""
    recorder, clock = Recorder(), Clock()
    state = new_state(Policy(hostname="h"), b"s")
    driver = AgentDriver(state, recorder.decide, Timers(clock), lambda: 100.0 + clock.seconds())
    recorder.driver = driver
    ports: Any = driver.ports
    ports.store = ports.link = ports.containers = ports.checks = ports.executors = recorder
    ports.count = ports.delete = ports.stop = recorder.note
    return recorder, driver, clock


def opened() -> ev.LinkOpened:
    """Any event."""
    return ev.LinkOpened(LINK, 0.0)


def test_rows_are_written_once_and_before_anything_else(
    world: tuple[Recorder, AgentDriver, Clock],
) -> None:
    """Also when they come later in the list."""
    recorder, driver, _ = world
    recorder.answers = [
        [fx.SendToMaster(PONG), fx.Checkpoint("a", b""), fx.Count("n"), fx.Forget("b")]
    ]
    driver.handle(opened())
    kinds = [entry[0] for entry in recorder.log]
    assert kinds == ["decide", "write", "send", "note"]
    assert recorder.log[1] == ("write", ["a", "b"])


def test_an_event_from_within_waits(world: tuple[Recorder, AgentDriver, Clock]) -> None:
    """The rest of the list goes out first."""
    recorder, driver, _ = world
    recorder.answers = [
        [fx.SendToMaster(PONG), fx.DestroyContainer(ContainerId("c"))],
        [fx.Count("later")],
    ]
    recorder.echo = [ev.LinkClosed(LINK, 0.0)]
    driver.handle(opened())
    assert [e[0] for e in recorder.log] == ["decide", "send", "perform", "decide", "note"]


def every_effect() -> list[fx.Effect]:
    """One of each kind that is not a row."""
    framework, executor = FrameworkId("f"), ExecutorId("e")
    task, container = TaskId("t"), ContainerId("c")
    return [
        fx.SendToMaster(PONG),
        fx.Reconnect("why"),
        fx.PrepareSandbox(container, framework, executor, "d", None, m.CommandInfo()),
        fx.LaunchContainer(container, "true", ("true",), (), "d", None, 10, 1),
        fx.UpdateContainer(container, 10, 1),
        fx.SignalContainer(container, 15),
        fx.DestroyContainer(container),
        fx.ForgetContainer(container),
        fx.StartChecks(framework, task, container, None, None, (), "d", None),
        fx.StopChecks(container),
        fx.SendToExecutor(LINK, m.ExecutorEvent(type=m.ExecutorEventType.HEARTBEAT)),
        fx.CloseExecutorStream(LINK),
        fx.StartTimer(("k",), 1.0),
        fx.CancelTimer(("k",)),
        fx.DeletePath("d"),
        fx.StopAgent(0, "bye"),
        fx.Count("n"),
        fx.Log("info", "A line with {field}", (("field", "f"),)),
    ]


def test_every_effect_is_performed(world: tuple[Recorder, AgentDriver, Clock]) -> None:
    """None is unknown to the driver, and none fails."""
    recorder, driver, clock = world
    effects = every_effect()
    assert {type(e) for e in effects} == set(get_args(fx.Effect)) - {fx.Checkpoint, fx.Forget}
    recorder.answers = [effects]
    driver.handle(opened())
    assert not driver.stopped
    # All but the two timers and the log line reached a port.
    assert len(recorder.log) == 1 + len(effects) - 3
    assert not clock.getDelayedCalls()


def test_what_comes_in_one_turn_is_one_transaction(
    world: tuple[Recorder, AgentDriver, Clock],
) -> None:
    """All rows are written before the first effect of any of the events, and all in order."""
    recorder, driver, clock = world
    recorder.answers = [
        [fx.Checkpoint("a", b""), fx.SendToMaster(PONG)],
        [fx.Count("n"), fx.Checkpoint("b", b"")],
    ]
    driver.soon(opened())
    driver.soon(ev.LinkClosed(LINK, 0.0))
    assert recorder.log == []
    clock.advance(0)
    assert [e[0] for e in recorder.log] == ["decide", "decide", "write", "send", "note"]
    assert recorder.log[2] == ("write", ["a", "b"])
    assert not clock.getDelayedCalls()


def test_an_event_handled_at_once_comes_after_those_that_wait(
    world: tuple[Recorder, AgentDriver, Clock],
) -> None:
    """The order of arrival is the order of decisions."""
    recorder, driver, clock = world
    driver.soon(ev.LinkClosed(LINK, 0.0))
    driver.handle(opened())
    assert [e[1] for e in recorder.log] == ["LinkClosed", "LinkOpened"]
    clock.advance(0)
    assert len(recorder.log) == 2


def test_a_round_has_an_end(world: tuple[Recorder, AgentDriver, Clock]) -> None:
    """More events than a round takes are decided in several, each with its effects."""
    recorder, driver, clock = world
    recorder.answers = [[fx.Checkpoint(str(n), b"")] for n in range(ROUND + 1)]
    for _ in range(ROUND + 1):
        driver.soon(opened())
    clock.advance(0)
    assert [len(e[1]) for e in recorder.log if e[0] == "write"] == [ROUND, 1]


def test_a_bug_in_a_round_lets_nothing_of_it_out(
    world: tuple[Recorder, AgentDriver, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a row nor a word of the events before it: the next start finds what was told."""
    recorder, driver, clock = world
    first: list[fx.Effect] = [fx.Checkpoint("a", b""), fx.SendToMaster(PONG)]
    recorder.answers = [first]

    def decide(state: AgentState, event: ev.Event) -> list[fx.Effect]:
        if not recorder.answers:
            raise RuntimeError("bug")
        return recorder.answers.pop()

    monkeypatch.setattr(driver, "_decide", decide)
    driver.soon(opened())
    driver.soon(opened())
    clock.advance(0)
    assert [e[0] for e in recorder.log] == ["note"]
    assert driver.stopped


def test_a_timer_of_the_same_key_is_replaced(world: tuple[Recorder, AgentDriver, Clock]) -> None:
    """It fires once, as an event; a cancelled one never."""
    recorder, driver, clock = world
    recorder.answers = [
        [fx.StartTimer(("k",), 5.0), fx.StartTimer(("k",), 7.0), fx.StartTimer(("x",), 1.0)],
        [],
    ]
    driver.handle(opened())
    recorder.answers = [[fx.CancelTimer(("x",)), fx.CancelTimer(("none",))]]
    driver.handle(opened())
    clock.advance(6.0)
    assert [e[1] for e in recorder.log] == ["LinkOpened", "LinkOpened"]
    clock.advance(1.0)
    assert recorder.log[-1] == ("decide", "TimerFired")
    assert driver.recent[-1] == ev.TimerFired(("k",), 107.0)
    assert not clock.getDelayedCalls()


def test_a_bug_stops_the_agent(
    world: tuple[Recorder, AgentDriver, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing goes out after it, and no event is taken."""
    recorder, driver, _ = world

    def broken(changes: list[Any]) -> None:
        raise RuntimeError("disk")

    monkeypatch.setattr(driver.ports.store, "write", broken, raising=False)
    recorder.answers = [[fx.Checkpoint("a", b""), fx.SendToMaster(PONG)]]
    driver.handle(opened())
    driver.handle(opened())
    assert [e[0] for e in recorder.log] == ["decide", "note"]
    assert recorder.log[-1][1][0] == 1


def test_a_disk_that_takes_nothing_is_told_in_its_own_sentence(
    world: tuple[Recorder, AgentDriver, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no bug: the agent leaves with what the store said, and nothing goes out."""
    recorder, driver, _ = world

    def full(changes: list[Any]) -> None:
        raise UnavailableError("The checkpoints cannot be written; make room on the disk.")

    monkeypatch.setattr(driver.ports.store, "write", full, raising=False)
    recorder.answers = [[fx.Checkpoint("a", b""), fx.SendToMaster(PONG)]]
    driver.handle(opened())
    assert [e[0] for e in recorder.log] == ["decide", "note"]
    assert recorder.log[-1][1] == (1, "The checkpoints cannot be written; make room on the disk.")
    assert driver.stopped


def test_stopping_leaves_no_timer(world: tuple[Recorder, AgentDriver, Clock]) -> None:
    """And takes no event."""
    recorder, driver, clock = world
    recorder.answers = [[fx.StartTimer(("k",), 5.0)]]
    driver.handle(opened())
    driver.soon(opened())
    driver.stop()
    driver.handle(opened())
    assert not clock.getDelayedCalls()
    assert len(recorder.log) == 1
