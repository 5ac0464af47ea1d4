"""An agent killed before and after every one of its writes, and again while it recovers."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import TERMINAL


def _load(name: str) -> ModuleType:
    """The sibling module; tests are imported by path and have no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


crash_world = _load("crash_world")
State = m.TaskState
#: How each task of the script ends when nobody interferes.
ENDS = {
    "short": State.TASK_FINISHED,
    "fails": State.TASK_FAILED,
    "stays": State.TASK_KILLED,
    "unfetched": State.TASK_FAILED,
    "a": State.TASK_KILLED,
    "b": State.TASK_KILLED,
    "one": State.TASK_FINISHED,
    "two": State.TASK_FINISHED,
}
#: Writes of a restart that are tried: what it changes itself, and the first ones after.
RECOVERY = 4


def lived(*crashes: tuple[int, bool]) -> Any:
    """A whole life with these kills, of which nothing bad came."""
    world = crash_world.CrashWorld(list(crashes))
    world.run()
    assert world.script == [] and world.lives <= 1 + len(crashes)
    for name, end in ENDS.items():
        said = world.states[name]
        ends = [state for state in said if state in TERMINAL]
        # What was being launched when the agent died is not launched behind anybody's back.
        assert ends in ([end], [State.TASK_DROPPED]), (name, said)
        if ends == [State.TASK_DROPPED]:
            assert State.TASK_RUNNING not in said, (name, said)
        assert said[-1] in TERMINAL
    assert world.host.kernel.running() == []
    started = [one.container_id for one in world.host.kernel.history]
    assert len(started) == len(set(started))
    words = [" ".join(one.request.argv) for one in world.host.kernel.history]
    assert words.count("sh -c run 1.5 exit 3") <= 1
    # Everything that was kept has been let go: rows, sandboxes, and what the launcher remembered.
    assert crash_world.keys(world.rows.rows()) == {"agent", "boot_id"}
    assert world.host.sandboxes == set() and world.host.kernel.known() == []
    state = world.agent.state
    assert not state.frameworks and not state.streams and not state.containers
    assert not state.garbage and not state.orphans
    return world


QUIET = lived()
WRITES = QUIET.rows.writes


def test_the_quiet_life_has_everything() -> None:
    """Registration, a command, a pod, an executor, kills, a failing fetch, acknowledgements and
    garbage: the script would otherwise prove little."""
    assert WRITES >= 40
    assert {name: said[-1] for name, said in QUIET.states.items()} == ENDS


@pytest.mark.parametrize("committed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(WRITES))
def test_killed_at_any_write(write: int, committed: bool) -> None:
    """The next life ends every task once, and leaves what a quiet one leaves."""
    world = lived((write, committed))
    assert world.lives == 2


@pytest.mark.parametrize("write", range(WRITES))
def test_killed_again_while_it_recovers(write: int) -> None:
    """At each of the next life's first writes, and in the life after that once more."""
    for committed in (False, True):
        for second in range(RECOVERY):
            for again in (False, True):
                lived((write, committed), (second, again))
    lived((write, True), (0, False), (0, True), (1, False), (1, True))
