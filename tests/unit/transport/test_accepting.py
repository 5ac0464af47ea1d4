"""A port with many who wait: each is looked at before it counts against the limit."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Factory, Protocol

from mesos_twisted.transport.listen import Listener, listen_tls
from mesos_twisted.transport.tls_factory import TlsLimits, TLSServerFactory

LIMIT = 64


class Contexts:
    def server_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)

    client_context = server_context


class Counts:
    def __init__(self) -> None:
        self.failed: list[str] = []

    def handshake_done(self, peer: str) -> None:
        """None is completed here."""

    def handshake_failed(self, reason: str, peer: str) -> None:
        self.failed.append(reason)


class World:
    """A TLS port with room for few handshakes, its reactor turned by hand."""

    def __init__(self) -> None:
        self.reactor = EPollReactor()
        self.counts = Counts()
        http = {b"http/1.1": Factory.forProtocol(Protocol)}
        limits = TlsLimits(handshaking=LIMIT)
        self.listener: Listener = listen_tls(
            self.reactor, "127.0.0.1", 0, Contexts(), http, limits, self.counts
        )
        self.clients: list[socket.socket] = []

    @property
    def handshaking(self) -> int:
        factory = self.listener.factory
        assert isinstance(factory, TLSServerFactory)
        return factory.handshaking

    def connect(self, data: bytes) -> socket.socket:
        """A client that has said this before the server looks."""
        client = socket.create_connection(("127.0.0.1", self.listener.port_number))
        client.sendall(data)
        self.clients.append(client)
        return client

    def turn(self, times: int) -> None:
        for _ in range(times):
            self.reactor.iterate(0.05)

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        done: list[object] = []
        self.listener.stop_listening().addBoth(done.append)
        self.turn(2)
        assert done
        self.reactor.fireSystemEvent("shutdown")
        self.reactor.iterate(0)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.stop()


def test_who_waits_to_be_accepted_is_no_slow_handshake(world: World) -> None:
    """Plaintext clients many times the limit, all there at once, cost nobody else a place."""
    for _ in range(8 * LIMIT):
        world.connect(b"GET / HTTP/1.1\r\n\r\n")
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(
            ssl.MemoryBIO(), hello, server_hostname="localhost"
        ).do_handshake()
    honest = world.connect(hello.read()[:50])
    world.turn(60)
    assert set(world.counts.failed) == {"plaintext"}
    assert len(world.counts.failed) == 8 * LIMIT and world.handshaking == 1
    honest.setblocking(False)
    with pytest.raises(BlockingIOError):
        honest.recv(1)  # it is waited for, neither answered nor cut


def test_half_open_handshakes_are_limited(world: World) -> None:
    """Those who say nothing keep their places; newcomers beyond them are cut."""
    for _ in range(LIMIT + 10):
        world.connect(b"")
    world.turn(20)
    assert (world.counts.failed, world.handshaking) == (["too_many"] * 10, LIMIT)
