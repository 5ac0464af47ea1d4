"""Laws of the agent's core over random histories with crashes between any two effects."""

from __future__ import annotations

import importlib.util
import random
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesos_twisted.agent.core import events, invariants, rows
from mesos_twisted.agent.core.decide import decide
from mesos_twisted.agent.core.restore import read_rows, restore
from mesos_twisted.agent.core.state import Phase
from mesos_twisted.protocol.states import TERMINAL


def _load(name: str) -> ModuleType:
    """The sibling module; tests are imported by path and have no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


agent_world = _load("agent_world")

ACTIONS = (
    "run_command",
    "run_custom",
    "run_group",
    "sandbox",
    "sandbox",
    "launch",
    "launch",
    "exit",
    "destroyed",
    "kill",
    "drain",
    "acknowledge",
    "acknowledge",
    "acknowledge",
    "relink",
    "timer",
    "launch_timeout",
    "shut_down_executor",
    "subscribe",
    "executor_update",
    "executor_update",
    "reboot",
    "crash",
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS), st.integers(0, 40), st.one_of(st.none(), st.integers(0, 12))
    ),
    min_size=10,
    max_size=80,
)


def _tables(world: object) -> dict[str, object]:
    """What must survive a crash: tasks with their states, and what is owed for each."""
    state = world.state  # type: ignore[attr-defined]  # loaded by path
    tasks = {
        (framework_id, task_id): (task.state, task.executor_id, task.container_id, task.group)
        for framework_id, framework in state.frameworks.items()
        for task_id, task in framework.tasks.items()
    }
    owed = {key: [s.uuid for s in stream.pending] for key, stream in state.streams.items()}
    return {"tasks": tasks, "owed": owed}


@given(STEPS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_task_is_lost_and_no_update_forgotten_repeated_or_reordered(
    steps: list[tuple[str, int, int | None]],
) -> None:
    """Whatever happens and wherever it is cut, each accepted task ends once, told in order."""
    _ends_well(steps)


def _ends_well(steps: list[tuple[str, int, int | None]]) -> None:
    world = agent_world.World()
    world.start()
    for action, which, fuse in steps:
        world.now += 1.0
        world.fuse = fuse
        try:
            getattr(world, action)(which)
        except agent_world.Crashed:
            world.start()
        world.fuse = None
    accepted = {key.split("/")[2] for key in world.rows if key.startswith("task/")}
    world.quiesce()
    for task_id in accepted:
        assert world.states[task_id][-1] in TERMINAL, f"{task_id} was lost"
    for task_id, states in world.states.items():
        assert sum(state in TERMINAL for state in states) == 1, f"{task_id}: {states}"
    world.check_words()
    state = world.state
    assert not state.frameworks and not state.streams and not state.containers
    left = {key.split("/")[0] for key in world.rows}
    assert left <= {"agent", "boot_id", "done"}


@pytest.mark.parametrize("seed", range(40))
def test_long_histories_with_rare_crashes_end_well(seed: int) -> None:
    """The same over long histories, where crashes are rare and much goes on at once."""
    steps = _history(seed)
    _ends_well(steps)


def _history(seed: int) -> list[tuple[str, int, int | None]]:
    dice = random.Random(seed)
    return [
        (
            dice.choice(ACTIONS[:-2] if dice.random() < 0.95 else ACTIONS),
            dice.randrange(40),
            dice.randrange(13) if dice.random() < 0.06 else None,
        )
        for _ in range(150)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_a_framework_shut_down_at_any_time_leaves_nothing(seed: int) -> None:
    """No process, no row, no update and no record of it stays, crashes or not."""
    world = agent_world.DepartingWorld()
    world.start()
    for at, (action, which, fuse) in enumerate(_history(seed)):
        world.fuse = fuse
        try:
            getattr(world, "shut_down_framework" if at % 40 == 39 else action)(which)
        except agent_world.Crashed:
            world.start()
        world.fuse = None
    world.shut_down_framework(0)
    world.quiesce()
    state = world.state
    assert not state.frameworks and not state.streams and not state.containers
    assert not world.running
    assert {key.split("/")[0] for key in world.rows} <= {"agent", "boot_id", "done"}


@given(STEPS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_replaying_the_checkpoint_gives_the_state_before_the_crash(
    steps: list[tuple[str, int, int | None]],
) -> None:
    """Between events, tasks and owed updates are on disk exactly as they are in memory."""
    world = agent_world.World()
    world.start()
    for action, which, _ in steps:
        world.now += 1.0
        try:
            getattr(world, action)(which)
        except agent_world.Crashed:
            world.start()
    before = _tables(world)
    reader = agent_world.new_state(world.policy, b"x")
    out: list[object] = []
    read = read_rows(world.rows, out)
    if read.agent is not None:
        reader.info = read.agent.info
        restore(reader, out, read)
    assert out == []
    world.state = reader
    after = _tables(world)
    assert after == before


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_torn_rows_never_stop_recovery(data: st.DataObject) -> None:
    """Rows cut short or unknown are left out where the operator allows it; the agent starts."""
    world = agent_world.World()
    world.start()
    for step in range(6):
        (world.run_command, world.run_group, world.run_custom)[step % 3](step)
        world.sandbox(0)
        world.launch(0)
    for key in sorted(world.rows):
        if not key.startswith(("agent/", "boot")) and data.draw(st.booleans()):
            world.rows[key] = world.rows[key][: data.draw(st.integers(0, 20))]
    world.rows["novelty/x"] = b"?"
    state = agent_world.new_state(replace(world.policy, strict=False), b"x")
    found = tuple(events.RecoveredContainer(item, True, 7) for item in sorted(world.running))
    decide(state, events.Recovered(world.rows, found, "b0", world.now))
    invariants.check(state)
    assert state.phase is Phase.DISCONNECTED and state.agent_id == "S0"


@pytest.mark.parametrize("kind", sorted(rows.DECODERS))
def test_every_kind_of_row_has_a_decoder_that_refuses_garbage(kind: str) -> None:
    """Nothing but a whole row is taken for one."""
    with pytest.raises(ValueError):
        rows.DECODERS[kind](b"\xc1")
