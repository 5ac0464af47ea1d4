"""The recorded run of Mesos, repeated on a cluster of ours: the same answers, or a stated reason.

What was recorded, and how, is told in golden/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from comparing import GOLDEN, recorded_records
from differences import stale_flags, unexplained
from judge import all_differences
from live import JSON, Recorded, Scheduler
from script import INDEX, Run, repeat, request_of

from mesos_twisted.testing.processes import wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """One master and one agent with the recorded flags."""
    running = Recorded.begin(tmp_path_factory.mktemp("recorded"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def run(cluster: Recorded) -> Run:
    """The whole run, once."""
    return repeat(cluster)


@pytest.fixture(scope="module")
def lines(run: Run) -> list[str]:
    """Every difference."""
    return list(all_differences(run))


def test_every_difference_has_its_reason(lines: list[str]) -> None:
    """Statuses, headers, documents and streams are the recorded ones, but for the table."""
    left, _ = unexplained(lines)
    assert not left, "not in the table of differences:\n" + "\n".join(left)


def test_the_table_of_differences_is_true(lines: list[str]) -> None:
    """What no longer differs is out of the table."""
    _, stale = unexplained(lines)
    stale += stale_flags()
    assert not stale, "no longer a difference:\n" + "\n".join(stale)


def test_every_recorded_answer_was_asked_for(run: Run) -> None:
    """No file of the recording is left aside."""
    asked = set(run.answers) | set(run.records)
    recorded = {entry["file"] for entry in INDEX if entry["file"] is not None}
    assert recorded <= asked
    assert len(recorded) == len(list(GOLDEN.iterdir())) - len(("README.md", "index.json"))


def test_records_of_different_tasks_may_interleave_and_no_others(run: Run) -> None:
    """The first records come in the recorded order, and a reconciliation's in its own."""
    ours = run.records["scheduler_stream_json.jsonl"]
    recorded = recorded_records("scheduler_stream_json.jsonl")
    assert [one["type"] for one in ours[:4]] == [one["type"] for one in recorded[:4]]

    def answered(records: list[dict[str, object]]) -> list[str]:
        text = [json.dumps(one) for one in records]
        return [one.split('"value": "')[1].split('"')[0] for one in text if "Reconciliation" in one]

    assert answered(ours)[:4] == answered(recorded)[:4] == ["long", "never", "never2", "never3"]


@pytest.mark.usefixtures("run")
def test_a_call_of_unknown_type_is_answered_501(cluster: Recorded) -> None:
    """Where Mesos's master of the recording ended by a failed check; its source means 501."""
    subscribe = request_of("POST /api/v1/scheduler SUBSCRIBE")
    scheduler = Scheduler(cluster, subscribe)
    try:
        answer = scheduler.call({"type": "UNKNOWN"})
        assert answer.status == 501, answer
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert scheduler.call({"type": "TEARDOWN"}).status == 202
        wait_until(lambda: scheduler.ended, "the stream's end")
    finally:
        scheduler.close()
    for agent in (False, True):
        headers = {"Content-Type": JSON, "Accept": JSON}
        body = b'{"type":"UNKNOWN"}'
        answer = cluster.ask("POST", "/api/v1", body, headers, agent=agent)
        assert answer.status == 501, answer
