"""Makers of TLS connections: servers with their handshake limits, and single clients."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.errors import BugError, Problem
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.tls import IContextSource, TLSConnection
from mesos_twisted.transport.tls_failures import HandshakeFailure

_log = Logger()

HTTP = b"http/1.1"

#: A handshake younger than this is never dropped in favour of a newer connection, in seconds.
_EVICT_S = 2.0


@dataclass(frozen=True, slots=True)
class TlsLimits:
    """Bounds on connections whose peer is not yet known."""

    handshake_s: float = 10.0
    handshaking: int = 1000
    handshake_bytes: int = 64 * 1024


class HandshakeObserver(Protocol):
    """Counts handshakes; both methods are called once per connection at most."""

    def handshake_done(self, peer: str) -> None:
        """The handshake with `peer` (`host:port`) is complete."""

    def handshake_failed(self, reason: str, peer: str) -> None:
        """It failed; `reason` is the value of a `HandshakeFailure`."""


@implementer(IProtocolFactory)
class TLSServerFactory:
    """Accepts TLS connections and hands each to the factory its ALPN names.

    A client without ALPN speaks HTTP/1.1. At most `limits.handshaking` handshakes are under way;
    beyond that the oldest is dropped when it is slow, else the newcomer.
    """

    def __init__(
        self,
        clock: IReactorTime,
        contexts: IContextSource,
        by_alpn: Mapping[bytes, IProtocolFactory],
        limits: TlsLimits | None = None,
        observer: HandshakeObserver | None = None,
        batch: FlushBatch | None = None,
    ) -> None:
        self.contexts = contexts
        self.batch = batch or FlushBatch(clock)
        self.limits = limits or TlsLimits()
        self.handshake_bytes = self.limits.handshake_bytes
        self._by_alpn = dict(by_alpn)
        self._observer = observer
        self._timers = Timers(clock)
        self._sweeper: Timer | None = None
        # In the order they began, which is the order they expire in.
        self._handshaking: dict[TLSConnection, None] = {}
        # In the order of their handshakes, as `connections` gives them.
        self._open: dict[TLSConnection, None] = {}

    def doStart(self) -> None:
        """Twisted calls this when a port begins to listen."""
        for factory in self._by_alpn.values():
            factory.doStart()

    def doStop(self) -> None:
        """Twisted calls this when a port has stopped listening."""
        for factory in self._by_alpn.values():
            factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> TLSConnection | None:
        """A connection waiting for its handshake, or None when there are too many such."""
        now = self._timers.seconds()
        if len(self._handshaking) >= self.limits.handshaking:
            oldest = next(iter(self._handshaking))
            if now - oldest.started_s < _EVICT_S:
                host, port = getattr(addr, "host", "unix"), getattr(addr, "port", 0)
                self._count(
                    HandshakeFailure.TOO_MANY, f"{host}:{port}", "too many handshakes are under way"
                )
                return None
            oldest.refuse(HandshakeFailure.TOO_MANY, "it was too slow while many others waited")
        connection = TLSConnection(self, None)
        connection.started_s = now
        self._handshaking[connection] = None
        if self._sweeper is None:
            self._sweeper = self._timers.every(1.0, self._sweep)
        return connection

    def connections(self) -> Iterator[TLSConnection]:
        """The connections whose handshake is complete."""
        return iter(tuple(self._open))

    @property
    def handshaking(self) -> int:
        """How many handshakes are under way."""
        return len(self._handshaking)

    def drop_handshakes(self) -> None:
        """End every handshake under way, when the server stops."""
        for connection in tuple(self._handshaking):
            connection.refuse(HandshakeFailure.CLOSED, "this server is stopping")

    # TLSOwner

    def server_context(self) -> ssl.SSLContext:
        """The newest context."""
        return self.contexts.server_context()

    def handshaken(self, connection: TLSConnection, alpn: bytes | None) -> IProtocol | None:
        """The inner protocol."""
        self._settled(connection)
        factory = self._by_alpn.get(alpn or HTTP)
        protocol = None
        if factory is not None:
            protocol = factory.buildProtocol(connection.getPeer())
        if protocol is not None:
            self._open[connection] = None
            if self._observer is not None:
                self._observer.handshake_done(connection.peer_address)
        elif factory is None:
            phrase = f"nothing here speaks {(alpn or HTTP).decode('ascii', 'replace')}"
            self._count(HandshakeFailure.PROTOCOL, connection.peer_address, phrase)
        return protocol

    def handshake_failed(
        self, connection: TLSConnection, reason: HandshakeFailure, sentence: str
    ) -> None:
        """Counted and logged."""
        if connection in self._handshaking:
            self._settled(connection)
            self._count(reason, connection.peer_address, sentence)

    def closed(self, connection: TLSConnection) -> None:
        """Forgotten."""
        self._settled(connection)
        self._open.pop(connection, None)

    def _settled(self, connection: TLSConnection) -> None:
        self._handshaking.pop(connection, None)
        if not self._handshaking and self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _count(self, reason: HandshakeFailure, peer: str, sentence: str) -> None:
        _log.warn(
            "TLS handshake with {peer} failed ({reason}): {sentence}",
            peer=peer,
            reason=reason.value,
            sentence=sentence,
        )
        if self._observer is not None:
            self._observer.handshake_failed(reason.value, peer)

    def _sweep(self) -> None:
        expired = self._timers.seconds() - self.limits.handshake_s
        for connection in tuple(self._handshaking):
            if connection.started_s > expired:
                break
            connection.refuse(
                HandshakeFailure.TIMEOUT,
                f"the handshake took longer than {self.limits.handshake_s:g} s",
            )


class TLSClient:
    """The owner of one client connection: verifies `server_hostname` and starts `protocol`.

    When the handshake fails `failed(reason, sentence)` is called instead; also when `vet`, given
    the peer's certificate (DER), finds that the peer is not who was wanted.
    """

    def __init__(
        self,
        batch: FlushBatch,
        protocol: IProtocol,
        failed: Callable[[HandshakeFailure, str], object],
        vet: Callable[[bytes | None], Problem | None] | None = None,
    ) -> None:
        self.batch = batch
        self.handshake_bytes = TlsLimits().handshake_bytes
        self._protocol = protocol
        self._failed = failed
        self._vet = vet

    def connection(self, contexts: IContextSource, server_hostname: str) -> TLSConnection:
        """The protocol to put over a TCP transport; raises what the context source raises."""
        context = contexts.client_context()

        def start(incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
            return context.wrap_bio(incoming, outgoing, server_hostname=server_hostname)

        return TLSConnection(self, start)

    def server_context(self) -> ssl.SSLContext:
        """A client's context is taken before it connects."""
        raise BugError("A TLS client was asked for a server's context")

    def handshaken(self, connection: TLSConnection, alpn: bytes | None) -> IProtocol | None:
        """The protocol given, or None for a peer that is not wanted."""
        problem = None if self._vet is None else self._vet(connection.peer_certificate())
        if problem is not None:
            self._failed(HandshakeFailure.CERTIFICATE, problem.sentence.rstrip("."))
            return None
        return self._protocol

    def handshake_failed(
        self, connection: TLSConnection, reason: HandshakeFailure, sentence: str
    ) -> None:
        """Told to the caller."""
        self._failed(reason, sentence)

    def closed(self, connection: TLSConnection) -> None:
        """The protocol hears of it itself."""
