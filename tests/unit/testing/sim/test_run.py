"""A seed is a verdict: repeatable, told in words, and cut down to the faults that matter."""

from __future__ import annotations

import re

import pytest
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.agent.core import updates
from mesos_twisted.testing.sim import faults, main
from mesos_twisted.testing.sim.chart import Chart
from mesos_twisted.testing.sim.run import minimise, run_seed, shape_of
from mesos_twisted.testing.sim.world import World


def test_a_seed_gives_the_same_verdict_again() -> None:
    first, second = run_seed(3), run_seed(3)
    assert first == second and first.good and first.launches > 0 and first.events > 1000


def test_what_is_found_when_all_is_over_is_still_heard() -> None:
    """A sweep for garbage at the end tells of errors that nobody took; they are the seed's."""

    def ended() -> None:
        Logger("master").failure("swept up", Failure(ValueError("nobody took it")))

    verdict = run_seed(3, ended=ended)
    assert [one.invariant for one in verdict.violations] == ["I17"]
    assert "nobody took it" in verdict.violations[0].sentence
    assert verdict.trace == run_seed(3).trace


def test_seeds_differ_in_worlds_and_faults() -> None:
    assert len({shape_of(seed) for seed in range(50)}) > 40
    plans = [faults.plan(seed, 60.0) for seed in range(100)]
    kinds = {one.kind for plan in plans for one in plan}
    assert kinds == set(faults.EVERY)
    assert all(0 < one.at < 60.0 for plan in plans for one in plan)


def test_a_fault_left_out_changes_no_other() -> None:
    seed = next(
        one
        for one in range(100)
        if len(faults.plan(one, 60.0)) > 3 and not list(faults.rare(one, 60.0))
    )
    whole = run_seed(seed)
    some = run_seed(seed, without={0})
    assert len(some.faults) == len(whole.faults) - 1
    assert [one.kind for one in some.faults] == [one.kind for one in whole.faults][1:]


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """No agent sends an update again."""
    monkeypatch.setattr(updates, "resend_all", lambda state, out: None)
    monkeypatch.setattr(updates, "retry", lambda *arguments: None)


def _broken(seeds: range) -> int:
    return next(seed for seed in seeds if not run_seed(seed).good)


def test_a_broken_promise_is_found_and_cut_down(forgetful: None) -> None:
    seed = _broken(range(60))
    verdict = run_seed(seed)
    told: list[str] = []
    needed = minimise(seed, told.append)
    assert len(needed) < len(verdict.planned)
    left_out = {one.number for one in verdict.planned} - set(needed)
    again = run_seed(seed, without=left_out)
    assert verdict.violations[0].invariant in {one.invariant for one in again.violations}


def test_a_chart_tells_faults_and_updates_and_changes_nothing() -> None:
    seed = next(one for one in range(100) if run_seed(one).faults)
    lines: list[str] = []
    charts: list[Chart] = []

    def begun(world: World) -> None:
        charts.append(Chart(world, lines.append))

    verdict = run_seed(seed, begun=begun)
    assert verdict.trace == run_seed(seed).trace
    text = "\n".join(lines)
    for done in verdict.faults:
        assert f"{done.at:9.3f}  FAULT  {done.words}" in text
    assert re.search(r"a\d +MasterSaid: RunTask f\d\.\d", text)
    assert re.search(r"f\d +is told f\d\.\d+ TASK_RUNNING", text)


def test_the_command_tells_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.start(["--seeds", "4", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "4 of 4 seeds, 0 broke a promise" in out and "faults a minute" in out
    with pytest.raises(SystemExit) as left:
        main.start(["--seeds", "0"])
    assert left.value.code == 2
    assert "not a number above 0" in capsys.readouterr().err
