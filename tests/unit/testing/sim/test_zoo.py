"""Planted bugs: each is put in and taken out again, and the seed that is remembered finds it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mesos_twisted.testing.sim import faults
from mesos_twisted.testing.sim.auditor_scene import Violation
from mesos_twisted.testing.sim.run import FAULTS_S, run_seed
from mesos_twisted.testing.sim.zoo import BUGS, hunt, planted
from mesos_twisted.testing.sim.zoo.seeds import FOUND, NOT_FOUND

#: Seeds tried when the remembered one finds nothing any more, which a change elsewhere may cause.
_OTHERS = range(6)


@cache
def _unplanted(seed: int) -> tuple[Violation, ...]:
    return run_seed(seed).violations


class _Owner:
    def answer(self) -> int:
        return 42


def test_a_plant_is_in_place_for_as_long_as_it_is_entered() -> None:
    plant = planted.swap((_Owner, "answer", lambda self: 41))

    with plant():
        assert _Owner().answer() == 41
    assert _Owner().answer() == 42


def test_a_plant_is_taken_out_when_the_run_fails() -> None:
    plant = planted.swap((_Owner, "answer", lambda self: 41))

    with pytest.raises(RuntimeError), plant():
        raise RuntimeError
    assert _Owner().answer() == 42


def test_every_bug_is_in_the_table_of_seeds_or_in_that_of_those_not_found() -> None:
    assert sorted(BUGS) == sorted([*FOUND, *NOT_FOUND])


def _swaps(name: str) -> tuple[tuple[Any, str, Any], ...]:
    plant: Any = BUGS[name].plant
    swaps: tuple[tuple[Any, str, Any], ...] = plant.args[0]
    return swaps


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_planted_and_taken_out_again(name: str) -> None:
    before = [vars(owner)[attribute] for owner, attribute, _ in _swaps(name)]

    with BUGS[name].plant():
        inside = [vars(owner)[attribute] for owner, attribute, _ in _swaps(name)]
    after = [vars(owner)[attribute] for owner, attribute, _ in _swaps(name)]

    assert all(one is not other for one, other in zip(before, inside, strict=True))
    assert before == after


@pytest.mark.parametrize("name", FOUND)
def test_a_seed_finds_the_bug_and_keeps_its_promises_without_it(name: str) -> None:
    seed, invariant = FOUND[name]

    found = hunt.find(BUGS[name], [seed, *_OTHERS], processes=1)

    assert found is not None, f"Run hunt for {name}: the seed {seed} found {invariant}"
    assert _unplanted(found[0]) == ()


def test_the_documentation_has_the_table() -> None:
    text = (Path(__file__).parents[4] / "docs/reliability.md").read_text(encoding="utf-8")

    assert hunt.table() in text, "Run hunt --table and put it into docs/reliability.md"


def test_seeds_are_chosen_by_their_faults() -> None:
    seeds = hunt.with_faults(range(300), ["leader_deposed"])

    assert seeds and hunt.with_faults(range(300), ()) == list(range(300))
    for seed in seeds:
        assert "leader_deposed" in {one.kind for one in faults.plan(seed, FAULTS_S)}
