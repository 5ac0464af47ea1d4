"""Only a master is believed; a broken link comes back; a master that does not read is cut."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.net import link as link_module
from mesos_twisted.agent.net.leader import FixedMasters, MasterSource, parse_masters
from mesos_twisted.agent.net.link import MAX_BUFFER_BYTES, LinkProtocol
from mesos_twisted.agent.net.master_link import MasterLink
from mesos_twisted.clock import Timers
from mesos_twisted.election.interfaces import Contender
from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority
from mesos_twisted.transport.batch import FlushBatch


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """DER of a master's and of an agent's certificate."""
    root = tmp_path_factory.mktemp("pki")
    authority.make_authority(root, "c")
    out: dict[str, bytes] = {}
    for role in (Role.MASTER, Role.AGENT):
        issued = authority.issue(root, role, role.value, ["h"])
        pem = Path(issued.cert).read_bytes()
        out[role.value] = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    return out


class FakeTransport:
    """A handshaken connection."""

    def __init__(self, certificate: bytes | None) -> None:
        self.certificate, self.written, self.aborted = certificate, b"", False
        self.buffered_bytes = 0

    def peer_certificate(self) -> bytes | None:
        return self.certificate

    def write(self, data: bytes) -> None:
        self.written += data

    def abortConnection(self) -> None:
        self.aborted = True

    loseConnection = abortConnection

    def getPeer(self) -> object:
        return object()


class NoContexts:
    """TLS is not reached here."""

    def client_context(self, alpn: Any = None) -> ssl.SSLContext:
        raise AssertionError


class World:
    """A link over a reactor that only remembers."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        masters: str = "a:1,b:2",
        source: MasterSource | None = None,
    ) -> None:
        patch.setattr(
            link_module,
            "connect_tcp",
            lambda reactor, host, port, factory, timeout_s: self.tried.append((host, port)),
        )
        self.reactor, self.tried = Clock(), list[tuple[str, int]]()
        self.events: list[ev.Event] = []
        self.link = MasterLink(
            self.reactor,
            Timers(self.reactor),
            NoContexts(),
            source or FixedMasters(parse_masters(masters)),
            FlushBatch(self.reactor),
            handle=self.events.append,
            now=lambda: 1.0,
            fresh=lambda: ConnectionId(1),
            jitter=lambda: 0.0,
            count=lambda name, amount: None,
            standby_links=False,
        )

    def targets(self) -> list[tuple[str, int]]:
        """Where was connected to."""
        return self.tried

    def connect(self, certificate: bytes | None) -> tuple[LinkProtocol, FakeTransport]:
        """A connection whose peer showed this certificate."""
        protocol = LinkProtocol(self.link.dialer, self.link, ConnectionId(4))
        transport = FakeTransport(certificate)
        protocol.makeConnection(transport)  # type: ignore[arg-type]  # what a link uses of one
        return protocol, transport


def lost() -> Failure:
    return Failure(ConnectionRefusedError("refused"))  # type: ignore[no-untyped-call]


def test_the_masters_are_tried_in_turn_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And no try is made while one is waiting."""
    world = World(monkeypatch)
    world.link.start()
    for _ in range(3):
        world.link.failed("refused")
        world.link.failed("refused")
        world.reactor.advance(1.0)
    assert world.targets() == [("a", 1), ("b", 2), ("a", 1), ("b", 2)]
    world.link.stop()
    world.reactor.advance(100)
    assert len(world.targets()) == 4 and not world.reactor.getDelayedCalls()


def test_a_master_is_believed_and_its_records_come(
    certificates: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, whatever the pieces."""
    world = World(monkeypatch)
    world.link.start()
    protocol, transport = world.connect(certificates["master"])
    assert world.link.connected
    data = agentlink.frame(agentlink.Ping()) + agentlink.frame(agentlink.Shutdown(message="x"))
    for at in range(len(data)):
        protocol.dataReceived(data[at : at + 1])
    world.link.send(agentlink.Pong())
    kinds = [type(one).__name__ for one in world.events]
    assert kinds == ["LinkOpened", "MasterSaid", "MasterSaid"]
    assert transport.written == agentlink.frame(agentlink.Pong())
    protocol.connectionLost(lost())
    assert world.events[-1] == ev.LinkClosed(ConnectionId(4), 1.0)
    world.link.send(agentlink.Pong())
    world.reactor.advance(20)
    assert len(world.targets()) == 2


@pytest.mark.parametrize("who", ["agent", None])
def test_anybody_else_is_refused(
    certificates: dict[str, bytes], who: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one record of theirs is read."""
    world = World(monkeypatch)
    protocol, transport = world.connect(None if who is None else certificates[who])
    protocol.dataReceived(agentlink.frame(agentlink.Ping()))
    assert transport.aborted and not world.events


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{}"])
def test_nonsense_ends_the_link(
    certificates: dict[str, bytes], data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too long, or no record."""
    world = World(monkeypatch)
    protocol, transport = world.connect(certificates["master"])
    protocol.dataReceived(data)
    assert transport.aborted


def test_a_master_that_does_not_read_is_cut(
    certificates: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded."""
    world = World(monkeypatch)
    _, transport = world.connect(certificates["master"])
    transport.buffered_bytes = MAX_BUFFER_BYTES + 1
    world.link.send(agentlink.Pong())
    assert transport.aborted


def test_where_the_masters_are() -> None:
    """Ports have a default; nonsense is one sentence."""
    assert parse_masters("a:1, b") == (("a", 1), ("b", 5050))
    assert parse_masters("[::1]:7,[::2]") == (("::1", 7), ("::2", 5050))
    for text in ("", ",", "zk://a:1/m", "a:x", "a:0", "::1", ":5050"):
        with pytest.raises(MalformedError):
            parse_masters(text)


class OneMaster:
    """Whoever leads, as a test says."""

    elected = True

    def __init__(self) -> None:
        self.now: tuple[tuple[str, int], ...] = ()
        self.changed: Callable[[], object] = lambda: None

    def start(self, changed: Callable[[], object], *, standbys: bool = False) -> None:
        self.changed = changed

    def leader(self) -> Contender | None:
        return next((Contender(*one, f"id of {one[0]}") for one in self.now), None)

    def contenders(self) -> tuple[Contender, ...]:
        return ()

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def candidates(self) -> tuple[tuple[str, int], ...]:
        return self.now

    def becomes(self, host: str) -> None:
        self.now = ((host, 5050),)
        self.changed()


def test_a_new_leader_is_connected_to_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for the next try, however long that has become."""
    source = OneMaster()
    world = World(monkeypatch, source=source)
    world.link.start()
    assert world.targets() == []
    world.reactor.advance(100)
    source.becomes("a")
    world.reactor.advance(0)
    assert world.targets() == [("a", 5050)]


def test_a_new_leader_ends_the_link_to_the_old_one(
    monkeypatch: pytest.MonkeyPatch, certificates: dict[str, bytes]
) -> None:
    """Nothing more is said to it. That nobody leads changes nothing, nor that it leads again."""
    source = OneMaster()
    world = World(monkeypatch, source=source)
    world.link.start()
    source.becomes("a")
    world.reactor.advance(0)
    _, transport = world.connect(certificates["master"])
    assert world.link.connected
    source.now = ()
    source.changed()
    source.becomes("a")
    assert not transport.aborted
    source.becomes("b")
    assert transport.aborted
