"""The documents have the keys of a recorded Mesos agent, and hide what is not the asker's."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mesos_twisted.agent.core.state import (
    AgentState,
    CompletedExecutor,
    Container,
    Executor,
    ExecutorKind,
    ExecutorState,
    Framework,
    Phase,
    Policy,
    Task,
    new_state,
)
from mesos_twisted.agent.net.executor_api import ExecutorApi
from mesos_twisted.agent.net.operator_api import AgentPages, Guard, canonical
from mesos_twisted.agent.net.operator_v1 import OperatorCalls
from mesos_twisted.agent.net.sandbox_paths import SandboxPaths
from mesos_twisted.agent.net.usage_cache import UsageCache
from mesos_twisted.agent.views import state_v0
from mesos_twisted.agent.views.facts import Facts
from mesos_twisted.agent.views.visible import Visible
from mesos_twisted.containerizer.fake import FakeContainerizer
from mesos_twisted.files.http import FilesApi
from mesos_twisted.files.store import FileStore
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId, ExecutorId, FrameworkId, TaskId
from mesos_twisted.resources.convert import to_messages
from mesos_twisted.resources.parse import resources_from_text
from mesos_twisted.security.core.authorizer import Authorizer, OwnThings
from mesos_twisted.security.core.principal import Principal, Role
from mesos_twisted.security.net.http_auth import AGENT_READONLY, Authenticator
from mesos_twisted.transport.messages import ChunkedBody, Peer, Request, Response

F, E = FrameworkId("A-0000"), ExecutorId("t1")
C, OLD = ContainerId("c-new"), ContainerId("c-old")
RUNS = f"slaves/A-S0/frameworks/{F}/executors/{E}/runs"
OPERATOR = Principal("op", Role.OPERATOR)

#: Keys of a recorded agent's /state (flags aside), and of what is in it.
STATE_KEYS = {
    "version", "build_date", "build_time", "build_user", "start_time", "id", "pid", "hostname",
    "capabilities", "resources", "reserved_resources", "unreserved_resources",
    "reserved_resources_full", "unreserved_resources_full", "reserved_resources_allocated",
    "unreserved_resources_allocated", "resource_providers", "attributes", "master_hostname",
    "flags", "frameworks", "completed_frameworks",
}  # fmt: skip
FRAMEWORK_KEYS = {
    "id", "name", "user", "failover_timeout", "checkpoint", "hostname", "principal", "roles",
    "executors", "completed_executors",
}  # fmt: skip
EXECUTOR_KEYS = {
    "id", "name", "source", "container", "directory", "resources", "role", "tasks",
    "queued_tasks", "completed_tasks",
}  # fmt: skip
TASK_KEYS = {
    "id", "name", "framework_id", "executor_id", "slave_id", "state", "resources", "role",
    "statuses",
}  # fmt: skip


def amounts(text: str) -> tuple[m.Resource, ...]:
    return to_messages(resources_from_text(text), refined=True)


def allocated(text: str) -> tuple[m.Resource, ...]:
    import msgspec

    to = m.ResourceAllocationInfo(role="*")
    return tuple(msgspec.structs.replace(r, allocation_info=to) for r in amounts(text))


def make_state(work_dir: str = "/work") -> AgentState:
    """An agent with one running command task of principal `p`, and one that is over."""
    total = amounts("cpus:8;mem:8000;disk:10000;ports:[31000-32000];cpus(web):2")
    state = new_state(Policy(hostname="h", resources=total, work_dir=work_dir), b"s")
    import msgspec

    state.info = msgspec.structs.replace(state.info, id=m.AgentID(value="A-S0"))
    state.phase = Phase.RUNNING
    info = m.FrameworkInfo(
        user="u",
        name="n",
        id=m.FrameworkID(value=F),
        principal="p",
        roles=("*",),
        capabilities=(m.FrameworkInfoCapability(type=m.FrameworkInfoCapabilityType.MULTI_ROLE),),
    )
    executor_info = m.ExecutorInfo(
        executor_id=m.ExecutorID(value=E),
        name="Command Executor",
        source="t1",
        resources=allocated("cpus:0.1;mem:32"),
    )
    executor = Executor(E, F, ExecutorKind.COMMAND, executor_info, C, f"{RUNS}/{C}", "u")
    executor.state = ExecutorState.RUNNING
    task_info = m.TaskInfo(
        name="t1",
        task_id=m.TaskID(value="t1"),
        agent_id=m.AgentID(value="A-S0"),
        resources=allocated("cpus:0.1;mem:32"),
        command=m.CommandInfo(value="x"),
    )
    status = m.TaskStatus(
        task_id=m.TaskID(value="t1"),
        state=m.TaskState.TASK_RUNNING,
        timestamp=1.0,
        container_status=m.ContainerStatus(container_id=m.ContainerID(value=C), executor_pid=5),
    )
    task = Task(task_info, F, E, C, 1.0, m.TaskState.TASK_RUNNING, [status])
    framework = Framework(F, info, {E: executor}, {TaskId("t1"): task})
    executor.tasks[TaskId("t1")] = task
    done = m.Task(
        name="t0",
        task_id=m.TaskID(value="t0"),
        framework_id=m.FrameworkID(value=F),
        agent_id=m.AgentID(value="A-S0"),
        state=m.TaskState.TASK_FINISHED,
        resources=allocated("cpus:0.1;mem:32"),
    )
    over = CompletedExecutor(
        ExecutorId("t0"), OLD, executor_info, ExecutorKind.COMMAND, f"{RUNS}/{OLD}", (done,)
    )
    framework.completed.append(over)
    state.frameworks[F] = framework
    state.containers[C] = Container(C, F, E, executor.directory, TaskId("t1"), pid=5)
    return state


class World:
    """All pages over that state."""

    def __init__(self, state: AgentState, authenticate: bool = False) -> None:
        authorizer = Authorizer(OwnThings())
        facts = Facts("1.11.0", 1.0, {"work_dir": "/work"})
        self.metrics = Metrics(("slave/tasks_failed",))
        files = FileStore(authorizer, (SandboxPaths(state),))
        usage = UsageCache(FakeContainerizer(), lambda: 1.0)
        self.levels: list[Any] = []
        self.calls = OperatorCalls(
            state,
            facts,
            authorizer,
            files,
            self.metrics,
            usage,
            lambda level, seconds: self.levels.append((level, seconds)),
        )
        proof = Authenticator(AGENT_READONLY, now=lambda: 1.0) if authenticate else None
        executors: ExecutorApi = None  # type: ignore[assignment]  # not asked here
        self.pages = AgentPages(
            state,
            facts,
            Guard(proof, proof),
            authorizer,
            executors,
            self.calls,
            FilesApi(files),
            self.metrics,
            usage,
            lambda: "m",
            lambda values: b"# metrics",
        )

    def get(self, path: str, query: str = "", method: str = "GET") -> Response:
        request = Request(method, path, b"", query, {}, b"", Peer("127.0.0.1", 1))
        return self.result(self.pages.handle(request))

    def call(self, body: dict[str, Any], who: Principal = OPERATOR) -> Response:
        import msgspec

        head = {"content-type": "application/json"}
        request = Request(
            "POST", "/api/v1", b"", "", head, msgspec.json.encode(body), Peer("127.0.0.1", 1)
        )
        return self.result(Deferred.fromCoroutine(self.calls.answer(request, who)))

    def result(self, answer: Any) -> Response:
        if isinstance(answer, Deferred):
            out: list[Any] = []
            answer.addBoth(out.append)
            (answer,) = out
        assert isinstance(answer, Response | ChunkedBody), answer
        if isinstance(answer, ChunkedBody):
            return Response(answer.status, b"".join(answer.pieces))
        return answer


@pytest.fixture
def world() -> World:
    return World(make_state())


def parsed(answer: Response) -> Any:
    assert answer.status == 200, answer
    return codec_json.parse(answer.body)


def test_state_has_the_recorded_keys(world: World) -> None:
    """At every level."""
    document = parsed(world.get("/state"))
    assert set(document) == STATE_KEYS
    (framework,) = document["frameworks"]
    assert set(framework) == FRAMEWORK_KEYS
    (executor,) = framework["executors"]
    assert set(executor) == EXECUTOR_KEYS
    (task,) = executor["tasks"]
    assert set(task) == TASK_KEYS
    (over,) = framework["completed_executors"]
    assert over["completed_tasks"][0]["state"] == "TASK_FINISHED"
    (status,) = task["statuses"]
    assert status["container_status"] == {"container_id": {"value": C}}


def test_a_drained_agent_says_how_and_since_when() -> None:
    """While anything is left on it; whole seconds, on the page and in nanoseconds."""
    state = make_state()
    grace = m.DurationInfo(nanoseconds=5)
    state.drain, state.drain_began = m.DrainConfig(max_grace_period=grace), 12.75
    world = World(state)
    config = {"max_grace_period": {"nanoseconds": 5}, "mark_gone": False}
    document = parsed(world.get("/state"))
    assert document["drain_config"] == config
    assert document["estimated_drain_start_time_seconds"] == 12
    said = parsed(world.call({"type": "GET_AGENT"}))["get_agent"]
    assert said["drain_config"] == config
    assert said["estimated_drain_start_time"] == {"nanoseconds": 12 * 10**9}


def test_state_counts_resources_as_mesos_does(world: World) -> None:
    """Executor and task together; reserved ones by role; both formats in the full lists."""
    document = parsed(world.get("/slave(1)/state.json"))
    assert document["unreserved_resources_allocated"] == {
        "disk": 0.0, "mem": 64.0, "gpus": 0.0, "cpus": 0.2
    }  # fmt: skip
    assert document["unreserved_resources"]["ports"] == "[31000-32000]"
    assert document["resources"]["cpus"] == 10.0
    assert document["reserved_resources"]["web"]["cpus"] == 2.0
    assert document["unreserved_resources_full"][0]["role"] == "*"
    (reserved,) = document["reserved_resources_full"]["web"]
    assert reserved["role"] == "web" and reserved["reservations"][0]["role"] == "web"


@pytest.mark.parametrize(("name", "seen"), [("p", 1), ("q", 0)])
def test_a_framework_sees_its_own_only(name: str, seen: int) -> None:
    """In documents and in lists of tasks."""
    state, who = make_state(), Principal(name, Role.FRAMEWORK)
    visible = Visible(Authorizer(OwnThings()), who)
    document = state_v0.document(state, Facts("1", 1.0), visible, None)
    assert len(document["frameworks"]) == seen and "flags" not in document
    tasks = parsed(World(state).call({"type": "GET_TASKS"}, who))["get_tasks"]
    assert len(tasks["launched_tasks"]) == seen


@pytest.mark.parametrize(
    ("kind", "lists"),
    [
        (
            "GET_TASKS",
            ["pending_tasks", "queued_tasks", "launched_tasks", "terminated_tasks",
             "completed_tasks"],
        ),
        ("GET_EXECUTORS", ["executors", "completed_executors"]),
        ("GET_FRAMEWORKS", ["frameworks", "completed_frameworks"]),
    ],
)  # fmt: skip
def test_lists_are_written_when_empty_too(world: World, kind: str, lists: list[str]) -> None:
    """As recorded; GET_STATE holds all three."""
    assert list(parsed(world.call({"type": kind}))[kind.lower()]) == lists
    assert list(parsed(world.call({"type": "GET_STATE"}))["get_state"][kind.lower()]) == lists


@pytest.mark.parametrize(
    "kind",
    ["GET_HEALTH", "GET_FLAGS", "GET_VERSION", "GET_METRICS", "GET_LOGGING_LEVEL", "GET_STATE",
     "GET_CONTAINERS", "GET_FRAMEWORKS", "GET_EXECUTORS", "GET_OPERATIONS", "GET_TASKS",
     "GET_AGENT", "GET_RESOURCE_PROVIDERS"],
)  # fmt: skip
def test_every_read_answers_in_both_encodings(world: World, kind: str) -> None:
    """The type is told, and the bytes can be read back."""
    body: dict[str, Any] = {"type": kind}
    if kind == "GET_METRICS":
        body["get_metrics"] = {}
    assert parsed(world.call(body))["type"] == kind
    call = codec_protobuf.encode(codec_json.from_plain(m.AgentCall, body))
    head = {"content-type": "application/x-protobuf", "accept": "application/x-protobuf"}
    request = Request("POST", "/api/v1", b"", "", head, call, Peer("127.0.0.1", 1))
    answer = world.result(world.pages.handle(request))
    decoded = codec_protobuf.decode(m.AgentResponse, answer.body)
    assert decoded.type is not None and decoded.type.value == kind


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "Expecting 'type' to be present"),
        ({"type": "GET_METRICS"}, 400, "Expecting 'get_metrics' to be present"),
        ({"type": "READ_FILE"}, 400, "Expecting 'read_file' to be present"),
        ({"type": "LAUNCH_CONTAINER"}, 501, "does not support the call LAUNCH_CONTAINER"),
        ({"type": "LIST_FILES", "list_files": {"path": "/none"}}, 404, "No such file"),
    ],
)
def test_what_cannot_be_answered_says_why(
    world: World, body: dict[str, Any], status: int, words: str
) -> None:
    """One sentence."""
    answer = world.call(body)
    assert answer.status == status and words in answer.body.decode()


def test_metrics_have_one_rule_for_pages_and_call(world: World) -> None:
    """Whoever may not see /metrics/snapshot gets none by GET_METRICS either."""
    body = {"type": "GET_METRICS", "get_metrics": {}}
    assert world.call(body).status == 200
    refused = world.call(body, Principal("f", Role.FRAMEWORK))
    assert refused.status == 403 and b"/metrics/snapshot" in refused.body


def test_the_logging_level_is_set_for_a_while(world: World) -> None:
    """Levels are 0 to 3."""
    wanted = {"level": 2, "duration": {"nanoseconds": 60_000_000_000}}
    body = {"type": "SET_LOGGING_LEVEL", "set_logging_level": wanted}
    assert world.call(body).status == 202 and world.levels == [(2, 60.0)]
    assert world.call(body, Principal("p", Role.FRAMEWORK)).status == 403


@pytest.mark.parametrize("path", ["/containers", "/slave(1)/containers", "/containers/"])
def test_containers_and_usage_rows(world: World, path: str) -> None:
    """Ids, names, status; filters narrow them."""
    (row,) = parsed(world.get(path))
    assert row["container_id"] == C and row["status"]["executor_pid"] == 5
    assert parsed(world.get(path, "framework_id=other")) == []
    (usage,) = parsed(world.get("/monitor/statistics"))
    assert "container_id" not in usage and usage["executor_id"] == E


def test_pages_that_need_no_proof(world: World) -> None:
    """Health and version; the rest is 401 without one."""
    guarded = World(make_state(), authenticate=True)
    for path in ("/health", "/livez", "/readyz", "/version", "/slave(1)/health"):
        assert guarded.get(path).status == 200
    for path in ("/state", "/flags", "/metrics", "/files/browse", "/containers"):
        assert guarded.get(path).status == 401
        assert guarded.get(path).headers
    assert guarded.get("/api/v1", method="GET").status == 405
    assert guarded.get("/state", method="POST").status == 405
    assert guarded.get("/nothing").status == 404


def test_paths_have_many_spellings() -> None:
    """One page."""
    spellings = ("/state", "/state/", "/state.json", "/slave(1)/state", "/slave(1)/state.json")
    assert {canonical(path) for path in spellings} == {"/state"}


def test_a_recovering_agent_says_so() -> None:
    """503, and not ready."""
    state = make_state()
    state.phase = Phase.RECOVERING
    world = World(state)
    assert [world.get(p).status for p in ("/state", "/readyz", "/livez")] == [503, 503, 200]
    assert world.get("/api/v1", method="POST").status == 503


@pytest.mark.parametrize(
    "path",
    [
        "/frameworks/A-0000/executors/t1/runs/latest/stdout",
        "/frameworks/A-0000/executors/t1/runs/c-new/stdout",
        "/frameworks/A-0000/executors/t1/tasks/t1/stdout",
        "{work}/slaves/A-S0/frameworks/A-0000/executors/t1/runs/c-new/stdout",
    ],
)
def test_a_sandbox_has_many_paths(tmp_path: Any, path: str) -> None:
    """Each leads to the same file; strangers are refused."""
    sandbox = tmp_path / RUNS / C
    sandbox.mkdir(parents=True)
    (sandbox / "stdout").write_text("hi")
    world = World(make_state(str(tmp_path)))
    virtual = path.format(work=tmp_path)
    assert parsed(world.get("/files/read", f"offset=0&path={virtual}"))["data"] == "hi"
    body = {"type": "READ_FILE", "read_file": {"path": virtual, "offset": 0}}
    assert parsed(world.call(body))["read_file"] == {"size": 2, "data": "aGk="}
    assert world.call(body, Principal("q", Role.FRAMEWORK)).status == 403
    assert world.call(body, Principal("p", Role.FRAMEWORK)).status == 200


def test_a_task_is_found_below_its_own_executor_only(tmp_path: Any) -> None:
    """Another executor's name would be judged by another owner."""
    world = World(make_state(str(tmp_path)))
    path = "path=/frameworks/A-0000/executors/other/tasks/t1"
    assert world.get("/files/browse", path).status == 404


@pytest.mark.parametrize("path", ["/meta/checkpoints.db", "/slaves", "/slaves/A-S0/frameworks"])
def test_nothing_else_below_the_work_directory_is_shown(tmp_path: Any, path: str) -> None:
    """Least of all the checkpoints."""
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "checkpoints.db").write_text("x")
    world = World(make_state(str(tmp_path)))
    assert world.get("/files/read", f"offset=0&path={tmp_path}{path}").status == 404
    assert world.get("/files/browse", f"path={tmp_path}{path}").status == 404
