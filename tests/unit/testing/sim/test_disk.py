"""The simulated disk forgets exactly what a real one may forget."""

from __future__ import annotations

from random import Random

import pytest

from mesos_twisted.agent.core.effects import Checkpoint, Forget
from mesos_twisted.errors import UnavailableError
from mesos_twisted.testing.sim.disk import CrashError, SimRows


def test_a_killed_process_loses_nothing() -> None:
    rows = SimRows(Random(1))
    rows.write([Checkpoint("task/a", b"1"), Checkpoint("task/b", b"2")])
    rows.write([Forget("task/a")])
    assert rows.rows() == {"task/b": b"2"}


def test_a_prefix_is_forgotten_at_once() -> None:
    rows = SimRows(Random(1))
    rows.write([Checkpoint("task/a/1", b""), Checkpoint("task/ab", b""), Forget("task/a/")])
    assert rows.rows() == {"task/ab": b""}


def test_a_power_cut_keeps_a_prefix_of_the_transactions_and_the_identity() -> None:
    kept = set()
    for seed in range(30):
        rows = SimRows(Random(seed))
        rows.write([Checkpoint("agent", b"me")])
        for number in range(4):
            rows.write([Checkpoint(f"task/{number}", b"")])
        rows.power_cut()
        left = sorted(key for key in rows.rows() if key != "agent")
        assert "agent" in rows.rows()
        assert left == [f"task/{number}" for number in range(len(left))]
        kept.add(len(left))
    assert kept == {0, 1, 2, 3, 4}


def test_a_flush_survives() -> None:
    rows = SimRows(Random(3))
    rows.write([Checkpoint("task/a", b"1")])
    rows.flush()
    rows.power_cut()
    assert rows.rows() == {"task/a": b"1"}


@pytest.mark.parametrize("fault", ["full", "broken"])
def test_a_bad_disk_refuses_and_keeps_what_it_had(fault: str) -> None:
    rows = SimRows(Random(1))
    rows.write([Checkpoint("task/a", b"1")])
    setattr(rows.faults, fault, True)
    with pytest.raises(UnavailableError, match="cannot be written"):
        rows.write([Checkpoint("task/b", b"1")])
    setattr(rows.faults, fault, False)
    assert rows.rows() == {"task/a": b"1"}


def test_a_crash_comes_before_or_after_the_commit() -> None:
    seen = set()
    for seed in range(20):
        rows = SimRows(Random(seed))
        rows.faults.crash_after_writes = 1
        rows.write([Checkpoint("task/a", b"1")])
        with pytest.raises(CrashError):
            rows.write([Checkpoint("task/b", b"1")])
        seen.add("task/b" in rows.rows())
        rows.write([Checkpoint("task/c", b"1")])
    assert seen == {True, False}


def test_a_torn_row_is_shorter() -> None:
    rows = SimRows(Random(5))
    assert rows.tear() is None
    rows.write([Checkpoint("agent", b"me"), Checkpoint("task/a", b"12345")])
    assert rows.tear() == "task/a"
    assert b"12345".startswith(rows.rows()["task/a"]) and rows.rows()["agent"] == b"me"
