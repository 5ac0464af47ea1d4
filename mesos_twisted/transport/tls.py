"""TLS under Twisted's ITransport, over the standard library's `ssl.MemoryBIO`.

The conversation: the TCP transport delivers ciphertext to a `TLSConnection`, which finishes the
handshake, asks `choose` for the inner protocol (ALPN decides) and from then on is that protocol's
transport; `tls_sending` is the half of it that writes.
This costs a third of what pyOpenSSL under Twisted costs. Which certificates are good is decided by
the SSL context alone; this module never opens a connection in plaintext.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Protocol

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from mesos_twisted.transport.tls_failures import HandshakeFailure, TlsError, classify
from mesos_twisted.transport.tls_sending import (
    CLOSED,
    CLOSING,
    HANDSHAKE,
    OPEN,
    READ_BYTES,
    SenderOwner,
    TLSSender,
)

_FEED = 2 * 1024  # ciphertext given to OpenSSL at once: a MemoryBIO never shrinks
_TLS_HANDSHAKE = 0x16


class IContextSource(Protocol):
    """Gives the contexts of new connections; asked each time, so certificates can be swapped."""

    def server_context(self) -> ssl.SSLContext:
        """The context for a connection we accept."""

    def client_context(self) -> ssl.SSLContext:
        """The context for a connection we open."""


class TLSOwner(SenderOwner, Protocol):
    """What a connection needs of whoever made it."""

    handshake_bytes: int

    def server_context(self) -> ssl.SSLContext:
        """The context for the connection that is beginning."""

    def handshaken(self, connection: TLSConnection, alpn: bytes | None) -> IProtocol | None:
        """The handshake is complete: the inner protocol, or None to close."""

    def handshake_failed(
        self, connection: TLSConnection, reason: HandshakeFailure, sentence: str
    ) -> None:
        """The handshake will never complete; `connection` is being closed."""

    def closed(self, connection: TLSConnection) -> None:
        """`connection` is gone, handshaken or not."""


@implementer(IProtocol, ITransport, IConsumer, IPushProducer)
class TLSConnection(TLSSender):
    """Both halves: protocol of the TCP transport below, transport of the protocol above."""

    __slots__ = (
        "_incoming",
        "_inner",
        "_paused",
        "_received",
        "context",
        "started_s",
    )

    _owner: TLSOwner

    def __init__(self, owner: TLSOwner, start: Callable[..., ssl.SSLObject] | None) -> None:
        """`start(incoming, outgoing)` makes a client's SSL object; a server's is made by
        `begin` when its first bytes are there, so that half-open connections cost little.
        """
        super().__init__(owner)
        self._incoming = ssl.MemoryBIO()
        if start is not None:
            self._ssl = start(self._incoming, self._outgoing)
        self.context: ssl.SSLContext | None = None if self._ssl is None else self._ssl.context
        self._inner: IProtocol | None = None
        self._received = 0
        self._paused = False
        self.started_s = 0.0

    # IProtocol, for the TCP transport below

    def makeConnection(self, transport: ITransport) -> None:
        """Begin: a client speaks first."""
        self._tcp = transport
        no_delay = getattr(transport, "setTcpNoDelay", None)
        if no_delay is not None:
            no_delay(True)
        if self._ssl is not None:
            self._handshake()

    def connectionMade(self) -> None:
        """Part of `IProtocol`; all is done by `makeConnection`."""

    def dataReceived(self, data: bytes) -> None:
        """Take ciphertext."""
        state = self._state
        if state == OPEN:
            if len(data) <= _FEED:
                self._incoming.write(data)
                self._deliver()
            else:
                self._deliver(memoryview(data))
        elif state == HANDSHAKE:
            self._received += len(data)
            if self._ssl is None and not self._begin(data):
                return
            rest = memoryview(data)
            while rest and self._state == HANDSHAKE:
                self._incoming.write(rest[:_FEED])
                rest = rest[_FEED:]
                self._handshake(rest)

    def connectionLost(self, reason: Failure) -> None:
        """The TCP connection is gone."""
        state, self._state = self._state, CLOSED
        if state == HANDSHAKE:
            self._owner.handshake_failed(
                self, HandshakeFailure.CLOSED, "the peer closed the connection in the TLS handshake"
            )
        self._owner.closed(self)
        self._gathered.clear()
        inner, self._inner = self._inner, None
        if inner is None:
            return
        if self._failure is not None:
            reason = _failure(self._failure)
        elif state == OPEN and isinstance(reason.value, ConnectionDone):
            # No close_notify came: what was received may have been cut short.
            reason = _failure(ConnectionLost("the peer closed the connection without a TLS close"))
        inner.connectionLost(reason)

    # The handshake

    def _begin(self, data: bytes) -> bool:
        if data[0] != _TLS_HANDSHAKE:
            # Some clients try http first and turn to https only when the connection is closed, so
            # plaintext gets no answer.
            self.refuse(HandshakeFailure.PLAINTEXT, "the peer sent plaintext on a TLS port")
            return False
        try:
            context = self._owner.server_context()
            self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        except Exception as problem:
            # The certificate files' owner failed; the process and its other connections go on.
            self.refuse(HandshakeFailure.CONTEXT, f"no TLS context can be made: {problem}")
            return False
        self.context = context
        return True

    def _handshake(self, rest: memoryview | None = None) -> None:
        """One step on; `rest` is what came behind, delivered when this step is the last."""
        assert self._ssl is not None
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._send_outgoing()
            if self._received > self._owner.handshake_bytes:
                self.refuse(
                    HandshakeFailure.TOO_LONG,
                    f"the handshake is longer than {self._owner.handshake_bytes} bytes",
                )
            return
        except ssl.SSLError as problem:
            self._send_outgoing()  # the alert, so that the peer can say what was wrong
            reason, phrase = classify(problem)
            self.refuse(reason, phrase)
            return
        self._state = OPEN
        self._send_outgoing()
        name = self._ssl.selected_alpn_protocol()
        inner = self._owner.handshaken(self, None if name is None else name.encode())
        if inner is None:
            self.loseConnection()
            return
        self._inner = inner
        self._delivering = True
        inner.makeConnection(self)
        self._delivering = False
        self.flush()
        if (self._incoming.pending or rest) and self._state == OPEN:
            self._deliver(rest)

    def refuse(self, reason: HandshakeFailure, phrase: str) -> None:
        """End an unfinished handshake; nothing but an alert already written is sent."""
        if self._state == HANDSHAKE:
            self._state = CLOSING
            self._failure = TlsError(reason.value, phrase)
            self._owner.handshake_failed(self, reason, phrase)
            if reason is HandshakeFailure.TIMEOUT:
                self._tcp.abortConnection()
            else:
                self._tcp.loseConnection()

    # Plaintext up

    def _deliver(self, rest: memoryview | None = None) -> None:
        """Hand up what is there, and then `rest`, which is fed in pieces."""
        assert self._ssl is not None
        tls, incoming, inner = self._ssl, self._incoming, self._inner
        self._delivering = True
        try:
            while not self._paused:
                try:
                    plain = tls.read(READ_BYTES)
                except ssl.SSLWantReadError:
                    if not rest:
                        break
                    # A MemoryBIO keeps for ever the memory that it once needed.
                    incoming.write(rest[:_FEED])
                    rest = rest[_FEED:]
                    continue
                if not plain:
                    self._peer_closed()
                    return
                if inner is not None:
                    inner.dataReceived(plain)
                if self._state != OPEN or not (incoming.pending or tls.pending() or rest):
                    break
        except ssl.SSLError as problem:
            self._broken(problem)
            return
        finally:
            self._delivering = False
        if rest:
            incoming.write(rest)  # paused: it waits here
        if self._gathered:
            self.flush()
        elif self._outgoing.pending:
            self._send_outgoing()

    def _peer_closed(self) -> None:
        """close_notify: the peer says that nothing was cut off."""
        if self._state == OPEN:
            self._delivering = False
            self.loseConnection()

    # The protocol above does not want more

    def abortConnection(self) -> None:
        """Close at once; nothing gathered is sent."""
        if self._state != CLOSED:
            if self._state == HANDSHAKE:
                self._owner.handshake_failed(
                    self, HandshakeFailure.CLOSED, "the connection was given up"
                )
            self._state = CLOSING
            self._gathered.clear()
            self._tcp.abortConnection()

    def pauseProducing(self) -> None:
        """Deliver nothing until `resumeProducing`."""
        self._paused = True
        self._tcp.pauseProducing()

    def resumeProducing(self) -> None:
        """Deliver again; what was held back comes at the end of this turn."""
        if self._paused and self._state == OPEN:
            self._paused = False
            self._tcp.resumeProducing()
            self._owner.batch.add(_Redelivery(self))

    def stopProducing(self) -> None:
        """Close the connection."""
        self.loseConnection()

    def redeliver(self) -> None:
        """Deliver what had come before the pause."""
        if self._state == OPEN and not self._delivering and not self._paused:
            self._deliver()


class _Redelivery:
    """A place in the batch for reading on after a pause."""

    __slots__ = ("_connection",)

    def __init__(self, connection: TLSConnection) -> None:
        self._connection = connection

    def flush(self) -> None:
        self._connection.redeliver()


def _failure(problem: Exception) -> Failure:
    return Failure(problem)
