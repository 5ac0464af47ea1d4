"""`POST /api/v1/executor`: executors subscribe to their events and post their calls.

    SUBSCRIBE           200 and an endless stream of events, a heartbeat every 30 minutes
    UPDATE, MESSAGE     202; the outcome shows in events
    HEARTBEAT           202

Nothing is told before the caller proves who it is (401, 403), neither what is wrong with its call
nor which frameworks are known. Then: unknown framework or executor 400; not subscribed 403; the
agent still recovers 503.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from twisted.logger import Logger

from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core import validation
from mesos_twisted.agent.core.state import AgentState, Executor
from mesos_twisted.agent.net.call_body import answer_media, encode, only_post, read_call
from mesos_twisted.agent.net.executor_auth import ExecutorAuth
from mesos_twisted.clock import Timer, Timers
from mesos_twisted.errors import Problem
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.protocol.media import Media
from mesos_twisted.transport.messages import Request, Response, StreamResponse, text_response
from mesos_twisted.transport.stream import StreamWriter

HEARTBEAT_S = 30 * 60.0
PATH = "/api/v1/executor"
_Type: TypeAlias = m.ExecutorCallType
_HEARTBEAT = m.ExecutorEvent(type=m.ExecutorEventType.HEARTBEAT)


class _Stream:
    """One executor's open stream."""

    __slots__ = ("heartbeat", "media", "writer")

    def __init__(self, writer: StreamWriter, media: Media, heartbeat: Timer) -> None:
        self.writer = writer
        self.media = media
        self.heartbeat = heartbeat


class ExecutorApi:
    """Requests in, events to the core; events out to the streams."""

    log = Logger()

    def __init__(
        self,
        state: AgentState,
        auth: ExecutorAuth,
        timers: Timers,
        *,
        handle: Callable[[ev.Event], None],
        now: Callable[[], float],
        fresh: Callable[[], ConnectionId],
    ) -> None:
        self._state = state
        self._auth = auth
        self._timers = timers
        self._handle = handle
        self._now = now
        self._fresh = fresh
        self._streams: dict[ConnectionId, _Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def request(
        self, request: Request, loopback_port: int | None = None
    ) -> Response | StreamResponse:
        """The answer; `loopback_port` is that of the plain listener the request came to."""
        if request.method != "POST":
            return only_post(request.method)
        proven = self._auth.proven(request, loopback_port)
        if isinstance(proven, Response):
            return proven
        call = read_call(m.ExecutorCall, request)
        if isinstance(call, Response):
            return call
        problem = validation.check_call(call)
        if problem is not None:
            return _refused(problem)
        media = Media.JSON
        if call.type is _Type.SUBSCRIBE:
            chosen = answer_media(request)
            if isinstance(chosen, Response):
                return chosen
            media = chosen
        elif call.type is _Type.HEARTBEAT:
            return Response(202)
        found = validation.find_executor(self._state, call)
        refusal = self._auth.refusal(proven, request, call, found, loopback_port)
        if refusal is not None:
            return refusal
        if isinstance(found, Problem):
            return _refused(found)
        executor = found
        problem = validation.check_turn(executor, call)
        if problem is not None:
            return _refused(problem)
        if call.type is _Type.SUBSCRIBE:
            return self._subscribe(call, executor, media)
        self._handle(ev.ExecutorCalled(executor.framework_id, executor.id, call, self._now()))
        return Response(202)

    def _subscribe(self, call: m.ExecutorCall, executor: Executor, media: Media) -> StreamResponse:
        connection = self._fresh()
        framework_id, executor_id = executor.framework_id, executor.id
        subscribe = call.subscribe or m.ExecutorCallSubscribe()

        def start(writer: StreamWriter) -> None:
            heartbeat = self._timers.every(HEARTBEAT_S, self.send, connection, _HEARTBEAT)
            self._streams[connection] = _Stream(writer, media, heartbeat)
            writer.on_closed(lambda reason: self._closed(connection, reason))
            self._handle(
                ev.ExecutorSubscribed(connection, framework_id, executor_id, subscribe, self._now())
            )

        return StreamResponse(200, media.value, (), start)

    def _closed(self, connection: ConnectionId, reason: str) -> None:
        stream = self._streams.pop(connection, None)
        if stream is not None:
            stream.heartbeat.cancel()
            self.log.debug("An executor's stream closed: {reason}", reason=reason)
            self._handle(ev.ExecutorClosed(connection, self._now()))

    # The driver's port.

    def send(self, connection: ConnectionId, event: m.ExecutorEvent) -> None:
        """One event; nothing when the stream is gone."""
        stream = self._streams.get(connection)
        if stream is not None:
            stream.writer.write_record(encode(event, stream.media))

    def close(self, connection: ConnectionId) -> None:
        """The stream ends after what was written."""
        stream = self._streams.get(connection)
        if stream is not None:
            stream.writer.close()

    def stop(self) -> None:
        """Every stream ends; executors come back to the next agent."""
        for stream in tuple(self._streams.values()):
            stream.heartbeat.cancel()
            stream.writer.close()


def _refused(problem: Problem) -> Response:
    return text_response(int(problem.code), problem.sentence)
