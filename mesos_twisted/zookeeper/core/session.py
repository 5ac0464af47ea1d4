"""A client's session with a ZooKeeper ensemble, as decisions.

The conversation: Started -> Connect to a server -> Opened -> ConnectRequest -> ConnectResponse,
which gives a new session or confirms ours -> identities (auth), watches left before (setWatches),
calls that wait. Messages are answered in order. A ping goes out after a third of the session's
time-out without a request. A connection on which nothing came for two thirds of it is given up, and
the next server tried with the same session and the last zxid seen, so that no server that knows
less is accepted.

The session expires by our own clock when its whole time-out has passed since the *sending* of the
last message that was answered: a server cannot have counted from earlier, so an expired session is
noticed here no later than its ephemeral nodes can go. A process that was stopped for long expires
with the first thing it hears. A server that hands out a different session has lost ours: expired.

A lost connection fails the calls that were sent (they may have happened). Calls made without a
connection wait for the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from mesos_twisted.clock import backoff
from mesos_twisted.errors import MalformedError
from mesos_twisted.zookeeper import jute, wire
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core import events as e
from mesos_twisted.zookeeper.core.events import SessionState, Why
from mesos_twisted.zookeeper.core.watches import Watches

#: Waiting before a server is tried again, in seconds, once all were tried in vain.
_BACKOFF_BASE_S = 0.2
_BACKOFF_CAP_S = 5.0
#: The same while a session would expire meanwhile.
_BACKOFF_CAP_SUSPENDED_S = 1.0
_MAX_XID = 0x7FFFFFFF
_OURS = object()  # a call nobody waits for


@dataclass(slots=True)
class _Sent:
    xid: int
    at: float
    call: Any
    request: r.Request
    watcher: Any


@dataclass(slots=True)
class _Connection:
    """What is known of the connection under way; it dies with it."""

    deadline: float  # until it must stand
    opened: bool = False
    hello_at: float = 0.0
    greeted: bool = False
    heard_at: float = 0.0
    wrote_at: float = 0.0
    pings: deque[float] = field(default_factory=deque)
    sent: deque[_Sent] = field(default_factory=deque)


class Session:
    """`handle` takes an event and returns what to do, in order."""

    def __init__(
        self, servers: int, timeout_s: float, identities: Sequence[r.Auth] = (), first: int = 0
    ) -> None:
        """`timeout_s` is asked for; `identities` are shown on each connection. Server number
        `first` is tried first.
        """
        if servers < 1 or timeout_s <= 0:
            raise ValueError("A session needs servers and a positive time-out")
        self.state = SessionState.CONNECTING
        self.session_id = 0
        self.timeout_s = timeout_s
        self._asked_ms = round(timeout_s * 1000)
        self.expires_at: float | None = None
        self._password = bytes(16)
        self._servers = servers
        self._identities = tuple(identities)
        self._server = first % servers
        self._attempts = 0
        self._zxid = 0
        self._xid = 0
        self._watches = Watches()
        self._waiting: deque[tuple[Any, r.Request, Any]] = deque()
        self._link: _Connection | None = None
        self._closing_until: float | None = None

    @property
    def over(self) -> bool:
        """Nothing comes after this state."""
        return self.state in (SessionState.EXPIRED, SessionState.AUTH_FAILED, SessionState.CLOSED)

    @property
    def deadline(self) -> float | None:
        """When the session must hear Ticked at the latest; None: it need not."""
        if self.over:
            return None
        times = [t for t in (self.expires_at, self._closing_until) if t is not None]
        link = self._link
        if link is not None and not link.greeted:
            times.append(link.deadline)
        elif link is not None:
            times += [link.wrote_at + self.timeout_s / 3, link.heard_at + self.timeout_s * 2 / 3]
        return min(times, default=None)

    def handle(self, event: e.Event) -> list[e.Effect]:
        """Afterwards the event has been taken in; what it asks for is returned."""
        if self.over:
            if isinstance(event, e.Called):
                return [e.Unanswered(event.call, Why.ENDED)]
            return []
        if isinstance(event, e.Unwatched):
            self._unwatch(event.watcher)
            return []
        if self.expires_at is not None and event.now >= self.expires_at:
            late = self._end(SessionState.EXPIRED, "nothing was heard for its whole time-out")
            return late + (self.handle(event) if isinstance(event, e.Called) else [])
        match event:
            case e.Called():
                return self._called(event)
            case e.Received():
                return self._received(event)
            case e.Ticked(now):
                return self._ticked(now)
            case e.Started(now, jitter):
                return self._connect(now, jitter)
            case e.Opened(now):
                return self._opened(now)
            case e.Lost(now, jitter):
                return self._lost(now, jitter, "the connection was lost")
            case e.Closing(now):
                return self._close(now)
            case _:
                assert_never(event)

    # Connections

    def _connect(self, now: float, jitter: float) -> list[e.Effect]:
        """To the next server: at once while some were not tried, then after a while."""
        rounds, place = divmod(self._attempts, self._servers)
        cap = _BACKOFF_CAP_SUSPENDED_S if self.session_id else _BACKOFF_CAP_S
        wait = 0.0
        if rounds and place == 0:
            wait = backoff(rounds - 1, _BACKOFF_BASE_S, cap, jitter)
        server = (self._server + self._attempts) % self._servers
        self._attempts += 1
        # As the Java client does: in the time of one session each server is tried once.
        patience = max(self.timeout_s / self._servers, 1.0)
        self._link = _Connection(now + wait + patience)
        return [e.Connect(server, now + wait)]

    def _opened(self, now: float) -> list[e.Effect]:
        link = self._link
        if link is None:
            return []
        link.opened = True
        link.hello_at = now
        hello = r.ConnectRequest(self._zxid, self._asked_ms, self.session_id, self._password)
        return [e.Write(wire.frame(jute.encode_connect(hello)))]

    def _lost(self, now: float, jitter: float, why: str) -> list[e.Effect]:
        if self._closing_until is not None:
            return self._end(SessionState.CLOSED, "it was closed, unconfirmed")
        link, self._link = self._link, None
        effects: list[e.Effect] = []
        if self.state is SessionState.CONNECTED:
            self.state = SessionState.SUSPENDED
            effects.append(e.Changed(self.state, why))
        if link is not None:
            effects += [e.Unanswered(s.call, Why.CONNECTION_LOST) for s in link.sent if _waits(s)]
        return effects + self._connect(now, jitter)

    def _give_up(self, now: float, why: str) -> list[e.Effect]:
        # Chance is only for waiting, and after a drop the next server is tried at once.
        return [e.Drop(why), *self._lost(now, 0.5, why)]

    # Messages

    def _received(self, event: e.Received) -> list[e.Effect]:
        link = self._link
        if link is None or not link.opened:
            return []
        link.heard_at = event.now
        try:
            if not link.greeted:
                return self._greeted(link, jute.decode_connected(event.message), event.now)
            return self._message(link, event.message, event.now)
        except MalformedError as error:
            return self._give_up(event.now, f"the server cannot be understood: {error}")

    def _greeted(self, link: _Connection, said: r.ConnectResponse, now: float) -> list[e.Effect]:
        ours = self.session_id
        if said.timeout_ms <= 0 or said.session_id == 0:
            if ours:
                return self._end(SessionState.EXPIRED, "the server does not know it any more")
            return self._give_up(now, "the server gave no session")
        if ours and said.session_id != ours:
            return self._end(SessionState.EXPIRED, "the server began another in its place")
        link.greeted = True
        link.wrote_at = now
        self.session_id, self._password = said.session_id, said.password
        self.timeout_s = said.timeout_ms / 1000
        # The next loss begins with the server after this one.
        self._server = (self._server + self._attempts) % self._servers
        self._attempts = 0
        self.state = SessionState.CONNECTED
        self._alive(link.hello_at)
        if self.expires_at is not None and now >= self.expires_at:
            return self._end(SessionState.EXPIRED, "its time-out passed while it was confirmed")
        effects: list[e.Effect] = []
        for identity in self._identities:
            effects.append(self._send(link, r.XID_AUTH, identity, now))
        for watches in self._watches.rearm(self._zxid):
            effects.append(self._send(link, r.XID_SET_WATCHES, watches, now))
        effects.append(e.Changed(self.state, "a server confirmed it"))
        while self._waiting:
            call, request, watcher = self._waiting.popleft()
            effects.append(self._send_call(link, call, request, watcher, now))
        return effects

    def _message(self, link: _Connection, message: bytes, now: float) -> list[e.Effect]:
        header = jute.decode_header(message)
        if header.xid == r.XID_NOTIFICATION:
            event = jute.decode_event(message)
            return [e.Fired(watcher, event) for watcher in self._watches.fired(event)]
        if header.zxid > self._zxid:
            self._zxid = header.zxid
        if header.error == r.Code.SESSION_EXPIRED:
            return self._end(SessionState.EXPIRED, "the server says so")
        if header.xid == r.XID_PING:
            if link.pings:
                self._alive(link.pings.popleft())
            return []
        if header.error == r.Code.AUTH_FAILED and header.xid == r.XID_AUTH:
            return self._end(SessionState.AUTH_FAILED, "the server refused our credentials")
        if not link.sent or link.sent[0].xid != header.xid:
            return self._give_up(now, "the server answered out of order")
        # Decoded before it is taken off: what cannot be read has no answer.
        head = link.sent[0]
        reply = None if header.error else jute.decode_reply(message, head.request)
        link.sent.popleft()
        self._alive(head.at)
        if head.watcher is not None:
            self._watches.answered(head.request, header.error, head.watcher)
        if isinstance(head.request, r.CloseSession):
            return self._end(SessionState.CLOSED, "it was closed")
        if not _waits(head):
            return []
        if reply is not None:
            return [e.Answered(head.call, reply)]
        effects: list[e.Effect] = [e.Refused(head.call, header.error)]
        if header.error == r.Code.SESSION_MOVED:
            effects += self._give_up(now, "the session has moved to another connection")
        return effects

    def _alive(self, at: float) -> None:
        """The servers heard us, at `at` or later."""
        if self.expires_at is None or at + self.timeout_s > self.expires_at:
            self.expires_at = at + self.timeout_s

    # Calls

    def _called(self, event: e.Called) -> list[e.Effect]:
        if self._closing_until is not None:
            return [e.Unanswered(event.call, Why.ENDED)]
        link = self._link
        if link is None or not link.greeted:
            self._waiting.append((event.call, event.request, event.watcher))
            return []
        return [self._send_call(link, event.call, event.request, event.watcher, event.now)]

    def _send_call(
        self, link: _Connection, call: Any, request: r.Request, watcher: Any, now: float
    ) -> e.Write:
        self._xid = self._xid % _MAX_XID + 1
        return self._send(link, self._xid, request, now, call, watcher)

    def _send(
        self,
        link: _Connection,
        xid: int,
        request: r.Request,
        now: float,
        call: Any = _OURS,
        watcher: Any = None,
    ) -> e.Write:
        link.sent.append(_Sent(xid, now, call, request, watcher))
        link.wrote_at = now
        return e.Write(wire.frame(jute.encode_request(xid, request)))

    def _unwatch(self, watcher: Any) -> None:
        self._watches.forget(watcher)
        for sent in self._link.sent if self._link is not None else ():
            if sent.watcher is watcher:
                sent.watcher = None
        self._waiting = deque((c, q, None if w is watcher else w) for c, q, w in self._waiting)

    # Time

    def _ticked(self, now: float) -> list[e.Effect]:
        if self._closing_until is not None and now >= self._closing_until:
            return self._end(SessionState.CLOSED, "it was closed, unconfirmed")
        link = self._link
        if link is None:
            return []
        if not link.greeted:
            if now < link.deadline:
                return []
            return self._give_up(now, "the server did not answer in time")
        # Added as in `deadline`: rounded otherwise, it would do nothing when it is woken then.
        if now >= link.heard_at + self.timeout_s * 2 / 3:
            return self._give_up(now, f"nothing was heard for {now - link.heard_at:.1f} s")
        if now >= link.wrote_at + self.timeout_s / 3:
            link.wrote_at = now
            link.pings.append(now)
            return [e.Write(wire.frame(jute.encode_request(r.XID_PING, r.Ping())))]
        return []

    # Ends

    def _close(self, now: float) -> list[e.Effect]:
        if self._closing_until is not None:
            return []
        link = self._link
        if link is None or not link.greeted:
            # Nobody can be told; a session that exists expires by itself.
            return self._end(SessionState.CLOSED, "it was closed without a connection")
        self._closing_until = now + self.timeout_s / 3
        return [self._send_call(link, _OURS, r.CloseSession(), None, now)]

    def _end(self, state: SessionState, why: str) -> list[e.Effect]:
        link, self._link = self._link, None
        self.state = state
        effects: list[e.Effect] = [e.Changed(state, why)]
        if link is not None:
            effects.insert(0, e.Drop(why))
            effects += [e.Unanswered(s.call, Why.CONNECTION_LOST) for s in link.sent if _waits(s)]
        effects += [e.Unanswered(call, Why.ENDED) for call, _, _ in self._waiting]
        self._waiting.clear()
        return effects


def _waits(sent: _Sent) -> bool:
    return sent.call is not _OURS
