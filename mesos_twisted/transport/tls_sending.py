"""The sending side of a TLS connection: what was written becomes records on the TCP transport.

What is written while input is delivered leaves in one record and one send when the delivery ends;
what is written at other times leaves at the end of the reactor turn. Nothing here reads: the
handshake and what the peer sends are `tls`'s.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress

from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.tls_failures import HandshakeFailure, TlsError, classify

READ_BYTES = 16 * 1024  # the most one TLS record holds
_GATHER = 64 * 1024

HANDSHAKE, OPEN, CLOSING, CLOSED = range(4)


class SenderOwner(Protocol):
    """What sending needs of whoever made the connection."""

    batch: FlushBatch


class TLSSender:
    """The half of `ITransport` that the protocol above writes to."""

    __slots__ = (
        "_delivering",
        "_disconnect_later",
        "_failure",
        "_gathered",
        "_gathered_bytes",
        "_outgoing",
        "_owner",
        "_producer",
        "_ssl",
        "_state",
        "_tcp",
    )

    def __init__(self, owner: SenderOwner) -> None:
        self._owner = owner
        self._outgoing = ssl.MemoryBIO()
        self._ssl: ssl.SSLObject | None = None
        self._tcp: Any = None  # a Twisted transport: ITransport, IConsumer and IPushProducer
        self._state = HANDSHAKE
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._delivering = False
        self._producer = False
        self._disconnect_later = False
        self._failure: TlsError | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes written and not yet accepted by the kernel (those queued below are ciphertext)."""
        below: int = getattr(self._tcp, "buffered_bytes", 0)
        return self._gathered_bytes + below

    def write(self, data: bytes) -> None:
        """Send `data` at the end of the delivery or of the reactor turn under way."""
        if self._state != OPEN or not data:
            return
        if not self._gathered and not self._delivering:
            self._owner.batch.add(self)
        self._gathered.append(data)
        self._gathered_bytes += len(data)
        if self._gathered_bytes > _GATHER:
            self.flush()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send the pieces of `data` as one."""
        self.write(b"".join(data))

    def flush(self) -> None:
        """Encrypt and send what is gathered, now."""
        gathered = self._gathered
        if not gathered or self._ssl is None or self._state != OPEN:
            return
        data = gathered[0] if len(gathered) == 1 else b"".join(gathered)
        gathered.clear()
        self._gathered_bytes = 0
        try:
            sent = self._ssl.write(data)
            if sent < len(data):
                # OpenSSL takes one record at a time.
                view, pieces = memoryview(data), [self._outgoing.read()]
                while sent < len(data):
                    sent += self._ssl.write(view[sent : sent + READ_BYTES])
                    pieces.append(self._outgoing.read())
                self._tcp.write(b"".join(pieces))
                return
        except ssl.SSLError as problem:
            self._broken(problem)
            return
        self._tcp.write(self._outgoing.read())

    def _send_outgoing(self) -> None:
        if self._outgoing.pending:
            self._tcp.write(self._outgoing.read())

    def _broken(self, problem: ssl.SSLError) -> None:
        """A record that fails its check, or an alert; also a client whose certificate a TLS 1.3
        server refused, which it learns only here."""
        _, phrase = classify(problem)
        self._failure = TlsError(HandshakeFailure.PEER_ALERT.value, phrase)
        self._state = CLOSING
        self._send_outgoing()
        self._tcp.loseConnection()

    def loseConnection(self) -> None:
        """Close after what was written, with a close_notify."""
        if self._state == HANDSHAKE:
            self._state = CLOSING
            self._tcp.loseConnection()
            return
        if self._state != OPEN:
            return
        if self._producer:
            self._disconnect_later = True
            return
        self.flush()
        if self._state != OPEN or self._ssl is None:
            return
        self._state = CLOSING
        try:
            self._ssl.unwrap()
        except ssl.SSLError:
            # It waits for the peer's close_notify, which we do not.
            pass
        self._send_outgoing()
        self._tcp.loseConnection()

    def getPeer(self) -> IAddress:
        """The peer's address."""
        address: IAddress = self._tcp.getPeer()
        return address

    def getHost(self) -> IAddress:
        """Our own address."""
        address: IAddress = self._tcp.getHost()
        return address

    @property
    def peer_address(self) -> str:
        """The peer as `host:port`."""
        address: Any = self._tcp.getPeer()
        host, port = getattr(address, "host", "unix"), getattr(address, "port", 0)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def peer_certificate(self) -> bytes | None:
        """The peer's certificate in DER; None when it showed none."""
        return None if self._ssl is None else self._ssl.getpeercert(True)

    # IConsumer: the TCP transport's buffer is the one that fills

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """`producer` follows the TCP transport's buffer."""
        self._producer = not streaming
        self._tcp.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """The producer has nothing more to say; a delayed close happens now."""
        self._producer = False
        self._tcp.unregisterProducer()
        if self._disconnect_later:
            self._disconnect_later = False
            self.loseConnection()
