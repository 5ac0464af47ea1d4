"""The simulated host keeps a containerizer's promises, and its faults do what they say."""

from __future__ import annotations

import os
from random import Random
from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mesos_twisted.containerizer.core.container import ContainerId
from mesos_twisted.containerizer.interfaces import IContainerizer
from mesos_twisted.containerizer.isolators.posix_cpu import PosixCpu
from mesos_twisted.containerizer.isolators.posix_mem import PosixMem
from mesos_twisted.containerizer.mesos import MesosContainerizer
from mesos_twisted.containerizer.zygote_messages import LaunchRequest
from mesos_twisted.errors import UnavailableError
from mesos_twisted.testing.sim.kernel import Fate, SimKernel, SimLauncher, fate_of
from mesos_twisted.testing.suites.containerizer import ContainerizerSuite

T = TypeVar("T")


class TestOverKernel(ContainerizerSuite):
    @pytest.fixture(autouse=True)
    def kernel(self) -> None:
        self.clock = Clock()
        self.host = SimKernel(self.clock, Random(1))

    def make(self) -> IContainerizer:
        launcher = SimLauncher(self.host, self.clock)
        made = MesosContainerizer(
            launcher, (PosixCpu(launcher), PosixMem(launcher)), identify=lambda user: None
        )
        launcher.on_exit = made.exited
        return made

    def settle(self, deferred: Deferred[T]) -> T:
        got: list[T | Failure] = []
        deferred.addBoth(got.append)
        for _ in range(100):
            if not got:
                self.clock.advance(0.01)
        assert got, "the Deferred has not fired"
        if isinstance(got[0], Failure):
            got[0].raiseException()
        return got[0]

    def end(self, containerizer: IContainerizer, container_id: ContainerId, code: int) -> None:
        self.host.signal(container_id, -code)


def _host(**faults: float) -> tuple[Clock, SimKernel]:
    clock = Clock()
    host = SimKernel(clock, Random(7))
    for name, value in faults.items():
        setattr(host.faults, name, value)
    return clock, host


def _request(name: str, command: str = "run forever") -> LaunchRequest:
    return LaunchRequest(name, "/bin/sh", ("sh", "-c", command))


@pytest.mark.parametrize(
    ("command", "fate"),
    [
        ("run 3.5 exit 2", Fate(3.5, 2 << 8)),
        ("run 1 signal 11", Fate(1.0, 11)),
        ("run 1 exit 0 deaf", Fate(1.0, 0, True)),
        ("run forever deaf", Fate(None, 0, True)),
        ("sleep 5", Fate(None)),
    ],
)
def test_a_command_says_its_fate(command: str, fate: Fate) -> None:
    assert fate_of(("sh", "-c", command)) == fate


def test_processes_outlive_the_agent_and_its_successor_learns_how_they_ended() -> None:
    clock, host = _host()
    first = SimLauncher(host, clock)
    first.connect()
    clock.advance(1)
    first.launch(_request("a", "run 5 exit 3"))
    clock.advance(1)
    first.close()
    clock.advance(10)
    entries = host.known()
    assert [one.state for one in entries] == ["exited"]
    assert os.waitstatus_to_exitcode(entries[0].status) == 3


def test_a_reboot_leaves_nothing_running_and_nothing_known() -> None:
    _clock, host = _host()
    host.launch(_request("a"))
    before = host.boot_id
    host.reboot()
    assert host.running() == [] and host.known() == [] and host.boot_id != before
    assert host.history[0].status == 9


def test_numbers_of_processes_are_used_again() -> None:
    _clock, host = _host()
    pids = []
    for number in range(100):
        pids.append(host.launch(_request(f"c{number}")).pid)
        host.signal(f"c{number}", 9)
    assert len(set(pids)) < len(pids)


def test_a_deaf_process_takes_sigterm_and_goes_on() -> None:
    _clock, host = _host()
    host.launch(_request("a", "run forever deaf"))
    assert host.signal("a", 15) == 1 and len(host.running()) == 1
    assert host.signal("a", 9) == 1 and host.running() == []


def test_a_stuck_process_is_destroyed_only_when_it_is_dead() -> None:
    clock, host = _host(stuck_s=5.0)
    launcher = SimLauncher(host, clock)
    host.launch(_request("a"))
    done = launcher.destroy("a")
    fired: list[None] = []
    done.addCallback(fired.append)
    while not fired:
        assert not fired
        clock.advance(0.01)
    assert host.running() == [] and host.history[0].ended_at is not None


def test_an_end_may_be_told_late() -> None:
    clock, host = _host(late_exit_s=3.0)
    told: list[str] = []
    launcher = SimLauncher(host, clock)
    launcher.on_exit = lambda container_id, status, use: told.append(container_id)
    host.connect(launcher)
    host.launch(_request("a", "run 1 exit 0"))
    clock.advance(1.0)
    assert host.running() == [] and told == []
    clock.advance(3.1)
    clock.advance(0.1)
    assert told == ["a"]


def test_oom_kills_one_and_launches_may_fail() -> None:
    clock, host = _host()
    assert host.oom() is None
    host.launch(_request("a"))
    victim = host.oom()
    assert victim is not None and victim.status == 9
    host.faults.launch_fails = 1.0
    failure = SimLauncher(host, clock).launch(_request("b"))
    clock.advance(1)
    clock.advance(1)
    got: list[Failure] = []
    failure.addErrback(got.append)
    assert "fork failed" in got[0].getErrorMessage()


def test_a_lost_launcher_answers_nothing_and_processes_go_on() -> None:
    clock, host = _host()
    launcher = SimLauncher(host, clock)
    host.connect(launcher)
    host.launch(_request("a"))
    host.lose_launcher()
    failed: list[Failure] = []
    launcher.list_all().addErrback(failed.append)
    clock.advance(1)
    assert failed[0].check(UnavailableError) and len(host.running()) == 1
