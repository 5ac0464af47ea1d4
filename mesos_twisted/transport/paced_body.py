"""A large body sent in slices: as fast as the peer reads, a few milliseconds of each turn.

Keeps a hundred-megabyte answer from stopping the reactor or being held in memory whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from mesos_twisted.turns import Turns

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
    """Sends `pieces` to `sink` slice by slice; `pause` and `resume` follow the transport.

    A piece of no bytes is a step of work that had nothing to send.
    """

    __slots__ = (
        "_chunked",
        "_compressor",
        "_paused",
        "_pieces",
        "_sink",
        "_stopped",
        "_turns",
        "_waiting",
    )

    def __init__(
        self,
        sink: BodySink,
        pieces: Iterable[bytes],
        turns: Turns,
        chunked: bool,
        compress: bool,
    ) -> None:
        self._sink = sink
        self._pieces = iter(pieces)
        self._turns = turns
        self._chunked = chunked
        self._compressor = zlib.compressobj(1, zlib.DEFLATED, 31) if compress else None
        self._paused = False
        self._stopped = False
        self._waiting = False

    def run(self) -> None:
        """Send what can be sent at once; the rest comes in later turns."""
        self._slice(self._turns.at_once())

    def _slice(self, deadline: float) -> None:
        self._waiting = False
        while not self._paused and not self._stopped:
            try:
                piece = self._next(deadline)
            except Exception:
                # The pieces are the handler's code; the sink logs and drops the connection.
                self._stopped = True
                self._sink.body_failed()
                return
            if piece is None:
                self._end()
                return
            self._write(piece)
            if self._turns.seconds() >= deadline:
                self._wait()
                return

    def _wait(self) -> None:
        if not self._waiting and not self._stopped and not self._paused:
            self._waiting = True
            self._turns.add(self._slice)

    def pause(self) -> None:
        """Nothing is taken from the pieces until `resume`."""
        self._paused = True
        if self._waiting:
            self._waiting = False
            self._turns.drop(self._slice)

    def resume(self) -> None:
        """The next slice comes in the next turn."""
        self._paused = False
        self._wait()

    def stop(self) -> None:
        """Nothing more is taken or sent; the pieces are closed if they are a generator."""
        self._stopped = True
        self.pause()
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()

    def _next(self, deadline: float) -> bytes | None:
        """About PIECE_BYTES of the body, less when the time is up; None at its end."""
        gathered: list[bytes] = []
        size = 0
        while size < PIECE_BYTES:
            piece = next(self._pieces, None)
            if piece is None:
                if not gathered:
                    return None
                break
            gathered.append(piece)
            size += len(piece)
            if self._turns.seconds() >= deadline:
                break
        data = gathered[0] if len(gathered) == 1 else b"".join(gathered)
        if size > 2 * PIECE_BYTES:
            # One oversized piece is cut once, not again at every turn.
            self._pieces = _chain(cut(data), self._pieces)
            return next(self._pieces)
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
