"""Bytes to requests: an incremental HTTP/1.1 request parser.

Pure: no socket, no clock. Any split of the same bytes gives the same items, in time linear in their
number. What is ambiguous is refused, never guessed.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Callable

from mesos_twisted.transport.http1_chunked import ChunkedDecoder
from mesos_twisted.transport.http1_head import (
    CHUNKED,
    HeadError,
    body_length,
    keeps_alive,
    parse_headers,
    parse_request_line,
    split_target,
)
from mesos_twisted.transport.messages import HttpLimits, HttpProblem, Peer, Request


class Expect(enum.Enum):
    """The client waits for leave to send its body."""

    CONTINUE = "100-continue"


Item = Request | HttpProblem | Expect

# One instance for each state of the parser: comparing identities is cheap.
_HEAD, _BODY, _CHUNKS, _DEAD = range(4)


class RequestParser:
    """`feed` returns what the bytes complete; an `HttpProblem` is the last item ever."""

    __slots__ = (
        "_body",
        "_body_limit",
        "_buffer",
        "_chunks",
        "_last_head",
        "_last_parsed",
        "_limits",
        "_need",
        "_peer",
        "_request",
        "_searched",
        "_state",
    )

    def __init__(self, peer: Peer, limits: HttpLimits, body_limit: Callable[[str], int]) -> None:
        self._peer = peer
        self._limits = limits
        self._body_limit = body_limit
        self._buffer = bytearray()
        self._state = _HEAD
        self._searched = 0
        self._need = 0
        self._request: Request | None = None
        self._chunks: ChunkedDecoder | None = None
        self._body = bytearray()
        # Clients repeat their head; one that is equal byte for byte is not parsed again.
        self._last_head = b""
        self._last_parsed: tuple[Request, int | None] | None = None

    @property
    def idle(self) -> bool:
        """Whether no request is under way: not one byte of the next has come."""
        return self._state == _HEAD and not self._buffer

    @property
    def in_body(self) -> bool:
        """Whether a head is complete and its body is still coming."""
        return self._state in (_BODY, _CHUNKS)

    @property
    def dead(self) -> bool:
        """Whether a problem was met; further bytes are dropped."""
        return self._state == _DEAD

    def feed(self, data: bytes) -> list[Item]:
        """The items `data` completes, in the order of the wire."""
        if self._state == _DEAD:
            return []
        source: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            source = self._buffer
        items: list[Item] = []
        position, end = 0, len(source)
        try:
            while position < end:
                if self._state == _HEAD:
                    start = position
                    position = self._head(source, position, items)
                    if position < 0:
                        position = start
                        break
                elif self._state == _BODY:
                    stop = position + self._need
                    if end < stop:
                        break
                    self._complete(bytes(source[position:stop]), items)
                    position = stop
                else:
                    position = self._chunk(source, position, items)
                    if self._state == _CHUNKS:
                        break
        except HeadError as problem:
            self._state = _DEAD
            self._buffer = bytearray()
            items.append(HttpProblem(problem.status, str(problem)))
            return items
        if source is self._buffer:
            if position:
                del self._buffer[:position]
        elif position < end:
            self._buffer += source[position:]
        return items

    def _head(self, source: bytes | bytearray, position: int, items: list[Item]) -> int:
        """Parse one head; the position after it, or -1 when it is not complete."""
        # RFC 9112, section 2.2: empty lines before a request line are to be ignored.
        while source[position] == 0x0D and source[position + 1 : position + 2] == b"\n":
            position += 2
            if position >= len(source):
                return position
        stop = source.find(b"\r\n\r\n", position + self._searched)
        size = (len(source) if stop < 0 else stop + 4) - position
        if size > self._limits.head_bytes:
            raise HeadError(431, f"The head is longer than {self._limits.head_bytes} bytes")
        if stop < 0:
            self._incomplete(source, position)
            self._searched = max(0, size - 3)
            return -1
        self._searched = 0
        head = bytes(source[position:stop])
        if head == self._last_head and self._last_parsed is not None:
            request, length = self._last_parsed
        else:
            request, length = self._parse(head)
            self._last_head, self._last_parsed = head, (request, length)
        if not length:
            items.append(_copy(request, b""))
            return stop + 4
        self._request = request
        if length == CHUNKED:
            self._state = _CHUNKS
            self._chunks = ChunkedDecoder(self._limits.head_bytes)
            self._need = self._body_limit(request.path)
        else:
            self._state = _BODY
            self._need = length
            if length > self._body_limit(request.path):
                raise _too_large(self._body_limit(request.path))
        if "expect" in request.headers and len(source) == stop + 4:
            items.append(Expect.CONTINUE)
        return stop + 4

    def _incomplete(self, source: bytes | bytearray, position: int) -> None:
        """Refuse at once what can never become a request."""
        first = source[position]
        if not (0x41 <= first <= 0x5A or 0x61 <= first <= 0x7A or first == 0x0D):
            raise HeadError(400, "This is not HTTP")
        newline = source.find(b"\n", position)
        if newline >= 0 and source[newline - 1] != 0x0D:
            raise HeadError(400, "A line ends in a bare LF")

    def _parse(self, head: bytes) -> tuple[Request, int | None]:
        request_line, *lines = head.decode("latin-1").split("\r\n")
        method, target, http10 = parse_request_line(request_line)
        path, query = split_target(target)
        headers = parse_headers(lines, self._limits.header_count)
        if not http10 and "host" not in headers:
            raise HeadError(400, "The Host header is missing")
        expect = headers.get("expect")
        if expect is not None and expect.lower() != "100-continue":
            raise HeadError(417, "The only expectation understood is 100-continue")
        length = body_length(headers, http10)
        is_head = method == "HEAD"
        request = Request(
            method="GET" if is_head else method,
            path=path,
            raw_path=target.encode("latin-1"),
            query=query,
            headers=headers,
            body=b"",
            peer=self._peer,
            keep_alive=keeps_alive(headers, http10),
            http10=http10,
            head=is_head,
        )
        return request, length

    def _chunk(self, source: bytes | bytearray, position: int, items: list[Item]) -> int:
        assert self._chunks is not None
        pieces: list[bytes] = []
        position = self._chunks.feed(source, position, pieces)
        for piece in pieces:
            self._body += piece
        if len(self._body) > self._need:
            raise _too_large(self._need)
        if self._chunks.done:
            body, self._body, self._chunks = bytes(self._body), bytearray(), None
            self._complete(body, items)
        return position

    def _complete(self, body: bytes, items: list[Item]) -> None:
        request, self._request = self._request, None
        assert request is not None
        self._state = _HEAD
        encoding = request.headers.get("content-encoding")
        if encoding is not None:
            body = _decoded(body, encoding, self._body_limit(request.path))
        items.append(_copy(request, body))


def _copy(request: Request, body: bytes) -> Request:
    return Request(
        request.method,
        request.path,
        request.raw_path,
        request.query,
        request.headers,
        body,
        request.peer,
        request.keep_alive,
        request.http10,
        request.head,
    )


def _too_large(limit: int) -> HeadError:
    return HeadError(413, f"The body is longer than the {limit} bytes accepted here")


def _decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """The body under Content-Encoding, never inflated beyond `limit` bytes."""
    name = encoding.lower()
    if name in ("identity", ""):
        return body
    if name not in ("gzip", "x-gzip"):
        raise HeadError(415, "The only content encoding understood is gzip")
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise HeadError(400, "The body is not valid gzip") from None
    if len(plain) > limit:
        raise _too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise HeadError(400, "The gzip body is cut short or followed by other bytes")
    return plain
