"""Executors subscribe and speak as Mesos's do, and nobody speaks for another."""

import json
from typing import Any

import pytest
from twisted.internet.task import Clock

from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core.state import (
    AgentState,
    Container,
    Executor,
    ExecutorKind,
    ExecutorState,
    Framework,
    Phase,
    Policy,
    new_state,
)
from mesos_twisted.agent.net import executor_auth
from mesos_twisted.agent.net.executor_api import HEARTBEAT_S, ExecutorApi
from mesos_twisted.agent.net.executor_auth import ExecutorAuth
from mesos_twisted.agent.net.peer_process import Caller, Socket
from mesos_twisted.clock import Timers
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, ContainerId, ExecutorId, FrameworkId
from mesos_twisted.security.core.secret import Secret
from mesos_twisted.security.core.tokens import TokenKey
from mesos_twisted.security.net.http_auth import AGENT_EXECUTOR, Authenticator
from mesos_twisted.transport.messages import Peer, Request, Response, StreamResponse
from mesos_twisted.transport.stream import StreamWriter
from mesos_twisted.turns import Turns

F, E, C = FrameworkId("f"), ExecutorId("e"), ContainerId("c")
KEY = TokenKey(Secret(b"k" * 32))
TOKEN = {"authorization": f"Bearer {KEY.executor_token(F, E, C)}"}


class Sink:
    """What a stream is written to."""

    def __init__(self) -> None:
        self.data, self.ended = b"", False

    def stream_write(self, data: bytes) -> None:
        self.data += data

    def stream_end(self) -> None:
        self.ended = True

    stream_abort = stream_end


def make_state() -> AgentState:
    """One custom executor, launched."""
    state = new_state(Policy(hostname="h"), b"s")
    state.phase = Phase.RUNNING
    info = m.ExecutorInfo(executor_id=m.ExecutorID(value=E))
    framework = Framework(F, m.FrameworkInfo(user="u", name="n", id=m.FrameworkID(value=F)))
    framework.executors[E] = Executor(E, F, ExecutorKind.CUSTOM, info, C, "box", None)
    state.frameworks[F] = framework
    state.containers[C] = Container(C, F, E, "box", pid=77)
    return state


class World:
    """The API over a small state."""

    def __init__(self, required: bool = True) -> None:
        self.state, self.clock = make_state(), Clock()
        self.events: list[ev.Event] = []
        auth = ExecutorAuth(
            self.state, Authenticator(AGENT_EXECUTOR, now=lambda: 1.0, tokens=KEY), required
        )
        self.api = ExecutorApi(
            self.state,
            auth,
            Timers(self.clock),
            handle=self.events.append,
            now=lambda: 1.0,
            fresh=lambda: ConnectionId(5),
        )

    @property
    def executor(self) -> Executor:
        return self.state.frameworks[F].executors[E]

    def post(
        self,
        body: dict[str, Any] | bytes,
        headers: dict[str, str] | None = None,
        port: int | None = None,
        method: str = "POST",
        peer: Peer | None = None,
    ) -> Response | StreamResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = {"content-type": "application/json", **(TOKEN if headers is None else headers)}
        peer = peer or Peer("127.0.0.1", 40000)
        path = "/api/v1/executor"
        return self.api.request(Request(method, path, path.encode(), "", head, data, peer), port)

    def subscribe(self) -> Sink:
        answer = self.post(call("SUBSCRIBE", subscribe={}))
        assert isinstance(answer, StreamResponse) and answer.content_type == "application/json"
        sink = Sink()
        answer.on_start(StreamWriter(sink, 1 << 20, True, Turns(Timers(self.clock))))
        self.executor.state, self.executor.connection = ExecutorState.RUNNING, ConnectionId(5)
        return sink


def call(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "framework_id": {"value": F}, "executor_id": {"value": E}, **more}


MESSAGE = call("MESSAGE", message={"data": ""})
STATUS = {
    "task_id": {"value": "t"},
    "state": "TASK_RUNNING",
    "source": "SOURCE_EXECUTOR",
    "uuid": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def text(answer: Response | StreamResponse) -> tuple[int, str]:
    assert isinstance(answer, Response)
    return answer.status, answer.body.decode()


def test_a_subscription_streams_events_and_heartbeats() -> None:
    """One record a chunk; a heartbeat each half hour; its end is told."""
    world = World()
    sink = world.subscribe()
    assert isinstance(world.events[0], ev.ExecutorSubscribed)
    world.api.send(ConnectionId(5), m.ExecutorEvent(type=m.ExecutorEventType.SHUTDOWN))
    assert sink.data == b'16\r\n19\n{"type":"SHUTDOWN"}\r\n'
    world.clock.advance(HEARTBEAT_S)
    assert b'{"type":"HEARTBEAT"}' in sink.data
    world.api.close(ConnectionId(5))
    assert sink.ended and world.events[-1] == ev.ExecutorClosed(ConnectionId(5), 1.0)
    assert not world.clock.getDelayedCalls()
    world.api.send(ConnectionId(5), m.ExecutorEvent(type=m.ExecutorEventType.SHUTDOWN))


def test_calls_of_a_subscribed_executor_are_accepted() -> None:
    """UPDATE and MESSAGE reach the core; HEARTBEAT needs nothing."""
    world = World()
    world.subscribe()
    assert text(world.post(call("UPDATE", update={"status": STATUS}))) == (202, "")
    assert text(world.post(call("MESSAGE", message={"data": "aGk="}))) == (202, "")
    assert text(world.post(call("HEARTBEAT"))) == (202, "")
    assert [type(one).__name__ for one in world.events[1:]] == ["ExecutorCalled"] * 2


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{nope", 400, "Failed to parse body into JSON"),
        ({"type": "UPDATE"}, 400, ""),
        (call("SUBSCRIBE"), 400, "Expecting 'subscribe' to be present"),
        (call("UPDATE"), 400, "Expecting 'update' to be present"),
        (call("MESSAGE"), 400, "Expecting 'message' to be present"),
        (call("UPDATE", update={"status": {**STATUS, "uuid": None}}), 400, "Expecting 'uuid'"),
        (call("UPDATE", update={"status": {**STATUS, "uuid": "AAAA"}}), 400, "Not a valid UUID"),
        (call("UPDATE", update={"status": {**STATUS, "source": "SOURCE_MASTER"}}), 400, "source"),
        (call("UPDATE", update={"status": {**STATUS, "state": "TASK_STAGING"}}), 400, "STAGING"),
        (
            call("UPDATE", update={"status": {**STATUS, "executor_id": {"value": "x"}}}),
            400,
            "does not match",
        ),
        (call("MESSAGE", message={"data": ""}), 403, "Executor is not subscribed"),
    ],
)
def test_refusals_are_those_of_mesos(body: dict[str, Any] | bytes, status: int, words: str) -> None:
    """Status and words."""
    told = text(World().post(body))
    assert told[0] == status and words in told[1]


@pytest.mark.parametrize(
    ("framework_id", "executor_id", "words"),
    [("x", E, "Framework cannot be found"), (F, "x", "Executor cannot be found")],
)
@pytest.mark.parametrize("kind", ["SUBSCRIBE", "MESSAGE", "UNKNOWN"])
def test_an_executor_nobody_knows(
    kind: str, framework_id: str, executor_id: str, words: str
) -> None:
    """Its own token is told so with 400, where proofs are not needed as well; nobody else."""
    body = {
        **call(kind, subscribe={}, message={"data": ""}),
        "framework_id": {"value": framework_id},
        "executor_id": {"value": executor_id},
    }
    own = KEY.executor_token(FrameworkId(framework_id), ExecutorId(executor_id), C)
    assert text(World().post(body, {"authorization": f"Bearer {own}"})) == (400, words)
    assert text(World(required=False).post(body, {})) == (400, words)
    assert text(World().post(body))[0] == 403
    assert text(World().post(body, {}))[0] == 401
    stranger = World().post(body, {}, 5053, peer=Peer("127.0.0.1", 1))
    assert text(stranger)[0] == 403
    known = World().post(call(kind, subscribe={}, message={"data": ""}), {}, 5053)
    assert text(known)[1].replace(f"'{E}'", f"'{executor_id}'") == text(stranger)[1]


@pytest.mark.parametrize("body", [b"{nope", {"type": "UPDATE"}, call("HEARTBEAT")])
def test_nothing_is_told_before_the_proof(body: dict[str, Any] | bytes) -> None:
    """Not even what is wrong with the call."""
    assert text(World().post(body, {}))[0] == 401
    assert text(World().post(body, {"authorization": "Bearer x.y.z"}))[0] == 401


def test_the_edges_of_http() -> None:
    """Method, content type, answer type, recovery."""
    world = World()
    assert text(world.post(b"", method="GET"))[0] == 405
    assert text(world.post(b"", {**TOKEN, "content-type": "text/html"}))[0] == 415
    answer = world.post(call("SUBSCRIBE", subscribe={}), {**TOKEN, "accept": "text/html"})
    assert text(answer)[0] == 406
    world.state.phase = Phase.RECOVERING
    assert text(world.post(call("SUBSCRIBE", subscribe={}))) == (
        503,
        "Agent has not finished recovery",
    )


@pytest.mark.parametrize("claims", [("x", E, C), (F, "x", C), (F, E, "x")])
def test_a_token_is_good_for_its_own_container_only(claims: tuple[str, str, str]) -> None:
    """A signed token of another executor, or of an earlier run, is refused."""
    header = {"authorization": f"Bearer {KEY.executor_token(*claims)}"}
    assert text(World().post(call("SUBSCRIBE", subscribe={}), header))[0] == 403


def test_no_proof_is_401_on_the_tls_port() -> None:
    """And a forged one as well; without the flag nothing is asked."""
    world = World()
    for header in ({}, {"authorization": "Bearer x.y.z"}):
        assert text(world.post(call("SUBSCRIBE", subscribe={}), header))[0] == 401
    answer = World(required=False).post(call("SUBSCRIBE", subscribe={}), {})
    assert isinstance(answer, StreamResponse)


def test_on_loopback_the_process_is_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked once per connection and container; a launch under way is 503."""
    world, asked = World(), []
    answers = {40000: True, 40001: False}

    def find(address: str, port: int, server_port: int) -> Socket:
        asked.append(port)
        return Socket(0, port)

    monkeypatch.setattr(executor_auth.peer_process, "find_socket", find)
    monkeypatch.setattr(
        executor_auth.peer_process,
        "belongs",
        lambda socket, leader, uid: leader == 77 and answers[socket.inode],
    )
    peer = Peer("127.0.0.1", 40000)
    for _ in range(2):
        answer = world.post(call("SUBSCRIBE", subscribe={}), {}, 5053, peer=peer)
        assert isinstance(answer, StreamResponse)
    assert asked == [40000]
    stranger = world.post(call("SUBSCRIBE", subscribe={}), {}, 5053, peer=Peer("127.0.0.1", 40001))
    assert text(stranger)[0] == 403
    world.state.containers[C].pid = None
    early = world.post(call("SUBSCRIBE", subscribe={}), {}, 5053, peer=Peer("127.0.0.1", 40000))
    assert text(early)[0] == 503


def test_on_the_unix_socket_the_caller_is_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connected must be of the container; asked once, and again for another container."""
    world, asked = World(), []

    def is_member(caller: Caller, leader: int, uid: int | None) -> bool:
        asked.append(leader)
        return caller.pid == 78

    monkeypatch.setattr(executor_auth.peer_process, "is_member", is_member)
    own, other = (Peer("unix", 0, identity=Caller(pid, 0, 1)) for pid in (78, 79))
    for _ in range(2):
        answer = world.post(call("SUBSCRIBE", subscribe={}), {}, peer=own)
        assert isinstance(answer, StreamResponse)
    assert asked == [77]
    refused = world.post(call("SUBSCRIBE", subscribe={}), {}, peer=other)
    assert text(refused)[0] == 403
    with_token = world.post(call("SUBSCRIBE", subscribe={}), peer=other)
    assert isinstance(with_token, StreamResponse)
