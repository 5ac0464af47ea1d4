"""What passes the connector and what does not."""

import pytest

from mesos_twisted.connect.core.headers import (
    answer_headers,
    asks_for_leader,
    is_foreign_page,
    request_headers,
    target,
)


def test_hop_by_hop_headers_do_not_pass():
    sent = {
        "host": "127.0.0.1",
        "connection": "close, X-Mine",
        "x-mine": "1",
        "te": "trailers",
        "content-length": "3",
        "content-encoding": "gzip",
        "accept": "application/json",
        "mesos-stream-id": "abc",
    }
    assert request_headers(sent, True) == (
        ("accept", "application/json"),
        ("mesos-stream-id", "abc"),
    )


def test_credentials_pass_only_where_no_certificate_speaks():
    sent = {"authorization": "Basic abc"}
    assert request_headers(sent, False) == (("authorization", "Basic abc"),)
    assert request_headers(sent, True) == ()


def test_answers_keep_what_is_theirs():
    given = {
        "date": "now",
        "content-type": "application/json",
        "content-length": "1",
        "transfer-encoding": "chunked",
        "mesos-stream-id": "abc",
        "content-encoding": "gzip",
        "www-authenticate": 'Basic realm="mesos-master-scheduler"',
    }
    assert answer_headers(given) == (
        ("Mesos-Stream-Id", "abc"),
        ("Content-Encoding", "gzip"),
        ("Www-Authenticate", 'Basic realm="mesos-master-scheduler"'),
    )


def test_targets_lose_their_origin():
    assert target(b"/files/read?path=%2Fa&offset=0") == "/files/read?path=%2Fa&offset=0"
    assert target(b"http://127.0.0.1:5050/state?x=1") == "/state?x=1"
    assert target(b"http://127.0.0.1:5050") == "/"


def test_the_leader_is_here():
    assert asks_for_leader("/redirect") and asks_for_leader("/master/redirect/")
    assert not asks_for_leader("/redirect/x")


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://localhost:5050"}, False),
    ],
)
def test_web_pages_are_told_from_programs(headers, foreign):
    assert is_foreign_page(headers) is foreign
