"""Requests to whichever master leads: finds it, remembers it, finds it again.

A master that does not lead answers 307 with the leader's address, or 503 when it knows none. A
request is sent again only when no master can have acted on it, or when the caller says that twice
does no harm.

A leader that hangs, or is cut off, says nothing of having been replaced. Where the masters are told
by an election, its word ends what is under way with a master that led before, streams too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed

from mesos_twisted.errors import UnavailableError
from mesos_twisted.transport.client import (
    AnswerLostError,
    ClientResponse,
    ClientStream,
    HttpClient,
    NotConnectedError,
)
from mesos_twisted.transport.messages import Headers

_LOCATION = re.compile(
    r"(?:https?:)?//((?:\[[0-9A-Fa-f:.]+\]|[^/?#\s\[\]@]+):[0-9]{1,5})(?:[/?].*)?"
)
_HOPS = 4

_Answer = TypeVar("_Answer", ClientResponse, ClientStream)


class Masters(Protocol):
    """Says whom to ask, where that changes."""

    def find(self) -> Deferred[Sequence[str]]:
        """Fires with `host:port` of masters, the likeliest leader first. UnavailableError: none."""
        ...

    def follow(self, another: Callable[[str], object], /) -> None:
        """`another(address)` is called with each new leader, as soon as one is known to lead in
        place of the last.
        """
        ...

    def stop(self) -> Deferred[None]:
        """Fires when nothing is left."""
        ...


class NamedMasters:
    """Masters that are always the same."""

    def __init__(self, masters: Sequence[str]) -> None:
        if not masters:
            raise ValueError("A leader client needs at least one master")
        self._masters = tuple(masters)

    def find(self) -> Deferred[Sequence[str]]:
        """All of them."""
        return succeed(self._masters)

    def follow(self, another: Callable[[str], object]) -> None:
        """Nobody tells who leads of them; a connection that ends does."""

    def stop(self) -> Deferred[None]:
        """There is nothing to end."""
        return succeed(None)


class LeaderClient:
    """`masters` are `host:port`, asked in that order when the leader is not known."""

    def __init__(
        self, http: HttpClient, masters: Sequence[str] | Masters, *, secure: bool = True
    ) -> None:
        self.leader: str | None = None
        self._http = http
        self._asked: set[str] = set()  # masters that may still owe an answer
        self._elected: str | None = None
        self.masters: Masters = NamedMasters(masters) if isinstance(masters, Sequence) else masters
        self.masters.follow(self._another)
        self._scheme = "https" if secure else "http"

    def request(
        self,
        method: str,
        path: str,
        headers: Headers = (),
        body: bytes = b"",
        timeout_s: float = 30.0,
        idempotent: bool = False,
    ) -> Deferred[ClientResponse]:
        """The leader's answer. Fails with `UnavailableError` when no master leads or answers.

        With `idempotent` a request whose answer was lost goes to the next master too.
        """

        def send(url: str) -> Deferred[ClientResponse]:
            return self._http.request(method, url, headers, body, timeout_s)

        return Deferred.fromCoroutine(self._find(send, path, idempotent or method == "GET"))

    def open_stream(
        self,
        method: str,
        path: str,
        headers: Headers = (),
        body: bytes = b"",
        timeout_s: float = 30.0,
    ) -> Deferred[ClientStream]:
        """The leader's answer as a stream; see `request`."""

        def send(url: str) -> Deferred[ClientStream]:
            return self._http.open_stream(method, url, headers, body, timeout_s)

        return Deferred.fromCoroutine(self._find(send, path, False))

    def forget(self) -> None:
        """Ask all masters again; for callers whose stream to the leader broke."""
        self.leader = None

    async def close(self) -> None:
        """Drop every connection, and whatever finds the masters."""
        await self.masters.stop()
        await self._http.close()

    def _another(self, leader: str) -> None:
        # Asked by a redirect, it may lead already; but not when it led before under this address.
        keep = {leader} - {self._elected}
        gone, self._asked = self._asked - keep, self._asked & keep
        self.leader = self._elected = leader
        for master in sorted(gone):
            reason = f"{leader} leads now, {master} no longer"
            self._http.abandon(f"{self._scheme}://{master}", reason)

    async def _find(
        self, send: Callable[[str], Deferred[_Answer]], path: str, twice: bool
    ) -> _Answer:
        said: list[str] = []
        tried: set[str] = set()
        queue = [self.leader] if self.leader is not None else []
        hops = 0
        asked = False
        while queue or not asked:
            if not queue:
                asked = True
                queue += await self.masters.find()
                continue
            master = queue.pop(0)
            if master in tried:
                continue
            tried.add(master)
            self._asked.add(master)
            try:
                answer = await send(f"{self._scheme}://{master}{path}")
            except NotConnectedError as problem:
                said.append(str(problem))
                self._not(master)
                continue
            except AnswerLostError as problem:
                self._not(master)
                if not twice:
                    raise
                said.append(str(problem))
                continue
            if answer.status == 307:
                leader = _location(answer)
                _drop(answer)
                self._not(master)
                hops += 1
                if leader is None or hops > _HOPS:
                    said.append(f"{master} redirects nowhere")
                elif leader not in tried:
                    queue.insert(0, leader)
                continue
            if answer.status == 503:
                _drop(answer)
                self._not(master)
                said.append(f"{master} knows no leader")
                continue
            self.leader = master
            return answer
        raise UnavailableError("No leading master was found: " + "; ".join(said or ["none asked"]))

    def _not(self, master: str) -> None:
        if self.leader == master:
            self.leader = None


def _location(answer: ClientResponse | ClientStream) -> str | None:
    match = _LOCATION.fullmatch(answer.headers.get("location", ""))
    return None if match is None else match[1]


def _drop(answer: ClientResponse | ClientStream) -> None:
    if isinstance(answer, ClientStream):
        answer.on_data(lambda data: None)  # read to its end, so that the connection stays usable
