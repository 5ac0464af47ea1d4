"""All HTTP/1.1 connections of one listener or more: made here, swept here, stopped here.

Deadlines are kept by one coarse sweep over all connections, not by a timer for each message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime
from zope.interface import implementer

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.transport.http1_connection import Handler, HttpConnection
from mesos_twisted.transport.http1_render import HeadRenderer
from mesos_twisted.transport.messages import HttpLimits, fixed_body_limit
from mesos_twisted.turns import Turns


@implementer(IProtocolFactory)
class HttpServer:
    """Makes connections and keeps their deadlines; listen with it as a factory, plain or TLS.

    `handler` answers a `Request` with a `Response`, `StreamResponse` or `ChunkedBody`, or a
    Deferred of one. `body_limit(path)` is the most bytes a body may have there.
    """

    def __init__(
        self,
        clock: IReactorTime,
        handler: Handler,
        *,
        body_limit: Callable[[str], int] | None = None,
        limits: HttpLimits | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits or HttpLimits()
        self.body_limit = body_limit or fixed_body_limit(self.limits.body_bytes)
        self.timers = Timers(clock)
        #: Who sends long bodies; a process that has other long work shares one.
        self.turns = turns or Turns(self.timers)
        self.renderer = HeadRenderer()
        self.stopping = False
        #: Coarse time in seconds, renewed once a second: reading the clock per message costs more.
        self.now = clock.seconds()
        self._connections: dict[HttpConnection, None] = {}
        self._sweeper: Timer | None = None
        self._stopped: Deferred[None] | None = None

    def doStart(self) -> None:
        """Twisted calls this when a port begins to listen."""

    def doStop(self) -> None:
        """Twisted calls this when a port has stopped listening."""

    def buildProtocol(self, addr: IAddress | None) -> HttpConnection | None:
        """A connection's protocol, or None (the connection is closed) while stopping."""
        if self.stopping:
            return None
        return HttpConnection(self)

    def connections(self) -> Iterator[HttpConnection]:
        """The open connections; each has a `peer` and `abort()`."""
        return iter(tuple(self._connections))

    def stop(self, grace_s: float = 10.0) -> Deferred[None]:
        """No new request is taken; fires when every connection is gone.

        Idle connections and endless answers end at once, others after their answer, and all that
        are left after `grace_s` are cut.
        """
        self.stopping = True
        for connection in self.connections():
            connection.stop()
        if not self._connections:
            return succeed(None)
        self._stopped = Deferred()
        self.timers.after(grace_s, self._cut)
        return self._stopped

    def opened(self, connection: HttpConnection) -> None:
        """`connection` has a transport."""
        if self._sweeper is None:
            self._tick()
        self._connections[connection] = None

    def lost(self, connection: HttpConnection) -> None:
        """`connection` is gone; with the last one nothing stays scheduled."""
        self._connections.pop(connection, None)
        if not self._connections:
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None
            if self._stopped is not None:
                self.timers.cancel_all()
                stopped, self._stopped = self._stopped, None
                stopped.callback(None)

    def _cut(self) -> None:
        for connection in self.connections():
            connection.abort()

    def _tick(self) -> None:
        self.now = self.timers.seconds()
        self.renderer.tick(self.now)
        if self._sweeper is None or not self._sweeper.active:
            self._sweeper = self.timers.every(1.0, self._tick)
        for connection in tuple(self._connections):
            connection.sweep(self.now)
