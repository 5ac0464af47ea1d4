"""One HTTP/1.1 connection, seen from the server.

The conversation: bytes come in, `RequestParser` makes requests of them, the handler answers each in
turn (a pipelined request waits until the one before it is answered), and answers leave in order,
those of one delivery in one write. A large or endless answer keeps the connection until its end.
Works over any `ITransport`; which paths exist and who may call them is the handler's affair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from mesos_twisted.transport.http1_edge import (
    closing_sentence,
    crashed,
    current_failure,
    peer_of,
    problem_answer,
)
from mesos_twisted.transport.http1_head import has_dot_dot
from mesos_twisted.transport.http1_parser import Expect, Item, RequestParser
from mesos_twisted.transport.http1_sending import AnswerSender, SenderOwner
from mesos_twisted.transport.messages import (
    MIB,
    ChunkedBody,
    HttpProblem,
    Request,
    Result,
    text_response,
)

Handler = Callable[[Request], "Result | Deferred[Result]"]

#: How long a connection may take to drain after its last answer, and to stop sending a body that
#: was refused (a reset at once could overtake the refusal), in seconds.
_DRAIN_S = 30.0
_LINGER_S = 2.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ConnectionOwner(SenderOwner, Protocol):
    """What a connection needs of its server."""

    handler: Handler
    body_limit: Callable[[str], int]

    def opened(self, connection: HttpConnection) -> None:
        """`connection` has a transport."""

    def lost(self, connection: HttpConnection) -> None:
        """`connection` is gone."""


@implementer(IProtocol, IPushProducer)
class HttpConnection(AnswerSender):
    """One connection. As a producer it follows its transport's buffer."""

    __slots__ = (
        "_in_body",
        "_parser",
        "_queue",
        "_queued_bytes",
        "_read_paused",
        "_running",
        "_waiting",
    )

    _server: ConnectionOwner

    def __init__(self, server: ConnectionOwner) -> None:
        super().__init__(server)
        self._queue: list[Item] = []
        self._queued_bytes = 0
        self._running = False
        self._waiting = False  # for its slice of a later turn
        self._read_paused = False
        self._in_body = False

    # IProtocol

    def connectionMade(self) -> None:
        """Part of `IProtocol`; all is done by `makeConnection`."""

    def makeConnection(self, transport: ITransport) -> None:
        """Begin; `transport` may be TLS, TCP, a Unix socket or one in memory."""
        self.transport = transport
        self.peer = peer_of(transport)
        self._parser = RequestParser(self.peer, self._server.limits, self._server.body_limit)
        self._server.opened(self)
        self._since = self._server.now
        transport.registerProducer(self, True)  # type: ignore[attr-defined]  # every ITransport of Twisted is an IConsumer

    def dataReceived(self, data: bytes) -> None:
        """Serve what `data` completes."""
        if self._closing:
            return
        parser = self._parser
        was_idle = parser.idle
        items = parser.feed(data)
        if items:
            if self._queue or self._busy is not None:
                self._enqueue(items)
            else:
                self._queue = items
            self._delivering = True
            self._run()
            self._delivering = False
            self._flush()
            self._since = self._server.now
            self._in_body = parser.in_body
        elif was_idle or self._in_body != parser.in_body:
            self._since = self._server.now
            self._in_body = parser.in_body

    def connectionLost(self, reason: Failure) -> None:
        """Everything of this connection ends."""
        self.transport = None
        self._closing = True
        self._queue.clear()
        self._out.clear()
        stream, self._stream = self._stream, None
        body, self._body = self._body, None
        self._server.lost(self)
        if body is not None:
            body.stop()
        if stream is not None:
            stream.lost(closing_sentence(reason))

    # Requests

    def _enqueue(self, items: list[Item]) -> None:
        self._queue += items
        for item in items:
            if type(item) is Request:
                self._queued_bytes += len(item.body)
        if len(self._queue) <= self._server.limits.pipelined and self._queued_bytes <= MIB:
            return
        if self._stream is not None:
            # Reading must go on, or the end of the connection would not be noticed.
            self._stream.abort("The peer sent requests behind an endless one")
        elif not self._read_paused and self.transport is not None:
            self._read_paused = True
            self.transport.pauseProducing()  # type: ignore[attr-defined]  # as above: an IPushProducer

    def _run(self, deadline: float | None = None) -> None:
        """Handle what is queued, in order, until one answer has to be waited for.

        Requests that were sent in one go and take long are not all handled in one turn.
        """
        if self._running or self._waiting:
            return
        self._running = True
        queue = self._queue
        done = 0
        turns = self._server.turns
        if deadline is None:
            deadline = turns.at_once()
        try:
            while done < len(queue) and self._busy is None and not self._write_paused:
                item = queue[done]
                done += 1
                if type(item) is Request:
                    self._handle(item)
                elif item is Expect.CONTINUE:
                    self._put(_CONTINUE)
                elif isinstance(item, HttpProblem):
                    self._refuse(item)
                if self._closing:
                    done = len(queue)
                elif done < len(queue) and turns.seconds() >= deadline:
                    self._waiting = True
                    turns.add(self._in_turn)
                    break
        finally:
            self._running = False
            del queue[:done]
        if queue:
            return
        self._queued_bytes = 0
        if self._read_paused and self.transport is not None:
            self._read_paused = False
            self.transport.resumeProducing()  # type: ignore[attr-defined]  # as above: an IPushProducer

    def _go_on(self) -> None:
        if self._queue:
            self._run()

    def _in_turn(self, deadline: float) -> None:
        """The connection's next turn."""
        self._waiting = False
        if self.transport is not None and not self._closing:
            self._run(deadline)

    def _handle(self, request: Request) -> None:
        self._busy = request
        result: Result | Deferred[Result]
        if ".." in request.path and has_dot_dot(request.path):
            result = text_response(404, "There is nothing at a path with .. in it")
        else:
            try:
                result = self._server.handler(request)
            except Exception:
                # The outermost step of every handler: its bug is logged here, once.
                result = crashed(request, current_failure())
        if isinstance(result, Deferred):
            result.addErrback(lambda failure: crashed(request, failure))
            result.addCallback(self._answer)
            result.addErrback(self._broken)
        else:
            self._answer(result)

    def _answer(self, result: Result) -> None:
        request = self._busy
        if request is None or self.transport is None or self._closing:
            if isinstance(result, ChunkedBody):
                close = getattr(result.pieces, "close", None)
                if close is not None:
                    close()
            return
        if not self._running:
            # An answer that comes later than its request's delivery.
            self._delivering = True
            try:
                self._start(request, result)
            finally:
                self._delivering = False
                self._flush()
            self._run()
        else:
            self._start(request, result)

    def _refuse(self, problem: HttpProblem) -> None:
        self._put(problem_answer(problem, self._server.renderer))
        if problem.status in (413, 431):
            self._flush()
            self._closing = self._lingering = True
            self._since = self._server.now
        else:
            self._close()

    # Called by the server

    @property
    def idle(self) -> bool:
        """Whether no request is under way here."""
        return self._busy is None and not self._queue and self._parser.idle

    def stop(self) -> None:
        """Close when the current answer is complete; an endless one ends now."""
        if self._stream is not None:
            self._stream.close()
        elif self.idle and not self._closing:
            self._close()

    def sweep(self, now: float) -> None:
        """Enforce the deadlines; `now` is the server's coarse time."""
        waited = now - self._since
        limits = self._server.limits
        if self._lingering:
            if waited > _LINGER_S:
                self._close()
        elif self._closing:
            if waited > _DRAIN_S:
                self.abort()
        elif self._stream is not None:
            # A stream's own bound cuts a slow reader, but not one that stops in a long record.
            if self._write_paused and self._stream.in_long_record and waited > limits.idle_s:
                self._stream.abort(f"The reader took nothing for {limits.idle_s:g} s")
        elif self._body is not None:
            if self._write_paused and waited > limits.idle_s:
                self.abort()
        elif self._busy is not None:
            pass
        elif self._parser.in_body:
            if waited > limits.body_s:
                self._refuse(HttpProblem(408, f"The body did not come in {limits.body_s:g} s"))
        elif not self._parser.idle:
            if waited > limits.header_s:
                self._refuse(HttpProblem(408, f"The head did not come in {limits.header_s:g} s"))
        elif waited > limits.idle_s:
            self._close()
