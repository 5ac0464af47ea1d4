"""The client obeys its session, over a reactor that only remembers."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from mesos_twisted.security.core.secret import Secret
from mesos_twisted.zookeeper import jute, wire
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core.events import SessionState
from mesos_twisted.zookeeper.errors import ConnectionLostError, SessionEndedError
from mesos_twisted.zookeeper.net.client import ZooKeeperClient


class Reactor(Clock):
    """Remembers whom it was to connect to."""

    def __init__(self) -> None:
        super().__init__()
        self.tcpClients: list[tuple[Any, ...]] = []

    def connectTCP(self, *attempt: Any) -> Any:
        self.tcpClients.append(attempt)
        return self

    def disconnect(self) -> None:
        """As a connector, of any attempt."""


class Transport(StringTransport):
    """Remembers whether it was dropped."""

    def abortConnection(self) -> None:
        self.disconnecting = True


class World:
    """A client and whom it tried."""

    def __init__(self, **options: Any) -> None:
        self.reactor = Reactor()
        servers = [("a", 1), ("b", 2)]
        self.client = ZooKeeperClient(self.reactor, servers, 6.0, lambda: 0.5, **options)
        self.transport = Transport()
        self.wire: Any = None
        self.client.start()
        self.turn()

    def turn(self, seconds: float = 0.0) -> None:
        self.reactor.advance(seconds)

    @property
    def tried(self) -> list[tuple[str, int]]:
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def accept(self) -> None:
        """The newest attempt succeeds."""
        factory = self.reactor.tcpClients[-1][2]
        self.wire, self.transport = factory.buildProtocol(None), Transport()
        self.wire.makeConnection(self.transport)
        self.turn()

    def sent(self) -> list[bytes]:
        """The messages written since this was asked last."""
        self.turn()
        messages = wire.Frames().feed(self.transport.value())
        self.transport.clear()
        return messages

    def say(self, message: bytes) -> None:
        self.wire.dataReceived(wire.frame(message))
        self.turn()

    def greet(self) -> None:
        self.accept()
        self.sent()
        self.say(jute.encode_connected(r.ConnectResponse(6000, 7, bytes(16))))


def outcome(deferred: Any) -> list[Any]:
    """What it has fired with, if it has."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found


def test_it_tries_each_server() -> None:
    """A refusal is no reason to wait, until all have refused."""
    world = World()
    assert world.tried == [("a", 1)]
    for _ in range(2):
        factory = world.reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        world.turn()
    assert world.tried == [("a", 1), ("b", 2)]
    world.turn(0.2)
    assert world.tried == [("a", 1), ("b", 2), ("a", 1)]


def test_calls_of_one_turn_are_one_write() -> None:
    """However many they are, and they keep their order."""
    world = World(credentials=Secret(b"u:p"))
    world.greet()
    assert [jute.decode_request(x)[1] for x in world.sent()] == [r.Auth("digest", b"u:p")]
    writes: list[bytes] = []
    world.transport.write = writes.append  # type: ignore[method-assign]  # to count them
    for name in "abc":
        world.client.sync(f"/{name}")
    assert writes == []
    world.turn()
    assert len(writes) == 1
    requests = [jute.decode_request(x)[1] for x in wire.Frames().feed(writes[0])]
    assert requests == [r.Sync("/a"), r.Sync("/b"), r.Sync("/c")]


def test_a_call_made_by_an_answers_callback_comes_after_it() -> None:
    """Whoever asks again at once is not lost in the middle of the first answer."""
    world = World()
    world.greet()
    again: list[Any] = []
    world.client.sync("/a").addCallback(lambda _: again.append(world.client.sync("/b")))
    ((xid, _),) = [jute.decode_request(x) for x in world.sent()]
    world.say(jute.encode_reply(xid, 1, 0, r.Synced("/a")))
    assert [jute.decode_request(x)[1] for x in world.sent()] == [r.Sync("/b")]


def test_a_broken_connection_fails_what_was_sent() -> None:
    """It may have happened; the next server is tried at once."""
    world = World()
    world.greet()
    found = outcome(world.client.get("/a"))
    world.sent()
    world.wire.connectionLost(Failure(ConnectionDone()))
    world.turn()
    assert found[0].type is ConnectionLostError
    assert world.client.state is SessionState.SUSPENDED
    assert world.tried[-1] == ("b", 2)


def test_rubbish_drops_the_connection() -> None:
    """A length that cannot be true; nothing more of it is read."""
    world = World()
    world.greet()
    world.wire.dataReceived(b"\xff\xff\xff\xff" + bytes(100))
    world.turn()
    assert world.transport.disconnecting
    assert world.client.state is SessionState.SUSPENDED


def test_what_a_dropped_connection_still_says_is_nobodys() -> None:
    """The messages behind the one that ended it are not read."""
    world = World()
    world.greet()
    told: list[Any] = []
    world.client.get("/a", told.append)
    ((xid, _),) = [jute.decode_request(x) for x in world.sent()]
    reply = jute.encode_reply(xid, 1, 0, r.Data(b"", r.Stat()))
    expired = jute.encode_reply(r.XID_PING, 1, r.Code.SESSION_EXPIRED)
    event = jute.encode_event(r.WatchEvent(r.EventKind.DELETED, "/a"))
    world.wire.dataReceived(b"".join(map(wire.frame, (reply, expired, event))))
    assert world.client.state is SessionState.EXPIRED
    assert told == []


def test_a_listener_that_fails_hurts_nobody() -> None:
    """The others hear, and answers come."""
    world = World()
    heard: list[SessionState] = []

    def bad(state: SessionState, why: str) -> None:
        raise ValueError("a bug")

    world.client.listen(bad)
    world.client.listen(lambda state, why: heard.append(state))
    world.greet()
    assert heard == [SessionState.CONNECTED]


@pytest.mark.parametrize("when", ["dialling", "greeting", "connected", "suspended"])
def test_closing_leaves_nothing(when: str) -> None:
    """Whenever it is asked, no timer stays and nobody waits for ever."""
    world = World()
    if when == "greeting":
        world.accept()
    elif when != "dialling":
        world.greet()
    if when == "suspended":
        world.wire.connectionLost(Failure(ConnectionDone()))
    waiting = outcome(world.client.get("/a"))
    closed = outcome(world.client.close())
    if when == "connected":
        assert closed == []
        *_, (_, request) = [jute.decode_request(x) for x in world.sent()]
        assert request == r.CloseSession()
        world.turn(2.0)
    assert closed == [None]
    assert waiting[0].type in (SessionEndedError, ConnectionLostError)
    assert outcome(world.client.close()) == [None]
    assert outcome(world.client.get("/b"))[0].type is SessionEndedError
    world.turn()
    assert world.reactor.getDelayedCalls() == []


def test_a_context_that_cannot_be_made_is_a_failed_attempt() -> None:
    """Certificate files may be good again at the next."""

    class Bad:
        def client_context(self) -> Any:
            raise ValueError("no file")

        def server_context(self) -> Any:
            raise AssertionError

    world = World(contexts=Bad())
    factory = world.reactor.tcpClients[-1][2]
    assert factory.buildProtocol(None) is None
    world.turn()
    assert world.tried == [("a", 1), ("b", 2)]


def test_pings_are_sent_by_the_clock() -> None:
    """A third of the time-out; and the session ends by itself when nobody answers."""
    world = World()
    world.greet()
    world.turn(2.0)
    assert [jute.decode_request(x) for x in world.sent()] == [(r.XID_PING, r.Ping())]
    world.turn(2.0)
    assert world.client.state is SessionState.SUSPENDED
    world.turn(2.0)
    assert world.client.state is SessionState.EXPIRED
    world.turn()
    assert world.reactor.getDelayedCalls() == []


def test_what_came_while_the_process_was_busy_is_read_before_a_server_is_left() -> None:
    """A timer comes before the input that waited as long as it did."""
    world = World()
    world.greet()
    pong = wire.frame(jute.encode_reply(r.XID_PING, 1, 0))
    world.reactor.callLater(4.5, world.wire.dataReceived, pong)
    world.turn(4.5)
    assert not world.transport.disconnecting and len(world.tried) == 1
    assert [jute.decode_request(x)[0] for x in world.sent()] == [r.XID_PING]


def test_a_process_that_is_always_busy_pings_all_the_same() -> None:
    """Each turn takes longer than a timer may be late."""
    world = World()
    world.greet()
    real, turn = world.reactor.callLater, 0.5

    def late(seconds: float, *call: Any, **named: Any) -> Any:
        return real(max(seconds, turn) if seconds < 1 else seconds + turn, *call, **named)

    world.reactor.callLater = late  # type: ignore[method-assign]  # every timer comes late
    pong = jute.encode_reply(r.XID_PING, 1, 0)
    sent = []
    for _ in range(20):
        world.reactor.advance(turn)
        sent += [jute.decode_request(x)[0] for x in wire.Frames().feed(world.transport.value())]
        world.transport.clear()
        world.wire.dataReceived(wire.frame(pong))
    assert sent.count(r.XID_PING) >= 2 and world.client.state is SessionState.CONNECTED


def test_a_session_that_is_over_ends_at_once_however_busy_the_process_was() -> None:
    world = World()
    world.greet()
    states: list[SessionState] = []
    world.client.listen(lambda state, why: states.append(state))
    world.reactor.callLater(6.5, lambda: states.append(SessionState.CLOSED))
    world.turn(7.0)
    assert states[0] is SessionState.EXPIRED
