"""Heads that are repeated: what is remembered of them is never shown to another reader."""

from __future__ import annotations

import pytest

from mesos_twisted.errors import BugError
from mesos_twisted.transport.http1_render import render_headers
from mesos_twisted.transport.http1_response import End, ResponseParser
from mesos_twisted.transport.messages import ResponseHead

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nX-Key: one\r\n\r\n"
OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Key: two\r\n\r\nok"


def heads_of(parser: ResponseParser, data: bytes) -> list[ResponseHead]:
    return [part for part in parser.feed(data) if isinstance(part, ResponseHead)]


def test_a_repeated_head_is_the_same_and_its_headers_are_its_readers_own() -> None:
    """Whoever changes the headers of one answer changes no other's."""
    parser = ResponseParser()
    for _ in range(4):
        parser.expect(False)
    (first,) = heads_of(parser, ANSWER)
    first.headers["x-key"] = "changed"
    (second,) = heads_of(parser, ANSWER)
    second.headers.clear()
    (third,) = heads_of(parser, ANSWER)
    assert third == ResponseHead(202, "Accepted", {"content-length": "0", "x-key": "one"})
    assert parser.feed(OTHER)[1:] == [b"ok", End.REUSABLE]


def test_a_repeated_head_ends_its_answer_as_its_request_wants() -> None:
    """The answer to a HEAD has no body, though the same head had one before."""
    parser = ResponseParser()
    parser.expect(False)
    parser.expect(True)
    parser.expect(False)
    head = OTHER[:-2]
    assert parser.feed(OTHER)[1:] == [b"ok", End.REUSABLE]
    assert parser.feed(head)[1:] == [End.REUSABLE]
    assert parser.feed(OTHER)[1:] == [b"ok", End.REUSABLE]


def test_interim_answers_are_passed_over_each_time() -> None:
    """100 Continue is nobody's answer, also when it comes again."""
    parser = ResponseParser()
    for _ in range(2):
        parser.expect(False)
        parts = parser.feed(b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + ANSWER)
        assert [type(part) for part in parts] == [ResponseHead, End]


@pytest.mark.parametrize("sign", ["\r", "\n", "\0", "\r\n"])
@pytest.mark.parametrize("at", [0, 1])
def test_a_line_break_in_a_header_is_refused(sign: str, at: int) -> None:
    """Neither a name nor a value can end its line."""
    pair = ["X-Name", "value"]
    pair[at] += sign
    with pytest.raises(BugError, match="line break"):
        render_headers((("Accept", "*/*"), (pair[0], pair[1])))
    assert render_headers((("A", "b"), ("C", "d"))) == b"A: b\r\nC: d\r\n"
