"""All differences between the recorded run and ours, as lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from comparing import (
    GOLDEN,
    RECORDED_NAMES,
    differences,
    document,
    headers,
    normal,
    recorded_records,
)
from script import INDEX, Run

#: Answers without a file, by what was asked.
_KEPT_AS = {
    "POST /api/v1/scheduler SUBSCRIBE": ("subscribe", "subscribe protobuf"),
    "scheduler call accept": ("accept",),
    "scheduler call reconcile_explicit": ("reconcile_explicit",),
    "scheduler call reconcile_implicit": ("reconcile_implicit",),
    "scheduler call accept_stale_offer": ("accept_stale_offer",),
    "scheduler call kill": ("kill",),
    "scheduler call kill_unknown": ("kill_unknown",),
    "scheduler call suppress": ("suppress",),
    "scheduler call revive": ("revive",),
    "scheduler call teardown": ("teardown",),
}


def all_differences(run: Run) -> Iterator[str]:
    """Every answer and every stream."""
    asked: dict[str, int] = {}
    for entry in INDEX:
        file, what = entry["file"], entry["what"]
        if "headers" not in entry or what == "scheduler call ack":
            continue
        if file is None and what in _KEPT_AS:
            number = asked[what] = asked.get(what, -1) + 1
            key = _KEPT_AS[what][number]
        else:
            key = file or what
        yield from _answer(run, key, file, entry)
    for file in ("subscribe_bad_role.json", "subscribe_after_teardown.jsonl"):
        yield from _records(run, file, recorded_records(file), run.records[file])
    file = "master_v1_SUBSCRIBE_records.jsonl"
    yield from _records(run, file, recorded_records(file), run.records[file])
    file = "scheduler_stream_pb.recordio"
    yield from _records(run, file, recorded_records(file), run.records[file])
    file = "scheduler_stream_json.jsonl"
    yield from _stream(run, file, recorded_records(file), run.records[file])


def _answer(run: Run, key: str, file: str | None, entry: dict[str, Any]) -> Iterator[str]:
    ours = run.answers.get(key)
    if ours is None:
        yield f"{key}: not asked"
        return
    if ours.status != entry["status"]:
        yield f"{key} status: {ours.status} for {entry['status']}"
    for line in headers(entry["headers"], ours, run.names):
        yield f"{key} {line}"
    if file is None or file in run.records:
        if file is None and ours.body:
            yield f"{key} body: extra"
        return
    try:
        second = normal(document(file, ours.body), run.names)
    except ValueError:
        yield f"{key} body: cannot be read: {ours.body[:80]!r}"
        return
    first = normal(_recorded(file, second), RECORDED_NAMES)
    if file.startswith("agent_"):
        bare = file.endswith(".bin")
        first = _one_list_of_executors(first, bare)
        second = _one_list_of_executors(second, bare)
    for line in differences(first, second):
        yield f"{key} {line}"


def _recorded(file: str, ours: Any) -> Any:
    """The recorded document; of the page with one task only, that with the task ours has, for
    which of two tasks starts first is chance."""
    found = document(file, (GOLDEN / file).read_bytes())
    if "limit=1" in file:
        every = document("master_tasks.json", (GOLDEN / "master_tasks.json").read_bytes())["tasks"]
        wanted = [task["id"] for task in ours["tasks"]]
        found["tasks"] = [task for task in every if task["id"] in wanted][: len(found["tasks"])]
    return found


def _one_list_of_executors(value: Any, bare: bool) -> Any:
    """`bare`: an empty list is not there, as in protobuf."""
    if isinstance(value, list):
        return [_one_list_of_executors(item, bare) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _one_list_of_executors(item, bare) for key, item in value.items()}
    if isinstance(made.get("executors"), list) and "completed_executors" in made:
        made["executors"] = made["executors"] + made["completed_executors"]
        made["completed_executors"] = []
        if bare:
            del made["completed_executors"]
    return made


def _records(run: Run, file: str, recorded: list[Any], ours: list[Any]) -> Iterator[str]:
    for line in differences(normal(recorded, RECORDED_NAMES), normal(ours, run.names)):
        yield f"{file} {line}"


def _stream(run: Run, file: str, recorded: list[Any], ours: list[Any]) -> Iterator[str]:
    """Updates by task in their order, other records by type in theirs."""
    first = _sorted(normal(recorded, RECORDED_NAMES))
    second = _sorted(normal(ours, run.names))
    for line in differences(first, second):
        yield f"{file} {line}"


def _sorted(records: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for record in records:
        key = record["type"]
        if key == "HEARTBEAT" and key in found:
            # One comes at once; the others, every 15 seconds, only tell how long the run took.
            continue
        if key == "UPDATE":
            key = f"UPDATE {record['update']['status']['task_id']['value']}"
        found.setdefault(key, []).append({str(len(found.get(key, []))): record})
    return found
