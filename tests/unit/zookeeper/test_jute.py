"""ZooKeeper's records: golden bytes, and both directions undo each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_twisted.errors import MalformedError
from mesos_twisted.zookeeper import jute, wire
from mesos_twisted.zookeeper import records as r

INT = st.integers(-(2**31), 2**31 - 1)
LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DATA = st.binary(max_size=40)
ACLS = st.lists(st.builds(r.Acl, INT, TEXT, TEXT), max_size=3).map(tuple)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
STAT = st.builds(r.Stat, LONG, LONG, LONG, LONG, INT, INT, INT, LONG, INT, INT, LONG)
CREATE = st.builds(r.Create, TEXT, DATA, ACLS, st.booleans(), st.booleans(), st.booleans())
PARTS = st.one_of(
    CREATE,
    st.builds(r.Delete, TEXT, INT),
    st.builds(r.SetData, TEXT, DATA, INT),
    st.builds(r.Check, TEXT, INT),
)
REQUESTS = st.one_of(
    PARTS,
    st.builds(r.Exists, TEXT, st.booleans()),
    st.builds(r.GetData, TEXT, st.booleans()),
    st.builds(r.GetAcl, TEXT),
    st.builds(r.SetAcl, TEXT, ACLS, INT),
    st.builds(r.GetChildren, TEXT, st.booleans(), st.booleans()),
    st.builds(r.Sync, TEXT),
    st.builds(r.Multi, st.lists(PARTS, max_size=4).map(tuple)),
    st.builds(r.Ping),
    st.builds(r.Auth, TEXT, DATA),
    st.builds(r.SetWatches, LONG, TEXTS, TEXTS, TEXTS),
    st.builds(r.CloseSession),
)
RESULTS = st.one_of(
    st.builds(r.Done),
    st.builds(r.Created, TEXT, st.none() | STAT),
    st.builds(r.Stated, STAT),
    st.builds(r.Failed, INT),
)
#: A request, and an answer of its form.
EXCHANGES: list[tuple[r.Request, st.SearchStrategy[r.Reply]]] = [
    (r.Create("/a", b""), st.builds(r.Created, TEXT)),
    (r.Create("/a", b"", with_stat=True), st.builds(r.Created, TEXT, STAT)),
    (r.Delete("/a"), st.builds(r.Done)),
    (r.Exists("/a"), st.builds(r.Stated, STAT)),
    (r.GetData("/a"), st.builds(r.Data, DATA, STAT)),
    (r.SetData("/a", b""), st.builds(r.Stated, STAT)),
    (r.GetAcl("/a"), st.builds(r.Acls, ACLS, STAT)),
    (r.SetAcl("/a", ()), st.builds(r.Stated, STAT)),
    (r.GetChildren("/a", with_stat=False), st.builds(r.Children, TEXTS)),
    (r.GetChildren("/a"), st.builds(r.Children, TEXTS, STAT)),
    (r.Sync("/a"), st.builds(r.Synced, TEXT)),
    (r.Multi(()), st.builds(r.MultiReply, st.lists(RESULTS, max_size=4).map(tuple))),
    (r.Ping(), st.builds(r.Done)),
    (r.CloseSession(), st.builds(r.Done)),
]


@given(INT, REQUESTS)
def test_requests_survive(xid: int, request: r.Request) -> None:
    """A server reads what a client wrote."""
    assert jute.decode_request(jute.encode_request(xid, request)) == (xid, request)


@pytest.mark.parametrize(("asked", "answers"), EXCHANGES, ids=lambda value: type(value).__name__)
def test_answers_survive(asked: r.Request, answers: st.SearchStrategy[r.Reply]) -> None:
    """A client reads what a server wrote."""

    @given(answers, INT, LONG)
    def check(reply: r.Reply, xid: int, zxid: int) -> None:
        message = jute.encode_reply(xid, zxid, 0, reply)
        assert jute.decode_header(message) == r.ReplyHeader(xid, zxid, 0)
        assert jute.decode_reply(message, asked) == reply

    check()


@given(LONG, INT, LONG, DATA, st.booleans())
def test_connecting_survives(zxid: int, timeout: int, session: int, key: bytes, ro: bool) -> None:
    """The first message of each side has a form of its own."""
    request = r.ConnectRequest(zxid, timeout, session, key, ro)
    assert jute.decode_connect(jute.encode_connect(request)) == request
    response = r.ConnectResponse(timeout, session, key, ro)
    assert jute.decode_connected(jute.encode_connected(response)) == response
    assert jute.decode_connect(jute.encode_connect(request)[:-1]).session_id == session
    assert jute.decode_connected(jute.encode_connected(response)[:-1]).session_id == session


@given(st.sampled_from(r.EventKind), TEXT)
def test_notifications_survive(kind: r.EventKind, path: str) -> None:
    """A watch's event comes with a header of its own number."""
    message = jute.encode_event(r.WatchEvent(kind, path))
    assert jute.decode_header(message).xid == r.XID_NOTIFICATION
    assert jute.decode_event(message) == r.WatchEvent(kind, path)


def test_golden_bytes() -> None:
    """The layout is ZooKeeper's."""
    create = r.Create("/a", b"x", r.OPEN_ACL, ephemeral=True, sequential=True)
    assert jute.encode_request(7, create) == bytes.fromhex(
        "00000007 00000001 00000002 2f61 00000001 78 00000001 0000001f"
        "00000005 776f726c64 00000006 616e796f6e65 00000003"
    )
    assert wire.frame(jute.encode_request(r.XID_PING, r.Ping())) == bytes.fromhex(
        "00000008 fffffffe 0000000b"
    )
    assert jute.encode_request(1, r.Multi((r.Check("/a", 3),))) == bytes.fromhex(
        "00000001 0000000e 0000000d 00 ffffffff 00000002 2f61 00000003 ffffffff 01 ffffffff"
    )
    assert jute.encode_connect(r.ConnectRequest(0, 6000, 0, bytes(2))) == bytes.fromhex(
        "00000000 0000000000000000 00001770 0000000000000000 00000002 0000 00"
    )


def test_a_failed_answer_has_no_record() -> None:
    """A header says why, and nothing follows."""
    message = jute.encode_reply(3, 9, r.Code.NO_NODE, r.Stated(r.Stat()))
    assert len(message) == 16
    assert jute.decode_header(message) == r.ReplyHeader(3, 9, -101)


def test_null_is_empty() -> None:
    """A node that another client made without data has none."""
    message = jute.encode_reply(1, 1, 0, r.Data(b"", r.Stat()))
    null = message[:16] + bytes.fromhex("ffffffff") + message[20:]
    assert jute.decode_reply(null, r.GetData("/a")) == r.Data(b"", r.Stat())


def test_auth_hides_its_secret() -> None:
    """What is logged of a request holds no password."""
    assert "secret" not in repr(r.Auth("digest", b"me:secret"))


@given(st.lists(DATA, max_size=5), st.data())
def test_any_cut_of_the_stream_gives_the_same_messages(
    messages: list[bytes], data: st.DataObject
) -> None:
    """TCP may cut where it likes."""
    stream = b"".join(map(wire.frame, messages))
    frames = wire.Frames()
    found: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += frames.feed(stream[:size])
        stream = stream[size:]
    assert found == messages


@pytest.mark.parametrize("length", [-1, wire.MAX_FRAME + 1])
def test_lengths_are_limited(length: int) -> None:
    """A length that cannot be true is refused before anything is kept."""
    with pytest.raises(MalformedError):
        wire.Frames().feed(length.to_bytes(4, "big", signed=True))


@given(DATA)
def test_rubbish_is_malformed(message: bytes) -> None:
    """No bytes raise anything but MalformedError."""
    for decode in (
        jute.decode_request,
        jute.decode_connect,
        jute.decode_connected,
        jute.decode_header,
        jute.decode_event,
    ):
        try:
            decode(message)
        except MalformedError:
            pass
    for asked, _ in EXCHANGES:
        try:
            jute.decode_reply(bytes(16) + message, asked)
        except MalformedError:
            pass


@given(REQUESTS, st.data())
def test_a_request_that_ends_early_is_malformed(request: r.Request, data: st.DataObject) -> None:
    """Every byte of a request is needed."""
    message = jute.encode_request(1, request)
    with pytest.raises(MalformedError):
        jute.decode_request(message[: data.draw(st.integers(0, len(message) - 1))])
