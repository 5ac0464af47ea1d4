"""The simulated network keeps TCP's promises and Twisted's habits; its faults do what they say."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TCPTimedOutError,
    TimeoutError,
)
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory

from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.net import GIVE_UP_S, Cut, Profile, SimNetwork
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.testing.sim.sockets import WINDOW
from mesos_twisted.transport.tcp import connect_tcp, listen_tcp


class Ear(Protocol):
    """Remembers what it was told, and may answer."""

    def __init__(self, echo: bool = False) -> None:
        self.received = bytearray()
        self.chunks: list[int] = []
        self.ended: Any = None
        self.echo = echo

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.chunks.append(len(data))
        if self.echo:
            self.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.ended = reason.type


class Server(ServerFactory):
    noisy = False

    def __init__(self, echo: bool = False) -> None:
        self.made: list[Ear] = []
        self.echo = echo

    def buildProtocol(self, addr: Any) -> Ear:
        self.made.append(Ear(self.echo))
        return self.made[-1]


class Client(ClientFactory):
    noisy = False

    def __init__(self) -> None:
        self.ear = Ear()
        self.connected = False
        self.failed: Any = None
        self.lost: Any = None

    def buildProtocol(self, addr: Any) -> Ear:
        self.connected = True
        return self.ear

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.failed = reason.type

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        self.lost = reason.type


class World:
    """Two nodes, a process on each, and a server."""

    def __init__(self, seed: int = 1, echo: bool = False, **profile: float) -> None:
        self.clock = SimClock(seed)
        self.net = SimNetwork(self.clock, Profile(**profile) if profile else None)
        self.a = self.net.node("a", "10.0.0.1", "a.sim")
        self.b = self.net.node("b", "10.0.0.2")
        self.here = SimReactor(self.a, "a/p")
        self.there = SimReactor(self.b, "b/p")
        self.server = Server(echo)
        self.port = self.there.listenTCP(80, self.server)

    def connect(self, host: str = "b", timeout_s: float = 10.0) -> Client:
        client = Client()
        connect_tcp(self.here, host, 80, client, timeout_s)
        return client

    def joined(self) -> tuple[Any, Ear, Ear]:
        """A connection: the client's transport, its ear, the server's ear."""
        client = self.connect()
        self.clock.run(1)
        return client.ear.transport, client.ear, self.server.made[-1]


def test_it_is_no_reactor_of_descriptors() -> None:
    assert not IReactorFDSet.providedBy(World().here)


def test_bytes_arrive_later_and_in_order() -> None:
    world = World(latency_s=0.1)
    client = world.connect("10.0.0.2")
    world.clock.run(0.15)
    assert not client.connected and len(world.server.made) == 1
    world.clock.run(0.1)
    assert client.connected
    client.ear.transport.write(b"one ")
    client.ear.transport.writeSequence([b"two ", b"three"])
    world.clock.run(0.09)
    assert world.server.made[0].received == b""
    world.clock.run(0.02)
    assert world.server.made[0].received == b"one two three"
    assert client.ear.transport.getPeer().host == "10.0.0.2"
    assert world.server.made[0].transport.getPeer().host == "10.0.0.1"


@pytest.mark.parametrize("seed", range(5))
def test_any_cutting_into_pieces_gives_the_same_bytes(seed: int) -> None:
    world = World(seed, echo=True, latency_s=0.01, jitter_s=0.05, pieces=0.9, joined=0.3)
    transport, ear, other = world.joined()
    sent = b"".join(bytes([i % 251]) * (i * 37 % 900) for i in range(300))
    for start in range(0, len(sent), 5000):
        transport.write(sent[start : start + 5000])
        world.clock.run(0.2)
    world.clock.run(60)
    assert bytes(other.received) == bytes(ear.received) == sent
    assert 1 in other.chunks and max(other.chunks) > 1000


def test_bandwidth_takes_time() -> None:
    world = World(bytes_per_s=1000.0)
    transport, _, other = world.joined()
    transport.write(bytes(5000))
    world.clock.run(4.9)
    assert len(other.received) == 0
    world.clock.run(0.2)
    assert len(other.received) == 5000


def test_a_peer_that_does_not_read_fills_the_window_and_pauses_the_producer() -> None:
    world = World()
    transport, _, other = world.joined()
    calls: list[str] = []

    class Producer:
        def pauseProducing(self) -> None:
            calls.append("pause")

        def resumeProducing(self) -> None:
            calls.append("resume")

        def stopProducing(self) -> None:
            calls.append("stop")

    other.transport.pauseProducing()
    transport.registerProducer(Producer(), True)
    transport.write(bytes(WINDOW))
    world.clock.run(1)
    assert calls == [] and transport.buffered_bytes == 0
    transport.write(bytes(70_000))
    assert calls == ["pause"] and transport.buffered_bytes == 70_000
    world.clock.run(100)
    assert len(other.received) == 0
    other.transport.resumeProducing()
    world.clock.run(1)
    assert calls == ["pause", "resume"] and len(other.received) == WINDOW + 70_000
    other.transport.abortConnection()
    world.clock.run(1)
    assert calls == ["pause", "resume", "stop"]


def test_a_pull_producer_is_asked_again_and_again() -> None:
    world = World()
    transport, _, other = world.joined()

    class Pull:
        left = 5

        def resumeProducing(self) -> None:
            if self.left:
                self.left -= 1
                transport.write(bytes(1000))
            else:
                transport.unregisterProducer()
                transport.loseConnection()

        def stopProducing(self) -> None:
            pass

    transport.registerProducer(Pull(), False)
    world.clock.run(1)
    assert len(other.received) == 5000 and other.ended is ConnectionDone


def test_closing_waits_for_what_was_written_and_reads_no_more() -> None:
    world = World()
    transport, ear, other = world.joined()
    transport.write(bytes(1_000_000))
    transport.loseConnection()
    world.clock.run(1)
    assert len(other.received) == 1_000_000
    assert (ear.ended, other.ended) == (ConnectionDone, ConnectionDone)


def test_closing_with_unread_bytes_is_a_reset() -> None:
    world = World()
    transport, ear, other = world.joined()
    transport.pauseProducing()
    other.transport.write(b"unread")
    world.clock.run(1)
    transport.loseConnection()
    world.clock.run(1)
    assert (ear.ended, other.ended) == (ConnectionDone, ConnectionLost)


def test_an_abort_is_a_reset() -> None:
    world = World()
    transport, ear, other = world.joined()
    transport.abortConnection()
    assert ear.ended is None
    world.clock.run(1)
    assert (ear.ended, other.ended) == (ConnectionAborted, ConnectionLost)


def test_nobody_listens() -> None:
    world = World()
    world.port.stopListening()
    client = world.connect()
    world.clock.run(0.1)
    assert client.failed is ConnectionRefusedError
    world.there.listenTCP(80, world.server)
    world.b.refusing = True
    client = world.connect()
    world.clock.run(0.1)
    assert client.failed is ConnectionRefusedError


def test_a_port_is_taken_once() -> None:
    world = World()
    with pytest.raises(CannotListenError):
        listen_tcp(world.there, "10.0.0.2", 80, world.server)
    free = listen_tcp(world.there, "10.0.0.2", 0, world.server)
    assert free.getHost().port > 32768
    world.port.stopListening()
    listen_tcp(world.there, "127.0.0.1", 80, world.server)
    client = world.connect()
    world.clock.run(1)
    assert client.failed is ConnectionRefusedError


def test_names_and_their_failures() -> None:
    world = World()
    world.a.dns_down = True
    client = world.connect("b")
    world.clock.run(1)
    assert client.failed is DNSLookupError
    world.a.dns_down = False
    world.a.names["b"] = None
    client = world.connect("b")
    world.clock.run(1)
    assert client.failed is DNSLookupError
    client = world.connect("10.0.0.2")
    world.clock.run(1)
    assert client.connected


def test_a_node_without_power_answers_nothing() -> None:
    world = World()
    world.b.power_cut()
    client = world.connect(timeout_s=7.0)
    world.clock.run(6.9)
    assert client.failed is None
    world.clock.run(0.2)
    assert client.failed is TimeoutError


def test_after_a_power_cut_a_connection_is_half_open() -> None:
    world = World()
    transport, ear, other = world.joined()
    world.b.power_cut()
    world.clock.run(5000)
    assert ear.ended is None and other.ended is None
    transport.write(b"anybody there?")
    world.clock.run(GIVE_UP_S - 10)
    assert ear.ended is None
    world.clock.run(20)
    assert ear.ended is TCPTimedOutError


def test_a_node_that_is_back_resets_what_it_does_not_know() -> None:
    world = World()
    transport, ear, _ = world.joined()
    world.b.power_cut()
    transport.write(b"anybody there?")
    world.clock.run(100)
    world.b.power_on()
    world.clock.run(15)
    assert ear.ended is ConnectionLost


def test_a_killed_processs_connections_are_closed_by_its_kernel() -> None:
    world = World()
    _, ear, other = world.joined()
    world.there.kill()
    world.clock.run(1)
    assert ear.ended is ConnectionDone and other.ended is None
    assert world.b.listening == {} and world.b.processes == {}
    again = SimReactor(world.b, "b/p")
    again.listenTCP(80, world.server)
    client = world.connect()
    world.clock.run(1)
    assert client.connected


def test_a_paused_process_accepts_and_receives_late() -> None:
    world = World()
    transport, _, other = world.joined()
    world.there.pause()
    transport.write(b"while you slept")
    client = world.connect()
    world.clock.run(50)
    assert client.connected and len(world.server.made) == 1 and other.received == b""
    client.ear.transport.write(b"hello")
    world.clock.run(50)
    world.there.resume()
    world.clock.run(1)
    assert other.received == b"while you slept"
    assert world.server.made[1].received == b"hello"


def test_a_black_hole_in_one_direction_delays_what_tcp_repeats() -> None:
    world = World()
    transport, ear, other = world.joined()
    world.net.cut(world.a, world.b)
    transport.write(b"one")
    other.transport.write(b"other way")
    world.clock.run(60)
    assert other.received == b"" and ear.received == b"other way"
    transport.write(b"two")
    world.net.heal(world.a, world.b)
    world.clock.run(130)
    assert other.received == b"onetwo" and ear.ended is None


def test_without_acknowledgements_the_sender_stalls_and_gives_up() -> None:
    world = World()
    transport, ear, other = world.joined()
    world.net.cut(world.b, world.a)
    for _ in range(10):
        transport.write(bytes(WINDOW // 4))
    world.clock.run(10)
    assert len(other.received) == WINDOW and transport.buffered_bytes > WINDOW
    world.clock.run(GIVE_UP_S)
    assert ear.ended is TCPTimedOutError


def test_a_cut_that_resets() -> None:
    world = World()
    transport, ear, other = world.joined()
    world.net.cut(world.a, world.b, Cut.RESET)
    transport.write(b"x")
    world.clock.run(1)
    assert (ear.ended, other.ended) == (ConnectionLost, ConnectionLost)
    client = world.connect()
    world.clock.run(1)
    assert client.failed is ConnectionRefusedError


def test_a_partition_and_its_end() -> None:
    world = World()
    _, ear, _ = world.joined()
    world.net.partition([world.a], [world.b])
    client = world.connect(timeout_s=500)
    world.clock.run(30)
    assert not client.connected and ear.ended is None
    world.net.heal_all()
    world.clock.run(130)
    assert client.connected
    world.net.reset(world.a, world.b)
    world.clock.run(1)
    assert ear.ended is ConnectionLost


def test_a_client_that_has_given_up_resets_a_late_answer() -> None:
    world = World()
    world.net.cut(world.b, world.a)
    client = world.connect(timeout_s=5)
    world.clock.run(10)
    assert client.failed is TimeoutError and len(world.server.made) == 1
    world.net.heal_all()
    world.clock.run(130)
    assert world.server.made[0].ended is ConnectionLost


def test_a_reset_is_noticed_by_reading_or_writing_only() -> None:
    world = World()
    transport, ear, other = world.joined()
    transport.pauseProducing()
    other.transport.abortConnection()
    world.clock.run(5)
    assert ear.ended is None
    transport.write(b"x")
    world.clock.run(1)
    assert ear.ended is ConnectionLost


def test_a_bug_in_a_protocol_costs_its_connection() -> None:
    world = World()
    transport, ear, other = world.joined()
    reports: list[Any] = []
    world.there.on_error = reports.append
    other.dataReceived = lambda data: 1 / 0  # type: ignore[method-assign,assignment]
    transport.write(b"x")
    world.clock.run(1)
    assert [report.type for report in reports] == [ZeroDivisionError]
    assert (ear.ended, other.ended) == (ConnectionDone, ConnectionLost)


def _storm(seed: int) -> str:
    world = World(seed, echo=True, jitter_s=0.02, pieces=0.7, joined=0.2)
    chance = world.clock.random("test")
    clients = [world.connect() for _ in range(5)]
    for round_number in range(40):
        for client in clients:
            if client.connected and client.ear.ended is None:
                client.ear.transport.write(bytes(chance.randint(1, 5000)))
        if round_number % 7 == 3:
            world.net.cut(world.a, world.b)
        elif round_number % 7 == 5:
            world.net.heal_all()
        world.clock.run(chance.random())
    return world.clock.trace()


def test_one_seed_one_trace() -> None:
    assert _storm(3) == _storm(3) != _storm(4)
