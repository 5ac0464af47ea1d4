"""Cuts an endless answer into the chunks that are sent on: one RecordIO record each.

A record may arrive in pieces, and clients exist that expect exactly one record in a chunk. What
is not RecordIO from its first byte on, or has records too long to hold, passes as it comes.
"""

from __future__ import annotations

#: Longer records are passed on in pieces rather than held.
MAX_HELD_BYTES = 16 << 20
_MAX_DIGITS = 12


class Chunks:
    """`feed` bytes; each item it returns is one chunk, length line included."""

    __slots__ = ("_buffer", "_need", "_passing")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._need = 0  # bytes of the record under way, with its length line; 0: not known yet
        self._passing = -1  # -1: records are cut; 0: nothing is cut any more; else bytes to pass

    def feed(self, data: bytes) -> list[bytes]:
        """The chunks `data` completes, in order."""
        if not self._passing:
            return [data] if data else []
        out: list[bytes] = []
        if self._passing > 0:
            piece = data[: self._passing]
            self._passing -= len(piece)
            data = data[len(piece) :]
            if piece:
                out.append(piece)
            if self._passing:
                return out
            self._passing = -1
        source: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            source = self._buffer
        position = self._cut(source, out)
        if source is self._buffer:
            del self._buffer[:position]
        elif position < len(source):
            self._buffer += source[position:]
        return out

    def rest(self) -> bytes:
        """What was held when the answer ended; it is not a whole record."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _cut(self, source: bytes | bytearray, out: list[bytes]) -> int:
        position, end = 0, len(source)
        while position < end:
            if not self._need:
                newline = source.find(b"\n", position, position + _MAX_DIGITS + 1)
                digits = source[position : newline if newline >= 0 else end]
                if not digits.isdigit() or len(digits) > _MAX_DIGITS:
                    self._passing = 0
                    out.append(bytes(source[position:]))
                    return end
                if newline < 0:
                    return position
                self._need = newline + 1 - position + int(digits)
            if self._need > MAX_HELD_BYTES:
                self._passing = self._need - (end - position)
                self._need = 0
                if self._passing > 0:
                    out.append(bytes(source[position:]))
                    return end
                stop = end + self._passing
                self._passing = -1
                out.append(bytes(source[position:stop]))
                position = stop
                continue
            if end - position < self._need:
                return position
            out.append(bytes(source[position : position + self._need]))
            position += self._need
            self._need = 0
        return position
