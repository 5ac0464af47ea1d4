"""The way to the cluster: to whichever master leads, or to one agent.

A stream that was opened through an earlier leader is ended when another leads, so that its client
subscribes again; clients notice an end at once, a silent master only after many heartbeats. Where
ZooKeeper tells who leads, `LeaderClient` ends them; else the masters are asked now and then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.connect.core.calls import GoneStreams, Waiting, stream_of
from mesos_twisted.errors import UnavailableError
from mesos_twisted.transport.client import AnswerLostError, ClientStream, HttpClient
from mesos_twisted.transport.leader import LeaderClient, Masters
from mesos_twisted.transport.messages import MIB, Headers

_log = Logger()
_LOCATION = re.compile(r"(?:https?:)?//([^/?#\s@]+:[0-9]{1,5})/?")
#: How long a master may take for an answer's head; clients give up long before.
_MASTER_S = 60.0
#: An agent answers some calls only when a container ends.
_AGENT_S = 86400.0
_LOOK_S = 0.5  # between two looks for a leader, while a request waits
_WATCH_S = 5.0  # between two looks at who leads, while streams are open
_ASK_S = 4.0  # for one master to say who leads
_STREAM_ID = "mesos-stream-id"
#: What may wait for a leader at the same time.
_MAX_WAITING = 1000
_MAX_WAITING_BYTES = 64 * MIB


class IUpstream(Protocol):
    """Where requests go."""

    async def open(self, method: str, target: str, headers: Headers, body: bytes) -> ClientStream:
        """The answer's head, its body to be read. Raises UnavailableError or CallDroppedError."""

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


class CallDroppedError(UnavailableError):
    """A scheduler's call was lost with the stream it belongs to, and its client must subscribe."""


class LeaderUpstream:
    """The leading master among `masters`, waited for up to `patience_s` when none leads.

    A request that no master has acted on waits, and so does a GET that was not answered. A call of
    a scheduler whose stream is gone waits for nothing: it fails with CallDroppedError.
    """

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
        self._gone = GoneStreams()
        self._waiting = Waiting(_MAX_WAITING, _MAX_WAITING_BYTES)
        self._finding: list[Deferred[None]] | None = None
        self._looking = False
        self._watch = timers.every(_WATCH_S, self._look)

    async def open(self, method: str, target: str, headers: Headers, body: bytes) -> ClientStream:
        """See `IUpstream`."""
        stream_id = stream_of(method, target, headers, body)
        until = self._timers.seconds() + self._patience_s
        waits = False
        try:
            while True:
                stream = await self._try(method, target, headers, body, stream_id, until)
                if stream is not None:
                    return stream
                if not waits:
                    self._waiting.enter(len(body))
                    waits = True
                pause: Deferred[None] = Deferred()
                self._timers.after(_LOOK_S, pause.callback, None)
                await pause
        finally:
            if waits:
                self._waiting.leave(len(body))

    async def _try(
        self,
        method: str,
        target: str,
        headers: Headers,
        body: bytes,
        stream_id: str | None,
        until: float,
    ) -> ClientStream | None:
        """One try; None when another may follow."""
        if self._leader.leader is None and stream_id not in self._gone:
            await self._find()
        if stream_id in self._gone:
            raise CallDroppedError("its stream ended with the leader that it was opened with")
        try:
            stream = await self._leader.open_stream(method, target, headers, body, _MASTER_S)
        except AnswerLostError as problem:
            self._leader.forget()
            if stream_id is not None:
                # Lost with its stream, or its client would never ask what became of it.
                self._end(stream_id)
                raise CallDroppedError(str(problem)) from None
            if method not in ("GET", "HEAD"):
                raise
            failed: UnavailableError = problem
        except UnavailableError as problem:
            # No master has acted on it, so it may be sent again.
            failed = problem
        else:
            self._keep(stream)
            return stream
        if self._timers.seconds() >= until:
            raise UnavailableError(f"no master led within {self._patience_s:g} s ({failed})")
        return None

    def stop(self) -> None:
        """See `IUpstream`."""
        self._watch.cancel()
        for stream in tuple(self._open):
            stream.close()

    def _keep(self, stream: ClientStream) -> None:
        # Another may have answered than the one that was said to lead: the next look tells.
        self._open[stream] = self._said if self._leader.leader == self._said else None
        stream.on_closed(lambda reason: self._closed(stream))

    def _closed(self, stream: ClientStream) -> None:
        self._open.pop(stream, None)
        if not stream.complete and not stream.left:
            self._gone.add(stream.headers.get(_STREAM_ID))
            self._leader.forget()

    def _end(self, stream_id: str) -> None:
        self._gone.add(stream_id)
        for stream in tuple(self._open):
            if stream.headers.get(_STREAM_ID) == stream_id:
                stream.close()

    async def _find(self) -> None:
        """Ask the masters who leads, so that pages every master answers come from the leader.

        Once for all who want to know it at the same time.
        """
        if self._finding is not None:
            known: Deferred[None] = Deferred()
            self._finding.append(known)
            await known
            return
        self._finding = []
        try:
            said = await self._ask()
            if said is not None:
                self._said = self._leader.leader = said
        finally:
            others, self._finding = self._finding, None
            for each in others:
                each.callback(None)

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
                self._gone.add(stream.headers.get(_STREAM_ID))
                stream.close()
        if said != self._said:
            self._said = self._leader.leader = said

    def _broken(self, failure: Failure) -> None:
        _log.failure("Looking for the leader failed", failure)

    def _looked(self, _: object) -> None:
        self._looking = False
