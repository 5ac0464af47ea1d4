"""One TLS connection over an in-memory transport: when bytes leave, and how it ends."""

import ssl

import pytest
import trustme
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from mesos_twisted.transport.tls_factory import TlsLimits, TLSServerFactory

AUTHORITY = trustme.CA(key_type=trustme.KeyType.ECDSA)


class Transport(StringTransport):
    """Counts writes and remembers an abort."""

    def __init__(self):
        super().__init__()
        self.writes = []
        self.aborted = False

    def write(self, data):
        self.writes.append(data)
        super().write(data)

    def abortConnection(self):
        self.aborted = True


class Recorder(Protocol):
    def __init__(self):
        self.got, self.lost, self.answers = [], None, []

    def dataReceived(self, data):
        self.got.append(data)
        for answer in self.answers:
            self.transport.write(answer)

    def connectionLost(self, reason):
        self.lost = reason


class Pair:
    """A server's TLSConnection and a client's SSLObject."""

    def __init__(self, alpn=None, limits=None):
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        AUTHORITY.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA).configure_cert(
            self.context
        )
        self.context.num_tickets = 0
        self.context.set_alpn_protocols(["http/1.1", "mesos-link/1"])
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
        if alpn:
            context.set_alpn_protocols([alpn])
        self.failures = []
        self.clock = Clock()
        self.inner = Recorder()
        factory = Factory()
        factory.buildProtocol = lambda address: self.inner
        self.factory = TLSServerFactory(
            self.clock, self, {b"http/1.1": factory}, limits or TlsLimits(), self
        )
        self.server = self.factory.buildProtocol(None)
        self.transport = Transport()
        self.server.makeConnection(self.transport)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self.incoming, self.outgoing, server_hostname="127.0.0.1")

    def server_context(self):
        return self.context

    def handshake_done(self, peer):
        self.failures.append(None)

    def handshake_failed(self, reason, peer):
        self.failures.append(reason)

    def step(self):
        """Carry what is pending both ways."""
        if self.outgoing.pending:
            self.server.dataReceived(self.outgoing.read())
        self.incoming.write(self.transport.value())
        self.transport.clear()

    def handshake(self):
        for _ in range(4):
            try:
                self.client.do_handshake()
            except ssl.SSLWantReadError:
                self.step()
        self.step()
        self.transport.writes.clear()
        return self

    def send(self, data):
        self.client.write(data)
        self.step()

    def read(self):
        self.step()
        data = b""
        try:
            while piece := self.client.read(65536):
                data += piece
        except ssl.SSLWantReadError:
            pass
        return data


def test_what_is_written_during_a_delivery_leaves_in_one_send():
    pair = Pair().handshake()
    pair.inner.answers = [b"a", b"b", b"c"]
    pair.send(b"hello")
    assert pair.inner.got == [b"hello"] and len(pair.transport.writes) == 1
    assert pair.read() == b"abc" and pair.clock.getDelayedCalls() == []


def test_what_is_written_at_other_times_leaves_at_the_end_of_the_turn():
    pair = Pair().handshake()
    for _ in range(10):
        pair.server.write(b"x" * 100)
    assert pair.transport.writes == [] and pair.server.buffered_bytes == 1000
    pair.clock.advance(0)
    assert len(pair.transport.writes) == 1 and pair.server.buffered_bytes == 0
    assert pair.read() == b"x" * 1000


def test_a_large_write_leaves_at_once_and_whole():
    pair = Pair().handshake()
    pair.server.write(b"y" * 1_000_000)
    assert len(pair.transport.writes) == 1
    assert pair.read() == b"y" * 1_000_000
    pair.clock.advance(0)


def test_ciphertext_may_come_byte_by_byte():
    pair = Pair().handshake()
    pair.client.write(b"hello")
    for byte in pair.outgoing.read():
        pair.server.dataReceived(bytes((byte,)))
    assert pair.inner.got == [b"hello"]


@pytest.mark.parametrize("size", [10, 5_000, 100_000])
def test_what_comes_with_the_end_of_the_handshake_is_delivered(size):
    pair = Pair()
    for _ in range(2):
        try:
            pair.client.do_handshake()
        except ssl.SSLWantReadError:
            pair.step()
    pair.client.do_handshake()
    sent = 0
    while sent < size:
        sent += pair.client.write(b"z" * (size - sent))
    pair.step()  # the client's last flight and its data at once
    assert b"".join(pair.inner.got) == b"z" * size


def test_losing_the_connection_sends_the_rest_and_a_close_notify():
    pair = Pair().handshake()
    pair.server.write(b"bye")
    pair.server.loseConnection()
    assert pair.transport.disconnecting
    pair.step()
    assert pair.client.read(10) == b"bye" and pair.client.read(10) == b""
    pair.clock.advance(0)


@pytest.mark.parametrize(("polite", "kind"), [(True, ConnectionDone), (False, ConnectionLost)])
def test_a_connection_cut_without_close_notify_is_not_a_clean_end(polite, kind):
    pair = Pair().handshake()
    if polite:
        try:
            pair.client.unwrap()
        except ssl.SSLWantReadError:
            pass
        pair.step()
        assert pair.transport.disconnecting
    pair.server.connectionLost(Failure(ConnectionDone()))
    assert pair.inner.lost.check(kind) and list(pair.factory.connections()) == []


def test_a_paused_connection_delivers_nothing_until_it_is_resumed():
    pair = Pair().handshake()
    pair.server.pauseProducing()
    pair.send(b"hello")
    assert pair.inner.got == []
    pair.server.resumeProducing()
    pair.clock.advance(0)
    assert pair.inner.got == [b"hello"]


def test_a_damaged_record_ends_the_connection():
    pair = Pair().handshake()
    pair.client.write(b"hello")
    wire = bytearray(pair.outgoing.read())
    wire[-1] ^= 1
    pair.server.dataReceived(bytes(wire))
    assert pair.inner.got == [] and pair.transport.disconnecting
    pair.server.connectionLost(Failure(ConnectionDone()))
    assert "bad" in pair.inner.lost.getErrorMessage()


def test_an_alpn_nobody_serves_closes_the_connection():
    pair = Pair("mesos-link/1").handshake()
    assert pair.failures == ["protocol"] and pair.transport.disconnecting


def test_a_handshake_has_a_deadline_and_a_size():
    pair = Pair()
    for _ in range(12):
        pair.clock.advance(1)
    assert pair.failures == ["timeout"] and pair.transport.aborted
    pair.server.connectionLost(Failure(ConnectionDone()))
    assert pair.clock.getDelayedCalls() == []
    pair = Pair(limits=TlsLimits(handshake_bytes=1000))
    pair.server.dataReceived(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + b"x" * 1100)
    assert len(pair.failures) == 1 and pair.transport.disconnecting


def test_a_slow_handshake_gives_way_to_a_new_one():
    pair = Pair(limits=TlsLimits(handshaking=1))
    assert pair.factory.buildProtocol(None) is None
    pair.clock.advance(3)
    assert pair.factory.buildProtocol(None) is not None
    assert pair.failures == ["too_many", "too_many"] and pair.factory.handshaking == 1


def test_a_context_that_cannot_be_made_is_counted():
    pair = Pair()
    pair.context = None
    pair.server.dataReceived(b"\x16\x03\x01")
    assert pair.failures == ["context"] and pair.transport.disconnecting
