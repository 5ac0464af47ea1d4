"""What a run calls broken, and what it does not."""

from typing import Any

import pytest

from mesos_twisted.testing.chaos import verdict
from mesos_twisted.testing.chaos.verdict import Sample, Start, Story, Truth

RAN = Truth([Start(10, "99")], [0])


def update(state: str, uuid: str = "", **fields: str) -> dict[str, Any]:
    record = {"what": "update", "task": "t", "state": f"TASK_{state}", "uuid": uuid}
    return {**record, "reason": "", "message": "", "at": 100.0, **fields}


def told(*updates: dict[str, Any], kind: str = "zero") -> Story:
    records = [{"what": "launch", "task": "t", "kind": kind}, *updates]
    return verdict.stories(records)["t"]


FINE = (update("STARTING", "a"), update("RUNNING", "b"), update("FINISHED", "c"))
FAILED = (*FINE[:2], update("FAILED", "c", message="Command exited with status 7"))
SHOT = (*FINE[:2], update("FAILED", "c", message="Command terminated with signal Killed"))
AWAY = update("UNREACHABLE", reason="REASON_AGENT_REMOVED")


@pytest.mark.parametrize(
    ("story", "was"),
    [
        (told(*FINE), RAN),
        (told(*FINE, FINE[2], update("GONE", reason="REASON_RECONCILIATION")), RAN),
        (told(*FINE[:2], update("FINISHED", reason="REASON_RECONCILIATION"), FINE[2]), RAN),
        (told(FINE[0], AWAY, update("RUNNING"), *FINE[1:]), RAN),
        (told(*FAILED), Truth([Start(1, "2")], [7])),
        (told(*SHOT), Truth([Start(1, "2")], [-9])),
        (told(*FINE[:2], update("KILLED", "c"), kind="killed"), Truth([Start(1, "2")], [])),
        (told(update("DROPPED")), Truth()),
    ],
)
def test_true_stories(story: Story, was: Truth) -> None:
    assert verdict.judge(story, was) == []


@pytest.mark.parametrize(
    ("story", "was", "sentence"),
    [
        (told(*FINE), Truth([Start(1, "2"), Start(3, "4")], [0]), "started 2 times"),
        (told(), Truth(), "the last its framework heard is nothing"),
        (told(*FINE[:2]), RAN, "the last its framework heard is TASK_RUNNING"),
        (told(*FINE), Truth([Start(1, "2")], [7]), "but it ended with [7]"),
        (told(*FINE), Truth(), "but it ended with nothing written"),
        (told(*FAILED), RAN, "but it wrote [0]"),
        (told(*FAILED), Truth([Start(1, "2")], [-9]), "but it ended with -9"),
        (told(*SHOT), Truth([Start(1, "2")], [7]), "but it ended with 7"),
        (told(*FINE[:2], update("KILLED", "c")), RAN, "but nobody killed it"),
        (told(update("FAILED", "a", message="no room")), Truth(), "was never started: no room"),
        (told(update("DROPPED")), RAN, "but it ran"),
        (told(update("LOST")), Truth(), "nothing in this run brings about"),
        (told(FINE[1], FINE[0], FINE[2]), RAN, "out of order"),
        (told(*FINE, update("FAILED", "d")), RAN, "ended more than once"),
        (told(FINE[0], FINE[2]), RAN, "that it ran was never told"),
        (told(update("GONE"), *FINE), RAN, "and then"),
        (told(*FINE, update("RUNNING")), RAN, "and then"),
    ],
)
def test_lies(story: Story, was: Truth, sentence: str) -> None:
    assert any(sentence in said for said in verdict.judge(story, was))


def test_a_full_disk_is_a_reason() -> None:
    """For a launch that fails and an agent that ends; for nothing else, and not for ever."""
    failed = told(update("FAILED", "a", message="no room"))
    assert verdict.judge(failed, Truth(), [90.0]) == []
    assert verdict.judge(failed, Truth(), [10.0, 101.0]) != []
    assert verdict.ended("agent-1", 1, 100.0, [90.0]) == []
    for full, status in (([], 1), ([10.0], 1), ([90.0], -11), ([90.0], 0)):
        assert verdict.ended("agent-1", status, 100.0, full)


def test_a_master_may_end_when_it_leads_no_more() -> None:
    assert verdict.ended("master-1", 1, 100.0, []) == []
    assert verdict.ended("master-1", 2, 100.0, []) == ["master-1 ended by itself with status 2"]
    assert verdict.ended("framework-1", 0, 100.0, [])


def test_what_a_task_wrote() -> None:
    """The last line may be torn."""
    assert verdict.truth("start 10 99\nend 0\nen") == RAN
    assert verdict.truth("") == Truth()


def test_a_framework_is_not_refused_and_stays_the_same() -> None:
    subscribed = [{"what": "subscribed", "framework": name} for name in ("f", "f", "g")]
    assert verdict.errors("one", subscribed[:2]) == []
    assert verdict.errors("one", subscribed) == ["one got several ids: f, g"]
    assert "no" in verdict.errors("one", [{"what": "error", "message": "no"}])[0]


def test_growth_is_from_the_first_third_to_the_last() -> None:
    flat = [Sample("m", float(at), 60.0 + at % 3, 20) for at in range(30)]
    lines, broken = verdict.growth(flat)
    assert lines == ["m: 61 -> 61 MB, 20 -> 20 descriptors"] and not broken
    leak = [Sample("m", float(at), 60.0, 20 + 3 * at) for at in range(30)]
    assert "it grows" in verdict.growth(leak)[1][0]
    fat = [Sample("m", float(at), 60.0 + 3 * at, 20) for at in range(30)]
    assert "it grows" in verdict.growth(fat)[1][0]


def test_two_may_lead_only_for_a_moment() -> None:
    """One that slept says so until it has looked."""
    both = frozenset({"a", "b"})
    short = [(0.0, both), (1.0, frozenset({"b"})), (2.0, both)]
    assert verdict.two_leaders(short, 3.0) == []
    assert "a and b both led" in verdict.two_leaders([(t, both) for t in (0.0, 2.0, 4.0)], 3.0)[0]
