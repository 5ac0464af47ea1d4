"""Sandboxes: kept a week, less as the disk fills, and never while in use."""

from __future__ import annotations

from typing import Any

import pytest

from mesos_twisted.agent.core import effects as ef
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core.gc import allowed_age_s
from mesos_twisted.agent.core.state import Policy

World = Any
WEEK = 7 * 86400.0


@pytest.mark.parametrize(
    ("used", "age"), [(0.0, 0.9 * WEEK), (0.4, 0.5 * WEEK), (0.9, 0.0), (1.0, 0.0)]
)
def test_the_allowed_age_shrinks_with_free_space(used: float, age: float) -> None:
    """gc_delay x (1 - headroom - used)."""
    assert allowed_age_s(Policy(hostname="h"), used) == pytest.approx(age)


def finished(world: World, name: str = "t") -> str:
    container_id = world.running_task(world.task(name))
    world.exits(container_id, 0)
    world.acknowledge_all(name)
    return f"slaves/S0/frameworks/f/executors/{name}"


def test_a_sandbox_goes_when_its_time_is_over(world: World) -> None:
    """The run, the executor's and the framework's directories, and the history's row."""
    directory = finished(world)
    world.now += 0.4 * WEEK
    world.feed(ev.DiskMeasured(0.4, world.now))
    assert world.of(ef.DeletePath) == []
    world.now += 0.2 * WEEK
    world.feed(ev.DiskMeasured(0.4, world.now))
    paths = {effect.path for effect in world.of(ef.DeletePath)}
    assert {directory, "slaves/S0/frameworks/f"} <= paths
    for path in paths:
        assert done_rows(world)
        world.feed(ev.PathDeleted(path, True, world.now))
    assert not done_rows(world)


def test_an_agent_killed_while_deleting_begins_again(world: World) -> None:
    """The row leads to what is left, also when the run itself is gone already."""
    finished(world)
    world.feed(ev.DiskMeasured(0.99, world.now))
    asked = [effect.path for effect in world.of(ef.DeletePath)]
    world.feed(ev.PathDeleted(asked[0], True, world.now))
    world.boot()
    world.feed(ev.DiskMeasured(0.99, world.now))
    assert [effect.path for effect in world.of(ef.DeletePath)] == asked


def test_what_cannot_be_deleted_is_tried_again_by_the_next_agent(world: World) -> None:
    """Its row stays; this agent does not try for ever."""
    finished(world)
    world.feed(ev.DiskMeasured(0.99, world.now))
    asked = [effect.path for effect in world.of(ef.DeletePath)]
    for path in asked:
        world.feed(ev.PathDeleted(path, False, world.now))
    assert done_rows(world) and not world.state.deleting
    world.feed(ev.DiskMeasured(0.99, world.now))
    assert world.of(ef.DeletePath) == []
    world.boot()
    world.feed(ev.DiskMeasured(0.99, world.now))
    assert [effect.path for effect in world.of(ef.DeletePath)] == asked


def done_rows(world: World) -> list[str]:
    return [key for key in world.rows if key.startswith("done/")]


def test_a_full_disk_empties_everything_that_is_over(world: World) -> None:
    """Live sandboxes stay, whatever the pressure."""
    directory = finished(world, "old")
    world.running_task(world.task("live"))
    world.feed(ev.DiskMeasured(0.99, world.now))
    paths = {effect.path for effect in world.of(ef.DeletePath)}
    assert directory in paths
    assert "slaves/S0/frameworks/f" not in paths
    assert not [path for path in paths if "live" in path]
