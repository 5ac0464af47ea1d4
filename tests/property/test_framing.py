"""Any split of the same bytes gives the same requests, answers and records."""

import gzip

from hypothesis import given, settings
from hypothesis import strategies as st

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol.recordio import Decoder, encode
from mesos_twisted.transport.http1_head import HeadError
from mesos_twisted.transport.http1_parser import Expect, RequestParser
from mesos_twisted.transport.http1_response import ResponseParser
from mesos_twisted.transport.messages import HttpLimits, HttpProblem, Peer, fixed_body_limit

cuts = st.lists(st.integers(0, 400), max_size=12)


def split(wire, cuts):
    """`wire` in pieces of the sizes in `cuts`, again and again; byte for byte when empty."""
    sizes = [size for size in cuts if size] or [1]
    pieces, position, turn = [], 0, 0
    while position < len(wire):
        size = sizes[turn % len(sizes)]
        pieces.append(wire[position : position + size])
        position += size
        turn += 1
    return pieces


def requests_of(pieces):
    parser = RequestParser(Peer("192.0.2.1", 1), HttpLimits(), fixed_body_limit(2000))
    items = []
    for piece in pieces:
        for item in parser.feed(piece):
            if isinstance(item, HttpProblem):
                items.append("problem")
            elif not isinstance(item, Expect):
                items.append((item.method, item.path, item.query, item.headers, item.body))
    return items


@st.composite
def request(draw):
    body = draw(st.binary(max_size=300))
    path = draw(st.sampled_from(["/", "/api/v1", "/a%20b?x=1&y", "http://h:1/p", "/é".encode()]))
    path = path if isinstance(path, str) else "/%C3%A9"
    lines = [f"{draw(st.sampled_from(['GET', 'POST', 'HEAD', 'PUT']))} {path} HTTP/1.1", "Host: h"]
    lines += draw(st.lists(st.sampled_from(["A: b", "A:c", "Accept: */*  ", "X:"]), max_size=3))
    kind = draw(st.sampled_from(["none", "length", "chunked", "gzip", "trailer", "expect"]))
    if kind == "none":
        wire = b""
    elif kind in ("chunked", "trailer"):
        lines.append("Transfer-Encoding: chunked")
        size = draw(st.integers(1, 50))
        parts = [body[i : i + size] for i in range(0, len(body), size)]
        wire = b"".join(b"%x;e=1\r\n%b\r\n" % (len(part), part) for part in parts)
        wire += b"0\r\n" + (b"T: v\r\n" if kind == "trailer" else b"") + b"\r\n"
    else:
        wire = body
        if kind == "gzip":
            wire = gzip.compress(body)
            lines.append("Content-Encoding: gzip")
        if kind == "expect":
            lines.append("Expect: 100-continue")
        lines.append(f"Content-Length: {len(wire)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + wire, kind, body


@given(st.lists(request(), min_size=1, max_size=4), cuts)
@settings(max_examples=150, deadline=None)
def test_requests(requests, cuts):
    wire = b"".join(one[0] for one in requests)
    whole = requests_of([wire])
    assert [item[4] for item in whole] == [
        b"" if kind == "none" else body for _, kind, body in requests
    ]
    assert requests_of(split(wire, cuts)) == whole


@given(request(), st.integers(0, 600), st.binary(max_size=3), cuts)
@settings(max_examples=300, deadline=None)
def test_damaged_requests_never_raise_and_do_not_depend_on_the_split(one, where, damage, cuts):
    wire = one[0][:where] + damage + one[0][where + 1 :]
    wire += b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
    whole = requests_of([wire])
    pieces = requests_of(split(wire, cuts))
    # A split may show sooner that a head is hopeless, never anything else.
    if len(pieces) > len(whole):
        assert pieces == [*whole, "problem"]
    else:
        assert pieces == whole


@given(st.binary(max_size=400), cuts)
@settings(max_examples=200, deadline=None)
def test_noise_never_raises(noise, cuts):
    requests_of(split(noise, cuts))


def answers_of(pieces, heads):
    parser, parts = ResponseParser(), []
    waiting = list(heads)
    parser.expect(waiting.pop(0))
    for piece in pieces:
        for part in parser.feed(piece):
            if isinstance(part, bytes):
                if parts and isinstance(parts[-1], bytes):
                    parts[-1] += part
                else:
                    parts.append(part)
            else:
                parts.append(getattr(part, "status", part))
    return parts


@given(
    st.sampled_from(["length", "chunked", "close", "empty"]),
    st.binary(min_size=1, max_size=300),
    cuts,
)
@settings(max_examples=100, deadline=None)
def test_answers(kind, body, cuts):
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n"
    wire = {
        "length": b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
        "chunked": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        "close": b"\r\n" + body,
        "empty": b"Content-Length: 0\r\n\r\n",
    }[kind]
    whole = answers_of([head + wire], [False])
    assert whole[0] == 200 and (kind == "empty" or whole[1] == body)
    assert answers_of(split(head + wire, cuts), [False]) == whole


@given(st.binary(max_size=300), cuts)
@settings(max_examples=100, deadline=None)
def test_noise_is_no_answer(noise, cuts):
    try:
        answers_of(split(noise, cuts), [False])
    except HeadError:
        pass


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=8), cuts)
@settings(max_examples=150, deadline=None)
def test_records(records, cuts):
    wire = b"".join(map(encode, records))
    decoder, got = Decoder(200), []
    for piece in split(wire, cuts):
        got += decoder.feed(piece)
    assert got == records and decoder.pending_bytes == 0


@given(st.binary(max_size=60), cuts)
@settings(max_examples=200, deadline=None)
def test_noise_is_refused_as_records_or_waits(noise, cuts):
    def outcome(pieces):
        decoder = Decoder(200)
        try:
            for piece in pieces:
                decoder.feed(piece)
        except MalformedError:
            return "refused"
        return decoder.pending_bytes

    assert outcome(split(noise, cuts)) == outcome([noise] if noise else [])
