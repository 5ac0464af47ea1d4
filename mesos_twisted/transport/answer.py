"""A handler's result to bytes: which head, which framing, gzip or not."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mesos_twisted.errors import BugError
from mesos_twisted.transport.http1_head import accepts_gzip
from mesos_twisted.transport.http1_render import HeadRenderer, content_type_of, render_headers
from mesos_twisted.transport.messages import (
    MIB,
    ChunkedBody,
    Headers,
    Request,
    Response,
    StreamResponse,
)
from mesos_twisted.transport.paced_body import cut
from mesos_twisted.transport.stream import StreamWriter

#: Bodies from this size on are gzipped for those who accept it (as libprocess does).
_GZIP_BYTES = 1024
#: Above this a body is compressed and sent in slices: in one go it would hold the reactor up.
_SLICED_BYTES = MIB // 2
_CLOSE = b"Connection: close\r\n"


@dataclass(slots=True)
class Answer:
    """A head and a body still to be taken piece by piece."""

    head: bytes
    pieces: Iterable[bytes]
    chunked: bool
    compress: bool


@dataclass(slots=True)
class StreamHead:
    """A head and the owner of the endless body after it."""

    head: bytes
    chunked: bool
    on_start: Callable[[StreamWriter], None]


def plan_answer(
    request: Request,
    result: Response | StreamResponse | ChunkedBody,
    renderer: HeadRenderer,
    closing: bool,
) -> bytes | Answer | StreamHead:
    """The whole answer as bytes, or a head and what follows it."""
    close = closing or not request.keep_alive
    if isinstance(result, Response):
        if not result.body and not result.headers and not close and result.status >= 200:
            if result.status not in (204, 304):
                return renderer.empty(result.status, result.content_type)
        return _whole(request, result, renderer, close)
    if isinstance(result, ChunkedBody):
        return _pieces(request, result, renderer, close)
    if isinstance(result, StreamResponse):
        return _stream(request, result, renderer, close)
    raise BugError(f"A handler answered with {type(result).__name__}, which is no answer")


def _whole(
    request: Request, result: Response, renderer: HeadRenderer, close: bool
) -> bytes | Answer:
    body = result.body
    content_type = content_type_of(body, result.content_type)
    headers = result.headers
    if len(body) >= _GZIP_BYTES and _compressible(headers, content_type):
        headers = (*headers, ("Vary", "Accept-Encoding"))
        if accepts_gzip(request.headers):
            if len(body) > _SLICED_BYTES and not request.head:
                sliced = ChunkedBody(result.status, cut(body), content_type, result.headers, True)
                return _pieces(request, sliced, renderer, close)
            headers = (*headers, ("Content-Encoding", "gzip"))
            body = _gzip(body)
    head = renderer.start(result.status, content_type)
    if headers:
        head += render_headers(headers)
    if close:
        head += _CLOSE
    if result.status in (204, 304):
        return head + b"\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    if request.head:
        return head
    if len(body) > _SLICED_BYTES:
        return Answer(head, cut(body), False, False)
    return head + body


def _pieces(
    request: Request, result: ChunkedBody, renderer: HeadRenderer, close: bool
) -> bytes | Answer:
    headers = result.headers
    compress = False
    if result.compress and _compressible(headers, result.content_type):
        compress = accepts_gzip(request.headers)
        headers = (*headers, ("Vary", "Accept-Encoding"))
    if compress:
        headers = (*headers, ("Content-Encoding", "gzip"))
    head = _unbounded(request, result.status, result.content_type, headers, renderer, close)
    if request.head:
        return head
    return Answer(head, result.pieces, not request.http10, compress)


def _stream(
    request: Request, result: StreamResponse, renderer: HeadRenderer, close: bool
) -> bytes | StreamHead:
    head = _unbounded(request, result.status, result.content_type, result.headers, renderer, close)
    if request.head:
        return head
    return StreamHead(head, not request.http10, result.on_start)


def _unbounded(
    request: Request,
    status: int,
    content_type: str | None,
    headers: Headers,
    renderer: HeadRenderer,
    close: bool,
) -> bytes:
    head = renderer.start(status, content_type) + render_headers(headers)
    if close:
        head += _CLOSE
    return head + (b"\r\n" if request.http10 else b"Transfer-Encoding: chunked\r\n\r\n")


def _compressible(headers: Headers, content_type: str | None) -> bool:
    if content_type is not None and content_type.startswith(("image/", "video/", "font/")):
        return False
    return all(name.lower() not in ("content-encoding", "vary") for name, _ in headers)


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    return compressor.compress(body) + compressor.flush()
