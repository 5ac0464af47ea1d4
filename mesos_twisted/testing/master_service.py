"""A whole master without sockets: real parts over a Clock, spoken to by requests and fake links."""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from mesos_twisted.election.interfaces import Elector
from mesos_twisted.election.standalone import StandaloneElector
from mesos_twisted.logs import Logging
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.net.service import MasterService
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.recordio import Decoder
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.security.core.principal import Principal, Role
from mesos_twisted.security.net.authority import issue, make_authority
from mesos_twisted.security.net.identity import PeerIdentity
from mesos_twisted.transport.messages import ChunkedBody, Peer, Request, Response, StreamResponse
from mesos_twisted.transport.stream import StreamWriter

JSON = "application/json"


@dataclass(frozen=True)
class Certificates:
    """An authority with one certificate for each role, in a directory."""

    directory: Path

    @classmethod
    def make(cls, directory: Path) -> Certificates:
        """Make them; some milliseconds each."""
        make_authority(directory, "c")
        for role in (Role.MASTER, Role.AGENT, Role.FRAMEWORK, Role.OPERATOR):
            issue(directory, role, role.value, ["localhost"])
        return cls(directory)

    def der(self, name: str) -> bytes:
        """A certificate as a peer would show it."""
        text = (self.directory / f"{name}.pem").read_text()
        end = "-----END CERTIFICATE-----\n"
        return ssl.PEM_cert_to_DER_cert(text[: text.index(end) + len(end)])


def identity(role: Role | None, name: str) -> PeerIdentity | None:
    """What a certificate of this role proves; None for a peer without one."""
    if role is None:
        return None
    return PeerIdentity(Principal(name, role, (), "certificate"), 1, b"", 0.0, 2e9, ("localhost",))


@dataclass
class Stream:
    """The client's end of an endless answer."""

    status: int
    headers: dict[str, str]
    received: bytearray = field(default_factory=bytearray)
    ended: bool = False
    writer: Any = None
    _decoder: Decoder = field(default_factory=lambda: Decoder(1 << 30))

    def stream_write(self, data: bytes) -> None:
        self.received += data

    def stream_end(self) -> None:
        self.ended = True

    def stream_abort(self) -> None:
        self.ended = True

    def events(self) -> list[Any]:
        """The JSON records that came since the last call."""
        data, self.received = bytes(self.received), bytearray()
        return [msgspec.json.decode(record) for record in self._decoder.feed(data)]


class LinkTransport:
    """The agent's end of a link."""

    def __init__(self, certificate: bytes | None) -> None:
        self._certificate = certificate
        self._deframer = agentlink.Deframer()
        self.out = bytearray()
        self.closed = False
        self.producer: Any = None
        self.context = None

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 40000)

    def peer_certificate(self) -> bytes | None:
        return self._certificate

    def write(self, data: bytes) -> None:
        self.out += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseConnection(self) -> None:
        self.closed = True

    abortConnection = loseConnection

    def records(self) -> list[Any]:
        """The master's records since the last call."""
        data, self.out = bytes(self.out), bytearray()
        return [agentlink.from_master(body) for body in self._deframer.feed(data)]


class MasterWorld:
    """One master that leads, unless `elector` says otherwise."""

    def __init__(
        self,
        certificates: Certificates,
        elector: Elector | None = None,
        registry: MemoryRegistry | None = None,
        **flags: Any,
    ) -> None:
        directory = certificates.directory
        config = MasterConfig(
            registry="in_memory",
            cluster="c",
            tls_cert_file=str(directory / "master.pem"),
            tls_key_file=str(directory / "master-key.pem"),
            tls_ca_file=str(directory / "ca.pem"),
            **flags,
        )
        self.certificates = certificates
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.stopped: list[tuple[int, str]] = []
        self.ready = 0
        self.registry = registry or MemoryRegistry()
        self.service = MasterService(
            config,
            self.clock,
            self.registry,
            elector or StandaloneElector(),
            Logging(io.StringIO(), "json", "INFO"),
            self.clock.seconds,
            bytes(32),
            lambda code, sentence: self.stopped.append((code, sentence)),
        )
        self.service.contend(self._ready)

    def _ready(self) -> None:
        self.ready += 1

    def request(
        self,
        method: str,
        target: str,
        body: object = b"",
        role: Role | None = Role.OPERATOR,
        name: str | None = None,
        **headers: str,
    ) -> Any:
        """The master's answer, as its handler gives it."""
        path, _, query = target.partition("?")
        known = identity(role, name or (role.value if role is not None else ""))
        peer = Peer("127.0.0.1", 40001, None, None, True, known)
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        if not isinstance(body, bytes):
            sent.setdefault("content-type", JSON)
            body = msgspec.json.encode(body)
        return self.service.endpoints.handle(
            Request(method, path, target.encode(), query, sent, body, peer)
        )

    def get(self, target: str, **more: Any) -> tuple[int, Any]:
        """Status and JSON document (or text) of a page."""
        return whole(self.request("GET", target, **more))

    def call(self, body: object, **more: Any) -> tuple[int, Any]:
        """Status and JSON document (or text) of an operator's call."""
        return whole(self.request("POST", "/api/v1", body, **more))

    def open(self, target: str, body: object, **more: Any) -> Stream:
        """An endless answer, started."""
        answer = self.request("POST", target, body, **more)
        assert isinstance(answer, StreamResponse), answer
        stream = Stream(answer.status, dict(answer.headers))
        stream.writer = StreamWriter(stream, 1 << 20, False, self.service.http.turns)
        answer.on_start(stream.writer)
        return stream

    def subscribe(self, role: Role = Role.FRAMEWORK, **info: Any) -> Stream:
        """A scheduler's stream."""
        whole_info = {
            "user": "nobody",
            "name": "f",
            "roles": ["*"],
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
            **info,
        }
        call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": whole_info}}
        return self.open("/api/v1/scheduler", call, role=role)

    def agent(self, name: str = "agent") -> tuple[Any, LinkTransport]:
        """A link that has just been opened: its protocol and its transport."""
        link = self.service.links.buildProtocol(None)
        transport = LinkTransport(self.certificates.der(name))
        link.makeConnection(transport)  # type: ignore[arg-type]  # what a link needs of one
        return link, transport

    def registered(self) -> tuple[Any, LinkTransport, str]:
        """An agent that is registered, and its id."""
        link, transport = self.agent()
        link.dataReceived(agentlink.frame(register()))
        said = next(r for r in transport.records() if isinstance(r, agentlink.Registered))
        return link, transport, said.agent_id

    def close(self) -> list[Any]:
        """Stop everything; what is still scheduled then."""
        self.service.stop()
        self.clock.advance(10.0)
        return list(self.clock.getDelayedCalls())


def whole(answer: Any) -> tuple[int, Any]:
    """Status and body of an answer that ends; JSON is decoded."""
    assert isinstance(answer, Response | ChunkedBody), answer
    body = answer.body if isinstance(answer, Response) else b"".join(answer.pieces)
    if answer.content_type == JSON:
        return answer.status, msgspec.json.decode(body)
    return answer.status, body.decode() if answer.content_type != "application/x-protobuf" else body


def register(hostname: str = "localhost") -> agentlink.Register:
    """A new agent's first word."""
    return agentlink.Register(
        info=m.AgentInfo(
            hostname=hostname,
            port=5051,
            resources=(scalar("cpus", 8.0), scalar("mem", 8000.0)),
            attributes=(
                m.Attribute(name="rack", type=m.ValueType.TEXT, text=m.ValueText(value="r1")),
            ),
        ),
        pid="slave(1)@127.0.0.1:5051",
        version="1.11.0",
        capabilities=("MULTI_ROLE",),
    )


def scalar(name: str, value: float) -> m.Resource:
    """One scalar resource."""
    return m.Resource(name=name, type=m.ValueType.SCALAR, scalar=m.ValueScalar(value=value))


Make = Callable[..., MasterWorld]
