"""A session's decisions, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from mesos_twisted.zookeeper import jute, wire
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core import events as e
from mesos_twisted.zookeeper.core.events import SessionState, Why
from mesos_twisted.zookeeper.core.session import Session

GREETING = r.ConnectResponse(6000, 0xABC, b"k" * 16)


def written(effects: list[e.Effect]) -> list[tuple[int, r.Request]]:
    """The requests among the effects."""
    return [jute.decode_request(x.data[4:]) for x in effects if isinstance(x, e.Write)]


def hello(effects: list[e.Effect]) -> r.ConnectRequest:
    """The first message of a connection, which the effects are to be."""
    (effect,) = effects
    assert isinstance(effect, e.Write)
    return jute.decode_connect(effect.data[4:])


def connected(servers: int = 3, identities: tuple[r.Auth, ...] = ()) -> Session:
    """A session that stands since the time 0."""
    session = Session(servers, 6.0, identities)
    session.handle(e.Started(0.0, 0.5))
    session.handle(e.Opened(0.0))
    session.handle(e.Received(jute.encode_connected(GREETING), 0.0))
    assert session.state is SessionState.CONNECTED
    return session


def call(session: Session, request: r.Request, now: float, watcher: Any = None) -> int:
    """Make a call that is sent at once; its xid."""
    ((xid, sent),) = written(session.handle(e.Called(request, request, now, watcher)))
    assert sent == request
    return xid


def answer(
    session: Session,
    xid: int,
    now: float,
    reply: r.Reply | None = None,
    error: int = 0,
    zxid: int = 1,
) -> list[e.Effect]:
    """What an answer brings about."""
    return session.handle(e.Received(jute.encode_reply(xid, zxid, error, reply), now))


def test_a_session_begins() -> None:
    """Connect, ask for a session, take what the server gives."""
    session = Session(3, 10.0, first=1)
    assert session.handle(e.Started(5.0, 0.5)) == [e.Connect(1, 5.0)]
    asked = hello(session.handle(e.Opened(5.5)))
    assert asked == r.ConnectRequest(0, 10000, 0, bytes(16))
    told = session.handle(e.Received(jute.encode_connected(GREETING), 6.0))
    assert told == [e.Changed(SessionState.CONNECTED, "a server confirmed it")]
    assert (session.session_id, session.timeout_s) == (0xABC, 6.0)
    # Counted from the sending.
    assert session.expires_at == 5.5 + 6.0


def test_all_servers_are_tried_before_it_waits() -> None:
    """One round at once, then later and later, up to a cap."""
    session = Session(2, 6.0)
    times = [session.handle(e.Started(0.0, 0.5))]
    times += [session.handle(e.Lost(0.0, 1.0)) for _ in range(20)]
    tried = [(x.server, x.at) for (x,) in times if isinstance(x, e.Connect)]
    assert tried[:5] == [(0, 0.0), (1, 0.0), (0, 0.2), (1, 0.0), (0, 0.4)]
    assert tried[-1] == (0, 5.0)


def test_calls_wait_for_a_connection() -> None:
    """They are sent in their order, after our identity."""
    session = Session(1, 6.0, [r.Auth("digest", b"u:p")])
    session.handle(e.Started(0.0, 0.5))
    assert session.handle(e.Called("a", r.Sync("/a"), 0.0)) == []
    assert session.handle(e.Called("b", r.Exists("/b"), 0.0)) == []
    session.handle(e.Opened(0.0))
    effects = session.handle(e.Received(jute.encode_connected(GREETING), 0.0))
    assert written(effects) == [
        (r.XID_AUTH, r.Auth("digest", b"u:p")),
        (1, r.Sync("/a")),
        (2, r.Exists("/b")),
    ]


def test_answers_find_their_calls() -> None:
    """By order; an error is an answer too."""
    session = connected()
    first, second = call(session, r.GetData("/a"), 1.0), call(session, r.Delete("/b"), 1.0)
    data = r.Data(b"x", r.Stat())
    assert answer(session, first, 1.5, data) == [e.Answered(r.GetData("/a"), data)]
    assert answer(session, second, 1.5, error=r.Code.NO_NODE) == [
        e.Refused(r.Delete("/b"), r.Code.NO_NODE)
    ]


def test_an_answer_out_of_order_ends_the_connection() -> None:
    """Whose answer it is cannot be known any more."""
    session = connected()
    xid = call(session, r.GetData("/a"), 1.0)
    effects = answer(session, xid + 1, 1.5, r.Data(b"", r.Stat()))
    assert isinstance(effects[0], e.Drop)
    assert e.Unanswered(r.GetData("/a"), Why.CONNECTION_LOST) in effects
    assert session.state is SessionState.SUSPENDED


def test_a_lost_connection_is_replaced_at_another_server() -> None:
    """The same session, the last zxid seen, no call repeated, watches left again."""
    session = connected()
    xid = call(session, r.GetChildren("/a", True), 1.0, "children")
    answer(session, xid, 1.0, r.Children((), r.Stat()), zxid=77)
    xid = call(session, r.Exists("/b", True), 1.0, "coming")
    answer(session, xid, 1.0, error=r.Code.NO_NODE, zxid=78)
    call(session, r.GetData("/c", True), 1.0, "lost")
    assert session.handle(e.Lost(2.0, 0.5)) == [
        e.Changed(SessionState.SUSPENDED, "the connection was lost"),
        e.Unanswered(r.GetData("/c", True), Why.CONNECTION_LOST),
        e.Connect(1, 2.0),
    ]
    assert session.handle(e.Called("later", r.Sync("/"), 2.0)) == []
    assert hello(session.handle(e.Opened(2.5))) == r.ConnectRequest(78, 6000, 0xABC, b"k" * 16)
    effects = session.handle(e.Received(jute.encode_connected(GREETING), 2.6))
    assert written(effects) == [
        (r.XID_SET_WATCHES, r.SetWatches(78, (), ("/b",), ("/a",))),
        (4, r.Sync("/")),
    ]
    assert e.Changed(SessionState.CONNECTED, "a server confirmed it") in effects


def test_a_watch_is_told_once() -> None:
    """Then it must be left again."""
    session = connected()
    xid = call(session, r.GetData("/a", True), 1.0, "w")
    answer(session, xid, 1.0, r.Data(b"", r.Stat()))
    event = r.WatchEvent(r.EventKind.DATA_CHANGED, "/a")
    message = jute.encode_event(event)
    assert session.handle(e.Received(message, 1.1)) == [e.Fired("w", event)]
    assert session.handle(e.Received(message, 1.2)) == []


@pytest.mark.parametrize("when", ["waiting", "sent", "answered"])
def test_a_watch_can_be_taken_back(when: str) -> None:
    """At any time."""
    session = Session(1, 6.0) if when == "waiting" else connected(1)
    request = r.GetData("/a", True)
    if when == "waiting":
        session.handle(e.Started(0.0, 0.5))
        session.handle(e.Called("c", request, 0.0, "w"))
        session.handle(e.Unwatched("w"))
        session.handle(e.Opened(0.0))
        session.handle(e.Received(jute.encode_connected(GREETING), 0.0))
        xid = 1
    else:
        xid = call(session, request, 0.0, "w")
    if when == "sent":
        session.handle(e.Unwatched("w"))
    answer(session, xid, 0.0, r.Data(b"", r.Stat()))
    if when == "answered":
        session.handle(e.Unwatched("w"))
    event = r.WatchEvent(r.EventKind.DELETED, "/a")
    assert session.handle(e.Received(jute.encode_event(event), 1.0)) == []


def test_pings_keep_it() -> None:
    """One after a third of the time-out without a request; its answer counts."""
    session = connected()
    assert session.deadline == 2.0
    assert written(session.handle(e.Ticked(1.9))) == []
    assert written(session.handle(e.Ticked(2.0))) == [(r.XID_PING, r.Ping())]
    assert session.deadline == 4.0
    assert answer(session, r.XID_PING, 2.1) == []
    assert session.expires_at == 8.0


def test_it_acts_at_its_deadline_whatever_the_rounding() -> None:
    """Woken at exactly that time it moves it on, or its timer would never rest."""
    for began in range(1, 200):
        session = connected()
        call(session, r.Exists("/"), began / 197)
        deadline = session.deadline
        assert deadline is not None
        session.handle(e.Ticked(deadline))
        assert session.deadline is None or session.deadline > deadline


def test_a_silent_server_is_left() -> None:
    """After two thirds of the time-out."""
    session = connected()
    session.handle(e.Ticked(2.0))
    effects = session.handle(e.Ticked(4.0))
    assert [type(x) for x in effects] == [e.Drop, e.Changed, e.Connect]
    assert session.state is SessionState.SUSPENDED


def test_a_server_that_does_not_greet_is_left() -> None:
    """Each gets its part of the time-out."""
    session = Session(3, 6.0)
    session.handle(e.Started(0.0, 0.5))
    assert session.deadline == 2.0
    assert session.handle(e.Ticked(1.9)) == []
    assert session.handle(e.Ticked(2.0)) == [
        e.Drop("the server did not answer in time"),
        e.Connect(1, 2.0),
    ]


def test_it_expires_by_its_own_clock() -> None:
    """The whole time-out after the sending of what was answered last."""
    session = connected()
    xid = call(session, r.Sync("/"), 1.0)
    answer(session, xid, 3.0, r.Synced("/"))
    call(session, r.Sync("/x"), 3.5)
    session.handle(e.Lost(4.0, 0.5))
    session.handle(e.Called("w", r.Sync("/y"), 4.0))
    session.handle(e.Ticked(6.9))
    assert session.state is SessionState.SUSPENDED
    effects = session.handle(e.Ticked(7.0))
    assert session.state is SessionState.EXPIRED
    assert e.Unanswered("w", Why.ENDED) in effects
    assert session.handle(e.Called("z", r.Sync("/z"), 7.1)) == [e.Unanswered("z", Why.ENDED)]
    assert session.deadline is None


def test_a_stopped_process_expires_with_the_first_thing_it_hears() -> None:
    """Even if that is an answer that had waited in its socket, or its own call."""
    session = connected()
    xid = call(session, r.Sync("/"), 1.0)
    effects = answer(session, xid, 60.0, r.Synced("/"))
    assert session.state is SessionState.EXPIRED
    assert e.Unanswered(r.Sync("/"), Why.CONNECTION_LOST) in effects
    session = connected()
    effects = session.handle(e.Called("c", r.Sync("/"), 60.0))
    assert effects[1].state is SessionState.EXPIRED  # type: ignore[union-attr]
    assert effects[-1] == e.Unanswered("c", Why.ENDED)


@pytest.mark.parametrize(
    "greeting",
    [r.ConnectResponse(0, 0, b""), r.ConnectResponse(6000, 0xDEF, b"k" * 16)],
    ids=["forgotten", "replaced"],
)
def test_a_server_that_does_not_know_the_session_ends_it(greeting: r.ConnectResponse) -> None:
    """Also one that silently begins another."""
    session = connected()
    session.handle(e.Lost(1.0, 0.5))
    session.handle(e.Opened(1.0))
    session.handle(e.Received(jute.encode_connected(greeting), 1.0))
    assert session.state is SessionState.EXPIRED


def test_a_session_confirmed_too_late_is_over() -> None:
    """The server had our word in time, yet its answer says nothing about now."""
    session = connected()
    session.handle(e.Lost(1.0, 0.5))
    session.handle(e.Opened(1.0))
    session.handle(e.Received(jute.encode_connected(GREETING), 6.5))
    assert session.state is SessionState.EXPIRED


def test_wrong_credentials_end_it() -> None:
    """Trying again would not help."""
    session = connected(identities=(r.Auth("digest", b"u:p"),))
    answer(session, r.XID_AUTH, 0.1, error=r.Code.AUTH_FAILED)
    assert session.state is SessionState.AUTH_FAILED


def test_it_is_closed_after_what_was_asked_before() -> None:
    """The answers still come; nothing new is taken."""
    session = connected()
    xid = call(session, r.Sync("/"), 1.0)
    ((close, sent),) = written(session.handle(e.Closing(1.0)))
    assert sent == r.CloseSession()
    assert session.handle(e.Called("late", r.Sync("/"), 1.0)) == [e.Unanswered("late", Why.ENDED)]
    assert answer(session, xid, 1.1, r.Synced("/")) == [e.Answered(r.Sync("/"), r.Synced("/"))]
    answer(session, close, 1.2)
    assert session.state is SessionState.CLOSED


def test_closing_does_not_wait_for_ever() -> None:
    """A server that says nothing is left; so is one that breaks the connection."""
    for last in (e.Ticked(3.0), e.Lost(1.5, 0.5)):
        session = connected()
        call(session, r.Sync("/"), 1.0)
        session.handle(e.Closing(1.0))
        effects = session.handle(last)
        assert session.state is SessionState.CLOSED
        assert e.Unanswered(r.Sync("/"), Why.CONNECTION_LOST) in effects


def test_closing_without_a_connection_is_at_once() -> None:
    """There is nobody to tell."""
    session = Session(1, 6.0)
    session.handle(e.Started(0.0, 0.5))
    effects = session.handle(e.Closing(0.0))
    assert [type(x) for x in effects] == [e.Drop, e.Changed]
    assert session.state is SessionState.CLOSED


def test_rubbish_ends_the_connection() -> None:
    """Not the session."""
    session = connected()
    effects = session.handle(e.Received(b"\x00", 1.0))
    assert [type(x) for x in effects] == [e.Drop, e.Changed, e.Connect]


def test_a_moved_session_leaves_the_connection() -> None:
    """Another connection of ours is the newer one; the call did not happen."""
    session = connected()
    xid = call(session, r.Sync("/"), 1.0)
    effects = answer(session, xid, 1.0, error=r.Code.SESSION_MOVED)
    assert effects[0] == e.Refused(r.Sync("/"), r.Code.SESSION_MOVED)
    assert session.state is SessionState.SUSPENDED


def test_numbers_go_round() -> None:
    """Numbers below zero are not ours."""
    session = connected()
    session._xid = 0x7FFFFFFE
    assert [call(session, r.Sync("/"), 1.0) for _ in range(3)] == [0x7FFFFFFF, 1, 2]


def test_messages_have_their_length() -> None:
    """What is written can be put on the wire as it is."""
    session = connected()
    (effect,) = session.handle(e.Called("c", r.Sync("/"), 1.0))
    assert isinstance(effect, e.Write)
    assert wire.Frames().feed(effect.data) == [effect.data[4:]]
