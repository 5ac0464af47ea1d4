"""A ZooKeeper client for one process, as Deferreds.

It obeys `core.session`: connects, writes, tells. A call fires with its answer, or fails with an
`AnswerError` (it did not happen), `ConnectionLostError` (it may have happened) or
`SessionEndedError` (it was not sent). A session that has ended stays so: make another client.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, assert_never

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.errors import BugError
from mesos_twisted.security.core.secret import Secret
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.tls import IContextSource
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core import events as e
from mesos_twisted.zookeeper.core.events import SessionState, Why
from mesos_twisted.zookeeper.core.session import Session
from mesos_twisted.zookeeper.errors import (
    AnswerError,
    ConnectionLostError,
    NoNodeError,
    SessionEndedError,
    answer_error,
)
from mesos_twisted.zookeeper.net.connection import Connection

#: Called once with what happened to a watched node.
Watcher: TypeAlias = Callable[[r.WatchEvent], object]
Operation: TypeAlias = r.Create | r.Delete | r.SetData | r.Check
Result: TypeAlias = r.Done | r.Created | r.Stated | r.Failed

_log = Logger()

#: A timer that is later than this was kept waiting by input, not by rounding.
_LATE_S = 0.1


class TransactionError(AnswerError):
    """None of a transaction happened; operation number `index` was at fault."""

    def __init__(self, results: Sequence[Result], what: str) -> None:
        codes = [each.error if isinstance(each, r.Failed) else r.Code.OK for each in results]
        passed = (r.Code.OK, r.Code.RUNTIME_INCONSISTENCY)
        self.index = next((i for i, code in enumerate(codes) if code not in passed), 0)
        super().__init__(codes[self.index], f"{what} for operation {self.index}")


class ZooKeeperClient:
    """One session. `servers` are hosts and ports, tried in an order that `jitter` shuffles.

    `credentials` is `user:password` of the digest scheme; with `contexts` all is TLS, and the
    server may know us by our certificate. `jitter()` gives random numbers in [0, 1).
    """

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[tuple[str, int]],
        session_timeout_s: float,
        jitter: Callable[[], float],
        *,
        credentials: Secret | None = None,
        contexts: IContextSource | None = None,
        batch: FlushBatch | None = None,
    ) -> None:
        self._reactor = reactor
        self._servers = sorted(servers, key=lambda _: jitter())
        self._jitter = jitter
        self._contexts = contexts
        self._batch = batch or FlushBatch(reactor)
        self._timers = Timers(reactor)
        identities = [] if credentials is None else [r.Auth("digest", credentials.reveal())]
        self._session = Session(len(self._servers), session_timeout_s, identities)
        self._connection: Connection | None = None
        self._dial: Timer | None = None
        self._tick: Timer | None = None
        self._tick_at = 0.0
        self._gathered: list[bytes] = []
        self._queue: deque[tuple[Connection | None, e.Event]] = deque()
        self._busy = False
        self._listeners: list[Callable[[SessionState, str], object]] = []
        self._closed: list[Deferred[None]] = []

    @property
    def state(self) -> SessionState:
        """Where the session is."""
        return self._session.state

    @property
    def session_id(self) -> int:
        """The session's number, which its ephemeral nodes carry; 0 before there is one."""
        return self._session.session_id

    @property
    def timeout_s(self) -> float:
        """The session's time-out as negotiated; before, as asked for."""
        return self._session.timeout_s

    def listen(self, listener: Callable[[SessionState, str], object]) -> None:
        """`listener(state, why)` is called with each later change of state."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[SessionState, str], object]) -> None:
        """The listener hears nothing more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def start(self) -> None:
        """Begin to connect."""
        self._hear(e.Started(self._now(), self._jitter()))

    def close(self) -> Deferred[None]:
        """Fires when the session has ended, and with it its ephemeral nodes, or cannot be ended
        because there is no connection; nothing stays scheduled.
        """
        done: Deferred[None] = Deferred()
        self._closed.append(done)
        self._hear(e.Closing(self._now()))
        return done

    # Calls

    def create(
        self,
        path: str,
        data: bytes = b"",
        acl: tuple[r.Acl, ...] = r.OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequential: bool = False,
    ) -> Deferred[str]:
        """Fires with the new node's path."""
        made = self.call(r.Create(path, data, acl, ephemeral, sequential))
        return made.addCallback(lambda reply: reply.path)

    def get(self, path: str, watch: Watcher | None = None) -> Deferred[r.Data]:
        """The node's data and Stat. The watch is left only if there is such a node."""
        return self.call(r.GetData(path, watch is not None), watch)

    def children(self, path: str, watch: Watcher | None = None) -> Deferred[r.Children]:
        """The names below the node. The watch is left only if there is such a node."""
        return self.call(r.GetChildren(path, watch is not None), watch)

    def exists(self, path: str, watch: Watcher | None = None) -> Deferred[r.Stat | None]:
        """The node's Stat, None without a node. The watch is left in any case."""

        def absent(failure: Any) -> None:
            failure.trap(NoNodeError)

        asked = self.call(r.Exists(path, watch is not None), watch)
        return asked.addCallbacks(lambda reply: reply.stat, absent)

    def set(self, path: str, data: bytes, version: int = r.ANY_VERSION) -> Deferred[r.Stat]:
        """Fires with the node's new Stat."""
        return self.call(r.SetData(path, data, version)).addCallback(lambda reply: reply.stat)

    def delete(self, path: str, version: int = r.ANY_VERSION) -> Deferred[None]:
        """Fires when the node is gone."""
        return self.call(r.Delete(path, version)).addCallback(lambda _: None)

    def sync(self, path: str) -> Deferred[None]:
        """What is read after this is no older than this call."""
        return self.call(r.Sync(path)).addCallback(lambda _: None)

    def multi(self, operations: Sequence[Operation]) -> Deferred[tuple[Result, ...]]:
        """All of them happen or none: then it fails with a TransactionError."""

        def judge(reply: r.MultiReply) -> tuple[Result, ...]:
            if any(isinstance(result, r.Failed) for result in reply.results):
                raise TransactionError(reply.results, "a transaction")
            return reply.results

        return self.call(r.Multi(tuple(operations))).addCallback(judge)

    def call(self, request: r.Request, watch: Watcher | None = None) -> Deferred[Any]:
        """Any request; fires with its `records.Reply`."""
        done: Deferred[Any] = Deferred()
        self._hear(e.Called((done, request), request, self._now(), watch))
        return done

    def unwatch(self, watch: Watcher) -> None:
        """The watch will not fire."""
        self._hear(e.Unwatched(watch))

    # What the connection tells

    def opened(self, connection: Connection) -> None:
        """It stands."""
        self._hear(e.Opened(self._now()), connection)

    def received(self, connection: Connection, message: bytes) -> bool:
        """A message of it; False when it is to be read no further."""
        self._hear(e.Received(message, self._now()), connection)
        return connection is self._connection

    def lost(self, connection: Connection, why: str) -> None:
        """It could not be made, or is gone."""
        if connection is self._connection:
            _log.info("ZooKeeper {server}: {why}", server=connection.server, why=why)
        self._hear(e.Lost(self._now(), self._jitter()), connection)

    # The session's will

    def _now(self) -> float:
        return self._timers.seconds()

    def _hear(self, event: e.Event, connection: Connection | None = None) -> None:
        """One event after the other, however deep in callbacks they come about."""
        self._queue.append((connection, event))
        if self._busy:
            return
        self._busy = True
        try:
            while self._queue:
                source, event = self._queue.popleft()
                # What a dropped connection still says is nobody's.
                if source is None or source is self._connection:
                    for effect in self._session.handle(event):
                        self._perform(effect)
        finally:
            self._busy = False
        self._arm()

    def _perform(self, effect: e.Effect) -> None:
        match effect:
            case e.Answered((done, _), reply):
                done.callback(reply)
            case e.Write(data):
                if not self._gathered:
                    self._batch.add(self)
                self._gathered.append(data)
            case e.Refused((done, request), code):
                done.errback(answer_error(code, _what(request)))
            case e.Unanswered((done, request), why):
                done.errback(_unanswered(why, request))
            case e.Fired(watcher, event):
                self._tell(watcher, event)
            case e.Connect(server, at):
                self._dial = self._timers.after(max(0.0, at - self._now()), self._connect, server)
            case e.Drop(why):
                self._drop(why)
            case e.Changed(state, why):
                self._changed(state, why)
            case e.Answered() | e.Refused() | e.Unanswered():
                raise BugError("A ZooKeeper session told of a call that nobody made")
            case _:
                assert_never(effect)

    def _connect(self, server: int) -> None:
        self._dial = None
        host, port = self._servers[server]
        self._gathered.clear()
        self._connection = Connection(self, self._reactor, self._batch, host, port, self._contexts)
        self._connection.connect(self.timeout_s)

    def _drop(self, why: str) -> None:
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None
        connection, self._connection = self._connection, None
        if connection is not None:
            _log.info("ZooKeeper {server}: {why}", server=connection.server, why=why)
            # An orderly end says what was written before; the session waits for nothing.
            self._send(connection)
            connection.drop()

    def flush(self) -> None:
        """Send what was gathered; the batch calls this."""
        if self._connection is not None:
            self._send(self._connection)

    def _send(self, connection: Connection) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            connection.write(b"".join(gathered))

    def _changed(self, state: SessionState, why: str) -> None:
        _log.info(
            "ZooKeeper session {session_id} is {state}: {why}",
            session_id=f"{self.session_id:#x}",
            state=state.value,
            why=why,
            server="" if self._connection is None else self._connection.server,
        )
        for listener in tuple(self._listeners):
            self._tell(listener, state, why)
        if self._session.over:
            self._timers.cancel_all()
            self._tick = None

    def _tell(self, whom: Callable[..., object], *what: Any) -> None:
        try:
            whom(*what)
        except Exception:
            # A listener's bug; the session's other users must hear of their answers.
            _log.failure("A listener of the ZooKeeper session failed")

    def _arm(self) -> None:
        """One timer, for the session's deadline; one that is early asks again."""
        if self._session.over:
            closed, self._closed = self._closed, []
            for done in closed:
                done.callback(None)
            return
        deadline = self._session.deadline
        if deadline is None or (self._tick is not None and self._tick_at <= deadline):
            return
        if self._tick is not None:
            self._tick.cancel()
        self._tick_at = deadline
        self._tick = self._timers.after(max(0.0, deadline - self._now()), self._ticked)

    def _ticked(self) -> None:
        self._tick = None
        now, expires_at = self._now(), self._session.expires_at
        expired = expires_at is not None and now >= expires_at
        if now - self._tick_at > _LATE_S and not expired:
            # This process was busy. What came meanwhile is read before a server is called silent.
            self._tick = self._timers.after(0.0, self._judge)
        else:
            self._judge()

    def _judge(self) -> None:
        self._tick = None
        self._hear(e.Ticked(self._now()))


def _what(request: r.Request) -> str:
    path = getattr(request, "path", "")
    return f"{type(request).__name__} {path}".rstrip()


def _unanswered(why: Why, request: r.Request) -> Exception:
    if why is Why.CONNECTION_LOST:
        return ConnectionLostError(
            f"ZooKeeper's answer to {_what(request)} was lost; it may have happened"
        )
    return SessionEndedError(f"The ZooKeeper session is over; {_what(request)} was not sent")
