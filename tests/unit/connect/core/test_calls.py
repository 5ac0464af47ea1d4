"""Which calls belong to a stream, and how much may wait."""

import pytest

from mesos_twisted.connect.core.calls import GoneStreams, Waiting, stream_of
from mesos_twisted.errors import UnavailableError
from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages as m

PATH = "/api/v1/scheduler"
STREAM = (("mesos-stream-id", "s"),)
REVIVE = m.SchedulerCall(type=m.SchedulerCallType.REVIVE)
TEARDOWN = m.SchedulerCall(type=m.SchedulerCallType.TEARDOWN)
PROTOBUF = (*STREAM, ("content-type", "application/x-protobuf"))


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "stream"),
    [
        ("POST", PATH, STREAM, codec_json.encode(REVIVE), "s"),
        ("POST", f"/master{PATH}?a=1", STREAM, codec_json.encode(REVIVE), "s"),
        ("POST", PATH, PROTOBUF, codec_protobuf.encode(REVIVE), "s"),
        # Nobody would hear of it again.
        ("POST", PATH, STREAM, codec_json.encode(TEARDOWN), None),
        ("POST", PATH, PROTOBUF, codec_protobuf.encode(TEARDOWN), None),
        ("POST", PATH, (), codec_json.encode(REVIVE), None),
        ("POST", "/api/v1", STREAM, codec_json.encode(REVIVE), None),
        ("GET", PATH, STREAM, b"", None),
        ("POST", PATH, STREAM, b"{nonsense", None),
    ],
)
def test_calls_of_a_stream(method, target, headers, body, stream):
    assert stream_of(method, target, headers, body) == stream


def test_the_newest_gone_streams_are_remembered():
    gone = GoneStreams()
    for number in range(1001):
        gone.add(str(number))
    gone.add(None)
    assert "0" not in gone and "1" in gone and "1000" in gone and None not in gone


def test_no_more_waits_than_may():
    """In number and in bytes; the sentence says how many do."""
    waiting = Waiting(2, 100)
    waiting.enter(60)
    with pytest.raises(UnavailableError, match="1 requests with 60 bytes"):
        waiting.enter(41)
    waiting.enter(40)
    with pytest.raises(UnavailableError, match="holds 2 requests and 100 bytes"):
        waiting.enter(0)
    waiting.leave(60)
    waiting.enter(60)
    assert (waiting.requests, waiting.bytes) == (2, 100)
