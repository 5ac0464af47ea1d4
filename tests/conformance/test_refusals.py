"""What is refused, and in which words: the sentences of Mesos's source for calls nobody recorded.

`REFUSED` is one row a call: where, what was sent, and the answer. Where our sentence is another one
on purpose, `why` says so. (The agent's 415 does not name application/recordio for the same reason
as its 406.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from live import JSON, PROTOBUF, Recorded

pytestmark = pytest.mark.system

V1 = "/api/v1"
SCHEDULER = "/api/v1/scheduler"
EXECUTOR = "/api/v1/executor"
BOTH = "application/json or application/x-protobuf"
ACCEPT = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"
NO_JSON = "Failed to parse body into JSON: syntax error at line 1 near: not json"
BAD_PROTOBUF = "Failed to parse body into Call protobuf"
WHERE = "what is wrong in the bytes follows"
NO_STREAMS = "the agent takes and gives no streams of records here, so it does not name them"
NOT_A_CALL = "Failed to convert JSON into Call protobuf: "


@dataclass(frozen=True)
class Row:
    """One refusal."""

    to: str
    method: str
    path: str
    status: int
    text: str
    body: Any = None
    content: str | None = JSON
    accept: str | None = None
    more: tuple[tuple[str, str], ...] = ()
    allow: str | None = None
    why: str = ""

    def __str__(self) -> str:
        return f"{self.to} {self.method} {self.path} {self.status} {self.text[:50]}"


def not_allowed(to: str, method: str, path: str, *allowed: str) -> Row:
    words = "', '".join(allowed)
    text = f"405 Method Not Allowed. Expecting one of {{ '{words}' }}, but received '{method}'."
    return Row(to, method, path, 405, text, content=None, allow=", ".join(allowed))


def api(to: str, path: str, kind: str, types: str) -> list[Row]:
    """What every endpoint of calls refuses."""
    invalid = f"Failed to validate {kind}: "
    return [
        not_allowed(to, "GET", path, "POST"),
        not_allowed(to, "PUT", path, "POST"),
        Row(to, "POST", path, 400, "Expecting 'Content-Type' to be present", b"{}", None),
        Row(to, "POST", path, 415, f"Expecting 'Content-Type' of {types}", b"{}", "text/plain"),
        Row(to, "POST", path, 400, NO_JSON, b"not json"),
        Row(to, "POST", path, 400, NOT_A_CALL + "Expecting a JSON object", []),
        Row(to, "POST", path, 400, BAD_PROTOBUF, b"\xff\xff\xff", PROTOBUF, why=WHERE),
        Row(to, "POST", path, 400, invalid + "Expecting 'type' to be present", {}),
        Row(to, "POST", path, 400, invalid + "Expecting 'type' to be present", {"type": "NO_SUCH"}),
    ]


OWNER = {"framework_id": {"value": "nobody"}}
EXECUTED = {"framework_id": {"value": "nobody"}, "executor_id": {"value": "nobody"}}
SUBSCRIBE = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root", "name": "x"}}}

REFUSED = [
    *api("master", V1, "master::Call", BOTH),
    *api("master", SCHEDULER, "scheduler::Call", BOTH),
    *api("agent", V1, "agent::Call", BOTH),
    Row("master", "POST", V1, 406, ACCEPT, {"type": "GET_HEALTH"}, accept="text/html"),
    Row(
        "agent",
        "POST",
        V1,
        406,
        ACCEPT,
        {"type": "GET_HEALTH"},
        accept="text/html",
        why=NO_STREAMS,
    ),
    Row("master", "POST", SCHEDULER, 406, ACCEPT, SUBSCRIBE, accept="text/html"),
    Row(
        "master",
        "POST",
        V1,
        400,
        "Failed to validate master::Call: Expecting 'set_logging_level' to be present",
        {"type": "SET_LOGGING_LEVEL"},
    ),
    Row(
        "agent",
        "POST",
        V1,
        400,
        "Failed to validate agent::Call: Expecting 'read_file' to be present",
        {"type": "READ_FILE"},
    ),
    Row(
        "master",
        "POST",
        SCHEDULER,
        400,
        "Failed to validate scheduler::Call: Expecting 'framework_id' to be present",
        {"type": "REVIVE"},
    ),
    Row(
        "master",
        "POST",
        SCHEDULER,
        400,
        "Failed to validate scheduler::Call: Expecting 'subscribe' to be present",
        {"type": "SUBSCRIBE"},
    ),
    Row(
        "master",
        "POST",
        SCHEDULER,
        400,
        "Subscribe calls should not include the 'Mesos-Stream-Id' header",
        SUBSCRIBE,
        more=(("Mesos-Stream-Id", "x"),),
    ),
    not_allowed("agent", "GET", EXECUTOR, "POST"),
    Row("agent", "POST", EXECUTOR, 400, "Expecting 'Content-Type' to be present", b"{}", None),
    Row("agent", "POST", EXECUTOR, 415, f"Expecting 'Content-Type' of {BOTH}", b"{}", "text/plain"),
    Row("agent", "POST", EXECUTOR, 400, NO_JSON, b"not json"),
    Row("agent", "POST", EXECUTOR, 400, BAD_PROTOBUF, b"\xff\xff\xff", PROTOBUF, why=WHERE),
    Row(
        "agent",
        "POST",
        EXECUTOR,
        400,
        "Framework cannot be found",
        {
            **EXECUTED,
            "type": "UPDATE",
            "update": {
                "status": {
                    "task_id": {"value": "t"},
                    "state": "TASK_RUNNING",
                    "source": "SOURCE_EXECUTOR",
                    "uuid": "MPCcFUIRRZyWl+snJBysog==",
                }
            },
        },
    ),
    not_allowed("master", "GET", "/teardown", "POST"),
    not_allowed("master", "POST", "/flags", "GET"),
    not_allowed("agent", "POST", "/flags", "GET"),
    not_allowed("master", "POST", "/weights", "GET", "PUT"),
    not_allowed("master", "PUT", "/quota", "GET", "POST", "DELETE"),
    not_allowed("master", "PUT", "/maintenance/schedule", "GET", "POST"),
    not_allowed("master", "POST", "/maintenance/status", "GET"),
    not_allowed("master", "GET", "/machine/down", "POST"),
    not_allowed("master", "GET", "/machine/up", "POST"),
    not_allowed("master", "GET", "/reserve", "POST"),
    Row(
        "master",
        "POST",
        "/teardown",
        400,
        "Missing 'frameworkId' query parameter in the request body",
        b"",
        None,
    ),
    Row(
        "master",
        "POST",
        "/teardown",
        400,
        "No framework found with specified ID",
        b"frameworkId=nobody",
        None,
    ),
    Row("agent", "GET", "/files/browse", 400, "Expecting 'path=value' in query.\n", content=None),
    Row("agent", "GET", "/files/read", 400, "Expecting 'path=value' in query.\n", content=None),
    Row("agent", "GET", "/files/download", 400, "Expecting 'path=value' in query.\n", content=None),
    Row(
        "agent",
        "GET",
        "/files/read?path=/x&offset=-2",
        400,
        "Negative offset provided: -2.\n",
        content=None,
    ),
    Row("agent", "GET", "/no/such/page", 404, "404 Not Found.", content=None),
    Row("agent", "GET", "/slave(1)/nothing", 404, "404 Not Found.", content=None),
    Row("master", "GET", "/master/nothing", 404, "404 Not Found.", content=None),
]


#: Calls whose part must be there, by endpoint.
NEEDED = {
    ("master", V1, "master::Call"): (
        "get_metrics set_logging_level list_files read_file update_weights teardown "
        "mark_agent_gone drain_agent deactivate_agent reactivate_agent"
    ),
    ("agent", V1, "agent::Call"): "get_metrics set_logging_level list_files read_file",
    ("master", SCHEDULER, "scheduler::Call"): (
        "accept decline accept_inverse_offers decline_inverse_offers kill shutdown acknowledge "
        "acknowledge_operation_status reconcile reconcile_operations message request "
        "update_framework"
    ),
    ("agent", EXECUTOR, "Executor::Call"): "subscribe update message",
}
#: Calls that are not built answer 501 whatever they hold: one that is built moves to `NEEDED`.
NOT_BUILT = {
    "master": (
        "reserve_resources unreserve_resources create_volumes destroy_volumes grow_volume "
        "shrink_volume update_maintenance_schedule start_maintenance stop_maintenance "
        "update_quota set_quota remove_quota"
    ),
    "agent": (
        "launch_nested_container wait_nested_container kill_nested_container "
        "remove_nested_container launch_nested_container_session attach_container_output "
        "launch_container wait_container kill_container remove_container "
        "add_resource_provider_config update_resource_provider_config "
        "remove_resource_provider_config mark_resource_provider_gone prune_images"
    ),
}
WITHOUT_THEIR_PART = [
    Row(
        to,
        "POST",
        path,
        400,
        f"Failed to validate {kind}: Expecting '{name}' to be present",
        {"type": name.upper(), **({} if path == V1 else EXECUTED)},
    )
    for (to, path, kind), names in NEEDED.items()
    for name in names.split()
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """A master and an agent that ask nobody who they are."""
    running = Recorded.begin(tmp_path_factory.mktemp("refusing"))
    yield running
    running.stop()


@pytest.mark.parametrize("row", REFUSED + WITHOUT_THEIR_PART, ids=str)
def test_a_refusal_is_mesos_s(cluster: Recorded, row: Row) -> None:
    """Status, sentence, type and, for a method, what is allowed."""
    headers = dict(row.more)
    if row.content is not None:
        headers["Content-Type"] = row.content
    if row.accept is not None:
        headers["Accept"] = row.accept
    body = row.body if row.body is None or isinstance(row.body, bytes) else json.dumps(row.body)
    data = body.encode() if isinstance(body, str) else body
    answer = cluster.ask(row.method, row.path, data, headers, agent=row.to == "agent")
    text = answer.body.decode()
    if row.why == WHERE:
        text, separator, reason = text.partition(": ")
        assert separator and reason
    assert (answer.status, text) == (row.status, row.text)
    assert answer.headers.get("allow") == row.allow
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("to", NOT_BUILT)
def test_a_call_that_is_not_built_says_so(cluster: Recorded, to: str) -> None:
    """501 with a sentence, so that nobody takes it for done."""
    for name in NOT_BUILT[to].split():
        body = json.dumps({"type": name.upper()}).encode()
        headers = {"Content-Type": JSON, "Accept": JSON}
        answer = cluster.ask("POST", V1, body, headers, agent=to == "agent")
        assert answer.status == 501 and answer.body, (name, answer)
