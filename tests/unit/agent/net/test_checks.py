"""Checks run at their times, decide what they can, and stop when told."""

from typing import Any

import pytest
from twisted.internet.task import Clock

from mesos_twisted.agent.core import effects as fx
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.net.checks import CheckRunner
from mesos_twisted.clock import Timers
from mesos_twisted.containerizer.fake import FakeContainerizer
from mesos_twisted.errors import UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId, FrameworkId, TaskId

C = ContainerId("c1")


class FakeProbes:
    """Answers what the test wants."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.connected = True
        self.asked: list[Any] = []

    async def http_status(self, url: str, timeout_s: float) -> int:
        self.asked.append((url, timeout_s))
        if self.status is None:
            raise UnavailableError("nobody answers")
        return self.status

    async def tcp(self, host: str, port: int, timeout_s: float) -> bool:
        self.asked.append((host, port, timeout_s))
        return self.connected


class World:
    """A runner over fakes."""

    def __init__(self) -> None:
        self.clock, self.probes = Clock(), FakeProbes()
        self.containerizer = FakeContainerizer()
        self.events: list[ev.CheckReported] = []
        self.runner = CheckRunner(
            "/work",
            self.containerizer,
            self.probes,  # type: ignore[arg-type]  # a fake of its two methods
            Timers(self.clock),
            handle=self.events.append,  # type: ignore[arg-type]  # only reports come
            now=lambda: 9.0,
        )

    def start(self, health: m.HealthCheck | None = None, check: m.CheckInfo | None = None) -> None:
        self.runner.start(
            fx.StartChecks(
                FrameworkId("f"), TaskId("t"), C, health, check, (("A", "b"),), "box", None
            )
        )

    def running(self) -> str:
        (one,) = [str(c) for c in self.containerizer.containers()]
        return one


@pytest.fixture
def world() -> World:
    return World()


HTTP = m.HealthCheck(
    type=m.HealthCheckType.HTTP,
    http=m.HealthCheckHTTPCheckInfo(port=80, path="/ok"),
    delay_seconds=2.0,
    interval_seconds=3.0,
    timeout_seconds=4.0,
)
COMMAND = m.HealthCheck(
    type=m.HealthCheckType.COMMAND,
    command=m.CommandInfo(value="test -f x"),
    delay_seconds=0.0,
    interval_seconds=3.0,
    timeout_seconds=4.0,
)


@pytest.mark.parametrize(
    ("status", "passed"), [(200, True), (399, True), (400, False), (199, False)]
)
def test_http_is_healthy_from_200_to_399(world: World, status: int, passed: bool) -> None:
    """After the delay, then each interval, at 127.0.0.1."""
    world.probes.status = status
    world.start(HTTP)
    world.clock.advance(1.9)
    assert not world.events
    world.clock.advance(0.1)
    world.clock.advance(3.0)
    assert [one.passed for one in world.events] == [passed, passed]
    assert world.probes.asked[0] == ("http://127.0.0.1:80/ok", 4.0)


def test_what_cannot_be_asked_is_undecided(world: World) -> None:
    """And is asked again."""
    world.probes.status = None
    world.start(HTTP)
    world.clock.advance(2.0)
    assert world.events[0].passed is None and world.events[0].message == "nobody answers"
    world.clock.advance(3.0)
    assert len(world.events) == 2


def test_tcp_shows_whether_it_connects(world: World) -> None:
    """As a general check it carries its outcome."""
    world.probes.connected = False
    world.start(
        check=m.CheckInfo(type=m.CheckInfoType.TCP, tcp=m.CheckInfoTcp(port=7), delay_seconds=0.0)
    )
    world.clock.advance(0.0)
    (event,) = world.events
    assert event.kind == "check" and event.outcome is not None and event.outcome.tcp is not None
    assert event.outcome.tcp.succeeded is False


@pytest.mark.parametrize(
    ("wait_status", "passed", "words"),
    [
        (0, True, "Command exited with status 0"),
        (2 << 8, False, "Command exited with status 2"),
        (15, False, "Command terminated with signal Terminated"),
    ],
)
def test_a_command_runs_in_the_tasks_sandbox(
    world: World, wait_status: int, passed: bool, words: str
) -> None:
    """With its environment; nothing is left of it afterwards."""
    world.start(COMMAND)
    world.clock.advance(0.0)
    name = world.running()
    request = world.containerizer.launcher.requests[name]
    assert (request.file, request.argv) == ("/bin/sh", ("sh", "-c", "test -f x"))
    assert request.cwd == "/work/box" and dict(request.env)["A"] == "b"
    world.containerizer.exit(name, wait_status)
    (event,) = world.events
    assert (event.passed, event.message) == (passed, words)
    assert world.containerizer.containers() == []


def test_a_command_over_its_time_is_killed_and_undecided(world: World) -> None:
    """Its whole tree is gone."""
    world.start(COMMAND)
    world.clock.advance(0.0)
    world.clock.advance(4.0)
    (event,) = world.events
    assert event.passed is None and event.message == "Command timed out after 4 s"
    assert world.containerizer.containers() == []


def test_stopping_ends_what_runs(world: World) -> None:
    """And reports nothing more."""
    world.start(COMMAND)
    world.clock.advance(0.0)
    world.runner.stop(fx.StopChecks(C))
    world.runner.stop(fx.StopChecks(C))
    world.clock.advance(100.0)
    assert not world.events and len(world.runner) == 0
    assert world.containerizer.containers() == []
    assert not world.clock.getDelayedCalls()


def test_a_general_command_check_shows_its_exit_code(world: World) -> None:
    """An undecided one shows the empty outcome."""
    check = m.CheckInfo(
        type=m.CheckInfoType.COMMAND,
        command=m.CheckInfoCommand(command=m.CommandInfo(value="x")),
        delay_seconds=0.0,
        timeout_seconds=1.0,
    )
    world.start(check=check)
    world.clock.advance(0.0)
    world.containerizer.exit(world.running(), 7 << 8)
    world.clock.advance(check.interval_seconds)
    world.clock.advance(1.0)
    outcomes = [one.outcome.command for one in world.events if one.outcome is not None]
    assert outcomes == [
        m.CheckStatusInfoCommand(exit_code=7),
        m.CheckStatusInfoCommand(),
    ]
