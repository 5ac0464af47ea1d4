"""How a recorded answer and ours are compared: statuses, headers, then documents key by key.

A difference is one line, `<answer> <where>: <what>`, which the table of deliberate ones matches.
Lists of things with names are compared by name, other lists by position. Ids, ports and paths that
a run gives out are replaced by what they stand for; values in `VOLATILE` are compared by type only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mesos_twisted.protocol import codec_json, codec_protobuf, recordio
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.processes import Answer

GOLDEN = Path(__file__).parent / "golden"
#: Members whose value tells the time, the machine or chance, not the behaviour.
VOLATILE = frozenset(
    (
        "timestamp",
        "start_time",
        "elected_time",
        "registered_time",
        "unregistered_time",
        "reregistered_time",
        "status_update_uuid",
        "uuid",
        "executor_pid",
        "mtime",
        "build_date",
        "build_time",
        "build_user",
        "git_sha",
        "cpus_system_time_secs",
        "cpus_user_time_secs",
        "mem_rss_bytes",
        "nanoseconds",
        "processes",
        "threads",
    )
)
#: Metrics of that kind.
_VOLATILE_METRIC = re.compile(
    r"allocator/mesos/allocation_run|registrar/|system/|gc/path_removals_pending$"
    r"|.*(/uptime_secs|/recovery_time_secs|/events/heartbeat|/events|event_queue_dispatches)$"
)
#: What a thing in a list is named by; the first one present counts.
_NAMED_BY = (
    "task_id",
    "id",
    "name",
    "executor_info",
    "executor_id",
    "framework_info",
    "framework_id",
    "agent_info",
    "role",
    "path",
    "type",
    "container_id",
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_volatile(name: str) -> bool:
    """Is it known to depend on the time, the machine or chance?"""
    return name in VOLATILE or _VOLATILE_METRIC.match(name) is not None


def normal(value: Any, names: Mapping[str, str]) -> Any:
    """The document with what a run gave out by chance replaced by what it stands for."""
    if isinstance(value, str):
        for given in sorted(names, key=len, reverse=True):
            if given in value:
                value = _replaced(value, given, names[given])
        return _UUID.sub("<uuid>", value)
    if isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            # Texts of which none comes twice are a set.
            texts = [normal(item, names) for item in value]
            return {text: text for text in texts} if len(set(texts)) == len(texts) else texts
        return [normal(item, names) for item in value]
    if isinstance(value, dict):
        return {normal(key, names): normal(item, names) for key, item in value.items()}
    if isinstance(value, int) and not isinstance(value, bool) and str(value) in names:
        return f"<number {names[str(value)]}>"
    return value


def _replaced(value: str, given: str, name: str) -> str:
    if given.isdigit():
        # A port, but not five digits inside an id.
        return re.sub(rf"(?<![0-9A-Za-z]){given}(?![0-9A-Za-z])", name, value)
    return value.replace(given, name)


def differences(recorded: Any, ours: Any, where: str = "", timed: bool = False) -> Iterator[str]:
    """One line for each difference. `timed`: types only from here on."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        for key in recorded:
            place = f"{where}.{key}" if where else str(key)
            if key not in ours:
                yield f"{place}: missing"
            else:
                by_chance = timed or is_volatile(key)
                yield from differences(recorded[key], ours[key], place, by_chance)
        for key in ours:
            if key not in recorded:
                yield f"{where}.{key}: extra" if where else f"{key}: extra"
    elif isinstance(recorded, list) and isinstance(ours, list):
        yield from _lists(recorded, ours, where, timed)
    elif type(recorded) is not type(ours):
        yield f"{where}: {type(ours).__name__} for {type(recorded).__name__}"
    elif recorded != ours and not timed:
        yield f"{where}: {_short(ours)} for {_short(recorded)}"


def _lists(recorded: list[Any], ours: list[Any], where: str, timed: bool) -> Iterator[str]:
    first, second = _by_name(recorded), _by_name(ours)
    if first is not None and second is not None:
        for name in first:
            if name in second:
                by_chance = timed or is_volatile(name)
                yield from differences(first[name], second[name], f"{where}[{name}]", by_chance)
            else:
                yield f"{where}[{name}]: missing"
        for name in second:
            if name not in first:
                yield f"{where}[{name}]: extra"
        return
    if len(recorded) != len(ours):
        yield f"{where}: {len(ours)} items for {len(recorded)}"
    for position, (one, other) in enumerate(zip(recorded, ours, strict=False)):
        yield from differences(one, other, f"{where}[{position}]", timed)


def _by_name(items: list[Any]) -> dict[str, Any] | None:
    if not all(isinstance(item, dict) for item in items):
        return None
    found: dict[str, Any] = {}
    for item in items:
        name = _name_of(item)
        # Two of one name, as the statuses of a task, are told apart by position only.
        if name is None or name in found:
            return None
        found[name] = item
    return found


def _name_of(item: Any) -> str | None:
    if isinstance(item, str):
        return item
    if isinstance(item, dict):
        for key in _NAMED_BY:
            if key in item:
                return _name_of(item[key])
        if isinstance(item.get("value"), str):
            return str(item["value"])
        for value in item.values():
            if isinstance(value, dict):
                return _name_of(value)
    return None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 120 else text[:117] + "..."


def headers(recorded: Mapping[str, str], ours: Answer, names: Mapping[str, str]) -> Iterator[str]:
    """Differences of headers: Content-Length and stream ids by presence, Date not at all."""
    lower = {name.lower(): value for name, value in recorded.items()}
    for name, value in lower.items():
        if name == "date":
            continue
        if name not in ours.headers:
            yield f"header {name}: missing"
        elif name not in ("content-length", "mesos-stream-id"):
            first, second = normal(value, RECORDED_NAMES), normal(ours.headers[name], names)
            if first != second:
                yield f"header {name}: {_short(second)} for {_short(first)}"
    for name in ours.headers:
        if name not in lower and name != "date":
            yield f"header {name}: extra"


def document(file: str, body: bytes) -> Any:
    """The body of an answer, by the kind that its recorded file's name tells."""
    if file.endswith(".json"):
        return json.loads(body)
    if file.endswith(".bin"):
        kind = m.MasterResponse if file.startswith("master_") else m.AgentResponse
        return codec_json.to_plain(codec_protobuf.decode(kind, body))
    if "jsonp=" in file:
        callback, _, rest = body.decode().partition("(")
        inner = rest.rstrip(");")
        return {"callback": callback, "end": rest[len(inner) :], "json": json.loads(inner)}
    return {"text": body.decode()}


def recorded_records(file: str) -> list[Any]:
    """The records of a recorded stream."""
    data = (GOLDEN / file).read_bytes()
    if file.endswith(".recordio"):
        events = recordio.Decoder(1 << 24).feed(data)
        return [codec_json.to_plain(codec_protobuf.decode(m.SchedulerEvent, e)) for e in events]
    return [json.loads(line) for line in data.splitlines() if line]


def _recorded_names() -> dict[str, str]:
    index = json.loads((GOLDEN / "index.json").read_text())
    framework = index[1]["request"]["framework_id"]["value"]
    master = framework.rpartition("-")[0]
    names = {
        "/var/lib/mesos/agent": "<agent work_dir>",
        "/var/lib/mesos/master": "<master work_dir>",
        framework: "<framework>",
        f"{master}-0001": "<protobuf framework>",
        f"{master}-S0": "<agent>",
        master: "<master>",
        "15050": "<master port>",
        "15051": "<agent port>",
    }
    for record in recorded_records("scheduler_stream_json.jsonl"):
        status = record.get("update", {}).get("status", {})
        container = status.get("container_status", {}).get("container_id", {}).get("value")
        if container is not None:
            names[container] = f"<container {status['task_id']['value']}>"
    return names


RECORDED_NAMES = _recorded_names()
