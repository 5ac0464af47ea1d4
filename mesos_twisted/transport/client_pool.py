"""The connections of our HTTP client to one origin, and the making of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.error import (
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IAddress, IConnector, IProtocol
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.errors import Problem
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.client_connection import (
    AnswerLostError,
    ClientConnection,
    Exchange,
    NotConnectedError,
)
from mesos_twisted.transport.tcp import address_text, connect_tcp
from mesos_twisted.transport.tls import IContextSource, TLSConnection
from mesos_twisted.transport.tls_factory import TLSClient
from mesos_twisted.transport.tls_failures import HandshakeFailure


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes."""

    secure: bool
    host: str
    port: int

    def __str__(self) -> str:
        return address_text(self.host, self.port)


class Pool:
    """The connections to one origin."""

    def __init__(
        self,
        origin: Origin,
        reactor: Any,
        contexts: IContextSource | None,
        batch: FlushBatch,
        timers: Timers,
        size: int,
        pipeline: int,
        connect_timeout_s: float,
        idle_s: float,
        vet: Callable[[bytes | None], Problem | None] | None,
    ) -> None:
        self.origin = origin
        self.reactor = reactor
        self.contexts = contexts
        self.batch = batch
        self.timers = timers
        self.connect_timeout_s = connect_timeout_s
        self.vet = vet
        self._size = size
        self._pipeline = pipeline
        self._idle_s = idle_s
        self._waiting: list[Exchange] = []
        self._idle: list[ClientConnection] = []
        self._connections: dict[ClientConnection, bool] = {}  # True: carries a stream
        self._filling: ClientConnection | None = None  # takes more behind what it carries
        self._dials: dict[_Dial, None] = {}
        self._reaper: Timer | None = None

    def submit(self, exchange: Exchange) -> None:
        """Send now, or as soon as a connection is free."""
        if not self._waiting:
            filling = self._filling
            if filling is not None and not exchange.stream and self._takes(filling):
                filling.send(exchange)
                return
            if self._idle:
                self._send(self._idle.pop(), exchange)
                return
        self._waiting.append(exchange)
        busy = sum(not carries for carries in self._connections.values())
        if exchange.stream or busy + len(self._dials) < self._size:
            _Dial(self).start()

    def released(self, connection: ClientConnection) -> None:
        """`connection` is new or free again."""
        if connection is self._filling:
            self._filling = None
        while self._waiting:
            exchange = self._waiting.pop(0)
            if not exchange.dropped:
                self._send(connection, exchange)
                self._fill()
                return
        self._connections[connection] = False
        connection.idle_since = self.timers.seconds()
        self._idle.append(connection)
        if self._reaper is None:
            self._reaper = self.timers.every(max(self._idle_s / 4, 0.5), self._reap)

    def _send(self, connection: ClientConnection, exchange: Exchange) -> None:
        self._connections[connection] = exchange.stream
        if self._pipeline > 1 and not exchange.stream:
            self._filling = connection
        connection.send(exchange)

    def _takes(self, connection: ClientConnection) -> bool:
        return connection.depth < self._pipeline and not connection.closing

    def _fill(self) -> None:
        """Those who wait go out together, as far as they may."""
        filling, waiting = self._filling, self._waiting
        while filling is not None and waiting and not waiting[0].stream:
            if not self._takes(filling):
                return
            exchange = waiting.pop(0)
            if not exchange.dropped:
                filling.send(exchange)

    def lost(self, connection: ClientConnection) -> None:
        """`connection` is gone; those who waited for it get another."""
        if connection is self._filling:
            self._filling = None
        self._connections.pop(connection, None)
        if connection in self._idle:
            self._idle.remove(connection)
        self._stop_reaper()
        if self._waiting and not self._dials and self.origin is not None:
            _Dial(self).start()

    def dialling(self, dial: _Dial) -> None:
        """A connection is being made."""
        self._dials[dial] = None

    def connected(self, dial: _Dial) -> None:
        """It stands; `released` has it already."""
        self._dials.pop(dial, None)

    def refused(self, dial: _Dial, problem: NotConnectedError) -> None:
        """It could not be made: all who wait hear why."""
        self._dials.pop(dial, None)
        if self._dials:
            return
        waiting, self._waiting = self._waiting, []
        for exchange in waiting:
            exchange.failed(problem)

    def close(self, reason: str | None = None) -> None:
        """Nothing is left. With a reason, what was not sent yet may be sent to another."""
        for dial in tuple(self._dials):
            dial.give_up()
        self._dials.clear()
        waiting, self._waiting = self._waiting, []
        why = "the client was closed" if reason is None else reason
        problem = AnswerLostError(f"No answer of {self.origin} is waited for: {why}")
        for exchange in waiting:
            unsent = NotConnectedError(f"{exchange.what} was not sent: {why}")
            exchange.failed(problem if reason is None else unsent)
        for connection in tuple(self._connections):
            connection.abort(problem)
        self._idle.clear()
        self._stop_reaper()

    def _reap(self) -> None:
        oldest = self.timers.seconds() - self._idle_s
        for connection in tuple(self._idle):
            if connection.idle_since <= oldest:
                self._idle.remove(connection)
                connection.transport.loseConnection()
        self._stop_reaper()

    def _stop_reaper(self) -> None:
        if not self._idle and self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None


class _Dial(ClientFactory[Any]):
    """One attempt to connect, TLS included."""

    noisy = False

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connector: IConnector | None = None
        self._tls: TLSConnection | None = None
        self._timer: Timer | None = None
        self._settled = False

    def start(self) -> None:
        """Connect; the pool hears how it went."""
        pool = self._pool
        pool.dialling(self)
        origin = pool.origin
        self._connector = connect_tcp(
            pool.reactor, origin.host, origin.port, self, pool.connect_timeout_s
        )

    def give_up(self) -> None:
        """Stop connecting; the pool hears nothing more."""
        self._settle()
        if self._tls is not None:
            self._tls.abortConnection()
        elif self._connector is not None:
            self._connector.disconnect()

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        pool = self._pool
        connection = ClientConnection(str(pool.origin), self._stands, pool.lost)
        if pool.contexts is None:
            return connection
        client = TLSClient(pool.batch, connection, self._tls_failed, pool.vet)
        try:
            self._tls = client.connection(pool.contexts, pool.origin.host)
        except Exception as problem:
            # Certificate files that cannot be read, or a host name TLS cannot carry.
            self._fail(f"no TLS context can be made: {problem}")
            return None
        self._timer = pool.timers.after(pool.connect_timeout_s, self._too_slow)
        return self._tls

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._fail(_connect_phrase(reason, self._pool.connect_timeout_s))

    def _stands(self, connection: ClientConnection) -> None:
        self._settle()
        self._pool.connected(self)
        self._pool.released(connection)

    def _too_slow(self) -> None:
        self._timer = None
        self._fail(f"no TLS handshake within {self._pool.connect_timeout_s:g} s")
        if self._tls is not None:
            self._tls.abortConnection()

    def _tls_failed(self, reason: HandshakeFailure, sentence: str) -> None:
        self._fail(sentence)

    def _fail(self, phrase: str) -> None:
        if not self._settled:
            self._settle()
            self._pool.refused(
                self, NotConnectedError(f"Cannot connect to {self._pool.origin}: {phrase}")
            )

    def _settle(self) -> None:
        self._settled = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _connect_phrase(reason: Failure, timeout_s: float) -> str:
    problem = reason.value
    if isinstance(problem, ConnectionRefusedError):
        return "the connection was refused; is the server running?"
    if isinstance(problem, TimeoutError | TCPTimedOutError):
        return f"no connection within {timeout_s:g} s"
    if isinstance(problem, DNSLookupError):
        return "the host name is not known"
    if isinstance(problem, NoRouteError):
        return "there is no route to the host"
    if isinstance(problem, UserError):
        return "the attempt was given up"
    return reason.getErrorMessage()
