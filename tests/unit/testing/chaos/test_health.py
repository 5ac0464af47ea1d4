"""What a run calls broken of the daemons, and what it does not."""

import signal

import pytest

from mesos_twisted.testing.chaos import health
from mesos_twisted.testing.chaos.health import End, Lead, Look, Patience, Sample

FULL = "The checkpoints cannot be written (database or disk is full); make room on the disk"
DEPOSED = "Stopping: Another master leads; this one must start afresh."
KILL, TERM = signal.SIGKILL, signal.SIGTERM


@pytest.mark.parametrize(
    "end",
    [
        End("agent-1", 100.0, 1, None, FULL),
        End("agent-1", 100.0, 1, TERM, FULL),
        End("master-1", 100.0, 1, None, DEPOSED),
        End("master-1", 100.0, 1, TERM, DEPOSED),
        End("master-1", 100.0, 75, None, "Stopping: The registry was not read within 60 s"),
        End("master-1", 100.0, -9, KILL),
        End("agent-1", 100.0, -15, TERM, FULL),
        End("framework-1", 100.0, 0, TERM),
        End("agent-1", 100.0, -15, TERM, lived_s=1.0),
        End("zookeeper-1", 100.0, 143, TERM),
    ],
)
def test_documented_ends(end: End) -> None:
    assert health.ended(end, [90.0]) == []


@pytest.mark.parametrize(
    ("end", "full"),
    [
        (End("agent-1", 100.0, 1, None, FULL), []),
        (End("agent-1", 100.0, 1, None, FULL), [10.0]),
        (End("agent-1", 100.0, 1, None, "I do not know why"), [90.0]),
        (End("agent-1", 100.0, -11, None, FULL), [90.0]),
        (End("agent-1", 100.0, 0, None), [90.0]),
        (End("master-1", 100.0, 1, None, "I do not know why"), []),
        (End("master-1", 100.0, 1, None), []),
        (End("master-1", 100.0, 2, None, DEPOSED), []),
        (End("master-1", 100.0, 1, TERM), []),
        (End("agent-1", 100.0, -15, TERM), []),
        (End("agent-1", 100.0, 0, KILL), []),
        (End("framework-1", 100.0, 0, None), []),
    ],
)
def test_ends_without_a_reason(end: End, full: list[float]) -> None:
    assert len(health.ended(end, full)) == 1


def test_each_leader_has_a_higher_epoch_of_the_same_registry() -> None:
    leads = [Lead(str(n), f"master-{n}", "r", n) for n in (1, 2, 4)]
    assert health.epochs(leads) == []
    assert "leads epoch 1 after" in health.epochs([*leads, Lead("5", "m", "r", 1)])[0]
    assert "leads epoch 4 after" in health.epochs([*leads, Lead("5", "m", "r", 4)])[0]
    assert "another registry" in health.epochs([*leads, Lead("5", "m", "s", 5)])[0]


def test_two_may_lead_only_for_a_moment() -> None:
    """One that slept says so until it has looked."""
    both, one = frozenset({"a", "b"}), frozenset({"b"})
    short = [Look(0.0, both), Look(1.0, one), Look(2.0, both)]
    assert health.two_leaders(short, 3.0) == []
    long = [Look(t, both) for t in (0.0, 2.0, 4.0)]
    assert "a and b both led" in health.two_leaders(long, 3.0)[0]


def test_nobody_leads_only_while_zookeeper_does_not_work() -> None:
    none, one = frozenset[str](), frozenset({"a"})
    works = [Look(float(t), none, True) for t in range(60)]
    longest, broken = health.leaderless(works)
    assert longest == 59.0 and "nobody led for 46 s, and ZooKeeper worked" in broken[0]
    hangs = [Look(float(t), none, t % 30 == 0) for t in range(60)]
    assert health.leaderless(hangs) == (59.0, [])
    led = [Look(float(t), one if t % 30 == 0 else none, True) for t in range(60)]
    assert health.leaderless(led) == (28.0, [])


def hang(commits: bool, disturbed: bool) -> list[float]:
    """When and for how long it was told, of a look each second."""
    patience = Patience()
    said = [patience.looked(float(at), commits, disturbed) for at in range(130)]
    return [silent_s for silent_s in said if silent_s is not None]


def test_a_hang_is_zookeepers_only_when_nothing_excuses_it() -> None:
    """Whoever can open a session shows that it is not; a fault excuses it for a while."""
    assert hang(commits=True, disturbed=False) == []
    assert hang(commits=False, disturbed=False) == [13.0] * 9
    assert hang(commits=False, disturbed=True) == [61.0] * 2


def test_growth_is_from_the_first_third_to_the_last() -> None:
    flat = [Sample("m", float(at), 60.0 + at % 3, 20) for at in range(30)]
    lines, broken = health.growth(flat)
    assert lines == ["  m: 61 -> 61 MB, 20 -> 20 descriptors"] and not broken
    leak = [Sample("m", float(at), 60.0, 20 + 3 * at) for at in range(30)]
    assert "it grows" in health.growth(leak)[1][0]
    fat = [Sample("m", float(at), 60.0 + 3 * at, 20) for at in range(30)]
    assert "it grows" in health.growth(fat)[1][0]


def test_one_process_that_lives_long_is_flat_though_others_of_it_are_small() -> None:
    """Many short lives at the end would hide its growth."""
    leak = [Sample("m", float(at), 60.0 + at / 8, 20, 1) for at in range(600)]
    after = [Sample("m", 600.0 + at, 60.0, 20, 2 + at) for at in range(900)]
    lines, broken = health.growth([*leak, *after])
    assert [line for line in lines if "process 1:" in line] and len(broken) == 1
    assert broken[0].startswith("m, process 1: ")
