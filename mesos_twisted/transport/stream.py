"""The writing end of an endless answer: records or chunks, bounded, to a peer that may be slow.

What is written and when a heartbeat is due is the owner's affair. A peer that does not keep up is
cut, so that one slow reader never costs the process its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.logger import Logger

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

    __slots__ = ("_callbacks", "_chunked", "_limit", "_paused", "_queued", "_sink", "closed")

    def __init__(self, sink: StreamSink, limit_bytes: int, chunked: bool) -> None:
        self._sink: StreamSink | None = sink
        self._limit = limit_bytes
        self._chunked = chunked  # HTTP/1.0 clients get the bare bytes
        self._paused = False
        self._queued = 0
        self._callbacks: list[Callable[[str], None]] = []
        self.closed = False

    @property
    def queued_bytes(self) -> int:
        """Bytes written since the peer stopped keeping up; 0 when it keeps up."""
        return self._queued

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

    def close(self) -> None:
        """The answer ends after what was written."""
        if not self.closed:
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

    def _write(self, framed: bytes, counted: bool) -> None:
        if self.closed or self._sink is None:
            return
        self._sink.stream_write(framed)
        if self._paused and counted:
            self._queued += len(framed)
            if self._queued > self._limit:
                self.abort(
                    f"The reader is too slow: more than {self._limit} bytes were waiting for it"
                )

    # Called by the connection.

    def paused(self) -> None:
        """The transport's buffer is full: from here on bytes are counted."""
        self._paused = True

    def resumed(self) -> None:
        """The transport's buffer has drained."""
        self._paused = False
        self._queued = 0

    def lost(self, reason: str) -> None:
        """The connection is gone."""
        if not self.closed:
            self._finish(reason)

    def _finish(self, reason: str) -> None:
        self.closed = True
        self._sink = None
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback(reason)
            except Exception:
                # The owner's bug; the other callbacks must hear of the end all the same.
                _log.failure("A stream's closing callback failed")
