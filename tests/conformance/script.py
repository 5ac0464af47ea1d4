"""The recorded run, repeated: the same calls and pages in the same order, and every answer kept.

Answers are kept under the file names of the recording, or under what was asked where it has no
file. One thing is done otherwise, so that nothing depends on the machine's speed: the framework is
suppressed while its tasks start and refuses what is left for long, and it is revived where the
recording waited for a filter to end.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from live import JSON, PROTOBUF, Recorded, Scheduler, Stream

from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.processes import Answer, wait_until

GOLDEN = Path(__file__).parent / "golden"
INDEX: list[dict[str, Any]] = json.loads((GOLDEN / "index.json").read_text())
SCHEDULER = "/api/v1/scheduler"


@dataclass
class Run:
    """Every answer, and what was given out by chance in this run: names in place of ids."""

    answers: dict[str, Answer] = field(default_factory=dict)
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def request_of(what: str, number: int = 0) -> dict[str, Any]:
    """The body that was recorded with the nth such request."""
    found = [entry["request"] for entry in INDEX if entry["what"] == what]
    request: dict[str, Any] = copy.deepcopy(found[number])
    return request


def repeat(cluster: Recorded) -> Run:
    """The whole run."""
    run = Run()
    subscribe = request_of("POST /api/v1/scheduler SUBSCRIBE")
    scheduler = Scheduler(cluster, subscribe)
    run.answers["subscribe"] = Answer(scheduler.status, scheduler.headers, b"")
    agent_id = wait_until(scheduler.offers, "an offer")[0]["agent_id"]["value"]
    framework_id = scheduler.framework_id
    _name(run, cluster, framework_id, agent_id)
    _bad_calls(run, cluster, scheduler, agent_id)
    _launch(run, scheduler, agent_id)
    _settled(cluster, scheduler, framework_id)
    _pages(run, cluster)
    _files(run, cluster)
    _operator_calls(run, cluster)
    _subscribed_operator(run, cluster)
    _second_part(run, scheduler, agent_id)
    run.answers["teardown"] = scheduler.call({"type": "TEARDOWN"})
    run.records["scheduler_stream_json.jsonl"] = scheduler.documents()
    wait_until(lambda: scheduler.ended, "the stream's end after the teardown")
    _gone(cluster, framework_id)
    _protobuf_scheduler(run, cluster)
    again = copy.deepcopy(subscribe)
    again["subscribe"]["framework_info"]["id"] = {"value": framework_id}
    again["framework_id"] = {"value": framework_id}
    stream = Stream(cluster, SCHEDULER, json.dumps(again).encode(), JSON, JSON)
    wait_until(lambda: stream.ended, "the refusal's end")
    run.records["subscribe_after_teardown.jsonl"] = stream.documents()
    for task, statuses in _statuses(scheduler).items():
        for status in statuses:
            found = status.get("container_status", {}).get("container_id", {}).get("value")
            if found:
                run.names[found] = f"<container {task}>"
    return run


def _statuses(scheduler: Scheduler) -> dict[str, list[dict[str, Any]]]:
    return {task: scheduler.updates(task) for task in ("ok", "fail", "long", "checked")}


def _name(run: Run, cluster: Recorded, framework_id: str, agent_id: str) -> None:
    master_id = framework_id.rpartition("-")[0]
    run.names[str(cluster.root / "work" / "agent-1")] = "<agent work_dir>"
    run.names[str(cluster.root / "work" / "master")] = "<master work_dir>"
    run.names[framework_id] = "<framework>"
    run.names[agent_id] = "<agent>"
    run.names[master_id] = "<master>"
    run.names[cluster.url.rpartition(":")[2]] = "<master port>"
    run.names[cluster.agent.rpartition(":")[2]] = "<agent port>"


def _raw(cluster: Recorded, body: bytes, stream_id: str | None, content: str = JSON) -> Answer:
    headers = {"Content-Type": content, "Accept": JSON}
    if stream_id is not None:
        headers["Mesos-Stream-Id"] = stream_id
    return cluster.ask("POST", SCHEDULER, body, headers)


def _bad_calls(run: Run, cluster: Recorded, scheduler: Scheduler, agent_id: str) -> None:
    owner = {"framework_id": {"value": scheduler.framework_id}}
    revive = json.dumps({"type": "REVIVE", **owner}).encode()
    acknowledge = {"agent_id": {"value": agent_id}, "task_id": {"value": "x"}, "uuid": "c2hvcnQ="}
    keep = run.answers
    keep["call_without_stream_id.txt"] = _raw(cluster, revive, None)
    other = "00000000-0000-0000-0000-000000000000"
    keep["call_wrong_stream_id.txt"] = _raw(cluster, revive, other)
    unknown = json.dumps({"type": "REVIVE", "framework_id": {"value": "nobody"}}).encode()
    keep["call_unknown_framework.txt"] = _raw(cluster, unknown, scheduler.id)
    kill = json.dumps({"type": "KILL", **owner}).encode()
    keep["call_missing_submessage.txt"] = _raw(cluster, kill, scheduler.id)
    bad = json.dumps({"type": "ACKNOWLEDGE", "acknowledge": acknowledge, **owner}).encode()
    keep["call_bad_uuid.txt"] = _raw(cluster, bad, scheduler.id)
    keep["call_wrong_content_type.txt"] = _raw(cluster, revive, scheduler.id, "text/plain")
    keep["call_malformed_json.txt"] = _raw(cluster, b"not json", scheduler.id)
    keep["call_get.txt"] = cluster.ask("GET", SCHEDULER)
    wrong = request_of("POST /api/v1/scheduler SUBSCRIBE")
    wrong["subscribe"] = {"framework_info": {"user": "root", "name": "x", "role": "/bad/"}}
    stream = Stream(cluster, SCHEDULER, json.dumps(wrong).encode(), JSON, JSON)
    wait_until(lambda: stream.ended, "the end of a refused subscription")
    keep["subscribe_bad_role.json"] = Answer(stream.status, stream.headers, b"")
    run.records["subscribe_bad_role.json"] = stream.documents()
    wrong["subscribe"] = {"framework_info": {"user": "root"}}
    keep["subscribe_missing_name.txt"] = _raw(cluster, json.dumps(wrong).encode(), None)


def _filled(request: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """The recorded request with this run's ids."""
    text = json.dumps(request)
    for recorded, ours in ids.items():
        text = text.replace(recorded, ours)
    filled: dict[str, Any] = json.loads(text)
    return filled


def _launch(run: Run, scheduler: Scheduler, agent_id: str) -> None:
    run.answers["suppress"] = scheduler.call({"type": "SUPPRESS"})
    accept = request_of("scheduler call accept")
    ids = {
        accept["accept"]["offer_ids"][0]["value"]: scheduler.offers()[0]["id"]["value"],
        RECORDED_AGENT: agent_id,
    }
    # A filter that is there whenever somebody looks; the revival below ends it.
    accept["accept"]["filters"]["refuse_seconds"] = 3600
    run.answers["accept"] = scheduler.call(_filled(accept, ids))


RECORDED_MASTER = INDEX[1]["request"]["framework_id"]["value"].rpartition("-")[0]
RECORDED_AGENT = f"{RECORDED_MASTER}-S0"


def _settled(cluster: Recorded, scheduler: Scheduler, framework_id: str) -> None:
    """Two tasks run, one of them known to be healthy; two have ended; all of it is acknowledged."""

    def look() -> bool:
        state = cluster.ask("GET", "/state").json()
        mine = next(one for one in state["frameworks"] if one["id"] == framework_id)
        ended = {one["id"] for one in mine["completed_tasks"]}
        checked = [one for one in mine["tasks"] if one["id"] == "checked"]
        running = [one for one in mine["tasks"] if one["state"] == "TASK_RUNNING"]
        healthy = [one for one in checked if one["statuses"] and one["statuses"][-1].get("healthy")]
        return ended >= {"ok", "fail"} and len(running) == 2 and bool(healthy)

    scheduler.until(look, "two tasks run and two have ended")


def _file_of(entry: dict[str, Any]) -> str:
    return str(entry["file"] or entry["what"])


def _pages(run: Run, cluster: Recorded) -> None:
    for entry in INDEX:
        words = entry["what"].split(" ")
        if words[0] == "GET" and words[-1] in ("(master)", "(agent)"):
            path, agent = words[1], words[-1] == "(agent)"
            run.answers[_file_of(entry)] = cluster.ask("GET", path, agent=agent)


def _files(run: Run, cluster: Recorded) -> None:
    state = cluster.ask("GET", "/state", agent=True).json()
    executors = [
        one
        for framework in state["frameworks"]
        for one in framework["executors"] + framework["completed_executors"]
    ]
    sandbox = next(one["directory"] for one in executors if one["id"] == "ok")
    for entry in INDEX:
        if entry["what"].startswith("GET /files/"):
            path = entry["what"].removeprefix("GET ").replace("SANDBOX", sandbox)
            run.answers[_file_of(entry)] = cluster.ask("GET", path, agent=True)


def _operator_calls(run: Run, cluster: Recorded) -> None:
    for entry in INDEX:
        if entry["what"].startswith("POST /api/v1 "):
            accept = PROTOBUF if "x-protobuf" in entry["what"] else JSON
            agent = entry["what"].endswith("(agent)")
            headers = {"Content-Type": JSON, "Accept": accept}
            body = json.dumps(entry["request"]).encode()
            run.answers[_file_of(entry)] = cluster.ask(
                "POST", "/api/v1", body, headers, agent=agent
            )


def _subscribed_operator(run: Run, cluster: Recorded) -> None:
    stream = Stream(cluster, "/api/v1", b'{"type":"SUBSCRIBE"}', JSON, JSON)
    wait_until(lambda: len(stream.records) >= 2, "the first two records for an operator")
    run.answers["master_v1_SUBSCRIBE_records.jsonl"] = Answer(stream.status, stream.headers, b"")
    run.records["master_v1_SUBSCRIBE_records.jsonl"] = stream.documents()[:2]
    stream.close()


def _second_part(run: Run, scheduler: Scheduler, agent_id: str) -> None:
    """Reconciliations, a stale offer, kills, revivals; as recorded."""
    ids = {RECORDED_AGENT: agent_id}

    def send(name: str) -> None:
        request = _filled(request_of(f"scheduler call {name}"), ids)
        run.answers[name] = scheduler.call(request)

    def count(task: str) -> int:
        return len(scheduler.updates(task))

    before = count("long")
    send("reconcile_explicit")
    scheduler.until(lambda: count("never3") == 1, "the explicit reconciliation")
    # Where the recording waited for its filter to end.
    scheduler.call({"type": "REVIVE"})
    scheduler.until(lambda: len(scheduler.offers()) == 2, "what is free, offered")
    send("reconcile_implicit")
    scheduler.until(lambda: count("long") == before + 2, "the implicit reconciliation")
    send("accept_stale_offer")
    scheduler.until(lambda: count("stale") == 1, "the stale offer's update")
    send("kill")
    send("kill_unknown")
    scheduler.until(lambda: count("nowhere") == 1, "the unknown task's update")
    scheduler.until(
        lambda: scheduler.updates("long")[-1]["state"] == "TASK_KILLED", "the killed task's end"
    )
    run.answers["revive"] = scheduler.call({"type": "REVIVE"})
    scheduler.until(lambda: len(scheduler.offers()) == 3, "what the killed task held, offered")


def _protobuf_scheduler(run: Run, cluster: Recorded) -> None:
    request = request_of("POST /api/v1/scheduler SUBSCRIBE", 1)
    call = codec_json.decode(m.SchedulerCall, json.dumps(request).encode())
    body = codec_protobuf.encode(call)
    stream = Stream(cluster, SCHEDULER, body, PROTOBUF, PROTOBUF)
    wait_until(lambda: len(stream.records) >= 3, "the first records in protobuf")
    for page in ("state", "frameworks"):
        run.answers[f"master_after_{page}.json"] = cluster.ask("GET", f"/{page}")
    run.answers["subscribe protobuf"] = Answer(stream.status, stream.headers, b"")
    events = [codec_protobuf.decode(m.SchedulerEvent, one) for one in stream.records[:3]]
    run.records["scheduler_stream_pb.recordio"] = [codec_json.to_plain(one) for one in events]
    first = events[0].subscribed
    assert first is not None
    run.names[first.framework_id.value] = "<protobuf framework>"
    down = m.SchedulerCall(type=m.SchedulerCallType.TEARDOWN, framework_id=first.framework_id)
    headers = {"Content-Type": PROTOBUF, "Mesos-Stream-Id": stream.id}
    done = cluster.ask("POST", SCHEDULER, codec_protobuf.encode(down), headers)
    assert done.status == 202, done
    wait_until(lambda: stream.ended, "the protobuf stream's end")


def _gone(cluster: Recorded, framework_id: str) -> None:
    def look() -> bool:
        state = cluster.ask("GET", "/state").json()
        done = any(one["id"] == framework_id for one in state["completed_frameworks"])
        return done and not state["slaves"][0]["used_resources"]["cpus"]

    wait_until(look, "the framework is completed and nothing of it is left")
