"""What HTTP clients see of the APIs: statuses, headers, encodings and the frames of a stream."""

from __future__ import annotations

import gzip
import json
import re
import struct
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from client import AWARE, JSON, PROTOBUF, SCHEDULER, Framework, Stream, scalar, task

from mesos_twisted.testing.processes import Answer, RunningCluster, wait_until

SUBSCRIBE: dict[str, Any] = {
    "type": "SUBSCRIBE",
    "subscribe": {"framework_info": {"user": "root", "name": "raw"}},
}
MINIMAL = {"Content-Type": JSON}


def post(
    cluster: RunningCluster,
    body: Any,
    path: str = SCHEDULER,
    headers: dict[str, str] | None = None,
    identity: str | None = "framework",
    method: str = "POST",
) -> Answer:
    """A request as it is given: bytes stay bytes, everything else becomes JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return cluster.request(method, path, raw, headers or MINIMAL, identity=identity)


# A subscription's answer


def test_a_subscription_is_answered_with_an_endless_chunked_stream(framework: Framework) -> None:
    """200, the type of a single event, chunks and no length, and a UUID as the stream's id."""
    headers = framework.stream.headers
    assert headers["content-type"] == JSON
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers
    stream_id = headers["mesos-stream-id"]
    assert str(uuid.UUID(stream_id)) == stream_id and len(stream_id) <= 128
    first, second = framework.wait(lambda: framework.events()[:2], "events")[:2]
    assert (first["type"], second) == ("SUBSCRIBED", {"type": "HEARTBEAT"})
    assert first["subscribed"]["heartbeat_interval_seconds"] == 15.0
    assert not framework.stream.ended


def field(number: int, value: bytes | int) -> bytes:
    """One protobuf field with a number below 16."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def fields(data: bytes) -> dict[int, Any]:
    """The fields of a protobuf message, by number; the last one counts."""
    found: dict[int, Any] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        match key & 7:
            case 0:
                found[key >> 3] = varint()
            case 1:
                found[key >> 3] = struct.unpack_from("<d", data, at)[0]
                at += 8
            case 2:
                size = varint()
                found[key >> 3] = data[at : at + size]
                at += size
            case 5:
                at += 4
            case other:
                raise AssertionError(f"wire type {other}")
    return found


def test_a_protobuf_subscription_gets_protobuf_events(cluster: RunningCluster) -> None:
    """The same conversation in the other encoding; calls may use either."""
    info = field(1, b"root") + field(2, b"protobuf")
    call = field(2, 1) + field(3, field(1, info))
    headers = {"Content-Type": PROTOBUF, "Accept": PROTOBUF}
    stream = Stream(cluster, SCHEDULER, call, headers)
    assert (stream.status, stream.headers["content-type"]) == (200, PROTOBUF)
    first, second = wait_until(lambda: stream.records[:2] if len(stream.records) > 1 else None, "")
    subscribed, heartbeat = fields(first), fields(second)
    assert subscribed[1] == 1 and heartbeat == {1: 8}
    assert fields(subscribed[2])[2] == 15.0
    framework_id = fields(fields(subscribed[2])[1])[1]
    teardown = field(1, field(1, framework_id)) + field(2, 2)
    sent = {"Content-Type": PROTOBUF, "Mesos-Stream-Id": stream.headers["mesos-stream-id"]}
    answer = post(cluster, teardown, headers=sent)
    assert (answer.status, answer.body) == (202, b"")
    wait_until(lambda: stream.ended, "the end of the stream")
    assert stream.broken is None
    stream.close()


def test_a_subscription_that_names_a_stream_is_refused(cluster: RunningCluster) -> None:
    answer = post(cluster, SUBSCRIBE, headers={**MINIMAL, "Mesos-Stream-Id": str(uuid.uuid4())})
    assert answer.status == 400
    assert b"should not include the 'Mesos-Stream-Id' header" in answer.body


# Every other call


def test_a_call_without_its_stream_or_on_another_is_400(framework: Framework) -> None:
    """Neither an absent nor a different Mesos-Stream-Id is 403."""
    absent = framework.post({"type": "REVIVE"}, {"Mesos-Stream-Id": ""})
    assert (absent.status, b"should include the 'Mesos-Stream-Id'" in absent.body) == (400, True)
    other = framework.post({"type": "REVIVE"}, {"Mesos-Stream-Id": str(uuid.uuid4())})
    assert (other.status, b"didn't match the stream ID" in other.body) == (400, True)


def test_a_call_of_an_unknown_framework_is_400_and_of_a_disconnected_one_403(
    cluster: RunningCluster, join: Any
) -> None:
    """The framework is looked up before its stream."""
    unknown = post(cluster, {"type": "REVIVE", "framework_id": {"value": "nobody"}})
    assert (unknown.status, unknown.body) == (400, b"Framework cannot be found")
    framework = join(failover_timeout=600.0)
    known = framework.id
    framework.stream.close()

    def disconnected() -> bool:
        return bool(framework.post({"type": "REVIVE"}).status == 403)

    wait_until(disconnected, "the framework is disconnected")
    answer = post(cluster, {"type": "REVIVE", "framework_id": {"value": known}})
    assert (answer.status, answer.body) == (403, b"Framework is not subscribed")


def test_a_call_of_another_principal_is_400_before_its_stream_is_looked_at(
    cluster: RunningCluster, framework: Framework
) -> None:
    call = {"type": "REVIVE", "framework_id": {"value": framework.id}}
    answer = post(cluster, call, identity="operator")
    assert answer.status == 400 and b"does not match principal" in answer.body


def test_every_call_is_answered_with_202_and_nothing_but_update_framework_with_200(
    framework: Framework,
) -> None:
    """Some clients take anything but exactly 202 for a failure."""
    offer = framework.an_offer()
    agent, nobody = {"agent_id": offer["agent_id"]}, {"task_id": {"value": "nobody"}}
    executor = {"executor_id": {"value": "nobody"}, **agent}
    uuid_text = "AAAAAAAAAAAAAAAAAAAAAA=="
    operation = {"agent_id": offer["agent_id"], "uuid": uuid_text, "operation_id": {"value": "o"}}
    framework.call("DECLINE", decline={"offer_ids": [offer["id"]]})
    framework.call("ACCEPT", accept={"offer_ids": [offer["id"]]})
    framework.call("REVIVE")
    framework.call("REVIVE", revive={"roles": ["*"]})
    framework.call("SUPPRESS")
    framework.call("SUPPRESS", suppress={"roles": ["*"]})
    framework.call("KILL", kill=nobody)
    framework.call("SHUTDOWN", shutdown=executor)
    framework.call("ACKNOWLEDGE", acknowledge={**agent, **nobody, "uuid": uuid_text})
    framework.call("RECONCILE", reconcile={})
    framework.call("MESSAGE", message={**executor, "data": "aGVsbG8="})
    framework.call("REQUEST", request={"requests": []})
    framework.call("ACCEPT_INVERSE_OFFERS", accept_inverse_offers={"inverse_offer_ids": []})
    framework.call("DECLINE_INVERSE_OFFERS", decline_inverse_offers={"inverse_offer_ids": []})
    framework.call("ACKNOWLEDGE_OPERATION_STATUS", acknowledge_operation_status=operation)
    framework.call("RECONCILE_OPERATIONS", reconcile_operations={"operations": []})
    info = {**framework.info, "id": {"value": framework.id}, "name": "renamed"}
    update = {"type": "UPDATE_FRAMEWORK", "update_framework": {"framework_info": info}}
    answer = framework.post(update)
    assert (answer.status, answer.body) == (200, b"")
    framework.call("TEARDOWN")


def acknowledgement(raw: str) -> dict[str, Any]:
    return {
        "type": "ACKNOWLEDGE",
        "acknowledge": {"agent_id": {"value": "a"}, "task_id": {"value": "t"}, "uuid": raw},
    }


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (b"{", "JSON"),
        (b'"text"', "JSON"),
        ({}, "Expecting 'type' to be present"),
        ({"type": "NO_SUCH_CALL"}, "Expecting 'type' to be present"),
        ({"type": "REVIVE"}, "Expecting 'framework_id' to be present"),
        ({"type": "SUBSCRIBE"}, "Expecting 'subscribe' to be present"),
        ({"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u"}}}, "name"),
        ({"type": "KILL", "framework_id": {"value": "f"}}, "Expecting 'kill' to be present"),
        ({"framework_id": {"value": "f"}, **acknowledgement("AAAA")}, "Not a valid UUID"),
        ({"framework_id": {"value": "f"}, **SUBSCRIBE}, "'framework_id' differs from"),
    ],
)
def test_an_invalid_call_is_400_with_a_sentence(
    cluster: RunningCluster, call: Any, words: str
) -> None:
    """Bad JSON, a missing required field or body, ids that differ, a uuid that is none."""
    answer = post(cluster, call)
    assert answer.status == 400
    assert words in answer.body.decode()
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_call_of_unknown_type_is_501(framework: Framework) -> None:
    assert framework.post({"type": "UNKNOWN"}).status == 501


def test_the_content_type_is_needed_and_may_have_parameters(
    cluster: RunningCluster, framework: Framework
) -> None:
    """Absent: 400; another: 415; with `;charset=utf-8`, which Mesos refuses: taken."""
    revive = json.dumps({"type": "REVIVE", "framework_id": {"value": "nobody"}}).encode()
    absent = post(cluster, revive, headers={"Accept": JSON})
    assert (absent.status, absent.body) == (400, b"Expecting 'Content-Type' to be present")
    for other in ("text/plain", "application/octet-stream", "nonsense"):
        assert post(cluster, revive, headers={"Content-Type": other}).status == 415
    taken = framework.post({"type": "REVIVE"}, {"Content-Type": "application/json; charset=utf-8"})
    assert taken.status == 202


def test_an_accept_that_allows_neither_encoding_is_406_where_there_is_a_body(
    cluster: RunningCluster, framework: Framework
) -> None:
    """Calls that are answered with nothing do not look at Accept."""
    assert post(cluster, SUBSCRIBE, headers={**MINIMAL, "Accept": "text/html"}).status == 406
    assert framework.post({"type": "REVIVE"}, {"Accept": "text/html"}).status == 202


@pytest.mark.parametrize(
    ("accept", "given"),
    [(None, JSON), ("*/*", JSON), ("application/*", JSON), (f"{JSON};q=0.1, {PROTOBUF}", None)],
)
def test_no_accept_means_json(
    cluster: RunningCluster, accept: str | None, given: str | None
) -> None:
    headers = MINIMAL if accept is None else {**MINIMAL, "Accept": accept}
    stream = Stream(cluster, SCHEDULER, json.dumps(SUBSCRIBE).encode(), headers)
    assert stream.headers["content-type"] == (given or PROTOBUF)
    stream.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_is_allowed_and_the_answer_says_so(cluster: RunningCluster, method: str) -> None:
    answer = post(cluster, b"", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


# A FrameworkInfo that will not do


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"role": "/bad", "capabilities": []}, "'FrameworkInfo.role' is not a valid role"),
        ({"roles": ["a", "a"]}, "duplicate"),
        ({"roles": ["a"], "capabilities": []}, "MULTI_ROLE"),
        ({"role": "a"}, "MULTI_ROLE"),
        ({"failover_timeout": "Infinity"}, "failover_timeout"),
        ({"id": {"value": "a/b"}}, "'a/b'"),
    ],
)
def test_a_bad_framework_info_is_one_error_event_on_a_good_stream(
    cluster: RunningCluster, info: dict[str, Any], words: str
) -> None:
    """200, one ERROR, the end: a client that looks at the status alone waits for ever."""
    base = {
        "user": "root",
        "name": "bad",
        "capabilities": [{"type": "MULTI_ROLE"}],
        "roles": ["*"] if "role" not in info else None,
    }
    call: dict[str, Any] = {
        "type": "SUBSCRIBE",
        "subscribe": {"framework_info": {**base, **info}},
    }
    if "id" in info:
        call["framework_id"] = info["id"]
    stream = Stream(cluster, SCHEDULER, json.dumps(call).encode(), MINIMAL)
    wait_until(lambda: stream.ended, "the end of the stream")
    assert stream.status == 200
    (record,) = stream.records
    event = json.loads(record)
    assert event["type"] == "ERROR" and words in event["error"]["message"]
    stream.close()


# Frames


def test_each_record_is_one_chunk_of_its_length_a_newline_and_one_line_of_json(
    framework: Framework,
) -> None:
    """Clients split a chunk at its newline, and read the length of the next record by lines."""
    offer = framework.an_offer()
    tasks = [task(offer, f"t{number}", "true") for number in range(8)]
    framework.launch(offer, *tasks)
    for number in range(8):
        framework.until(f"t{number}", "TASK_FINISHED")
    framework.reconcile()
    chunks = list(framework.stream.chunks)
    assert framework.stream.broken is None and len(chunks) > 20
    for chunk in chunks:
        length, record = chunk.split(b"\n")
        assert length.isdigit() and not length.startswith(b"0")
        assert len(record) == int(length)
        json.loads(record)


def test_json_is_pure_ascii_and_lengths_count_bytes(framework: Framework) -> None:
    """Clients that count characters and those that count bytes agree."""
    name = "tâche-Ω-𝄞"
    framework.reconcile((name, None))
    framework.wait(lambda: framework.statuses(name), "an answer")
    record = framework.stream.records[-1]
    assert record.isascii() and rb"t\u00e2che-\u03a9-\ud834\udd1e" in record


def test_a_heartbeat_follows_the_subscription_at_once(framework: Framework) -> None:
    """Clients that read by lines see an event when the next one's length comes."""
    framework.wait(lambda: len(framework.stream.chunks) >= 2, "two records")
    assert framework.stream.chunks[1] == b'20\n{"type":"HEARTBEAT"}'


# Redirects and paths


def test_redirect_leads_to_the_leader_by_name_without_scheme_or_path(
    cluster: RunningCluster,
) -> None:
    """`/redirect` keeps no path, and a longer one is not found."""
    answer = cluster.request("GET", "/redirect")
    assert (answer.status, answer.headers["location"]) == (307, f"//{cluster.master}")
    assert cluster.request("GET", "/master/redirect").status == 307
    assert cluster.request("GET", "/redirect/state").status == 404


def test_the_longest_known_beginning_of_a_path_is_served(cluster: RunningCluster) -> None:
    """`/api/v1/operator` is `/api/v1`; pages answer bare, under their process, with a slash."""
    call = {"type": "GET_VERSION"}
    for path in ("/api/v1", "/api/v1/", "/api/v1/operator", "/master/api/v1"):
        answer = post(cluster, call, path, identity="operator")
        assert (answer.status, answer.json()["type"]) == (200, "GET_VERSION")
    for path in ("/state", "/state/", "/master/state", "/master/state/", "/state.json"):
        assert cluster.request("GET", path).json()["leader"].startswith("master@")
    agent = cluster.agent_urls()[0]
    for path in ("/state", "/slave(1)/state", "/slave(1)/state/", "/state.json"):
        assert cluster.request("GET", path, base=agent).json()["master_hostname"] == "localhost"


@pytest.mark.parametrize("path", ["/..", "/../state", "/state/../flags", "/%2e%2e/state"])
def test_a_path_that_climbs_is_not_found(cluster: RunningCluster, path: str) -> None:
    assert cluster.request("GET", path).status == 404
    assert cluster.request("GET", path, base=cluster.agent_urls()[0]).status == 404


# Compression and dates


def test_a_gzipped_call_is_read(framework: Framework) -> None:
    body = gzip.compress(
        json.dumps({"type": "REVIVE", "framework_id": {"value": framework.id}}).encode()
    )
    headers = {
        "Content-Type": JSON,
        "Content-Encoding": "gzip",
        "Mesos-Stream-Id": framework.stream.headers["mesos-stream-id"],
    }
    assert post(framework.cluster, body, headers=headers).status == 202


def test_large_answers_are_gzipped_when_accepted_and_streams_never(
    cluster: RunningCluster,
) -> None:
    """From 1024 bytes on; every answer has a Date."""
    large = cluster.request("GET", "/state", headers={"Accept-Encoding": "gzip"})
    assert large.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(large.body))["leader"]
    small = cluster.request("GET", "/version", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers and small.json()
    plain = cluster.request("GET", "/state")
    assert "content-encoding" not in plain.headers
    stream = Stream(
        cluster,
        SCHEDULER,
        json.dumps(SUBSCRIBE).encode(),
        {**MINIMAL, "Accept-Encoding": "gzip"},
    )
    assert "content-encoding" not in stream.headers
    stream.close()
    for headers in (large.headers, small.headers, plain.headers, stream.headers):
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", headers["date"])


# JSON


def test_json_is_read_leniently(cluster: RunningCluster, join: Any) -> None:
    """Unknown keys, null, numbers as text, an unknown name in an optional enum, one for many."""
    framework = join(
        capabilities=(),
        subscribe={"credentials": {"principal": "somebody", "secret": "none"}, "force": None},
        failover_timeout="12.5",
        checkpoint="false",
        hostname=None,
        webui_url="",
        labels={"labels": {"key": "one", "value": "for many"}},
        framework_webui="unknown",
        failoverTimeout=99,
    )
    known = cluster.request("GET", f"/frameworks?framework_id={framework.id}").json()
    (found,) = known["frameworks"]
    assert found["failover_timeout"] == 12.5
    assert found["labels"] == [{"key": "one", "value": "for many"}]
    offer = framework.an_offer()
    odd = {
        **task(offer, "odd"),
        "resources": [
            {**scalar("cpus", 0.1), "scalar": {"value": "0.1"}},
            scalar("mem", 32),
        ],
        "container": {"type": "MESOS", "docker": None},
        "discovery": {"visibility": "CLUSTER", "labels": None},
    }
    framework.launch(offer, odd)
    framework.until("odd", "TASK_FINISHED")


def test_an_array_for_a_single_value_is_an_error(cluster: RunningCluster) -> None:
    call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": ["root"], "name": "n"}}}
    assert post(cluster, call).status == 400


def test_json_prints_defaults_and_leaves_out_empty_lists(
    cluster: RunningCluster, join: Any
) -> None:
    """`checkpoint`, `failover_timeout`, `shell` are there unset; no empty list; time as numbers."""
    framework = join(capabilities=AWARE)
    framework.run("exit 0 # a/b", "printed")
    framework.until("printed", "TASK_FINISHED")
    headers = {"Content-Type": JSON, "Accept": JSON}
    raw = post(cluster, {"type": "GET_STATE"}, "/api/v1", headers, "operator").body
    assert rb"\/" not in raw and b'"offers":[]' not in raw
    state = json.loads(raw)["get_state"]
    found = [
        one["framework_info"]
        for one in state["get_frameworks"]["frameworks"]
        if one["framework_info"]["name"] == framework.info["name"]
    ]
    (info,) = found
    assert info["checkpoint"] is False and info["failover_timeout"] == 0.0
    assert b'"failover_timeout":0.0' in raw
    assert not [name for name, value in info.items() if value in ([], None)]
    (known,) = [
        one
        for one in state["get_frameworks"]["frameworks"]
        if one["framework_info"]["name"] == framework.info["name"]
    ]
    assert isinstance(known["registered_time"]["nanoseconds"], int)
    agent = {one["agent_info"]["id"]["value"]: one for one in state["get_agents"]["agents"]}
    assert all(isinstance(one["registered_time"]["nanoseconds"], int) for one in agent.values())


def test_the_version_is_dotted_integers(cluster: RunningCluster) -> None:
    """Clients split it at its dots and take each part for a number. The build is told as well."""
    for base in (None, cluster.agent_urls()[0]):
        told = cluster.request("GET", "/version", base=base).json()
        assert [int(part) for part in told["version"].split(".")] >= [1, 0, 0]
        assert told["build_time"] > 1.7e9
        built = datetime.strptime(told["build_date"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        assert built.timestamp() == told["build_time"]


# Who asks


@pytest.mark.parametrize(
    ("method", "path", "realm"),
    [
        ("POST", SCHEDULER, "mesos-master-scheduler"),
        ("GET", "/state", "mesos-master-readonly"),
        ("POST", "/teardown", "mesos-master-readwrite"),
    ],
)
def test_without_a_proof_the_answer_is_401_with_its_realm(
    cluster: RunningCluster, method: str, path: str, realm: str
) -> None:
    answer = cluster.request(method, path, b"{}", MINIMAL, identity=None)
    assert answer.status == 401
    assert f'Basic realm="{realm}"' in answer.headers["www-authenticate"]
