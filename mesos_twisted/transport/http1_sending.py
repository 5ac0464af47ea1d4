"""The sending side of one HTTP/1.1 connection: the answer under way, and what has not left yet.

Answers of one delivery leave in one write. A large or endless answer keeps the connection until its
end, and follows the transport's buffer. Which request comes next is not known here.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.transport.answer import Answer, StreamHead, plan_answer
from mesos_twisted.transport.http1_edge import crashed, current_failure
from mesos_twisted.transport.http1_render import HeadRenderer
from mesos_twisted.transport.messages import HttpLimits, Peer, Request, Result
from mesos_twisted.transport.paced_body import PacedBody
from mesos_twisted.transport.stream import StreamWriter
from mesos_twisted.turns import Turns

_log = Logger()


class SenderOwner(Protocol):
    """What answering needs of the server."""

    limits: HttpLimits
    turns: Turns
    renderer: HeadRenderer
    stopping: bool
    now: float


class AnswerSender:
    """Answers `_busy`, the request under way. As a producer it follows its transport's buffer."""

    __slots__ = (
        "_body",
        "_busy",
        "_closing",
        "_delivering",
        "_lingering",
        "_out",
        "_server",
        "_since",
        "_stream",
        "_write_paused",
        "peer",
        "transport",
    )

    peer: Peer

    def __init__(self, server: SenderOwner) -> None:
        self._server = server
        self.transport: ITransport | None = None
        self._out: list[bytes] = []
        self._busy: Request | None = None
        self._stream: StreamWriter | None = None
        self._body: PacedBody | None = None
        self._delivering = False
        self._write_paused = False
        self._closing = False
        self._lingering = False
        self._since = 0.0

    def _go_on(self) -> None:
        """The requests behind the one that was answered may be handled now."""
        raise NotImplementedError

    # IPushProducer: the transport tells whether its buffer is full

    def pauseProducing(self) -> None:
        """The peer does not read as fast as we write."""
        self._write_paused = True
        self._since = self._server.now
        if self._stream is not None:
            self._stream.paused()
        elif self._body is not None:
            self._body.pause()

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        self._write_paused = False
        self._since = self._server.now
        if self._stream is not None:
            self._stream.resumed()
        elif self._body is not None:
            self._body.resume()
        else:
            self._go_on()

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` follows."""

    # One answer

    def _start(self, request: Request, result: Result) -> None:
        server = self._server
        try:
            plan = plan_answer(request, result, server.renderer, server.stopping)
        except Exception:
            # A handler's header with a line break, or an answer of no known type.
            result = crashed(request, current_failure())
            plan = plan_answer(request, result, server.renderer, server.stopping)
        if type(plan) is bytes:
            self._put(plan)
            self._finished(request.keep_alive)
        elif isinstance(plan, StreamHead):
            self._put(plan.head)
            writer = StreamWriter(
                self, server.limits.stream_buffer_bytes, plan.chunked, server.turns
            )
            self._stream = writer
            if self._write_paused:
                writer.paused()
            plan.on_start(writer)
        elif isinstance(plan, Answer):
            self._put(plan.head)
            self._body = body = PacedBody(
                self, plan.pieces, server.turns, plan.chunked, plan.compress
            )
            if self._write_paused:
                body.pause()
            body.run()

    def _broken(self, failure: Failure) -> None:
        _log.failure("Sending an answer to {peer} failed", failure, peer=str(self.peer))
        self.abort()

    def _finished(self, keep_alive: bool) -> None:
        """The current answer is complete."""
        self._busy = None
        self._since = self._server.now
        if not keep_alive or self._server.stopping:
            self._close()

    # Streams and paced bodies write here

    def stream_write(self, data: bytes) -> None:
        """Send framed bytes of an endless answer."""
        self._put(data)

    def stream_end(self) -> None:
        """The endless answer was closed by its owner."""
        request, self._stream = self._busy, None
        if request is None or self.transport is None:
            return
        if not request.http10:
            self._put(b"0\r\n\r\n")
        self._finished(request.keep_alive)
        self._go_on()

    def stream_abort(self) -> None:
        """Drop the connection."""
        self._stream = None
        self.abort()

    def body_write(self, data: bytes) -> None:
        """Send framed bytes of a large answer."""
        if self._delivering:
            # The first slice does not wait for the others of this delivery.
            self._flush()
        if self.transport is not None:
            self.transport.write(data)
        self._since = self._server.now

    def body_end(self) -> None:
        """The large answer is complete."""
        request, self._body = self._busy, None
        if request is not None:
            self._finished(request.keep_alive)
        self._go_on()

    def body_failed(self) -> None:
        """The pieces raised; a cut connection is the only way left to say so."""
        _log.failure("The pieces of an answer to {peer} failed", peer=str(self.peer))
        self._body = None
        self.abort()

    # Output

    def _put(self, data: bytes) -> None:
        if self._delivering:
            self._out.append(data)
        elif self.transport is not None:
            self.transport.write(data)

    def _flush(self) -> None:
        out = self._out
        if out:
            if self.transport is not None:
                self.transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    def _close(self) -> None:
        """Close after what was written has been sent."""
        self._flush()
        self._closing = True
        self._lingering = False
        self._since = self._server.now
        transport = self.transport
        if transport is not None:
            # A transport with a paused producer would not close when it has drained.
            transport.unregisterProducer()  # type: ignore[attr-defined]  # as above: an IConsumer
            transport.loseConnection()

    def abort(self) -> None:
        """Drop the connection and what it has not sent."""
        self._closing = True
        self._out.clear()
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]  # in TCP and TLS transports alike
