"""Endless and large answers over HTTP/1.1: chunks, slow readers, long records."""

import gzip

import pytest

from mesos_twisted.transport.http1 import ChunkedBody, HttpLimits, StreamResponse
from tests.unit.transport.test_http1_server import Rig, body_of, request, status


def dechunk(data):
    chunks = []
    while data:
        size, _, data = data.partition(b"\r\n")
        size = int(size, 16)
        if not size:
            break
        chunks.append(data[:size])
        data = data[size + 2 :]
    return chunks


def test_a_stream_sends_one_record_in_one_chunk():
    writers = []
    rig = Rig(lambda req: StreamResponse(200, "application/json", (("X", "y"),), writers.append))
    head = rig.send(request())
    assert b"Transfer-Encoding: chunked\r\n" in head and b"Content-Length" not in head
    (writer,) = writers
    writer.write_record(b"{}")
    writer.write_record(b"[1]")
    assert rig.take() == b"4\r\n2\n{}\r\n5\r\n3\n[1]\r\n"
    writer.close()
    assert rig.take() == b"0\r\n\r\n" and writer.closed
    assert not rig.transport.disconnecting  # the connection serves on


def test_a_slow_reader_is_cut_and_the_reason_says_so():
    writers, reasons = [], []
    rig = Rig(
        lambda req: StreamResponse(200, None, (), writers.append),
        limits=HttpLimits(stream_buffer_bytes=100),
    )
    rig.send(request())
    (writer,) = writers
    writer.on_closed(reasons.append)
    writer.write_record(b"x" * 1000)
    rig.connection.pauseProducing()
    writer.write_record(b"x" * 50)
    writer.write_record(b"x" * 200, counted=False)
    assert not writer.closed
    rig.connection.resumeProducing()
    writer.write_record(b"x" * 60)
    rig.connection.pauseProducing()
    writer.write_record(b"x" * 60)
    assert not writer.closed
    writer.write_record(b"x" * 60)
    assert writer.closed and rig.transport.aborted
    assert len(reasons) == 1 and "too slow" in reasons[0]
    rig.lose()
    assert len(reasons) == 1 and rig.clock.getDelayedCalls() == []


def test_a_stream_hears_that_its_peer_left():
    writers, reasons = [], []
    rig = Rig(lambda req: StreamResponse(200, None, (), writers.append))
    rig.send(request())
    writers[0].on_closed(reasons.append)
    rig.lose()
    assert reasons == ["The peer closed the connection"]
    assert rig.clock.getDelayedCalls() == []


def test_a_long_record_is_one_chunk_and_later_records_wait_behind_it():
    writers = []
    rig = Rig(lambda req: StreamResponse(200, None, (), writers.append))
    rig.send(request())
    (writer,) = writers
    rig.connection.pauseProducing()
    writer.write_long_record((b"x" * 1000 for _ in range(300)), 300_000)
    writer.write_record(b"later")
    writer.close()
    assert not writer.closed
    rig.connection.resumeProducing()
    rig.clock.advance(0)
    chunks = dechunk(rig.take())
    assert chunks == [b"300000\n" + b"x" * 300_000, b"5\nlater"] and writer.closed


@pytest.mark.parametrize("size", [999, 1001])
def test_a_long_record_of_another_size_drops_the_connection(size):
    writers = []
    rig = Rig(lambda req: StreamResponse(200, None, (), writers.append))
    rig.send(request())
    writers[0].write_long_record([b"x" * 1000], size)
    assert rig.transport.aborted and writers[0].closed


def test_a_reader_that_stops_in_a_long_record_is_cut():
    writers, reasons = [], []
    rig = Rig(lambda req: StreamResponse(200, None, (), writers.append))
    rig.send(request())
    writers[0].on_closed(reasons.append)
    rig.connection.pauseProducing()
    writers[0].write_long_record((b"x" * 1000 for _ in range(300)), 300_000)
    for _ in range(78):
        rig.clock.advance(1)
    assert rig.transport.aborted and reasons == ["The reader took nothing for 75 s"]


def test_a_lost_connection_ends_a_long_record():
    writers, reasons = [], []
    rig = Rig(lambda req: StreamResponse(200, None, (), writers.append))
    rig.send(request())
    writers[0].on_closed(reasons.append)
    rig.connection.pauseProducing()
    writers[0].write_long_record((b"x" * 1000 for _ in range(300)), 300_000)
    rig.lose()
    assert len(reasons) == 1 and rig.clock.getDelayedCalls() == []


def test_a_chunked_body_follows_its_reader():
    taken = []

    def pieces():
        for n in range(10):
            taken.append(n)
            yield b"x" * 65536

    rig = Rig(lambda req: ChunkedBody(200, pieces(), "application/json"))
    rig.connection.pauseProducing()
    rig.send(request())
    assert taken == []
    rig.connection.resumeProducing()
    rig.clock.advance(0)
    chunks = dechunk(body_of(rig.take()))
    assert b"".join(chunks) == b"x" * 655360 and len(chunks) == 10
    assert status(rig.send(request())) == 200


def test_many_small_pieces_are_gathered_and_a_huge_one_is_cut():
    rig = Rig(lambda req: ChunkedBody(200, [b"a"] * 70000 + [b"b" * 300000, b"", b"c"]))
    chunks = dechunk(body_of(rig.send(request())))
    assert b"".join(chunks) == b"a" * 70000 + b"b" * 300000 + b"c"
    assert max(map(len, chunks)) <= 131072 and len(chunks) < 10


def test_a_compressed_chunked_body_is_gzip():
    rig = Rig(lambda req: ChunkedBody(200, [b"a" * 1000] * 1000, "text/plain", (), True))
    answer = rig.send(request("/", "GET", b"", "Accept-Encoding: gzip"))
    assert gzip.decompress(b"".join(dechunk(body_of(answer)))) == b"a" * 1000000


def test_a_failing_body_drops_the_connection():
    def pieces():
        yield b"x" * 100000
        raise ValueError("no more")

    rig = Rig(lambda req: ChunkedBody(200, pieces()))
    rig.send(request())
    assert rig.transport.aborted
