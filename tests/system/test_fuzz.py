"""Thousands of spoiled requests at live daemons: each is answered or dropped, and nothing breaks.

Mutations are seeded, so a failure comes again with the same seed.
"""

import contextlib
import http.client
import json
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mesos_twisted.protocol import agentlink, codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId, ExecutorId, FrameworkId
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority
from mesos_twisted.security.net.files import read_token_key
from mesos_twisted.testing.daemons import Daemons, any_port
from mesos_twisted.testing.scheduler_client import SchedulerClient
from tests.system.spoiled import HTTP_WORDS, JSON_WORDS, RAW_WORDS, mutated, scheduler_calls

pytestmark = pytest.mark.system
SEED = 20260
GROWTH_MB = 100
JSON, PROTOBUF = "application/json", "application/x-protobuf"
Target = Callable[[], socket.socket]


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    flags = (f"--executor_port={any_port()}",)
    running = Daemons.begin(tmp_path_factory.mktemp("fuzz"), agent=flags)
    authority.issue(running.root / "certs", Role.AGENT, "stranger", ["localhost"])
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def unharmed(daemons: Daemons) -> Iterator[None]:
    """The same processes answer at once, are no bigger, and have logged no surprise.

    A daemon drops newcomers only while hundreds of others are silent in their handshake, and no
    test here holds so many.
    """
    pids = {name: process.pid for name, process in daemons.running.items()}
    before = {name: resident_mb(pid) for name, pid in pids.items()}
    yield
    for url in (daemons.url, f"https://localhost:{flag(daemons, 'agent-1', 'port')}"):
        assert daemons.request("GET", "/health", base=url).status == 200, url
    for name, process in daemons.running.items():
        assert process.poll() is None and process.pid == pids[name], daemons.logs()
        assert resident_mb(process.pid) < before[name] + GROWTH_MB, name
        assert not surprises((daemons.root / "logs" / f"{name}.log").read_text(errors="replace"))


def resident_mb(pid: int) -> float:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * 4096 / 1e6


def surprises(log: str) -> list[str]:
    """Lines that only a bug writes."""
    return [
        line
        for line in log.splitlines()
        if '"level":"error"' in line
        or '"level":"critical"' in line
        or "Traceback" in line
        or "Unhandled" in line
    ]


def flag(daemons: Daemons, name: str, wanted: str) -> str:
    prefix = f"--{wanted}="
    return next(w for w in daemons.flags[name] if w.startswith(prefix)).removeprefix(prefix)


OPERATOR_CALLS: list[dict[str, Any]] = [
    {"type": "GET_STATE"},
    {"type": "GET_METRICS", "get_metrics": {"timeout": {"nanoseconds": 5}}},
    {"type": "LIST_FILES", "list_files": {"path": "/"}},
    {"type": "READ_FILE", "read_file": {"path": "/slave/log", "offset": 0, "length": 7}},
    {
        "type": "SET_LOGGING_LEVEL",
        "set_logging_level": {"level": 0, "duration": {"nanoseconds": 5}},
    },
    {"type": "GET_CONTAINERS"},
    {"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": [{"role": "b", "weight": 3.0}]}},
    {"type": "TEARDOWN", "teardown": {"framework_id": {"value": "x"}}},
]
EXECUTOR_CALLS: list[dict[str, Any]] = [
    {"type": "SUBSCRIBE", "subscribe": {"unacknowledged_tasks": [], "unacknowledged_updates": []}},
    {
        "type": "UPDATE",
        "update": {"status": {"task_id": {"value": "t"}, "state": "TASK_RUNNING", "uuid": "AAAA"}},
    },
    {"type": "MESSAGE", "message": {"data": "AAAA"}},
]


class Bodies:
    """One kept connection; spoiled bodies in good HTTP, each of which gets an answer."""

    def __init__(
        self, make: Callable[[], http.client.HTTPConnection], proof: Mapping[str, str]
    ) -> None:
        self._make, self._connection, self._proof = make, make(), proof
        self.statuses: dict[int, int] = {}

    def send(self, path: str, body: bytes, kind: str, stream_id: str) -> None:
        headers = {"Content-Type": kind, "Accept": kind, "Mesos-Stream-Id": stream_id}
        headers |= self._proof
        try:
            self._connection.request("POST", path, body, headers)
            answer = self._connection.getresponse()
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            # It may close after a refusal; it must then take a new connection.
            self._connection.close()
            self._connection = self._make()
            self._connection.request("POST", path, body, headers)
            answer = self._connection.getresponse()
        assert answer.status != 500, (path, body)
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        if answer.headers.get("Mesos-Stream-Id"):
            self._connection.close()
            self._connection = self._make()
        else:
            answer.read()


def over_tls(
    daemons: Daemons, identity: str | None, port: str
) -> Callable[[], http.client.HTTPConnection]:
    context = daemons.context(identity)
    return lambda: http.client.HTTPSConnection("localhost", int(port), context=context, timeout=20)


def executor_proof(daemons: Daemons) -> dict[str, str]:
    """A good token, since nothing is read before one is seen; of an executor that is not there."""
    key = read_token_key(daemons.root / "work" / "agent-1" / "meta" / "executor-token.key")
    token = key.executor_token(FrameworkId("f"), ExecutorId("e"), ContainerId("c"))
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("api", ["scheduler", "master", "agent", "executor", "loopback"])
def test_spoiled_bodies_are_answered(daemons: Daemons, api: str) -> None:
    chance = random.Random(f"{SEED} {api}")
    master, agent = flag(daemons, "master", "port"), flag(daemons, "agent-1", "port")
    client = SchedulerClient(daemons)
    kinds: dict[str, tuple[list[dict[str, Any]], Any, str, Any]] = {
        "scheduler": (
            [],
            m.SchedulerCall,
            "/api/v1/scheduler",
            over_tls(daemons, "framework", master),
        ),
        "master": (OPERATOR_CALLS, m.MasterCall, "/api/v1", over_tls(daemons, "operator", master)),
        "agent": (OPERATOR_CALLS, m.AgentCall, "/api/v1", over_tls(daemons, "operator", agent)),
        "executor": (
            EXECUTOR_CALLS,
            m.ExecutorCall,
            "/api/v1/executor",
            over_tls(daemons, None, agent),
        ),
        "loopback": (
            EXECUTOR_CALLS,
            m.ExecutorCall,
            "/api/v1/executor",
            lambda: http.client.HTTPConnection(
                "127.0.0.1", int(flag(daemons, "agent-1", "executor_port")), timeout=20
            ),
        ),
    }
    calls, message, path, make = kinds[api]
    if api == "scheduler":
        assert client.subscribe() == 200
        calls = scheduler_calls(client.framework_id)
    if message is m.ExecutorCall:
        ids = {"framework_id": {"value": "f"}, "executor_id": {"value": "e"}}
        calls = [{**call, **ids} for call in calls]
    if message is m.AgentCall:
        calls = [call for call in calls if call["type"] not in ("UPDATE_WEIGHTS", "TEARDOWN")]
    if message is m.MasterCall:
        calls = [call for call in calls if call["type"] != "GET_CONTAINERS"]
    texts = [json.dumps(call).encode() for call in calls]
    raws = [codec_protobuf.encode(codec_json.decode(message, text)) for text in texts]
    bodies = Bodies(make, executor_proof(daemons) if api == "executor" else {})
    for _ in range(600):
        body = mutated(chance, chance.choice(texts), JSON_WORDS)
        bodies.send(path, body, JSON, client._stream_id)
        body = mutated(chance, chance.choice(raws), RAW_WORDS)
        bodies.send(path, body, PROTOBUF, client._stream_id)
    assert bodies.statuses.get(400, 0) > 100, bodies.statuses
    client.close()


GOOD = (
    b"GET /state?jsonp=f HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n",
    b"POST /api/v1 HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n"
    b'{"type": "GET_STATE"',
    b"POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Transfer-Encoding: chunked\r\n\r\n5;a=b\r\n{"typ\r\n0\r\nTrailer: x\r\n\r\n',
    b"GET /files/read?path=%2Fslave%2Flog&offset=0 HTTP/1.1\r\nHost: x\r\n"
    b"Authorization: Basic eDp5\r\n\r\n",
    b"POST /api/v1/executor HTTP/1.0\r\n"
    b"Content-Type: application/x-protobuf\r\nContent-Length: 3\r\n\r\nabc",
)


def spoil(open_one: Target, chance: random.Random, count: int, seconds: float) -> int:
    """Spoiled bytes on connections of their own, some left half-open; how many were sent."""
    kept: list[socket.socket] = []
    until, sent = time.monotonic() + seconds, 0
    while sent < count and time.monotonic() < until:
        sock = open_one()
        data = b"".join(mutated(chance, chance.choice(GOOD), HTTP_WORDS) for _ in range(3))
        with contextlib.suppress(OSError):
            sock.settimeout(0.2)
            for start in range(0, len(data), 16384):
                sock.sendall(data[start : start + 16384])
        sent += 1
        if chance.random() < 0.1 and len(kept) < 50:
            kept.append(sock)
        else:
            sock.close()
    for sock in kept:
        sock.close()
    return sent


@pytest.mark.parametrize("door", ["master", "agent", "loopback", "plaintext"])
def test_spoiled_http_breaks_nothing(daemons: Daemons, door: str) -> None:
    chance = random.Random(f"{SEED} {door}")
    port = flag(daemons, "master" if door == "master" else "agent-1", "port")
    if door == "loopback":
        port = flag(daemons, "agent-1", "executor_port")
    context = daemons.context("operator")

    def open_one() -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", int(port)), 10)
        if door in ("loopback", "plaintext"):
            return plain
        return context.wrap_socket(plain, server_hostname="localhost")

    assert spoil(open_one, chance, 400, 8) > 50


def test_spoiled_records_on_the_link(daemons: Daemons) -> None:
    chance = random.Random(f"{SEED} link")
    info = m.AgentInfo(hostname="localhost", port=1, id=m.AgentID(value="x-S9"))
    status = m.TaskStatus(
        task_id=m.TaskID(value="t"), state=m.TaskState.TASK_RUNNING, uuid=b"u" * 16
    )
    frames = [
        agentlink.frame(agentlink.Register(info=info, pid="slave(1)@1:1", version="1.11.0")),
        agentlink.frame(agentlink.Reregister(info=info, pid="slave(1)@1:1", version="1.11.0")),
        agentlink.frame(agentlink.Pong()),
        agentlink.frame(
            agentlink.StatusUpdate(framework_id="f", status=status, latest_state=status.state)
        ),
        agentlink.frame(agentlink.ExitedExecutor(framework_id="f", executor_id="e", status=9)),
        agentlink.frame(agentlink.ExecutorMessage(framework_id="f", executor_id="e", data=b"x")),
        agentlink.frame(agentlink.Unregister()),
    ]
    context = daemons.context("stranger")
    context.set_alpn_protocols([agentlink.ALPN.decode()])
    port = int(flag(daemons, "master", "port"))
    for _ in range(600):
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            with contextlib.suppress(OSError):
                link: ssl.SSLSocket = context.wrap_socket(plain, server_hostname="localhost")
                good = chance.choice(frames) if chance.random() < 0.5 else b""
                link.sendall(good + mutated(chance, chance.choice(frames), RAW_WORDS))
                link.close()
    # The real agent's link is as it was.
    agents = daemons.request("GET", "/slaves").json()["slaves"]
    real = int(flag(daemons, "agent-1", "port"))
    assert [one["active"] for one in agents if one["port"] == real] == [True]


def test_handshakes_that_never_end(daemons: Daemons) -> None:
    """Half-open connections and spoiled TLS records take nobody's place."""
    chance = random.Random(f"{SEED} tls")
    port = int(flag(daemons, "master", "port"))
    hello = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        daemons.context(None).wrap_bio(
            ssl.MemoryBIO(), hello, server_hostname="localhost"
        ).do_handshake()
    record = hello.read()
    kept = []
    for number in range(300):
        sock = socket.create_connection(("127.0.0.1", port), 10)
        with contextlib.suppress(OSError):
            sock.sendall(record[:50] if number % 3 else mutated(chance, record, RAW_WORDS))
        kept.append(sock)
    assert daemons.request("GET", "/health").status == 200
    for sock in kept:
        sock.close()
