"""The writing end of an endless answer: records or chunks, bounded, to a peer that may be slow.

What is written and when a heartbeat is due is the owner's affair. A peer that does not keep up is
cut, so that one slow reader never costs the process its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from twisted.logger import Logger

from mesos_twisted.errors import BugError
from mesos_twisted.transport.paced_body import PacedBody
from mesos_twisted.turns import Turns

_log = Logger()


class StreamSink(Protocol):
    """What a writer needs of its connection."""

    def stream_write(self, data: bytes) -> None:
        """Send `data`, framed already."""

    def stream_end(self) -> None:
        """The answer is complete."""

    def stream_abort(self) -> None:
        """Drop the connection and what it has not sent."""


class StreamWriter:
    """One endless answer. Its calls are harmless once `closed`.

    `on_closed` callbacks get one sentence saying why, once, whoever closed it.
    """

    __slots__ = (
        "_callbacks",
        "_chunked",
        "_closing",
        "_flow",
        "_held",
        "_held_bytes",
        "_limit",
        "_long",
        "_long_left",
        "_paused",
        "_queued",
        "_sink",
        "_turns",
        "closed",
    )

    def __init__(self, sink: StreamSink, limit_bytes: int, chunked: bool, turns: Turns) -> None:
        self._sink: StreamSink | None = sink
        self._limit = limit_bytes
        self._chunked = chunked  # HTTP/1.0 clients get the bare bytes
        self._paused = False
        self._queued = 0
        self._callbacks: list[Callable[[str], None]] = []
        self._flow: Callable[[bool], object] | None = None
        self._turns = turns
        self._long: PacedBody | None = None  # the long record under way
        self._long_left = 0
        self._held: list[bytes] = []  # what waits behind it
        self._held_bytes = 0
        self._closing = False
        self.closed = False

    @property
    def queued_bytes(self) -> int:
        """Bytes written since the peer stopped keeping up; 0 when it keeps up."""
        return self._queued + self._held_bytes

    @property
    def in_long_record(self) -> bool:
        """Whether a long record is under way."""
        return self._long is not None

    def write_record(self, payload: bytes, counted: bool = True) -> None:
        """Send `payload` as one RecordIO record in one HTTP chunk.

        Some clients split each chunk at the newline and expect one record in it. `counted=False`
        exempts a large first snapshot from the buffer's bound.
        """
        if self._chunked:
            head = b"%d\n" % len(payload)
            size = len(head) + len(payload)
            self._write(b"%x\r\n%b%b\r\n" % (size, head, payload), counted)
        else:
            self._write(b"%d\n%b" % (len(payload), payload), counted)

    def write_chunk(self, data: bytes, counted: bool = True) -> None:
        """Send `data` as one HTTP chunk; nothing for no bytes, which would end the answer."""
        if data:
            self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data, counted)

    def write_long_record(self, pieces: Iterable[bytes], size: int) -> None:
        """Send one record of exactly `size` bytes, taken from `pieces` as the peer reads them.

        For a first snapshot of many megabytes: it is not counted against the buffer's bound, and
        later records wait behind it. One long record at a time.
        """
        if self.closed or self._sink is None:
            return
        if self._long is not None:
            raise BugError("A stream was given a second long record before the first was sent")
        head = b"%d\n" % size
        if self._chunked:
            head = b"%x\r\n%b" % (len(head) + size, head)
        self._sink.stream_write(head)
        self._long_left = size
        self._long = long = PacedBody(self, pieces, self._turns, False, False)
        if self._paused:
            long.pause()
        long.run()

    def close(self) -> None:
        """The answer ends after what was written."""
        if self._long is not None:
            self._closing = True
        elif not self.closed:
            sink = self._sink
            self._finish("The stream was closed by this server")
            if sink is not None:
                sink.stream_end()

    def abort(self, reason: str) -> None:
        """The connection is dropped at once, unsent bytes with it; `reason` is one sentence."""
        if not self.closed:
            sink = self._sink
            self._finish(reason)
            if sink is not None:
                sink.stream_abort()

    def on_closed(self, callback: Callable[[str], None]) -> None:
        """`callback(reason)` is called when the stream closes; at once if it is closed."""
        if self.closed:
            callback("The stream is closed already")
        else:
            self._callbacks.append(callback)

    def on_flow(self, callback: Callable[[bool], object]) -> None:
        """`callback(False)` when the peer stops keeping up, `(True)` when it reads again."""
        self._flow = callback
        if self._paused:
            callback(False)

    def _write(self, framed: bytes, counted: bool) -> None:
        if self.closed or self._sink is None or self._closing:
            return
        if self._long is not None:
            self._held.append(framed)
            if counted:
                self._held_bytes += len(framed)
                if self._held_bytes > self._limit:
                    self.abort(
                        f"The reader is too slow: more than {self._limit} bytes were waiting"
                        " behind the first record"
                    )
            return
        self._sink.stream_write(framed)
        if self._paused and counted:
            self._queued += len(framed)
            if self._queued > self._limit:
                self.abort(
                    f"The reader is too slow: more than {self._limit} bytes were waiting for it"
                )

    # Called by the connection

    def paused(self) -> None:
        """The transport's buffer is full: from here on bytes are counted."""
        self._paused = True
        if self._long is not None:
            self._long.pause()
        if self._flow is not None:
            self._flow(False)

    def resumed(self) -> None:
        """The transport's buffer has drained."""
        self._paused = False
        self._queued = 0
        if self._long is not None:
            self._long.resume()
        if self._flow is not None:
            self._flow(True)

    # Called by the long record

    def body_write(self, data: bytes) -> None:
        """A piece of the long record."""
        self._long_left -= len(data)
        if self._long_left < 0:
            _log.error("A long record is longer than its stated size")
            self.abort("A long record could not be completed")
        elif self._sink is not None:
            self._sink.stream_write(data)

    def body_end(self) -> None:
        """The long record is complete: what waited behind it goes out."""
        self._long = None
        if self._long_left:
            _log.error("A long record is shorter than its stated size")
            self.abort("A long record could not be completed")
        if self._sink is not None:
            held, self._held = self._held, []
            self._held_bytes = 0
            self._sink.stream_write((b"\r\n" if self._chunked else b"") + b"".join(held))
        if self._closing:
            self._closing = False
            self.close()

    def body_failed(self) -> None:
        """The pieces raised: the record cannot be completed."""
        _log.failure("The pieces of a long record failed")
        self._long = None
        self.abort("A long record could not be completed")

    # Called by the connection

    def lost(self, reason: str) -> None:
        """The connection is gone."""
        if not self.closed:
            self._finish(reason)

    def _finish(self, reason: str) -> None:
        self.closed = True
        self._sink = None
        self._flow = None
        self._held.clear()
        long, self._long = self._long, None
        if long is not None:
            long.stop()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback(reason)
            except Exception:
                # The owner's bug; the other callbacks must hear of the end all the same.
                _log.failure("A stream's closing callback failed")
