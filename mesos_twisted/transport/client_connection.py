"""One connection of our own HTTP client, and what is under way on it.

An `Exchange` is one request and its answer. The connection carries one at a time, or several in
order (pipelined) when its pool sends them so, and says when it is free. Where to connect is
`client.py`'s affair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mesos_twisted.clock import Timer
from mesos_twisted.errors import UnavailableError
from mesos_twisted.transport.http1_head import HeadError
from mesos_twisted.transport.http1_response import End, ResponseParser
from mesos_twisted.transport.messages import ResponseHead
from mesos_twisted.transport.tls_failures import TlsError

_log = Logger()


class NotConnectedError(UnavailableError):
    """No connection could be made: the peer has not acted on the request."""


class AnswerLostError(UnavailableError):
    """The connection failed after the request was sent: the peer may have acted on it."""


class Exchange(Protocol):
    """One request and who waits for its answer."""

    wire: bytes
    is_head: bool
    what: str  # "POST host:port/path", for sentences
    timer: Timer | None
    stream: bool
    dropped: bool  # given up before a connection was there

    def started(self, connection: ClientConnection) -> None:
        """The request is being sent on `connection`."""

    def head(self, head: ResponseHead) -> None:
        """The answer's head."""

    def data(self, data: bytes) -> None:
        """A piece of the answer's body."""

    def done(self) -> None:
        """The answer is complete."""

    def failed(self, problem: UnavailableError) -> None:
        """There will be no (complete) answer."""


@implementer(IProtocol)
class ClientConnection:
    """Sends requests one after the other; `released(connection)` when it is free again."""

    def __init__(
        self,
        origin: str,
        released: Callable[[ClientConnection], None],
        lost: Callable[[ClientConnection], None],
    ) -> None:
        self.origin = origin
        self.transport: Any = None  # ITransport and IPushProducer
        self.idle_since = 0.0
        self.closing = False  # the server said that it answers no more here
        self._released = released
        self._lost = lost
        self._parser = ResponseParser()
        self._under_way: deque[Exchange] = deque()

    @property
    def depth(self) -> int:
        """Requests whose answers are not complete."""
        return len(self._under_way)

    def makeConnection(self, transport: ITransport) -> None:
        """The connection stands."""
        self.transport = transport
        self._released(self)

    def connectionMade(self) -> None:
        """Part of `IProtocol`; all is done by `makeConnection`."""

    def send(self, exchange: Exchange) -> None:
        """Send a request, behind those whose answers are still to come."""
        self._under_way.append(exchange)
        self._parser.expect(exchange.is_head)
        exchange.started(self)
        self.transport.write(exchange.wire)

    def dataReceived(self, data: bytes) -> None:
        """Hand the parts of the answer to its exchange."""
        try:
            parts = self._parser.feed(data)
        except HeadError as problem:
            self._fail(AnswerLostError(f"The answer of {self.origin} is malformed: {problem}"))
            self.transport.abortConnection()
            return
        under_way = self._under_way
        for part in parts:
            if not under_way:
                return
            exchange = under_way[0]
            if isinstance(part, bytes):
                exchange.data(part)
            elif isinstance(part, ResponseHead):
                exchange.head(part)
            else:
                under_way.popleft()
                # First the connection: what the answer's reader asks next can use it.
                if part is End.CLOSING:
                    self.closing = True
                    self.transport.loseConnection()
                    exchange.done()
                    return
                if not under_way:
                    self._released(self)
                exchange.done()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone, with the answer under way unless this is its end."""
        self._lost(self)
        if not self._under_way:
            return
        exchange = self._under_way[0]
        if self._parser.eof() and isinstance(reason.value, ConnectionDone):
            self._under_way.popleft()
            exchange.done()
        elif isinstance(reason.value, TlsError):
            self._fail(NotConnectedError(f"No TLS connection to {self.origin}: {reason.value}"))
        else:
            self._fail(
                AnswerLostError(
                    f"{exchange.what}: the connection ended before the answer was complete"
                    f" ({reason.getErrorMessage()})"
                )
            )

    def abort(self, problem: UnavailableError) -> None:
        """Give up what is under way, and the connection with it."""
        self._fail(problem)
        self.transport.abortConnection()

    def _fail(self, problem: UnavailableError) -> None:
        failing = tuple(self._under_way)
        self._under_way.clear()
        for exchange in failing:
            exchange.failed(problem)


class ClientStream:
    """An answer that is read as it comes. Nothing is read before `on_data` is called."""

    def __init__(self, head: ResponseHead, connection: ClientConnection) -> None:
        self.status = head.status
        self.headers = head.headers
        self.closed = False
        self.complete = False  # whether the whole body has come
        self.left = False  # whether it was closed here, before its end
        self._connection = connection
        self._held: list[bytes] = []
        self._on_data: Callable[[bytes], object] | None = None
        self._on_closed: list[Callable[[str], object]] = []
        self._reason = ""
        self._paused = False
        self._ended = False

    def on_data(self, callback: Callable[[bytes], object]) -> None:
        """`callback(data)` is called for each piece, with what has come already first."""
        self._on_data = callback
        self._drain()
        self.resume()

    def on_closed(self, callback: Callable[[str], object]) -> None:
        """`callback(reason)` is called once, after the last data; at once if that is past."""
        if self.closed:
            callback(self._reason)
        else:
            self._on_closed.append(callback)

    def close(self) -> None:
        """No data comes after this; the connection is dropped."""
        if not self.closed:
            self._held.clear()
            ended = self._ended
            self.left = not ended
            self._finish("The stream was closed by this client")
            if not ended:
                self._connection.transport.abortConnection()

    def pause(self) -> None:
        """Read nothing until `resume`; the peer is held back by TCP."""
        if not self.closed and not self._paused and not self._ended:
            self._paused = True
            self._connection.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._paused and not self.closed:
            self._paused = False
            self._connection.transport.resumeProducing()

    def collect(self, limit_bytes: int) -> Deferred[bytes]:
        """The whole rest, for an answer that proves finite (a refusal, say); cut at the limit."""
        pieces = bytearray()
        result: Deferred[bytes] = Deferred()

        def take(data: bytes) -> None:
            pieces.extend(data[: limit_bytes - len(pieces)])
            if len(pieces) >= limit_bytes:
                self.close()

        self.on_closed(lambda reason: result.callback(bytes(pieces)))
        self.on_data(take)
        return result

    # Called by its exchange

    def received(self, data: bytes) -> None:
        """A piece of the body."""
        if self.closed:
            return
        self._held.append(data)
        self._drain()
        if self._on_data is None:
            self.pause()

    def ended(self, reason: str, complete: bool = False) -> None:
        """The body is complete, or lost."""
        if not self.closed:
            self.complete = complete
            self.resume()  # the connection goes on to others
            self._ended = True
            self._reason = reason
            self._drain()

    def _drain(self) -> None:
        callback = self._on_data
        if callback is not None:
            held, self._held = self._held, []
            for data in held:
                if self.closed:
                    return
                callback(data)
        if self._ended and not self._held:
            self._finish(self._reason)

    def _finish(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        self._reason = reason
        callbacks, self._on_closed = self._on_closed, []
        for callback in callbacks:
            try:
                callback(reason)
            except Exception:
                # The reader's bug; the others must hear of the end all the same.
                _log.failure("A stream's closing callback failed")
