"""What two HTTP implementations could read differently is refused, and the connection closes."""

import time

import pytest

from mesos_twisted.transport.http1_parser import RequestParser
from mesos_twisted.transport.messages import HttpLimits, HttpProblem, Peer, fixed_body_limit

POST = b"POST / HTTP/1.1\r\nHost: h\r\n"


def parse(wire, limit=1000):
    parser = RequestParser(Peer("192.0.2.1", 1), HttpLimits(), fixed_body_limit(limit))
    return parser.feed(wire), parser


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
        (POST + b"Content-Length: 1\r\ncontent-length: 2\r\n\r\nab", 400),
        (POST + b"Content-Length: 1, 1\r\n\r\na", 400),
        (POST + b"Content-Length: +1\r\n\r\na", 400),
        (POST + b"Content-Length: -1\r\n\r\na", 400),
        (POST + b"Content-Length: 0x1\r\n\r\na", 400),
        (POST + b"Content-Length: 1_0\r\n\r\na", 400),
        (POST + b"Content-Length: \xb2\r\n\r\na", 400),
        (POST + b"Content-Length:\r\n\r\n", 400),
        (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
        (POST + b"Content-Length: 1001\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", 400),
        (POST + b"Transfer-Encoding : chunked\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
        (POST + b" Transfer-Encoding: chunked\r\n\r\n", 400),
        (POST + b"A: b\r\n c\r\n\r\n", 400),
        (POST + b"A: b\r\n\tc\r\n\r\n", 400),
        (POST + b"A: b\nB: c\r\n\r\n", 400),
        (POST + b"A: b\rB: c\r\n\r\n", 400),
        (POST + b"A: b\0\r\n\r\n", 400),
        (POST + b": b\r\n\r\n", 400),
        (POST + b"A\r\n\r\n", 400),
        (POST + b"Host: other\r\n\r\n", 400),
        (POST + b"Expect: 200-maybe\r\n\r\n", 417),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\n\n", 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET  HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /%0d%0a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /# HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /\x80 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET /" + b"a" * 17000, 431),
        (POST + b"A: b\r\n" * 101 + b"\r\n", 431),
    ],
)
def test_an_ambiguous_or_malformed_head_is_refused(wire, status):
    items, parser = parse(wire)
    assert [item.status for item in items] == [status]
    assert parser.dead and parser.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") == []


@pytest.mark.parametrize(
    "chunks",
    [
        b"x\r\n", b"\r\n", b"-1\r\n", b"+1\r\na\r\n0\r\n\r\n", b"0x1\r\na\r\n", b" 1\r\na\r\n",
        b"1\na\r\n", b"1\r\nab\r\n", b"1\r\na\n0\r\n\r\n", b"1\r\na\rX", b"1;\0\r\na\r\n",
        b"1;" + b"a" * 300, b"0000000000000000001\r\na\r\n", b"0\r\nA : b\r\n\r\n",
        b"0\r\n b\r\n\r\n", b"0\r\nA: b\nC: d\r\n\r\n", b"ffffffffffffffff\r\n",
    ],
)  # fmt: skip
def test_a_malformed_chunk_is_refused(chunks):
    items, _ = parse(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert [type(item) for item in items] == [HttpProblem] and items[0].status == 400


def test_the_requests_before_a_bad_one_are_served():
    items, _ = parse(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n" + POST + b"A\r\n\r\n")
    assert items[0].path == "/a" and items[1].status == 400


def test_a_chunked_body_beyond_the_limit_is_refused():
    items, _ = parse(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 1001)
    assert [item.status for item in items] == [413]


def test_an_absolute_target_is_read_as_its_path():
    for target, path in ((b"http://h/x?y", "/x"), (b"https://h", "/"), (b"http://h?q", "/")):
        items, _ = parse(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        assert items[0].path == path


@pytest.mark.parametrize(
    "wire",
    [
        POST + b"A: " + b" " * 15000 + b"\x01\r\n\r\n",
        POST + b"a" * 15000 + b"\r\n\r\n",
        POST + b"Accept: " + b"\t " * 7000 + b"\r\n\r\n",
        b"GET /" + b"%" * 15000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"a " * 8000 + b"\r\n\r\n",
        b"\r\n" * 8000,
    ],
)
def test_no_head_takes_more_than_linear_time(wire):
    started = time.process_time()
    parse(wire)
    assert time.process_time() - started < 0.05


def test_a_head_fed_byte_by_byte_takes_linear_time():
    wire = POST + b"A: " + b"b" * 16000
    parser = parse(b"")[1]
    started = time.process_time()
    for byte in wire:
        parser.feed(bytes((byte,)))
    assert time.process_time() - started < 0.5
