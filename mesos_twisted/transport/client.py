"""Our own HTTP/1.1 client: kept connections per origin, answers whole or as streams.

It verifies nothing itself: the SSL context does, with the URL's host as the expected name, and the
`vet` a caller gives, which may want more of the peer's certificate. It follows no redirect (see
`leader.py`) and repeats no request, since only the caller knows what may be done twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, succeed

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.errors import MalformedError, Problem, UnavailableError
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.client_connection import (
    AnswerLostError,
    ClientConnection,
    ClientStream,
    NotConnectedError,
)
from mesos_twisted.transport.client_pool import Origin, Pool
from mesos_twisted.transport.http1_render import render_headers
from mesos_twisted.transport.messages import MIB, Headers, ResponseHead
from mesos_twisted.transport.tls import IContextSource

__all__ = [
    "AnswerLostError",
    "ClientResponse",
    "ClientStream",
    "HttpClient",
    "NotConnectedError",
    "Origin",
    "parse_url",
]

#: Origin, the lines before Content-Length, those after it, and the request in words.
_Head = tuple[Origin, bytes, bytes, str]
#: Heads of requests that a client remembers.
_HEADS = 32

_URL = re.compile(
    r"(https?)://(?:\[([0-9A-Fa-f:.]+)\]|([^\s/:?#\[\]@]+))(?::([0-9]{1,5}))?([/?][\x21-\x7e]*)?"
)


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """A whole answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse_url(url: str) -> tuple[Origin, str]:
    """Origin and request target of an http or https URL; raises `MalformedError`."""
    match = _URL.fullmatch(url)
    if match is None or int(match[4] or 1) > 65535:
        raise MalformedError(f"The URL {url!r} is not of the form https://host:port/path")
    secure = match[1] == "https"
    port = int(match[4]) if match[4] else (443 if secure else 80)
    target = match[5] or "/"
    if target.startswith("?"):
        target = "/" + target
    return Origin(secure, match[2] or match[3], port), target


class _Exchange:
    """What whole answers and streams have in common."""

    stream = False

    def __init__(self, wire: bytes, is_head: bool, what: str) -> None:
        self.wire = wire
        self.is_head = is_head
        self.what = what
        self.timer: Timer | None = None
        self.connection: ClientConnection | None = None
        self.dropped = False

    def started(self, connection: ClientConnection) -> None:
        self.connection = connection

    def settle(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class _Whole(_Exchange):
    """Gathers an answer."""

    def __init__(self, wire: bytes, is_head: bool, what: str, limit: int) -> None:
        super().__init__(wire, is_head, what)
        self.result: Deferred[ClientResponse] = Deferred()
        self._limit = limit
        self._head: ResponseHead | None = None
        self._body: list[bytes] = []
        self._size = 0

    def head(self, head: ResponseHead) -> None:
        self._head = head

    def data(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit and self.connection is not None:
            self.connection.abort(
                AnswerLostError(f"{self.what}: the answer is longer than {self._limit} bytes")
            )
            return
        self._body.append(data)

    def done(self) -> None:
        self.settle()
        head = self._head
        if head is not None and not self.dropped:
            self.result.callback(ClientResponse(head.status, head.headers, b"".join(self._body)))

    def failed(self, problem: UnavailableError) -> None:
        self.settle()
        if not self.dropped:
            self.dropped = True
            self.result.errback(problem)


class _Stream(_Exchange):
    """Makes a `ClientStream` of an answer."""

    stream = True

    def __init__(self, wire: bytes, is_head: bool, what: str) -> None:
        super().__init__(wire, is_head, what)
        self.result: Deferred[ClientStream] = Deferred()
        self._stream: ClientStream | None = None

    def head(self, head: ResponseHead) -> None:
        self.settle()
        if self.connection is not None:
            self._stream = ClientStream(head, self.connection)
            self.result.callback(self._stream)

    def data(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream.received(data)

    def done(self) -> None:
        if self._stream is not None:
            self._stream.ended("The server ended the stream", complete=True)

    def failed(self, problem: UnavailableError) -> None:
        self.settle()
        if self._stream is not None:
            self._stream.ended(str(problem))
        elif not self.dropped:
            self.dropped = True
            self.result.errback(problem)


class HttpClient:
    """Requests to any number of origins. `contexts` may be None where only http is spoken.

    At most `connections` connections per origin carry requests, each one at a time or, with a
    `pipeline` above one, so many in order; the others wait in order. A stream has a connection to
    itself. Pipelining is for small requests that are answered at once: they share one fate when
    their connection fails. Failures are `NotConnectedError` or `AnswerLostError`, each one sentence
    naming host and port.
    """

    def __init__(
        self,
        reactor: Any,
        contexts: IContextSource | None = None,
        *,
        connections: int = 1,
        pipeline: int = 1,
        connect_timeout_s: float = 10.0,
        idle_s: float = 50.0,
        max_body_bytes: int = 256 * MIB,
        batch: FlushBatch | None = None,
        vet: Callable[[bytes | None], Problem | None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._contexts = contexts
        self._batch = batch or FlushBatch(reactor)
        self._limit = max_body_bytes
        self._per_origin = connections
        self._pipeline = pipeline
        self._connect_timeout_s = connect_timeout_s
        self._idle_s = idle_s
        self._vet = vet
        self._timers = Timers(reactor)
        self._pools: dict[Origin, Pool] = {}
        # A client asks the same again and again: heads as they were last made.
        self._heads: dict[tuple[str, str, tuple[tuple[str, str], ...]], _Head] = {}

    def request(
        self,
        method: str,
        url: str,
        headers: Headers = (),
        body: bytes = b"",
        timeout_s: float = 30.0,
    ) -> Deferred[ClientResponse]:
        """The whole answer, whatever its status. Raises `MalformedError` for a bad URL."""
        origin, wire, what = self._prepare(method, url, headers, body)
        exchange = _Whole(wire, method == "HEAD", what, self._limit)
        self._submit(origin, exchange, timeout_s)
        return exchange.result

    def open_stream(
        self,
        method: str,
        url: str,
        headers: Headers = (),
        body: bytes = b"",
        timeout_s: float = 30.0,
    ) -> Deferred[ClientStream]:
        """Fires at the answer's head, which must come within `timeout_s`; its body is endless."""
        origin, wire, what = self._prepare(method, url, headers, body)
        exchange = _Stream(wire, method == "HEAD", what)
        self._submit(origin, exchange, timeout_s)
        return exchange.result

    def abandon(self, url: str, reason: str) -> None:
        """Every connection to the URL's origin is dropped, with what is under way: it fails with
        the reason, and streams end with it. What is asked later connects anew.
        """
        pool = self._pools.pop(parse_url(url)[0], None)
        if pool is not None:
            pool.close(reason)

    def close(self) -> Deferred[None]:
        """Every connection is dropped, what was under way fails; nothing stays scheduled."""
        for pool in tuple(self._pools.values()):
            pool.close()
        self._pools.clear()
        self._timers.cancel_all()
        return succeed(None)

    def _prepare(
        self, method: str, url: str, headers: Headers, body: bytes
    ) -> tuple[Origin, bytes, str]:
        key = (method, url, tuple(headers))
        known = self._heads.get(key)
        if known is None:
            known = self._head(method, url, headers)
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            self._heads[key] = known
        origin, lines, rest, what = known
        if body or method not in ("GET", "HEAD"):
            wire = b"%bContent-Length: %d\r\n%b%b" % (lines, len(body), rest, body)
        else:
            wire = lines + rest
        return origin, wire, what

    def _head(self, method: str, url: str, headers: Headers) -> _Head:
        """What requests of one kind have in common."""
        origin, target = parse_url(url)
        if origin.secure and self._contexts is None:
            raise MalformedError(f"{url} needs TLS, and this client was given no certificates")
        lines = f"{method} {target} HTTP/1.1\r\nHost: {origin}\r\n".encode()
        what = f"{method} {origin}{target.partition('?')[0]}"
        return origin, lines, render_headers(headers) + b"\r\n", what

    def _submit(self, origin: Origin, exchange: _Whole | _Stream, timeout_s: float) -> None:
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(
                origin,
                self._reactor,
                self._contexts if origin.secure else None,
                self._batch,
                self._timers,
                self._per_origin,
                self._pipeline,
                self._connect_timeout_s,
                self._idle_s,
                self._vet,
            )
        exchange.timer = self._timers.after(timeout_s, _timed_out, exchange, timeout_s)
        pool.submit(exchange)


def _timed_out(exchange: _Whole | _Stream, timeout_s: float) -> None:
    exchange.timer = None
    sentence = f"{exchange.what}: no answer within {timeout_s:g} s"
    if exchange.connection is not None:
        exchange.connection.abort(AnswerLostError(sentence))
    else:
        # It still waits for a connection, which finds it dropped.
        exchange.failed(NotConnectedError(sentence))
