"""The schedulers' open streams: one record an event, encoded once for each encoding.

One timer beats for all of them. What is sent, and to whom, is the core's decision.
"""

from __future__ import annotations

from collections.abc import Callable

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.protocol.media import Media
from mesos_twisted.transport.stream import StreamWriter

_HEARTBEAT = m.SchedulerEvent(type=m.SchedulerEventType.HEARTBEAT)


class SchedulerStreams:
    """Every open stream by its number; `closed(connection, reason)` is told of each end."""

    def __init__(
        self,
        timers: Timers,
        interval_s: float,
        closed: Callable[[ConnectionId, str], None],
    ) -> None:
        self._closed = closed
        self._json: dict[ConnectionId, StreamWriter] = {}
        self._protobuf: dict[ConnectionId, StreamWriter] = {}
        self._last: m.SchedulerEvent | None = None
        self._last_json: bytes | None = None
        self._last_protobuf: bytes | None = None
        self._beats = (codec_json.encode(_HEARTBEAT), codec_protobuf.encode(_HEARTBEAT))
        self._timer: Timer = timers.every(interval_s, self._beat)

    def __len__(self) -> int:
        return len(self._json) + len(self._protobuf)

    def opened(self, connection: ConnectionId, media: Media, writer: StreamWriter) -> None:
        """The stream is written to from here on."""
        (self._json if media is Media.JSON else self._protobuf)[connection] = writer
        writer.on_closed(lambda reason: self._lost(connection, reason))

    def send(self, connection: ConnectionId, event: m.SchedulerEvent) -> None:
        """Write one event; nothing when the stream has closed."""
        if event is not self._last:
            self._last = event
            self._last_json = self._last_protobuf = None
        writer = self._json.get(connection)
        if writer is not None:
            if self._last_json is None:
                self._last_json = codec_json.encode(event)
            writer.write_record(self._last_json)
            return
        writer = self._protobuf.get(connection)
        if writer is not None:
            if self._last_protobuf is None:
                self._last_protobuf = codec_protobuf.encode(event)
            writer.write_record(self._last_protobuf)

    def close(self, connection: ConnectionId) -> None:
        """Close after what was written; the core knows already, so it is not told."""
        writer = self._json.pop(connection, None) or self._protobuf.pop(connection, None)
        if writer is not None:
            writer.close()

    def stop(self) -> None:
        """Every stream is closed and no beat comes."""
        self._timer.cancel()
        for table in (self._json, self._protobuf):
            writers = list(table.values())
            table.clear()
            for writer in writers:
                writer.close()

    def _lost(self, connection: ConnectionId, reason: str) -> None:
        writer = self._json.pop(connection, None) or self._protobuf.pop(connection, None)
        if writer is not None:
            self._closed(connection, reason)

    def _beat(self) -> None:
        for table, beat in zip((self._json, self._protobuf), self._beats, strict=True):
            # A slow reader may be cut while the others are written to.
            for writer in tuple(table.values()):
                writer.write_record(beat)
