"""The way to the cluster: to whichever master leads, or to one agent.

A stream that was opened through an earlier leader is ended when another leads, so that its client
subscribes again; clients notice an end at once, a silent master only after many heartbeats.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.errors import UnavailableError
from mesos_twisted.transport.client import AnswerLostError, ClientStream, HttpClient
from mesos_twisted.transport.leader import LeaderClient, Masters
from mesos_twisted.transport.messages import Headers

_log = Logger()
_LOCATION = re.compile(r"(?:https?:)?//([^/?#\s@]+:[0-9]{1,5})/?")
#: How long a master may take for an answer's head; clients give up long before.
_MASTER_S = 60.0
#: An agent answers some calls only when a container ends.
_AGENT_S = 86400.0
_LOOK_S = 0.5  # between two looks for a leader, while a request waits
_WATCH_S = 5.0  # between two looks at who leads, while streams are open
_ASK_S = 4.0  # for one master to say who leads


class IUpstream(Protocol):
    """Where requests go."""

    async def open(self, method: str, target: str, headers: Headers, body: bytes) -> ClientStream:
        """The answer's head, its body to be read. Raises UnavailableError."""

    def stop(self) -> None:
        """Nothing stays scheduled; open streams end."""


class AgentUpstream:
    """One agent at `host:port`."""

    def __init__(self, http: HttpClient, agent: str) -> None:
        self._http = http
        self._base = f"https://{agent}"

    async def open(self, method: str, target: str, headers: Headers, body: bytes) -> ClientStream:
        """See `IUpstream`."""
        url = self._base + target
        return await self._http.open_stream(method, url, headers, body, _AGENT_S)

    def stop(self) -> None:
        """Streams end with the HTTP client."""


class LeaderUpstream:
    """The leading master among `masters`, waited for up to `patience_s` when none leads."""

    def __init__(
        self,
        http: HttpClient,
        masters: Sequence[str] | Masters,
        timers: Timers,
        patience_s: float,
    ) -> None:
        self._http = http
        self._leader = LeaderClient(http, masters)
        self._timers = timers
        self._patience_s = patience_s
        self._said: str | None = None  # the leader's address as the masters said it last
        self._open: dict[ClientStream, str | None] = {}  # with what was said when it was opened
        self._looking = False
        self._watch = timers.every(_WATCH_S, self._look)

    async def open(self, method: str, target: str, headers: Headers, body: bytes) -> ClientStream:
        """See `IUpstream`."""
        until = self._timers.seconds() + self._patience_s
        while True:
            if self._leader.leader is None:
                await self._find()
            try:
                stream = await self._leader.open_stream(method, target, headers, body, _MASTER_S)
            except AnswerLostError:
                self._leader.forget()
                raise
            except UnavailableError:
                # No master has acted on it, so it may be sent again.
                if self._timers.seconds() >= until:
                    raise
                pause: Deferred[None] = Deferred()
                self._timers.after(_LOOK_S, pause.callback, None)
                await pause
                continue
            self._keep(stream)
            return stream

    def stop(self) -> None:
        """See `IUpstream`."""
        self._watch.cancel()
        for stream in tuple(self._open):
            stream.close()

    def _keep(self, stream: ClientStream) -> None:
        self._open[stream] = self._said
        stream.on_closed(lambda reason: self._closed(stream))

    def _closed(self, stream: ClientStream) -> None:
        self._open.pop(stream, None)
        if not stream.complete:
            self._leader.forget()

    async def _find(self) -> None:
        """Ask the masters who leads, so that pages every master answers come from the leader."""
        said = await self._ask()
        if said is not None:
            self._said = self._leader.leader = said

    async def _ask(self) -> str | None:
        known = self._leader.leader
        try:
            masters = await self._leader.masters.find()
        except UnavailableError:
            return None
        for master in dict.fromkeys((*((known,) if known else ()), *masters)):
            url = f"https://{master}/redirect"
            try:
                answer = await self._http.request("GET", url, timeout_s=_ASK_S)
            except UnavailableError:
                continue
            match = _LOCATION.fullmatch(answer.headers.get("location", ""))
            if answer.status == 307 and match is not None:
                return match[1]
        return None

    def _look(self) -> None:
        if self._open and not self._looking:
            self._looking = True
            ensureDeferred(self._compare()).addErrback(self._broken).addBoth(self._looked)

    async def _compare(self) -> None:
        said = await self._ask()
        if said is None:
            return
        for stream, then in tuple(self._open.items()):
            if then is None:
                self._open[stream] = said
            elif then != said:
                _log.info(
                    "{leader} leads now, no longer {then}: a stream ends", leader=said, then=then
                )
                stream.close()
        if said != self._said:
            self._said = self._leader.leader = said

    def _broken(self, failure: Failure) -> None:
        _log.failure("Looking for the leader failed", failure)

    def _looked(self, _: object) -> None:
        self._looking = False
