"""What HTTP clients see of the APIs: the frames of a stream, paths, encodings and who asks."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from client import (
    AWARE,
    JSON,
    MINIMAL,
    SCHEDULER,
    SUBSCRIBE,
    Framework,
    Stream,
    post,
    scalar,
    task,
)

from mesos_twisted.testing.processes import RunningCluster

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
