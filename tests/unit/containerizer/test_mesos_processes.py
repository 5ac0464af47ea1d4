"""The containerizer over real launchers and processes, and the client's own promises."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.containerizer.build import isolators
from mesos_twisted.containerizer.core.container import ContainerConfig, ContainerId, Scope
from mesos_twisted.containerizer.interfaces import IContainerizer
from mesos_twisted.containerizer.mesos import MesosContainerizer
from mesos_twisted.containerizer.zygote.build import build, command
from mesos_twisted.containerizer.zygote_client import ZygoteClient
from mesos_twisted.containerizer.zygote_messages import LaunchFailedError, LaunchRequest, Rusage
from mesos_twisted.errors import MalformedError, Problem, UnavailableError
from mesos_twisted.testing.suites.containerizer import SLEEP, A, ContainerizerSuite

T = TypeVar("T")
DEADLINE_S = 20


@pytest.fixture(scope="module")
def reactor() -> Iterator[EPollReactor]:
    """A reactor of our own, turned by hand, never run."""
    made = EPollReactor()
    made.startRunning(installSignalHandlers=True)
    yield made
    made.fireSystemEvent("shutdown")
    made.iterate(0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("launcher")


class World:
    """One runtime directory, and the agents that came and went over it."""

    def __init__(self, reactor: EPollReactor, directory: Path, argv: tuple[str, ...]) -> None:
        self.reactor, self.directory, self.argv = reactor, directory, argv
        self.clients: list[ZygoteClient] = []

    def client(self, on_exit: Callable[[str, int, Rusage], None]) -> ZygoteClient:
        for old in self.clients:
            old.close()
        made = ZygoteClient(
            self.reactor,
            self.reactor,
            Timers(self.reactor),
            self.directory,
            self.argv,
            on_exit,
            idle_s=20,
        )
        self.clients.append(made)
        return made

    def settle(self, deferred: Deferred[T]) -> T:
        got: list[T | Failure] = []
        deferred.addBoth(got.append)
        self.until(lambda: got)
        if isinstance(got[0], Failure):
            got[0].raiseException()
        return got[0]

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, "it did not come to pass"
            self.reactor.iterate(0.05)

    def stop(self) -> None:
        last = self.client(lambda *_: None)
        self.settle(last.connect())
        for entry in self.settle(last.list_all()):
            self.settle(last.destroy(entry.container_id))
        self.settle(last.shutdown(force=True))
        last.close()
        self.reactor.iterate(0.01)


@pytest.fixture(params=["c", "python"])
def world(request: pytest.FixtureRequest, reactor: EPollReactor, cache: Path) -> Iterator[World]:
    if request.param == "c" and build(cache) is None:
        pytest.skip("no C compiler here; the Python launcher is what runs on such a host")
    with tempfile.TemporaryDirectory(prefix="z") as directory:
        made = World(reactor, Path(directory), command(cache, request.param))
        yield made
        made.stop()


class TestProcesses(ContainerizerSuite):
    @pytest.fixture(autouse=True)
    def in_world(self, world: World) -> None:
        self.world = world

    def make(self) -> IContainerizer:
        made: list[MesosContainerizer] = []
        client = self.world.client(lambda *told: made[0].exited(*told))
        names = ("posix/cpu", "posix/mem", "posix/rlimits", "filesystem/posix")
        timers = Timers(self.world.reactor)
        chosen = isolators(names, client, timers, lambda _: Deferred())
        assert not isinstance(chosen, Problem)
        made.append(MesosContainerizer(client, chosen))
        return made[0]

    def settle(self, deferred: Deferred[T]) -> T:
        return self.world.settle(deferred)

    def end(self, containerizer: IContainerizer, container_id: ContainerId, code: int) -> None:
        assert self.settle(containerizer.kill(container_id, -code, Scope.LEADER))

    def test_shell_command_with_output(self) -> None:
        """A shell command runs in its directory and writes to its files."""
        out = self.world.directory / "out"
        config = ContainerConfig(
            ("echo $A; pwd; exit 3",), shell=True, env=(("A", "b"),), cwd="/tmp", stdout=str(out)
        )
        made, _ = self.fresh()
        assert self.settle(made.launch(A, config)).running
        ended = self.settle(made.wait(A))
        assert ended is not None and ended.message == "Command exited with status 3"
        assert out.read_text() == "b\n/tmp\n"

    def test_the_first_argument_need_not_name_the_program(self) -> None:
        """`file` is what runs, `argv[0]` what it is told that it is called."""
        out = self.world.directory / "out"
        argv = ("other name", "-c", "echo $0")
        config = ContainerConfig(argv, file="/bin/sh", cwd="/tmp", stdout=str(out))
        made, _ = self.fresh()
        assert self.settle(made.launch(A, config)).running
        self.settle(made.wait(A))
        assert out.read_text() == "other name\n"


def request(name: str, *argv: str) -> LaunchRequest:
    return LaunchRequest(name, argv[0], argv)


def test_client_reports_failures(world: World) -> None:
    """A missing program and an impossible argument are errors with a sentence."""
    client = world.client(lambda *_: None)
    with pytest.raises(UnavailableError, match="not connected"):
        world.settle(client.ping())
    world.settle(client.connect())
    with pytest.raises(LaunchFailedError, match="exec failed with 'No such file or directory'"):
        world.settle(client.launch(request("a", "/nonexistent")))
    with pytest.raises(MalformedError, match="NUL"):
        world.settle(client.launch(request("b", "a\0b")))


def test_client_starts_a_launcher_again(world: World) -> None:
    """When launcher and connection die, requests fail and the next launcher knows the tasks."""
    told: list[tuple[str, int]] = []
    client = world.client(lambda name, status, _: told.append((name, status)))
    world.settle(client.connect())
    started = world.settle(client.launch(request("a", "/bin/sleep", "60")))
    os.kill(client.pid, 9)
    with pytest.raises(UnavailableError, match="lost"):
        world.settle(client.ping())
    world.settle(client.connect())
    (entry,) = world.settle(client.list_all())
    assert (entry.state, entry.pid) == ("orphaned", started.pid)
    world.settle(client.destroy("a"))
    world.until(lambda: told)
    assert told == [("a", -1)]


def test_many_launches_in_flight(world: World) -> None:
    """Two hundred requests of one turn all come out, and their ends are told."""
    told: list[str] = []
    client = world.client(lambda name, status, _: told.append(name))
    world.settle(client.connect())
    launches = [client.launch(request(f"t{i}", "/bin/true")) for i in range(200)]
    assert len({world.settle(d).pid for d in launches}) == 200
    world.until(lambda: len(told) == 200)


def bad_client(world: World, directory: Path) -> ZygoteClient:
    """A client whose launcher cannot be started."""
    timers = Timers(world.reactor)
    return ZygoteClient(world.reactor, world.reactor, timers, directory, ("/bin/false",), print)


def test_bad_runtime_directories(world: World) -> None:
    """A path too long for a socket, or open to others, is refused in a sentence."""
    deep = bad_client(world, Path("/tmp/" + "x" * 120))
    with pytest.raises(UnavailableError, match="shorter runtime directory"):
        world.settle(deep.connect())
    shared = world.directory / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    open_dir = bad_client(world, shared)
    with pytest.raises(UnavailableError, match="mode 0700"):
        world.settle(open_dir.connect())
    broken = bad_client(world, world.directory / "b")
    with pytest.raises(UnavailableError, match="cannot be reached or started"):
        world.settle(broken.connect())


def test_a_launcher_that_is_another_units_is_not_started(world: World) -> None:
    """Its socket is only connected to; where nothing listens, a sentence names the unit."""
    timers = Timers(world.reactor)
    alone = ZygoteClient(world.reactor, world.reactor, timers, world.directory / "s", (), print)
    with pytest.raises(UnavailableError, match=r"start mesos-twisted-launcher\.socket"):
        world.settle(alone.connect())
    alone.close()
    assert list((world.directory / "s").iterdir()) == []
    world.settle(world.client(lambda *_: None).connect())
    beside = ZygoteClient(world.reactor, world.reactor, timers, world.directory, (), print)
    world.settle(beside.connect())
    world.settle(beside.ping())
    beside.close()


def test_launch_is_one_write(world: World) -> None:
    """With POSIX isolators the request leaves in the turn of the launch."""
    suite = TestProcesses()
    suite.world = world
    made, _ = suite.fresh()
    sent = world.clients[-1]._number
    first, second = made.launch(A, SLEEP), made.launch(ContainerId("b"), SLEEP)
    assert world.clients[-1]._number == sent + 2
    assert world.settle(first).running and world.settle(second).running


def test_client_tries_until_a_launcher_starts(world: World) -> None:
    """A launcher that died and cannot be started is tried again, without anyone asking."""
    again: list[bool] = []
    starter = world.directory / "starter"
    program, *rest = world.argv
    starter.symlink_to(program)
    world.argv = (str(starter), *rest)
    client = world.client(lambda *_: None)
    client._on_reconnected = lambda: again.append(True)
    world.settle(client.connect())
    starter.unlink()
    os.kill(client.pid, 9)
    world.until(lambda: client._wire is None and client._retry is not None)
    world.until(lambda: client._connecting is None and client._retry is not None)
    assert not again
    starter.symlink_to(program)
    world.until(lambda: again)
    world.settle(client.ping())


def test_a_killed_launcher_is_told_truthfully(world: World) -> None:
    """Of what ended unseen no status is made up; what lives on is waited for and can be ended."""
    suite = TestProcesses()
    suite.world = world
    made, _ = suite.fresh()
    assert isinstance(made, MesosContainerizer)
    world.clients[-1]._on_reconnected = made.reconcile
    other = ContainerId("b")
    for container in (A, other):
        assert world.settle(made.launch(container, SLEEP)).running
    ended, lives = made.wait(A), made.wait(other)
    status = made.status(A)
    assert status is not None
    os.kill(world.clients[-1].pid, 9)
    os.kill(status.pid, 9)
    termination = world.settle(ended)
    assert termination is not None and termination.status is None
    assert termination.message == "The launcher knows nothing of how this container ended"
    assert not lives.called
    world.settle(world.clients[-1].connect())
    assert world.settle(made.kill(other, 15, Scope.LEADER))
    later = world.settle(lives)
    assert later is not None and later.status is None
    for container in (A, other):
        world.settle(made.destroy(container))
    assert world.settle(made.usage(other)).processes in (0, None)
