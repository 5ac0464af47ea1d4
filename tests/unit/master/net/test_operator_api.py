"""The operator's calls, pages and streams."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred

from mesos_twisted.master.views.pages import SUMMARY_STATES
from mesos_twisted.protocol import agentlink, codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.registry.operations import RegistryOperation
from mesos_twisted.security.core.principal import Role
from mesos_twisted.testing.master_service import Certificates, Make, MasterWorld, register, whole

READS = [
    "GET_HEALTH",
    "GET_FLAGS",
    "GET_VERSION",
    "GET_METRICS",
    "GET_LOGGING_LEVEL",
    "GET_STATE",
    "GET_AGENTS",
    "GET_FRAMEWORKS",
    "GET_EXECUTORS",
    "GET_OPERATIONS",
    "GET_TASKS",
    "GET_ROLES",
    "GET_WEIGHTS",
    "GET_MASTER",
    "GET_QUOTA",
    "GET_MAINTENANCE_STATUS",
    "GET_MAINTENANCE_SCHEDULE",
]


@pytest.fixture
def busy(world: MasterWorld) -> MasterWorld:
    """A master with an agent, a framework and an offer."""
    world.registered()
    world.subscribe()
    world.clock.advance(0.01)
    return world


def strip(document: Any) -> Any:
    """Without empty lists, which only JSON shows."""
    if isinstance(document, dict):
        return {key: strip(value) for key, value in document.items() if value != []}
    return [strip(item) for item in document] if isinstance(document, list) else document


@pytest.mark.parametrize("kind", READS)
def test_reads_in_both_encodings(busy: MasterWorld, kind: str) -> None:
    """Every reading call answers its own type, the same in JSON and protobuf."""
    body = {"type": kind, "get_metrics": {}}
    status, document = busy.call(body)
    assert status == 200 and document["type"] == kind
    status, raw = busy.call(body, accept="application/x-protobuf")
    response = codec_protobuf.decode(m.MasterResponse, raw)
    assert status == 200 and response.type is m.MasterResponseType(kind)
    if kind == "GET_STATE":
        assert response.get_state is not None and response.get_state.get_agents is not None
        found = response.get_state.get_agents.agents[0].agent_info.hostname
        assert found == document["get_state"]["get_agents"]["agents"][0]["agent_info"]["hostname"]
        assert list(document["get_state"]) == [
            "get_tasks",
            "get_executors",
            "get_frameworks",
            "get_agents",
        ]


def test_longer_paths_are_the_same(busy: MasterWorld) -> None:
    """Some clients post to /api/v1/operator."""
    body = {"type": "GET_HEALTH"}
    assert whole(busy.request("POST", "/api/v1/operator", body))[0] == 200
    assert whole(busy.request("POST", "/master/api/v1", body))[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "Expecting 'type' to be present"),
        ({"type": "READ_FILE"}, 400, "Expecting 'read_file' to be present"),
        ({"type": "STOP_MAINTENANCE"}, 501, "STOP_MAINTENANCE is not built into"),
        ({"type": "TEARDOWN", "teardown": {"framework_id": {"value": "x"}}}, 400, "No framework"),
        (
            {"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": [{"weight": -1}]}},
            400,
            "role",
        ),
    ],
)
def test_refused_calls(world: MasterWorld, body: object, status: int, words: str) -> None:
    """Each says in a sentence why."""
    found, text = world.call(body)
    assert found == status and words in text


class SlowRegistry(MemoryRegistry):
    """A registry whose writes take as long as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []
        self.slow = False

    def apply(self, operations: Sequence[RegistryOperation]) -> Deferred[int]:
        if not self.slow:
            return super().apply(operations)
        done: Deferred[int] = Deferred()
        self.waiting.append(lambda: super(SlowRegistry, self).apply(operations).chainDeferred(done))
        return done


def test_weights_hold_when_their_update_is_answered(certificates: Certificates) -> None:
    """A client that reads right after the answer sees what it set."""
    registry = SlowRegistry()
    world = MasterWorld(certificates, registry=registry)
    registry.slow = True
    weigh = {"weight_infos": [{"role": "a", "weight": 2.5}]}
    answers: list[Any] = []
    asked = world.request("POST", "/api/v1", {"type": "UPDATE_WEIGHTS", "update_weights": weigh})
    asked.addCallback(answers.append)
    assert answers == []
    registry.waiting.pop()()
    assert whole(answers[0])[0] == 200
    assert world.get("/weights")[1] == [{"role": "a", "weight": 2.5}]
    assert world.close() == []


def mark_gone(agent_id: str) -> dict[str, Any]:
    """The call."""
    return {"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": {"value": agent_id}}}


def test_an_agent_is_gone_when_its_marking_is_answered(certificates: Certificates) -> None:
    """Registry first; meanwhile asking again is refused, and afterwards it is true already."""
    registry = SlowRegistry()
    world = MasterWorld(certificates, registry=registry)
    _, transport, agent_id = world.registered()
    transport.records()
    registry.slow = True
    answers: list[Any] = []
    world.request("POST", "/api/v1", mark_gone(agent_id)).addCallback(answers.append)
    status, text = world.call(mark_gone(agent_id))
    assert status == 503 and "try again" in text
    assert answers == [] and transport.records() == []
    registry.waiting.pop()()
    assert whole(answers[0])[0] == 200
    (shutdown,) = transport.records()
    assert isinstance(shutdown, agentlink.Shutdown) and shutdown.epoch == 1
    assert shutdown.message == "Agent has been marked gone"
    assert transport.closed and not world.service.state.agents
    assert world.call(mark_gone(agent_id))[0] == 200
    link, transport = world.agent()
    returning = agentlink.Reregister(
        info=msgspec.structs.replace(register().info, id=m.AgentID(value=agent_id)),
        pid="p",
        version="1.11.0",
    )
    link.dataReceived(agentlink.frame(returning))
    assert [type(one) for one in transport.records()] == [agentlink.Shutdown]
    assert world.close() == []


def test_who_may_mark_which_agent_gone(world: MasterWorld) -> None:
    """Operators by default; an agent that nobody knows is not found."""
    _, _, agent_id = world.registered()
    assert world.call(mark_gone(agent_id), role=Role.FRAMEWORK)[0] == 403
    assert world.call(mark_gone("nobody")) == (404, "Agent 'nobody' not found")
    assert world.call({"type": "MARK_AGENT_GONE"})[0] == 400
    call = m.MasterCall(
        type=m.MasterCallType.MARK_AGENT_GONE,
        mark_agent_gone=m.MasterCallMarkAgentGone(agent_id=m.AgentID(value=agent_id)),
    )
    binary = {"content_type": "application/x-protobuf"}
    assert whole(world.request("POST", "/api/v1", codec_protobuf.encode(call), **binary))[0] == 200
    assert world.call({"type": "GET_AGENTS"})[1]["get_agents"]["agents"] == []


def test_weights_are_stored_and_shown(world: MasterWorld) -> None:
    """By call and by page; both pages show them."""
    weigh = {"weight_infos": [{"role": "a", "weight": 2.5}]}
    assert world.call({"type": "UPDATE_WEIGHTS", "update_weights": weigh})[0] == 200
    assert whole(world.request("PUT", "/weights", [{"role": "b", "weight": 3.0}]))[0] == 200
    assert world.get("/weights")[1] == [
        {"role": "a", "weight": 2.5},
        {"role": "b", "weight": 3.0},
    ]
    assert len(world.call({"type": "GET_WEIGHTS"})[1]["get_weights"]["weight_infos"]) == 2
    assert whole(world.request("PUT", "/weights", {"role": "b"}))[0] == 400


def test_teardown(busy: MasterWorld) -> None:
    """A form field names the framework; afterwards it is history."""
    framework_id = next(iter(busy.service.state.frameworks))
    answer = busy.request("POST", "/teardown", f"frameworkId={framework_id}".encode())
    assert answer.status == 200
    page = busy.get("/frameworks")[1]
    assert [one["id"] for one in page["completed_frameworks"]] == [framework_id]
    assert page["frameworks"] == []


def launched(world: MasterWorld) -> tuple[str, Any]:
    """A framework with the task `t`, and its agent's link."""
    link, _, agent_id = world.registered()
    stream = world.subscribe(failover_timeout=60)
    framework_id = stream.events()[0]["subscribed"]["framework_id"]["value"]
    world.clock.advance(0.01)
    offer = stream.events()[-1]["offers"]["offers"][0]
    task = {
        "name": "t",
        "task_id": {"value": "t"},
        "agent_id": {"value": agent_id},
        "command": {"value": "true"},
        "resources": offer["resources"][:2],
    }
    operations = [{"type": "LAUNCH", "launch": {"task_infos": [task]}}]
    accept = {"offer_ids": [offer["id"]], "operations": operations}
    body = {"type": "ACCEPT", "framework_id": {"value": framework_id}, "accept": accept}
    stream_id = stream.headers["Mesos-Stream-Id"]
    world.request("POST", "/api/v1/scheduler", body, role=Role.FRAMEWORK, mesos_stream_id=stream_id)
    return framework_id, link


def test_an_operator_kills_one_task(world: MasterWorld) -> None:
    """Nobody else by this page, not even its own framework; a wrong question does nothing."""
    framework_id, link = launched(world)
    link.transport.records()

    def asked(body: str, **who: Any) -> int:
        status: int = world.request("POST", "/kill-task", body.encode(), **who).status
        return status

    good = f"frameworkId={framework_id}&taskId=t"
    assert asked(good, role=Role.FRAMEWORK) == 403
    assert asked(good, role=Role.AGENT) == 403
    assert asked(good, role=None) == 401
    assert asked("taskId=t") == asked(f"frameworkId={framework_id}") == 400
    assert asked("frameworkId=x&taskId=t") == asked(f"frameworkId={framework_id}&taskId=x") == 404
    assert world.request("GET", f"/kill-task?{good}").status == 405
    assert link.transport.records() == []
    assert asked(good) == 202
    (sent,) = link.transport.records()
    assert isinstance(sent, agentlink.KillTask)
    assert (sent.framework_id, sent.task_id) == (framework_id, "t")


def test_frameworks_see_their_own_only(busy: MasterWorld) -> None:
    """What a principal may not see is left out of every page."""
    other: dict[str, Any] = {"role": Role.FRAMEWORK, "name": "other"}
    own: dict[str, Any] = {"role": Role.FRAMEWORK, "name": "framework"}
    assert busy.get("/state", **other)[1]["frameworks"] == []
    assert len(busy.get("/state", **own)[1]["frameworks"]) == 1
    assert "flags" not in busy.get("/state", **other)[1]
    assert busy.get("/flags", **other)[0] == 403
    call = {"type": "GET_FRAMEWORKS"}
    assert busy.call(call, **other)[1]["get_frameworks"]["frameworks"] == []
    assert len(busy.call(call, **own)[1]["get_frameworks"]["frameworks"]) == 1
    assert busy.get("/state-summary", **other)[1]["frameworks"] == []


def test_frameworks_may_not_operate(busy: MasterWorld) -> None:
    """A framework cannot end another's, nor set weights."""
    framework_id = next(iter(busy.service.state.frameworks))
    other: dict[str, Any] = {"role": Role.FRAMEWORK, "name": "other"}
    teardown = {"type": "TEARDOWN", "teardown": {"framework_id": {"value": framework_id}}}
    assert busy.call(teardown, **other)[0] == 403
    weigh = {"weight_infos": [{"role": "a", "weight": 2.5}]}
    assert busy.call({"type": "UPDATE_WEIGHTS", "update_weights": weigh}, **other)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/state",
        "/state/",
        "/master/state",
        "/master/state.json",
        "/state-summary",
        "/slaves",
        "/frameworks",
        "/tasks",
        "/roles",
        "/weights",
        "/quota",
        "/maintenance/schedule",
        "/maintenance/status",
        "/metrics/snapshot",
        "/metrics",
        "/flags",
    ],
)
def test_pages_need_a_principal(busy: MasterWorld, path: str) -> None:
    """200 with one, 401 and its realm without."""
    assert busy.get(path)[0] == 200
    assert busy.request("GET", path, role=None).status == 401
    assert busy.request("DELETE", "/state").status == 405


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/version", "/redirect"])
def test_open_pages(world: MasterWorld, path: str) -> None:
    """These tell nothing secret."""
    assert world.request("GET", path, role=None).status in (200, 307)


def test_unknown_paths(world: MasterWorld) -> None:
    """404 in Mesos's words; /redirect has nothing below it."""
    assert world.get("/nonexistent") == (404, "404 Not Found.")
    assert world.get("/redirect/state")[0] == 404


def test_jsonp(world: MasterWorld) -> None:
    """A function's name is taken, a script is not."""
    status, text = world.get("/state?jsonp=cb")
    assert status == 200 and text.startswith('cb({"version"') and text.endswith("]})")
    assert world.get("/state?jsonp=alert(1)//")[0] == 400
    assert world.get("/version?jsonp=a.b")[1].startswith("a.b({")


def test_the_state_page(busy: MasterWorld) -> None:
    """Its keys are Mesos's, and its numbers of agents are floats."""
    page = busy.get("/state")[1]
    assert page["activated_slaves"] == 1.0 and page["leader_info"]["id"] == page["id"]
    agent, framework = page["slaves"][0], page["frameworks"][0]
    assert agent["attributes"] == {"rack": "r1"}
    assert agent["offered_resources"]["cpus"] == 8.0 and agent["reserved_resources"] == {}
    assert list(framework)[:6] == [
        "id",
        "name",
        "used_resources",
        "offered_resources",
        "capabilities",
        "hostname",
    ]
    assert framework["offers"][0]["slave_id"] == agent["id"]
    for name in ("tasks", "unreachable_tasks", "completed_tasks", "executors"):
        assert framework[name] == []
    summary = busy.get("/state-summary")[1]
    assert set(SUMMARY_STATES) <= set(summary["slaves"][0])
    assert busy.get("/slaves?slave_id=nobody")[1]["slaves"] == []


def test_cached_agents_follow_their_changes(busy: MasterWorld) -> None:
    """A page made again shows what changed meanwhile."""
    assert busy.get("/state")[1]["slaves"][0]["offered_resources"]["cpus"] == 8.0
    framework_id = next(iter(busy.service.state.frameworks))
    busy.request("POST", "/teardown", f"frameworkId={framework_id}".encode())
    assert busy.get("/state")[1]["slaves"][0]["offered_resources"]["cpus"] == 0.0


def test_operator_stream(world: MasterWorld) -> None:
    """The state first, then its changes, and heartbeats."""
    stream = world.open("/api/v1", {"type": "SUBSCRIBE"})
    first, beat = stream.events()
    assert first["type"] == "SUBSCRIBED" and beat == {"type": "HEARTBEAT"}
    assert first["subscribed"]["heartbeat_interval_seconds"] == 15.0
    assert first["subscribed"]["get_state"]["get_agents"]["agents"] == []
    world.registered()
    world.subscribe()
    assert [event["type"] for event in stream.events()] == ["AGENT_ADDED", "FRAMEWORK_ADDED"]
    assert world.service.state.operator_subscribers == 1
    stream.writer.lost("gone")
    assert world.service.state.operator_subscribers == 0


def test_streams_show_what_one_may_see(world: MasterWorld) -> None:
    """A framework is not told of another's framework."""
    stream = world.open("/api/v1", {"type": "SUBSCRIBE"}, role=Role.FRAMEWORK, name="other")
    stream.events()
    world.subscribe()
    assert "FRAMEWORK_ADDED" not in [event["type"] for event in stream.events()]


def test_the_oldest_stream_is_dropped(make: Make) -> None:
    """There are never more than the flag says."""
    world = make(max_operator_event_stream_subscribers=2)
    streams = [world.open("/api/v1", {"type": "SUBSCRIBE"}) for _ in range(3)]
    assert [stream.ended for stream in streams] == [True, False, False]


def test_the_master_log(make: Make, tmp_path: Any) -> None:
    """Shown when a file is named, by page and by call."""
    path = tmp_path / "log"
    path.write_text("one line\n")
    world = make(external_log_file=str(path))
    assert world.get("/files/read?path=/master/log&offset=0")[1] == {
        "data": "one line\n",
        "offset": 0,
    }
    read = {"type": "READ_FILE", "read_file": {"path": "/master/log", "offset": 4}}
    assert world.call(read)[1]["read_file"]["size"] == 9
    refused = {"role": Role.FRAMEWORK, "name": "other"}
    assert world.get("/files/read?path=/master/log&offset=0", **refused)[0] == 403


def test_logging_level(world: MasterWorld) -> None:
    """More for a while, then what the flags say."""
    body = {
        "type": "SET_LOGGING_LEVEL",
        "set_logging_level": {"level": 1, "duration": {"nanoseconds": 5_000_000_000}},
    }
    level = {"type": "GET_LOGGING_LEVEL"}
    assert world.call(body)[0] == 200
    assert world.call(level)[1]["get_logging_level"]["level"] == 1
    world.clock.advance(6.0)
    assert world.call(level)[1]["get_logging_level"]["level"] == 0


def test_metrics_have_one_rule_for_pages_and_call(world: MasterWorld) -> None:
    """Whoever may not see /metrics/snapshot gets none by GET_METRICS either."""
    call = {"type": "GET_METRICS", "get_metrics": {}}
    for role, status in ((Role.OPERATOR, 200), (Role.FRAMEWORK, 403)):
        answers = [world.get(path, role=role) for path in ("/metrics", "/metrics/snapshot")]
        answers.append(world.call(call, role=role))
        assert [answer[0] for answer in answers] == [status] * 3
        if status == 403:
            assert {answer[1] for answer in answers} == {answers[0][1]}


def test_metrics(busy: MasterWorld) -> None:
    """Both pages show the state's gauges and the counters."""
    page = busy.get("/metrics/snapshot")[1]
    assert page["master/slaves_active"] == 1.0 and page["master/cpus_total"] == 8.0
    assert page["master/outstanding_offers"] == 1.0 and page["master/elected"] == 1.0
    assert "mesos_master_slaves_active 1\n" in busy.get("/metrics")[1]
    assert busy.get("/metrics/snapshot?timeout=x")[0] == 400
