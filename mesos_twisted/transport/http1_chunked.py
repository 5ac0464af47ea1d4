"""Chunked transfer coding, decoded incrementally. Pure; used for requests and for answers."""

from __future__ import annotations

import re

from mesos_twisted.transport.http1_head import HeadError, parse_headers

# Size, then extensions, which are allowed and ignored (RFC 9112, section 7.1.1).
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_LINE_BYTES = 256


class ChunkedDecoder:
    """`feed` takes bytes from the front of a buffer and says how many it used.

    After `done` the rest belongs to the next message. Time is linear in the bytes, as the caller
    keeps what was not used and adds to it.
    """

    __slots__ = ("_head_bytes", "_left", "_need_crlf", "_trailer", "_trailer_bytes", "done")

    def __init__(self, head_bytes: int) -> None:
        self._head_bytes = head_bytes
        self._left = 0  # bytes of the current chunk still to come
        self._need_crlf = False
        self._trailer: list[str] | None = None
        self._trailer_bytes = 0
        self.done = False

    def feed(self, source: bytes | bytearray, position: int, chunks: list[bytes]) -> int:
        """Append what `source` holds of the body to `chunks`; return the new position.

        A piece of a chunk is handed on as it comes. Raises `HeadError`.
        """
        end = len(source)
        while position < end:
            if self._left:
                stop = min(end, position + self._left)
                chunks.append(bytes(source[position:stop]))
                self._left -= stop - position
                position = stop
                if not self._left:
                    self._need_crlf = True
            elif self._need_crlf:
                if source[position] != 0x0D:
                    raise HeadError(400, "A chunk is longer than its stated size")
                if end - position < 2:
                    break
                if source[position + 1] != 0x0A:
                    raise HeadError(400, "A chunk is not ended by CR LF")
                position += 2
                self._need_crlf = False
            else:
                limit = _LINE_BYTES if self._trailer is None else self._head_bytes
                newline = source.find(b"\n", position, position + limit)
                if newline < 0:
                    if end - position >= limit:
                        raise HeadError(400, "A chunk's size line or trailer is too long")
                    break
                if newline == position or source[newline - 1] != 0x0D:
                    raise HeadError(400, "A line ends in a bare LF")
                line = bytes(source[position : newline - 1])
                position = newline + 1
                if self._trailer is None:
                    self._size(line)
                elif self._trailer_line(line):
                    break
        return position

    def _size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise HeadError(400, "A chunk's size is not a hexadecimal number")
        self._left = int(match[1], 16)
        if not self._left:
            self._trailer = []

    def _trailer_line(self, line: bytes) -> bool:
        assert self._trailer is not None
        if line:
            self._trailer_bytes += len(line) + 2
            if self._trailer_bytes > self._head_bytes:
                raise HeadError(431, "The trailer is too long")
            self._trailer.append(line.decode("latin-1"))
            return False
        # Trailers are checked and dropped: merging them is how they were abused elsewhere.
        parse_headers(self._trailer, 100)
        self.done = True
        return True
