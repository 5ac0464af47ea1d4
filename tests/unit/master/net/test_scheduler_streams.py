"""Schedulers' streams beat every 15 seconds, and each event is one record of one chunk."""

from __future__ import annotations

from twisted.internet.task import Clock

from mesos_twisted.clock import Timers
from mesos_twisted.master.core.state import HEARTBEAT_INTERVAL_S
from mesos_twisted.master.net.scheduler_streams import SchedulerStreams
from mesos_twisted.protocol import recordio
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.protocol.media import Media
from mesos_twisted.transport.stream import StreamWriter
from mesos_twisted.turns import Turns

BEAT = b'{"type":"HEARTBEAT"}'
ONE = ConnectionId(1)


class Sink:
    """Keeps what is written, write by write."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.ended = False

    def stream_write(self, data: bytes) -> None:
        self.written.append(data)

    def stream_end(self) -> None:
        self.ended = True

    def stream_abort(self) -> None:
        self.ended = True


def test_a_heartbeat_comes_every_fifteen_seconds_until_the_stream_closes() -> None:
    """On streams of both encodings, by one timer."""
    clock = Clock()
    lost: list[tuple[ConnectionId, str]] = []
    timers = Timers(clock)
    streams = SchedulerStreams(timers, HEARTBEAT_INTERVAL_S, lambda *what: lost.append(what))
    sinks = {Media.JSON: Sink(), Media.PROTOBUF: Sink()}
    writers = {}
    for number, (media, sink) in enumerate(sinks.items()):
        writers[media] = StreamWriter(sink, 1 << 20, False, Turns(timers))
        streams.opened(ConnectionId(number), media, writers[media])
    clock.advance(14.9)
    assert sinks[Media.JSON].written == []
    clock.advance(0.1)
    assert sinks[Media.JSON].written == [recordio.encode(BEAT)]
    assert sinks[Media.PROTOBUF].written == [recordio.encode(b"\x08\x08")]
    writers[Media.JSON].lost("gone")
    clock.advance(15)
    assert len(sinks[Media.JSON].written) == 1 and len(sinks[Media.PROTOBUF].written) == 2
    assert lost == [(ConnectionId(0), "gone")] and len(streams) == 1
    streams.stop()
    assert clock.getDelayedCalls() == [] and sinks[Media.PROTOBUF].ended


def test_events_go_to_their_own_stream_in_its_encoding() -> None:
    """What was sent to a stream that has closed is dropped."""
    timers = Timers(Clock())
    streams = SchedulerStreams(timers, HEARTBEAT_INTERVAL_S, lambda *what: None)
    sink = Sink()
    streams.opened(ONE, Media.PROTOBUF, StreamWriter(sink, 1 << 20, True, Turns(timers)))
    event = m.SchedulerEvent(type=m.SchedulerEventType.HEARTBEAT)
    streams.send(ONE, event)
    streams.send(ConnectionId(2), event)
    assert sink.written == [b"4\r\n2\n\x08\x08\r\n"]
    streams.close(ONE)
    streams.send(ONE, event)
    assert len(sink.written) == 1 and sink.ended
    streams.stop()
