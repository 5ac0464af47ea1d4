"""What HTTP clients see of subscriptions and calls: statuses, headers and sentences."""

from __future__ import annotations

import json
import struct
import uuid
from typing import Any

import pytest
from client import (
    JSON,
    MINIMAL,
    PROTOBUF,
    SCHEDULER,
    SUBSCRIBE,
    Framework,
    Stream,
    post,
)

from mesos_twisted.testing.processes import RunningCluster, wait_until

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
