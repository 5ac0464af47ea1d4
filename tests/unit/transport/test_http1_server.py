"""The HTTP/1.1 server over an in-memory transport: framing, order, deadlines, stopping."""

import gzip

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from mesos_twisted.transport.http1 import HttpServer, Response, StreamResponse
from mesos_twisted.turns import AT_ONCE_S

EPOCH = 1_000_000_000.0


class Transport(StringTransport):
    """A `StringTransport` that remembers an abort and stops taking bytes once it is closing."""

    aborted = False

    def abortConnection(self):
        self.aborted = True
        self.disconnecting = True


class Rig:
    """A server, one connection to it, and what came out."""

    def __init__(self, handler, **options):
        self.clock = Clock()
        self.server = HttpServer(self.clock, handler, **options)
        self.clock.rightNow = EPOCH  # the server was made at 0; its first peer comes later
        self.connection = self.server.buildProtocol(None)
        self.transport = Transport()
        self.connection.makeConnection(self.transport)

    def send(self, data):
        self.connection.dataReceived(data)
        return self.take()

    def take(self):
        data = self.transport.value()
        self.transport.clear()
        return data

    def lose(self):
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.connection.connectionLost(Failure(ConnectionDone()))


def request(path="/", method="GET", body=b"", *extra, version="1.1"):
    lines = [f"{method} {path} HTTP/{version}", "Host: x", *extra]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def echo(req):
    return Response(200, b"%b %b" % (req.path.encode(), req.body))


def accepted(req):
    return Response(202)


def status(answer):
    return int(answer.split(b" ", 2)[1])


def body_of(answer):
    return answer.partition(b"\r\n\r\n")[2]


def test_an_empty_answer_has_date_and_length():
    rig = Rig(accepted)
    answer = rig.send(request("/api/v1/scheduler", "POST", b"{}"))
    assert answer == (
        b"HTTP/1.1 202 Accepted\r\nDate: Sun, 09 Sep 2001 01:46:40 GMT\r\nContent-Length: 0\r\n\r\n"
    )
    rig.clock.advance(1)
    assert b"01:46:41 GMT" in rig.send(request())


def test_pipelined_requests_are_answered_in_order_and_one_at_a_time():
    waiting = []

    def handler(req):
        waiting.append((req.path, d := Deferred()))
        return d

    rig = Rig(handler)
    assert rig.send(request("/1") + request("/2") + request("/3")) == b""
    for expected in ("/1", "/2", "/3"):
        path, deferred = waiting.pop()
        assert path == expected and not waiting
        deferred.callback(Response(200, path.encode()))
        assert body_of(rig.take()) == path.encode()


def test_pipelined_answers_leave_in_one_write():
    rig = Rig(echo)
    writes = []
    rig.transport.write = writes.append
    rig.send(request("/1") + request("/2"))
    assert len(writes) == 1 and writes[0].count(b"HTTP/1.1 200") == 2


def test_a_crash_is_answered_without_a_traceback():
    def handler(req):
        raise KeyError("secret")

    rig = Rig(handler)
    answer = rig.send(request())
    assert status(answer) == 500 and b"secret" not in answer and b"Traceback" not in answer
    assert status(rig.send(request())) == 500


def test_an_answer_with_a_line_break_in_a_header_is_not_sent():
    rig = Rig(lambda req: Response(200, b"x", None, (("X-A", "a\r\nX-B: b"),)))
    answer = rig.send(request())
    assert status(answer) == 500 and b"X-B" not in answer


def test_head_is_get_without_a_body():
    rig = Rig(lambda req: Response(200, req.method.encode()))
    answer = rig.send(request(method="HEAD"))
    assert b"Content-Length: 3\r\n" in answer and body_of(answer) == b""


def test_http10_and_connection_close_end_the_connection():
    for wire in (request(version="1.0"), request("/", "GET", b"", "Connection: close")):
        rig = Rig(accepted)
        assert b"Connection: close\r\n" in rig.send(wire)
        assert rig.transport.disconnecting


@pytest.mark.parametrize("path", ["/..", "/a/../b", "/%2e%2e/x", "/a/..", "/a/%2E./b"])
def test_a_climbing_path_is_not_found(path):
    rig = Rig(accepted)
    assert status(rig.send(request(path))) == 404
    assert status(rig.send(request("/a..b"))) == 202


def test_a_long_body_is_refused_before_it_is_read():
    rig = Rig(accepted, body_limit=lambda path: 10 if path == "/small" else 100)
    assert status(rig.send(request("/large", "POST", b"x" * 100))) == 202
    answer = rig.send(b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
    assert status(answer) == 413
    # What the peer still sends is dropped for a while, so that it can read the refusal.
    assert rig.send(b"x" * 11) == b"" and not rig.transport.disconnecting
    for _ in range(5):
        rig.clock.advance(1)
    assert rig.transport.disconnecting


def test_expect_continue_is_answered_before_the_body():
    rig = Rig(echo)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert rig.send(head) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert body_of(rig.send(b"ok")) == b"/ ok"


def test_gzip_request_bodies_are_inflated_within_the_limit():
    rig = Rig(lambda req: Response(200, b"%d" % len(req.body)), body_limit=lambda path: 5000)
    small = gzip.compress(b"x" * 5000)
    assert body_of(rig.send(request("/", "POST", small, "Content-Encoding: gzip"))) == b"5000"
    large = gzip.compress(b"x" * 5001)
    assert status(rig.send(request("/", "POST", large, "Content-Encoding: gzip"))) == 413


def test_large_answers_are_gzipped_when_accepted():
    rig = Rig(lambda req: Response(200, b"x" * 2000))
    assert b"Content-Encoding" not in rig.send(request())
    answer = rig.send(request("/", "GET", b"", "Accept-Encoding: gzip, deflate"))
    assert b"Content-Encoding: gzip\r\n" in answer
    assert gzip.decompress(body_of(answer)) == b"x" * 2000
    assert b"Content-Encoding" not in rig.send(
        request("/", "GET", b"", "Accept-Encoding: gzip;q=0")
    )


@pytest.mark.parametrize(
    ("sent", "limit"), [(b"", 75), (b"GET / HT", 10), (request("/", "POST", b"ab")[:-1], 30)]
)
def test_deadlines(sent, limit):
    rig = Rig(accepted)
    rig.send(sent)
    for _ in range(limit - 1):
        rig.clock.advance(1)
    assert not rig.transport.disconnecting
    for _ in range(3):
        rig.clock.advance(1)
    assert rig.transport.disconnecting
    answer = rig.take()
    assert status(answer) == 408 if sent else answer == b""
    rig.lose()
    assert rig.clock.getDelayedCalls() == []


def test_a_slow_dribble_does_not_renew_the_deadline():
    rig = Rig(accepted)
    for _ in range(13):
        rig.send(b"G")
        rig.clock.advance(1)
    assert rig.transport.disconnecting


def test_stopping_closes_idle_ends_streams_and_waits_for_answers():
    waiting, writers = [], []

    def handler(req):
        if req.path == "/stream":
            return StreamResponse(200, None, (), writers.append)
        waiting.append(Deferred())
        return waiting[-1]

    rig = Rig(handler)
    rig.send(request("/wait"))
    other = rig.server.buildProtocol(None)
    stream = Transport()
    other.makeConnection(stream)
    other.dataReceived(request("/stream"))
    done = []
    rig.server.stop(5).addCallback(done.append)
    assert writers[0].closed and stream.disconnecting and not rig.transport.disconnecting
    assert rig.server.buildProtocol(None) is None
    waiting[0].callback(Response(202))
    assert b"Connection: close" in rig.take() and rig.transport.disconnecting
    rig.lose()
    assert not done
    rig.clock.advance(5)
    assert stream.aborted
    rig.connection = other
    rig.lose()
    assert done == [None] and rig.clock.getDelayedCalls() == []


def test_a_flood_of_pipelined_requests_pauses_reading():
    waiting = []

    def handler(req):
        waiting.append(Deferred())
        return waiting[-1]

    rig = Rig(handler)
    rig.send(request())
    rig.send(request() * 100)
    assert rig.transport.producerState == "paused"
    for deferred in waiting:  # grows as each answer starts the next request
        deferred.callback(Response(202))
    assert len(waiting) == 101 and rig.transport.producerState == "producing"
    assert rig.take().count(b"202 Accepted") == 101


def test_requests_sent_in_one_go_do_not_take_a_turn_for_themselves():
    """What takes long is answered in slices, all of it and in order."""
    handled = []

    def slow(req):
        handled.append(req.path)
        rig.clock.rightNow += AT_ONCE_S / 2
        return Response(200, req.path.encode())

    rig = Rig(slow)
    first = rig.send(b"".join(request(f"/{n}") for n in range(12)))
    assert handled == ["/0", "/1"] and first.count(b"HTTP/1.1 200") == 2
    more = rig.send(request("/12"))
    assert handled == ["/0", "/1"] and more == b""
    rig.clock.advance(0)
    assert handled == [f"/{n}" for n in range(13)]
    assert rig.take().count(b"HTTP/1.1 200") == 11


def test_a_connection_that_closes_while_it_waits_is_left_alone():
    """What it had still to be answered is dropped with it."""

    def slow(req):
        rig.clock.rightNow += AT_ONCE_S
        return Response(200)

    rig = Rig(slow)
    rig.send(request() + request())
    rig.lose()
    rig.clock.advance(0)
    assert not rig.server._connections
