"""What a run calls broken, and what it does not."""

from typing import Any

import pytest

from mesos_twisted.testing.chaos import verdict
from mesos_twisted.testing.chaos.verdict import Start, Story, Truth

RAN = Truth([Start(10, "99")], [0])


def update(state: str, uuid: str = "", **fields: str) -> dict[str, Any]:
    record = {"what": "update", "task": "t", "state": f"TASK_{state}", "uuid": uuid}
    source = "SOURCE_EXECUTOR" if uuid else "SOURCE_MASTER"
    return {**record, "source": source, "reason": "", "message": "", "at": 100.0, **fields}


def told(*updates: dict[str, Any], kind: str = "zero") -> Story:
    records = [{"what": "launch", "task": "t", "kind": kind}, *updates]
    return verdict.stories(records)["t"]


FINE = (update("STARTING", "a"), update("RUNNING", "b"), update("FINISHED", "c"))
FAILED = (*FINE[:2], update("FAILED", "c", message="Command exited with status 7"))
SHOT = (*FINE[:2], update("FAILED", "c", message="Command terminated with signal Killed"))
AWAY = update("UNREACHABLE", reason="REASON_AGENT_REMOVED")
BACK = "REASON_AGENT_REREGISTERED"
ASKED = "REASON_RECONCILIATION"


@pytest.mark.parametrize(
    ("story", "was"),
    [
        (told(*FINE), RAN),
        (told(*FINE, FINE[2], update("GONE", reason="REASON_RECONCILIATION")), RAN),
        (told(*FINE[:2], update("FINISHED", reason="REASON_RECONCILIATION"), FINE[2]), RAN),
        (told(FINE[0], AWAY, update("RUNNING"), *FINE[1:]), RAN),
        (told(*FINE, AWAY, update("FINISHED", reason=BACK)), RAN),
        (told(*FINE[:2], update("FINISHED", reason=ASKED), AWAY, FINE[2]), RAN),
        (told(AWAY, update("FINISHED", reason=BACK), update("RUNNING", reason=ASKED), *FINE), RAN),
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
        (told(FINE[0], FINE[2]), RAN, "['TASK_RUNNING'] was never told"),
        (told(*SHOT[1:]), Truth([Start(1, "2")], [-9]), "['TASK_STARTING'] was never told"),
        (told(*FINE, FINE[0]), RAN, "was told ['TASK_STARTING'] again after a later state"),
        (told(*FINE[:2], update("KILLED", "c"), kind="killed"), RAN, "but it ended with [0]"),
        (told(update("GONE"), *FINE), RAN, "and then"),
        (told(update("FAILED", reason=BACK), *FINE), RAN, "and then ['TASK_FINISHED']"),
        (told(*FINE, AWAY, update("FAILED", reason=BACK)), RAN, "and then ['TASK_FAILED']"),
        (told(update("FINISHED", reason=BACK), *FINE, update("RUNNING")), RAN, "and then"),
        (told(update("FINISHED", reason=ASKED), *FINE), RAN, "and then"),
        (told(*FINE, AWAY, update("RUNNING", reason=BACK)), RAN, "and then"),
        (told(*FINE, update("RUNNING")), RAN, "and then"),
    ],
)
def test_lies(story: Story, was: Truth, sentence: str) -> None:
    assert any(sentence in said for said in verdict.judge(story, was))


def test_a_full_disk_is_a_reason() -> None:
    """For a launch that fails, and not for ever."""
    failed = told(update("FAILED", "a", message="no room"))
    assert verdict.judge(failed, Truth(), [90.0]) == []
    assert verdict.judge(failed, Truth(), [10.0, 101.0]) != []


def test_what_a_task_wrote() -> None:
    """The last line may be torn."""
    assert verdict.truth("start 10 99\nend 0\nen") == RAN
    assert verdict.truth("") == Truth()


def test_a_framework_is_not_refused_and_stays_the_same() -> None:
    subscribed = [{"what": "subscribed", "framework": name} for name in ("f", "f", "g")]
    assert verdict.errors("one", subscribed[:2]) == []
    assert verdict.errors("one", subscribed) == ["one got several ids: f, g"]
    assert "no" in verdict.errors("one", [{"what": "error", "message": "no"}])[0]


def test_only_what_was_launched_runs_and_is_told_of() -> None:
    launch = {"what": "launch", "task": "t", "kind": "zero"}
    assert verdict.strangers([launch, *FINE], ["t"]) == []
    assert verdict.strangers([launch], ["t", "u"]) == ["u ran, and was never launched"]
    assert "never launched" in verdict.strangers(FINE[:1], [])[0]
    assert "taken" in verdict.strangers([launch, launch], [])[0]
