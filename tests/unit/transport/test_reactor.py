"""However many peers speak at once, a turn is short and an urgent connection is read in it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from mesos_twisted.transport.reactor import AT_ONCE, FairReactor, make_urgent


class Heard:
    """A protocol that remembers what came."""

    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure) -> None:
        self.lost = True


class World:
    """Connections whose peers have all said something, and a reactor turned by hand."""

    def __init__(self) -> None:
        self.reactor = FairReactor()
        self.peers: list[socket.socket] = []
        self.heard: list[Heard] = []

    def connect(self) -> tuple[socket.socket, Heard, Connection]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        heard = Heard()
        transport = Connection(ours, heard, self.reactor)  # type: ignore[no-untyped-call]
        transport.connected = 1
        transport.startReading()  # type: ignore[no-untyped-call]
        self.peers.append(theirs)
        self.heard.append(heard)
        return theirs, heard, transport

    def turn(self) -> int:
        """How many were served in one more turn."""
        before = sum(bool(each.data) for each in self.heard)
        self.reactor.doIteration(0)
        return sum(bool(each.data) for each in self.heard) - before


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    for reader in made.reactor.removeAll():
        reader.connectionLost(Failure(ConnectionError("over")))  # type: ignore[no-untyped-call]
    for peer in made.peers:
        peer.close()
    made.reactor._poller.close()


def test_a_turn_serves_so_many_and_the_next_turn_the_others(world: World) -> None:
    for _ in range(3 * AT_ONCE):
        world.connect()[0].sendall(b"x")
    assert [world.turn() for _ in range(4)] == [AT_ONCE, AT_ONCE, AT_ONCE, 0]


def test_an_urgent_connection_is_read_in_every_turn(world: World) -> None:
    """Though all others have something to say in all of them, and came before it."""
    others = [world.connect()[0] for _ in range(4 * AT_ONCE)]
    peer, heard, transport = world.connect()
    make_urgent(world.reactor, transport)
    for turn in range(1, 6):
        for other in others:
            other.sendall(b"x")
        peer.sendall(b"u")
        world.turn()
        assert heard.data == b"u" * turn


def test_an_urgent_connection_that_is_gone_or_paused_is_let_be(world: World) -> None:
    for _ in range(4 * AT_ONCE):
        world.connect()[0].sendall(b"x")
    peer, heard, transport = world.connect()
    make_urgent(world.reactor, transport)
    transport.pauseProducing()  # type: ignore[no-untyped-call]
    peer.sendall(b"u")
    world.turn()
    assert heard.data == b""
    transport.resumeProducing()  # type: ignore[no-untyped-call]
    peer.close()
    world.turn()
    assert heard.data == b"u"
    world.turn()
    assert heard.lost
    world.turn()
    assert not world.reactor.urgent


def test_a_reactor_that_knows_no_urgency_is_no_obstacle() -> None:
    make_urgent(object(), object())
