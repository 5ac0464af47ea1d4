"""Which leader a stream belongs to, over a client that answers at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import Clock

from mesos_twisted.clock import Timers
from mesos_twisted.connect.net.upstream import LeaderUpstream
from mesos_twisted.transport.client import ClientResponse

OLD, NEW = "old.example:5050", "new.example:5050"


class Stream:
    """An open stream of one master's."""

    def __init__(self, master: str, status: int, headers: dict[str, str]) -> None:
        self.master, self.status, self.headers = master, status, headers
        self.complete = self.left = self.closed = False
        self.closers: list[Callable[[str], object]] = []

    def on_data(self, listener: object) -> None:
        pass

    def on_closed(self, listener: Callable[[str], object]) -> None:
        self.closers.append(listener)

    def close(self) -> None:
        self.closed = self.left = True
        for closer in self.closers:
            closer("closed")


class Http:
    """Masters that all know the leader."""

    def __init__(self) -> None:
        self.leader = OLD

    def request(self, method: str, url: str, **_: Any) -> Deferred[ClientResponse]:
        return succeed(ClientResponse(307, {"location": f"//{self.leader}"}, b""))

    def open_stream(self, method: str, url: str, *_: Any) -> Deferred[Any]:
        master = url.split("/")[2]
        if master != self.leader:
            return succeed(Stream(master, 307, {"location": f"//{self.leader}/"}))
        return succeed(Stream(master, 200, {}))


def opened(upstream: LeaderUpstream) -> Any:
    streams: list[Any] = []
    ensureDeferred(upstream.open("GET", "/", (), b"")).addCallback(streams.append)
    return streams[0]


def test_a_stream_of_the_new_leader_stays() -> None:
    """Also when it was opened before anybody here had asked who leads now; the old one's ends."""
    http, clock = Http(), Clock()
    client: Any = http
    upstream = LeaderUpstream(client, (OLD, NEW), Timers(clock), 1.0)
    old = opened(upstream)
    http.leader = NEW
    new = opened(upstream)
    assert (old.master, new.master) == (OLD, NEW)
    clock.advance(5.0)
    assert old.closed and not new.closed
    clock.advance(5.0)
    assert not new.closed
    http.leader = OLD
    clock.advance(5.0)
    assert new.closed
    upstream.stop()
    assert not clock.getDelayedCalls()
