"""Sandboxes go one after another, their ends are told, and one in use again is spared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.net.housekeeping import Housekeeping
from mesos_twisted.agent.net.rotation import Limits
from mesos_twisted.clock import Timers

FRAMEWORK = "slaves/S/frameworks/F"
EXECUTOR = f"{FRAMEWORK}/executors/E"


class World:
    """Jobs run when the test says so."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir, self.clock = work_dir, Clock()
        self.jobs: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.events: list[ev.Event] = []
        self.house = Housekeeping(
            str(work_dir),
            Timers(self.clock),
            self.elsewhere,
            Limits(1 << 20, 1),
            handle=self.events.append,
            now=lambda: 5.0,
            count=lambda name, amount: None,
            disk_interval_s=60.0,
        )

    def elsewhere(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.jobs.append((done, lambda: function(*args)))
        return done

    def work(self) -> None:
        done, job = self.jobs.pop(0)
        done.callback(job())

    def make(self, directory: str) -> Path:
        path = self.work_dir / directory
        path.mkdir(parents=True)
        (path / "stdout").write_text("x")
        return path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_each_end_is_told_in_turn(world: World) -> None:
    """Also of a directory that is not there, and of one that may not be deleted."""
    path = world.make(EXECUTOR)
    for one in (EXECUTOR, f"{EXECUTOR}/missing", "slaves"):
        world.house.delete(one)
    assert len(world.jobs) == 1 and path.exists()
    while world.jobs:
        world.work()
    assert not path.exists()
    assert world.events == [
        ev.PathDeleted(EXECUTOR, True, 5.0),
        ev.PathDeleted(f"{EXECUTOR}/missing", True, 5.0),
        ev.PathDeleted("slaves", False, 5.0),
    ]


def test_a_new_run_spares_what_waits_and_waits_for_what_goes(world: World) -> None:
    """A sandbox is never made below a directory that is being deleted."""
    world.make(f"{EXECUTOR}/runs/old")
    for one in (f"{EXECUTOR}/runs/old", EXECUTOR, FRAMEWORK, f"{FRAMEWORK}2"):
        world.house.delete(one)
    free: list[object] = []
    world.house.spare(f"{EXECUTOR}/runs/new").addCallback(free.append)
    assert free == [None]
    spared = [ev.PathDeleted(EXECUTOR, False, 5.0), ev.PathDeleted(FRAMEWORK, False, 5.0)]
    assert world.events == spared
    world.work()
    assert (world.work_dir / EXECUTOR).exists()
    assert world.events[2:] == [ev.PathDeleted(f"{EXECUTOR}/runs/old", True, 5.0)]
    world.house.spare(f"{FRAMEWORK}2/executors/E/runs/r").addCallback(free.append)
    assert free == [None]
    world.work()
    assert free == [None, None]


def test_nothing_begins_after_the_stop(world: World) -> None:
    """The next agent finds the rows, and what is left."""
    world.house.delete(EXECUTOR)
    world.house.delete(FRAMEWORK)
    world.house.stop()
    world.work()
    assert not world.jobs and not world.events
