"""One TCP or TLS connection to one ZooKeeper server: messages in, bytes out.

What a message means is the session's affair.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IConnector, IProtocol
from twisted.internet.protocol import ClientFactory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from mesos_twisted.errors import MalformedError
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.reactor import make_urgent
from mesos_twisted.transport.tcp import address_text, connect_tcp
from mesos_twisted.transport.tls import IContextSource, TLSConnection
from mesos_twisted.transport.tls_factory import TLSClient
from mesos_twisted.transport.tls_failures import HandshakeFailure
from mesos_twisted.zookeeper.wire import Frames


class Owner(Protocol):
    """Who hears of a connection."""

    def opened(self, connection: Connection) -> None:
        """It stands."""

    def received(self, connection: Connection, message: bytes) -> bool:
        """A message of it; False when it is to be read no further."""

    def lost(self, connection: Connection, why: str) -> None:
        """It could not be made, or is gone; told at most once."""


class Connection(ClientFactory[Any]):
    """Tried once. After `drop` its owner hears nothing."""

    noisy = False

    def __init__(
        self,
        owner: Owner,
        reactor: Any,
        batch: FlushBatch,
        host: str,
        port: int,
        contexts: IContextSource | None,
    ) -> None:
        self.server = address_text(host, port)
        self._owner: Owner | None = owner
        self._reactor = reactor
        self._batch = batch
        self._host = host
        self._port = port
        self._contexts = contexts
        self._connector: IConnector | None = None
        self._tls: TLSConnection | None = None
        self._frames = Frames()
        self._wire = _Wire(self)

    def connect(self, timeout_s: float) -> None:
        """Begin; the handshake has no time-out of its own."""
        self._connector = connect_tcp(self._reactor, self._host, self._port, self, timeout_s)

    def write(self, data: bytes) -> None:
        """Send; without effect when it does not stand."""
        if self._wire.transport is not None:
            self._wire.transport.write(data)

    def drop(self) -> None:
        """End it; what was written before is sent if the kernel takes it at once."""
        self._owner = None
        transport: Any = self._wire.transport
        if transport is not None:
            flush = getattr(transport, "flush", None)
            if flush is not None:
                flush()
            transport.abortConnection()
        elif self._tls is not None:
            self._tls.abortConnection()
        elif self._connector is not None:
            self._connector.disconnect()

    # For Twisted

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """The bare protocol, or TLS over it."""
        if self._contexts is None:
            return self._wire
        client = TLSClient(self._batch, self._wire, self._tls_failed)
        try:
            self._tls = client.connection(self._contexts, self._host)
        except Exception as problem:
            # Certificate files that cannot be read, or a host name TLS cannot carry.
            self.end(f"no TLS context can be made: {problem}")
            return None
        return self._tls

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """No TCP connection."""
        self.end(f"cannot connect: {reason.getErrorMessage()}")

    def _tls_failed(self, reason: HandshakeFailure, sentence: str) -> None:
        self.end(f"no TLS: {sentence}")

    # For the protocol

    def begin(self) -> None:
        """Bytes can be sent."""
        # A session must not end because many others speak.
        make_urgent(self._reactor, getattr(self._connector, "transport", None))
        if self._owner is not None:
            self._owner.opened(self)

    def take(self, data: bytes) -> None:
        """Bytes came."""
        try:
            messages = self._frames.feed(data)
        except MalformedError as error:
            self.end(str(error))
            self._wire.abort()
            return
        for message in messages:
            if self._owner is None or not self._owner.received(self, message):
                return

    def end(self, why: str) -> None:
        """It is gone."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.lost(self, why)


class _Wire(TwistedProtocol):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def connectionMade(self) -> None:
        transport: Any = self.transport
        no_delay = getattr(transport, "setTcpNoDelay", None)
        if no_delay is not None:
            no_delay(True)
        self._connection.begin()

    def dataReceived(self, data: bytes) -> None:
        self._connection.take(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.transport = None
        self._connection.end("the connection was closed" if reason is None else _why(reason))

    def abort(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()


def _why(reason: Failure) -> str:
    return reason.getErrorMessage().rstrip(".")
