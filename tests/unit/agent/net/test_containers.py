"""Every container's end is told exactly once, wherever it was when it came."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from mesos_twisted.agent.core import effects as fx
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core.environment import TOKEN_MARKER, TOKEN_VARIABLE
from mesos_twisted.agent.net.containers import AGAIN_S, AgentContainers
from mesos_twisted.clock import Timers
from mesos_twisted.containerizer.core.container import LaunchOutcome
from mesos_twisted.containerizer.fake import FakeContainerizer
from mesos_twisted.errors import UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId, ExecutorId, FrameworkId

C = ContainerId("c1")
DIRECTORY = "slaves/S/frameworks/F/executors/E/runs/c1"


class FakeFetcher:
    """Fetches when the test says so."""

    def __init__(self) -> None:
        self.pending: list[Deferred[str | None]] = []

    async def fetch(self, *args: Any) -> str | None:
        waiting: Deferred[str | None] = Deferred()
        self.pending.append(waiting)
        return await waiting

    def cancel(self, container_id: str) -> None:
        for waiting in self.pending:
            waiting.callback("cancelled")
        self.pending.clear()


class World:
    """The edge over a fake containerizer and a fake fetcher."""

    def __init__(self, work_dir: Path) -> None:
        self.events: list[ev.Event] = []
        self.clock, self.fetcher = Clock(), FakeFetcher()
        self.containerizer = FakeContainerizer()
        self.spared: Deferred[None] | None = None
        self.opened: list[Any] = []
        self.closed: list[Any] = []
        self.edge = AgentContainers(
            str(work_dir),
            self.containerizer,
            self.fetcher,  # type: ignore[arg-type]  # a fake of its two methods
            Timers(self.clock),
            handle=self.events.append,
            now=lambda: 5.0,
            token=lambda container_id: f"token-of-{container_id}",
            spare=lambda directory: self.spared or succeed(None),
            sandbox_opened=lambda *args: self.opened.append(args),
            sandbox_closed=self.closed.append,
        )

    def prepare(self, user: str | None = None) -> None:
        self.edge.perform(
            fx.PrepareSandbox(
                C, FrameworkId("F"), ExecutorId("E"), DIRECTORY, user, m.CommandInfo()
            )
        )

    def launch(self, program: str = "/bin/true", **more: Any) -> None:
        self.edge.perform(
            fx.LaunchContainer(
                C,
                program,
                ("another", "x"),
                (("A", "b"), (TOKEN_VARIABLE, TOKEN_MARKER)),
                DIRECTORY,
                None,
                100,
                1 << 20,
                **more,
            )
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_sandbox_is_ready_when_all_is_fetched(world: World, tmp_path: Path) -> None:
    """And failed when something is not."""
    world.prepare()
    assert (tmp_path / DIRECTORY).is_dir() and not world.events
    world.fetcher.pending.pop().callback(None)
    assert world.events == [ev.SandboxReady(C, 5.0)]
    world.prepare()
    world.fetcher.pending.pop().callback("no such thing")
    assert world.events[1:] == [ev.SandboxFailed(C, "no such thing", 5.0)]


def test_a_sandbox_waits_for_a_deletion_around_it(world: World, tmp_path: Path) -> None:
    """And is not made at all when the task is killed meanwhile."""
    world.spared = Deferred()
    world.prepare()
    assert not (tmp_path / DIRECTORY).exists()
    world.spared.callback(None)
    assert (tmp_path / DIRECTORY).is_dir()
    world.fetcher.pending.pop().callback(None)
    (tmp_path / DIRECTORY).rmdir()
    world.spared = Deferred()
    world.prepare()
    world.edge.perform(fx.DestroyContainer(C))
    world.spared.callback(None)
    assert not (tmp_path / DIRECTORY).exists()
    assert world.events[1:] == [ev.ContainerTerminated(C, None, 5.0)]


def test_an_unknown_user_fails_the_sandbox(world: World) -> None:
    """Before anything is made."""
    world.prepare("nobody-has-this-name")
    (event,) = world.events
    assert isinstance(event, ev.SandboxFailed) and "nobody-has-this-name" in event.message


def test_a_destroy_while_fetching_ends_it(world: World) -> None:
    """One ContainerTerminated, no SandboxFailed."""
    world.prepare()
    world.edge.perform(fx.DestroyContainer(C))
    assert world.events == [ev.ContainerTerminated(C, None, 5.0)]


def test_a_launch_runs_in_its_sandbox_with_its_token(world: World, tmp_path: Path) -> None:
    """The marker is replaced at the last moment."""
    world.launch()
    (event,) = world.events
    assert isinstance(event, ev.ContainerLaunched) and event.pid > 0
    request = world.containerizer.launcher.requests[C]
    assert (request.file, request.argv) == ("/bin/true", ("another", "x"))
    assert dict(request.env) == {"A": "b", TOKEN_VARIABLE: "token-of-c1"}
    assert request.cwd == str(tmp_path / DIRECTORY)
    assert (request.stdout, request.stderr) == ("stdout", "stderr")
    assert world.opened[0][:2] == (C, DIRECTORY)


def test_an_exit_is_told_once(world: World) -> None:
    """With its wait status, after what it left was destroyed."""
    world.launch()
    world.containerizer.exit(C, 3 << 8)
    assert world.events[1:] == [ev.ContainerTerminated(C, 3 << 8, 5.0)]
    world.edge.perform(fx.ForgetContainer(C))
    assert world.containerizer.containers() == [] and world.closed == [C]


def test_a_destroy_of_a_running_container_is_told_once(world: World) -> None:
    """Although both its watcher and its destroyer see the end."""
    world.launch()
    world.edge.perform(fx.DestroyContainer(C))
    ends = [one for one in world.events if isinstance(one, ev.ContainerTerminated)]
    assert ends == [ev.ContainerTerminated(C, 9, 5.0)]


def test_a_destroy_during_the_launch_is_an_end_not_a_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told once, when the launcher has answered."""
    launching: Deferred[Any] = Deferred()
    destroying: Deferred[Any] = Deferred()
    monkeypatch.setattr(world.containerizer, "launch", lambda *args: launching)
    monkeypatch.setattr(world.containerizer, "destroy", lambda c: destroying)
    world.launch()
    world.edge.perform(fx.DestroyContainer(C))
    launching.callback(LaunchOutcome(None, problem="destroyed"))
    assert not world.events
    destroying.callback(None)
    assert world.events == [ev.ContainerTerminated(C, None, 5.0)]


def test_destroying_what_nobody_knows_is_told(world: World) -> None:
    """The core waits for it."""
    world.edge.perform(fx.DestroyContainer(C))
    assert world.events == [ev.ContainerTerminated(C, None, 5.0)]


def test_a_program_that_is_not_there_fails_the_launch(world: World) -> None:
    """With the reason, and nothing is left."""
    world.launch("/nonexistent")
    (event,) = world.events
    assert isinstance(event, ev.ContainerLaunchFailed) and "exec" in event.message


def test_a_limit_that_makes_no_sense_fails_the_launch(world: World) -> None:
    """Soft without hard."""
    kind = m.RLimitInfoRLimitType.RLMT_CPU
    world.launch(rlimits=m.RLimitInfo(rlimits=(m.RLimitInfoRLimit(type=kind, soft=1),)))
    (event,) = world.events
    assert isinstance(event, ev.ContainerLaunchFailed) and "RLMT_CPU" in event.message


def test_a_launcher_that_is_away_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A destroy is not lost."""
    world.launch()
    real: Callable[..., Any] = world.containerizer.destroy
    answers = [lambda c: fail(UnavailableError("away")), real]
    monkeypatch.setattr(world.containerizer, "destroy", lambda c: answers.pop(0)(c))
    world.edge.perform(fx.DestroyContainer(C))
    assert len(world.events) == 1
    world.clock.advance(AGAIN_S)
    assert world.events[1:] == [ev.ContainerTerminated(C, 9, 5.0)]
    assert not world.clock.getDelayedCalls()


def test_an_adopted_container_is_watched(world: World) -> None:
    """As if this process had launched it."""
    world.launch()
    again = World(Path("/"))
    again.containerizer = FakeContainerizer(world.containerizer.launcher)
    again.edge = AgentContainers(
        "/",
        again.containerizer,
        again.fetcher,  # type: ignore[arg-type]  # a fake of its two methods
        Timers(again.clock),
        handle=again.events.append,
        now=lambda: 6.0,
        token=str,
        spare=lambda directory: succeed(None),
        sandbox_opened=lambda *args: None,
        sandbox_closed=lambda c: None,
    )
    again.containerizer.recover({C: None})  # type: ignore[dict-item]  # the same text
    again.edge.adopt(C)
    again.containerizer.exit(C, 0)
    assert again.events == [ev.ContainerTerminated(C, 0, 6.0)]


def test_signals_pass(world: World) -> None:
    """To whom the core says."""
    world.launch()
    world.edge.perform(fx.SignalContainer(C, 10, "tree"))
    ((container_id, signo, scope),) = world.containerizer.launcher.signals
    assert (container_id, signo, scope.value) == (C, 10, "tree")


def test_after_stop_nothing_is_told(world: World) -> None:
    """The next process tells it."""
    world.launch()
    world.edge.stop()
    world.containerizer.exit(C, 0)
    assert len(world.events) == 1
