"""POST /api/v1/scheduler: refusals in Mesos's order and words, and the stream."""

from typing import Any

import pytest

from mesos_twisted.protocol import agentlink
from mesos_twisted.security.core.principal import Role
from mesos_twisted.testing.master_service import MasterWorld, whole

SCHEDULER = "/api/v1/scheduler"


def subscribed(world: MasterWorld) -> tuple[str, dict[str, str], Any]:
    """A framework's id, the headers of its calls, and its stream."""
    stream = world.subscribe()
    event = stream.events()[0]
    framework_id = event["subscribed"]["framework_id"]["value"]
    return framework_id, {"mesos_stream_id": stream.headers["Mesos-Stream-Id"]}, stream


def send(world: MasterWorld, body: object, **more: Any) -> tuple[int, Any]:
    """A framework's call."""
    return whole(world.request("POST", SCHEDULER, body, role=Role.FRAMEWORK, **more))


def test_subscribe_opens_a_stream(world: MasterWorld) -> None:
    """SUBSCRIBED comes first, a heartbeat right behind it and then every 15 s."""
    stream = world.subscribe()
    assert stream.status == 200 and len(stream.headers["Mesos-Stream-Id"]) == 36
    assert [event["type"] for event in stream.events()] == ["SUBSCRIBED", "HEARTBEAT"]
    world.clock.pump([1.0] * 15)
    assert [event["type"] for event in stream.events()] == ["HEARTBEAT"]


def test_the_principal_is_filled_in(world: MasterWorld) -> None:
    """A framework that does not say its principal has the one it proved."""
    subscribed(world)
    framework = next(iter(world.service.state.frameworks.values()))
    assert framework.info.principal == "framework"


@pytest.mark.parametrize(
    ("body", "headers", "status", "sentence"),
    [
        ({"type": "REVIVE", "framework_id": {"value": "nobody"}}, {}, 400, "cannot be found"),
        ({"type": "KILL"}, {}, 400, "Expecting 'framework_id' to be present"),
        (b"not json", {"content_type": "application/json"}, 400, "Failed to parse body into JSON"),
        (b"{}", {"content_type": "text/plain"}, 415, "Expecting 'Content-Type' of"),
        (b"{}", {}, 400, "Expecting 'Content-Type' to be present"),
        (
            {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u", "name": "n"}}},
            {"accept": "text/html"},
            406,
            "Expecting 'Accept'",
        ),
        (
            {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u", "name": "n"}}},
            {"mesos_stream_id": "x"},
            400,
            "should not include",
        ),
        (
            {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u"}}},
            {},
            400,
            "Missing required fields: subscribe.framework_info.name",
        ),
    ],
)
def test_refusals(
    world: MasterWorld, body: object, headers: dict[str, str], status: int, sentence: str
) -> None:
    """Each wrong request gets its status and says what was wrong."""
    found, text = send(world, body, **headers)
    assert found == status and sentence in text


def test_only_post(world: MasterWorld) -> None:
    """Anything else is 405, in Mesos's words."""
    status, text = whole(world.request("GET", SCHEDULER))
    assert status == 405
    assert text == "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'."


def test_without_a_proof_is_401(world: MasterWorld) -> None:
    """The realm is named."""
    answer = world.request("POST", SCHEDULER, {"type": "REVIVE"}, role=None)
    assert answer.status == 401
    assert ("WWW-Authenticate", 'Basic realm="mesos-master-scheduler"') in answer.headers


def test_another_principal_is_refused(world: MasterWorld) -> None:
    """A stream belongs to the principal that opened it."""
    framework_id, headers, _ = subscribed(world)
    body = {"type": "REVIVE", "framework_id": {"value": framework_id}}
    status, text = send(world, body, name="other", **headers)
    assert status == 400 and "Authenticated principal 'other'" in text


def test_a_wrong_stream_is_refused(world: MasterWorld) -> None:
    """The stream id is checked after the framework."""
    framework_id, headers, _ = subscribed(world)
    body = {"type": "REVIVE", "framework_id": {"value": framework_id}}
    assert send(world, body, mesos_stream_id="x")[0] == 400
    assert send(world, body)[0] == 400
    assert send(world, body, **headers) == (202, "")


def test_a_closed_stream_disconnects(world: MasterWorld) -> None:
    """The core hears of the end, and calls are 403 from then on."""
    framework_id, headers, stream = subscribed(world)
    stream.writer.lost("gone")
    body = {"type": "REVIVE", "framework_id": {"value": framework_id}}
    assert send(world, body, **headers)[0] in (400, 403)


def test_a_task_runs(world: MasterWorld) -> None:
    """An offer is accepted and the agent is told, over the whole of the master."""
    _, transport, agent_id = world.registered()
    framework_id, headers, stream = subscribed(world)
    world.clock.advance(0.01)
    offers = [event for event in stream.events() if event["type"] == "OFFERS"]
    offer = offers[0]["offers"]["offers"][0]
    task = {
        "name": "t",
        "task_id": {"value": "t"},
        "agent_id": {"value": agent_id},
        "command": {"value": "true"},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
    }
    for resource in task["resources"]:
        resource["allocation_info"] = {"role": "*"}  # type: ignore[index]
    body = {
        "type": "ACCEPT",
        "framework_id": {"value": framework_id},
        "accept": {
            "offer_ids": [offer["id"]],
            "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}],
        },
    }
    assert send(world, body, **headers) == (202, "")
    told = [one for one in transport.records() if isinstance(one, agentlink.RunTask)]
    assert [one.task.task_id.value for one in told] == ["t"]


def test_tasks_as_root_are_refused(world: MasterWorld) -> None:
    """The authorizer judges each task; the refusal is a status update, not an HTTP error."""
    _, transport, agent_id = world.registered()
    framework_id, headers, stream = subscribed(world)
    world.clock.advance(0.01)
    offer = stream.events()[-1]["offers"]["offers"][0]
    task = {
        "name": "t",
        "task_id": {"value": "t"},
        "agent_id": {"value": agent_id},
        "command": {"value": "true", "user": "0"},
        "resources": offer["resources"][:1],
    }
    body = {
        "type": "ACCEPT",
        "framework_id": {"value": framework_id},
        "accept": {
            "offer_ids": [offer["id"]],
            "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}],
        },
    }
    assert send(world, body, **headers)[0] == 202
    status = stream.events()[0]["update"]["status"]
    assert (status["state"], status["reason"]) == ("TASK_ERROR", "REASON_TASK_UNAUTHORIZED")
    assert not [one for one in transport.records() if isinstance(one, agentlink.RunTask)]


def test_update_framework_is_synchronous(world: MasterWorld) -> None:
    """200 when it is done, 400 when it cannot be."""
    framework_id, headers, _ = subscribed(world)
    info = {
        "user": "nobody",
        "name": "renamed",
        "id": {"value": framework_id},
        "principal": "framework",
        "roles": ["*", "r"],
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
    }
    body = {
        "type": "UPDATE_FRAMEWORK",
        "framework_id": {"value": framework_id},
        "update_framework": {"framework_info": info},
    }
    assert send(world, body, **headers)[0] == 200
    framework = next(iter(world.service.state.frameworks.values()))
    assert framework.info.name == "renamed"
    info["user"] = "another"
    assert send(world, body, **headers)[0] == 400


def test_a_bad_role_is_an_error_event(world: MasterWorld) -> None:
    """A framework that may not be gets 200, one ERROR, and the end of its stream."""
    stream = world.subscribe(roles=["/bad/"])
    events = stream.events()
    assert [event["type"] for event in events] == ["ERROR"] and stream.ended
    assert "cannot start with a slash" in events[0]["error"]["message"]
