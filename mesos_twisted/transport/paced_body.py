"""A large body sent in slices: as fast as the peer reads, a few milliseconds of each turn.

Keeps a hundred-megabyte answer from stopping the reactor or being held in memory whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from mesos_twisted.clock import Timer, Timers

#: The time one slice may take, in seconds; a piece under way is finished.
SLICE_S = 0.008
#: Pieces are gathered, or cut, to about this size before they are framed and sent.
PIECE_BYTES = 64 * 1024


class BodySink(Protocol):
    """What a body needs of its connection."""

    def body_write(self, data: bytes) -> None:
        """Send `data`, framed already."""

    def body_end(self) -> None:
        """The body is complete."""

    def body_failed(self) -> None:
        """The pieces raised (the exception is being handled); the answer cannot be completed."""


def cut(body: bytes) -> Iterator[bytes]:
    """`body` in pieces."""
    view = memoryview(body)
    for start in range(0, len(body), PIECE_BYTES):
        yield bytes(view[start : start + PIECE_BYTES])


class PacedBody:
    """Sends `pieces` to `sink` slice by slice; `pause` and `resume` follow the transport."""

    __slots__ = (
        "_chunked",
        "_compressor",
        "_paused",
        "_pieces",
        "_sink",
        "_stopped",
        "_timer",
        "_timers",
    )

    def __init__(
        self,
        sink: BodySink,
        pieces: Iterable[bytes],
        timers: Timers,
        chunked: bool,
        compress: bool,
    ) -> None:
        self._sink = sink
        self._pieces = iter(pieces)
        self._timers = timers
        self._chunked = chunked
        self._compressor = zlib.compressobj(1, zlib.DEFLATED, 31) if compress else None
        self._paused = False
        self._stopped = False
        self._timer: Timer | None = None

    def run(self) -> None:
        """Send one slice; the next comes in a later turn."""
        self._timer = None
        deadline = self._timers.seconds() + SLICE_S
        while not self._paused and not self._stopped:
            try:
                piece = self._next()
            except Exception:
                # The pieces are the handler's code; the sink logs and drops the connection.
                self._stopped = True
                self._sink.body_failed()
                return
            if piece is None:
                self._end()
                return
            self._write(piece)
            if self._timers.seconds() >= deadline and not self._stopped:
                self._timer = self._timers.after(0, self.run)
                return

    def pause(self) -> None:
        """Nothing is taken from the pieces until `resume`."""
        self._paused = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def resume(self) -> None:
        """The next slice comes in the next turn."""
        self._paused = False
        if self._timer is None and not self._stopped:
            self._timer = self._timers.after(0, self.run)

    def stop(self) -> None:
        """Nothing more is taken or sent; the pieces are closed if they are a generator."""
        self._stopped = True
        self.pause()
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()

    def _next(self) -> bytes | None:
        """About PIECE_BYTES of the body; None at its end."""
        gathered: list[bytes] = []
        size = 0
        while size < PIECE_BYTES:
            piece = next(self._pieces, None)
            if piece is None:
                break
            gathered.append(piece)
            size += len(piece)
        if not size:
            return None
        data = gathered[0] if len(gathered) == 1 else b"".join(gathered)
        if size > 2 * PIECE_BYTES:
            # One oversized piece is cut once, not again at every turn.
            self._pieces = _chain(cut(data), self._pieces)
            return self._next()
        return data

    def _write(self, data: bytes) -> None:
        if self._compressor is not None:
            data = self._compressor.compress(data)
        if data:
            framed = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
            self._sink.body_write(framed)

    def _end(self) -> None:
        self._stopped = True
        if self._compressor is not None:
            rest = self._compressor.flush()
            self._sink.body_write(b"%x\r\n%b\r\n" % (len(rest), rest) if self._chunked else rest)
        if self._chunked:
            self._sink.body_write(b"0\r\n\r\n")
        self._sink.body_end()


def _chain(first: Iterator[bytes], second: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from first
        yield from second
    finally:
        close = getattr(second, "close", None)
        if close is not None:
            close()
