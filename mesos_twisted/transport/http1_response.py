"""Bytes to answers: an incremental HTTP/1.1 response parser for our own clients.

Pure. Any split of the bytes gives the same heads, body bytes and ends; what is ambiguous raises
`HeadError`.
"""

from __future__ import annotations

import enum
import re
from collections import deque

from mesos_twisted.transport.http1_chunked import ChunkedDecoder
from mesos_twisted.transport.http1_head import (
    CHUNKED,
    HeadError,
    body_length,
    keeps_alive,
    parse_headers,
)
from mesos_twisted.transport.messages import ResponseHead

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")


class End(enum.Enum):
    """The answer is complete; `REUSABLE` if the connection can serve another."""

    REUSABLE = "reusable"
    CLOSING = "closing"


Part = ResponseHead | bytes | End


class ResponseParser:
    """`expect` answers, in the order of their requests, and `feed` until the last one's `End`."""

    __slots__ = (
        "_buffer",
        "_chunks",
        "_end",
        "_expected",
        "_head_bytes",
        "_is_head",
        "_last_head",
        "_last_parsed",
        "_left",
        "_searched",
    )

    def __init__(self, head_bytes: int = 64 * 1024) -> None:
        self._head_bytes = head_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._is_head: bool | None = None  # None: no answer is expected
        self._expected: deque[bool] = deque()  # the answers after this one
        self._left: int | None = None  # body bytes to come; None: the head is not complete
        self._chunks: ChunkedDecoder | None = None
        self._end = End.REUSABLE
        # Servers repeat their heads within a second; one that is equal is not parsed again.
        self._last_head = b""
        self._last_parsed: tuple[ResponseHead, int | None, bool] | None = None

    def expect(self, is_head: bool) -> None:
        """A request was sent; `is_head` says that its answer has no body."""
        if self._is_head is None:
            self._is_head = is_head
        else:
            self._expected.append(is_head)

    def feed(self, data: bytes) -> list[Part]:
        """The parts `data` completes. Raises `HeadError`, after which nothing can be fed."""
        source: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            source = self._buffer
        parts: list[Part] = []
        position, end = 0, len(source)
        while position < end:
            if self._is_head is None:
                raise HeadError(502, "The server sent bytes nobody asked for")
            if self._chunks is not None:
                before = position
                pieces: list[bytes] = []
                position = self._chunks.feed(source, position, pieces)
                parts += pieces
                if self._chunks.done:
                    self._finish(parts)
                elif position == before or position < end:
                    break
            elif self._left is None:
                after = self._head(source, position, parts)
                if after < 0:
                    break
                position = after
            else:
                stop = end if self._left == CHUNKED else min(end, position + self._left)
                parts.append(bytes(source[position:stop]))
                if self._left != CHUNKED:
                    self._left -= stop - position
                    if not self._left:
                        self._finish(parts)
                position = stop
        if source is self._buffer:
            del self._buffer[:position]
        elif position < end:
            self._buffer += source[position:]
        return parts

    def eof(self) -> bool:
        """Whether the end of the connection is the end of the answer under way."""
        return self._is_head is not None and self._chunks is None and self._left == CHUNKED

    def _head(self, source: bytes | bytearray, position: int, parts: list[Part]) -> int:
        stop = source.find(b"\r\n\r\n", position + self._searched)
        size = (len(source) if stop < 0 else stop + 4) - position
        if size > self._head_bytes:
            raise HeadError(502, f"The answer's head is longer than {self._head_bytes} bytes")
        if stop < 0:
            self._searched = max(0, size - 3)
            return -1
        self._searched = 0
        raw = bytes(source[position:stop])
        if raw == self._last_head and self._last_parsed is not None:
            known, length, keeps = self._last_parsed
            # Its reader may keep it, and change its headers.
            head = ResponseHead(known.status, known.reason, dict(known.headers), known.http10)
        else:
            parsed = self._parse(raw)
            if parsed is None:
                return stop + 4  # an interim answer; the real one follows
            head, length, keeps = parsed
            self._last_head = raw
            self._last_parsed = (
                ResponseHead(head.status, head.reason, dict(head.headers), head.http10),
                length,
                keeps,
            )
        self._end = End.REUSABLE if keeps and length is not None else End.CLOSING
        parts.append(head)
        if self._is_head or head.status in (204, 304):
            self._end = End.REUSABLE if keeps else End.CLOSING
            self._finish(parts)
        elif length == CHUNKED:
            self._chunks = ChunkedDecoder(self._head_bytes)
            self._left = 0
        elif length == 0:
            self._finish(parts)
        else:
            # Without a length the body lasts until the connection ends.
            self._left = CHUNKED if length is None else length
        return stop + 4

    def _parse(self, raw: bytes) -> tuple[ResponseHead, int | None, bool] | None:
        """Head, length of the body, and whether the connection lives on; None: interim."""
        status_line, *lines = raw.decode("latin-1").split("\r\n")
        match = _STATUS_LINE.fullmatch(status_line)
        if match is None:
            raise HeadError(502, "The answer is not HTTP/1.1")
        status = int(match[2])
        if status < 200:
            return None
        headers = parse_headers(lines, 200)
        http10 = match[1] == "0"
        length = body_length(headers, http10)
        head = ResponseHead(status, match[3] or "", headers, http10)
        return head, length, keeps_alive(headers, http10)

    def _finish(self, parts: list[Part]) -> None:
        parts.append(self._end)
        self._is_head = self._expected.popleft() if self._expected else None
        self._left = None
        self._chunks = None
