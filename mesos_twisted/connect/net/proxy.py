"""Requests of local clients, sent on over mutual TLS, and the answers on their way back.

Answers of known, modest length are passed whole; all others are streams, sent on as they come and
held back when the client does not keep up. A stream lost upstream is cut here, not ended: what the
client has is not the whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mesos_twisted.clock import Timers
from mesos_twisted.connect.core import headers as rules
from mesos_twisted.connect.core.address import is_meant_for_us
from mesos_twisted.connect.core.records import Chunks
from mesos_twisted.connect.net.upstream import CallDroppedError, IUpstream
from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.transport.client import ClientStream
from mesos_twisted.transport.http1 import Request, Response, Result, StreamResponse, StreamWriter
from mesos_twisted.transport.messages import MIB, text_response

_log = Logger()


class Proxy:
    """`handle` is the handler of an `HttpServer`. `certified`: the connector has a certificate.

    `names` are the host names of this machine, in lower case.
    """

    def __init__(
        self, upstream: IUpstream, timers: Timers, *, certified: bool, names: frozenset[str]
    ) -> None:
        self._upstream = upstream
        self._timers = timers
        self._certified = certified
        self._names = names

    def handle(self, request: Request) -> Response | Deferred[Result]:
        """The cluster's answer to a client's request, or ours when there is none."""
        host = request.headers.get("host", "")
        if request.peer.port:
            if not is_meant_for_us(host, self._names):
                return text_response(
                    403,
                    "This connector answers to localhost and this machine's own name only,"
                    f" not to the Host '{host[:100]}'",
                )
            if rules.is_foreign_page(request.headers):
                return text_response(403, "This connector serves no pages of other origins")
        if rules.asks_for_leader(request.path):
            return Response(307, headers=(("Location", f"//{host}"),))
        return Deferred.fromCoroutine(self._answer(request))

    async def _answer(self, request: Request) -> Result:
        target = rules.target(request.raw_path)
        method = "HEAD" if request.head else request.method
        headers = rules.request_headers(request.headers, self._certified)
        try:
            stream = await self._upstream.open(method, target, headers, request.body)
        except MalformedError as problem:
            return text_response(400, str(problem))
        except CallDroppedError as problem:
            # As Mesos's own library for schedulers does it: what is said while there is no leader
            # is dropped, and the scheduler, which will subscribe again, reconciles. An error would
            # end clients that cannot bear one.
            _log.warn("A scheduler's call was dropped: {problem}", problem=problem)
            return Response(202, headers=(("Mesos-Connect", "dropped"),))
        except UnavailableError as problem:
            # 503 and not 502: clients of Mesos know it as "come again".
            _log.warn("{method} {target}: {problem}", method=method, target=target, problem=problem)
            return text_response(503, f"The cluster did not answer this connector: {problem}")
        if request.head:
            stream.on_data(lambda data: None)
            return self._streamed(stream, lambda writer: writer.close())
        length = stream.headers.get("content-length", "")
        if stream.status in (204, 304) or (length.isdecimal() and int(length) <= MIB):
            return await self._whole(stream)
        return self._streamed(stream, lambda writer: _Pump(stream, writer).start())

    async def _whole(self, stream: ClientStream) -> Result:
        body = await _collected(stream)
        if not stream.complete:
            return text_response(503, "The cluster's answer was lost on its way to this connector")
        headers = rules.answer_headers(stream.headers)
        return Response(stream.status, body, stream.headers.get("content-type"), headers)

    def _streamed(
        self, stream: ClientStream, start: Callable[[StreamWriter], object]
    ) -> StreamResponse:
        started = False

        def on_start(writer: StreamWriter) -> None:
            nonlocal started
            started = True
            start(writer)

        def check() -> None:
            if not started:
                # The client left while its answer was on the way.
                stream.close()

        self._timers.after(0, check)
        return StreamResponse(
            stream.status,
            stream.headers.get("content-type"),
            rules.answer_headers(stream.headers),
            on_start,
        )


class _Pump:
    """From the cluster's stream to the client's."""

    __slots__ = ("_chunks", "_stream", "_writer")

    def __init__(self, stream: ClientStream, writer: StreamWriter) -> None:
        self._stream = stream
        self._writer = writer
        self._chunks = Chunks()

    def start(self) -> None:
        """Bytes flow until either side ends."""
        stream, writer = self._stream, self._writer
        writer.on_closed(self._left)
        writer.on_flow(self._flow)
        stream.on_closed(self._ended)
        stream.on_data(self._data)

    def _data(self, data: bytes) -> None:
        for chunk in self._chunks.feed(data):
            self._writer.write_chunk(chunk)

    def _flow(self, reads: bool) -> None:
        if reads:
            self._stream.resume()
        else:
            self._stream.pause()

    def _left(self, reason: str) -> None:
        self._stream.close()

    def _ended(self, reason: str) -> None:
        if self._stream.complete:
            self._writer.write_chunk(self._chunks.rest())
            self._writer.close()
        else:
            self._writer.abort(reason)


def _collected(stream: ClientStream) -> Awaitable[bytes]:
    """The whole body; its length is known to be modest."""
    return stream.collect(2 * MIB)
