"""`POST /api/v1/executor`: executors subscribe to their events and post their calls.

    SUBSCRIBE           200 and an endless stream of events, a heartbeat every 30 minutes
    UPDATE, MESSAGE     202; the outcome shows in events
    HEARTBEAT           202

Unknown framework or executor: 400; not subscribed: 403; the agent still recovers: 503.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from twisted.logger import Logger

from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core.state import AgentState, Executor, ExecutorState, Phase
from mesos_twisted.agent.net.call_body import answer_media, encode, only_post, read_call
from mesos_twisted.agent.net.executor_auth import ExecutorAuth
from mesos_twisted.clock import Timer, Timers
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, ExecutorId, FrameworkId
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
        call = read_call(m.ExecutorCall, request)
        if isinstance(call, Response):
            return call
        problem = validate(call)
        if problem is not None:
            return text_response(400, f"Failed to validate Executor::Call: {problem}")
        if call.type is _Type.HEARTBEAT:
            return Response(202)
        media = Media.JSON
        if call.type is _Type.SUBSCRIBE:
            chosen = answer_media(request)
            if isinstance(chosen, Response):
                return chosen
            media = chosen
        if self._state.phase is Phase.RECOVERING:
            return text_response(503, "Agent has not finished recovery")
        return self._known(request, call, media, loopback_port)

    def _known(
        self, request: Request, call: m.ExecutorCall, media: Media, loopback_port: int | None
    ) -> Response | StreamResponse:
        framework = self._state.frameworks.get(FrameworkId(call.framework_id.value))
        if framework is None:
            return text_response(400, "Framework cannot be found")
        executor = framework.executors.get(ExecutorId(call.executor_id.value))
        if executor is None:
            return text_response(400, "Executor cannot be found")
        refusal = self._auth.refusal(request, executor, loopback_port)
        if refusal is not None:
            return refusal
        if call.type is _Type.SUBSCRIBE:
            return self._subscribe(call, executor, media)
        if executor.state is ExecutorState.REGISTERING or executor.connection is None:
            return text_response(403, "Executor is not subscribed")
        if call.type in (_Type.UPDATE, _Type.MESSAGE):
            self._handle(ev.ExecutorCalled(framework.id, executor.id, call, self._now()))
            return Response(202)
        return text_response(501, "This call is not known here")

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


def validate(call: m.ExecutorCall) -> str | None:
    """What is wrong with a call that its framework and executor do not matter for, or None."""
    if call.type is None:
        return "Expecting 'type' to be present"
    if call.type is _Type.SUBSCRIBE and call.subscribe is None:
        return "Expecting 'subscribe' to be present"
    if call.type is _Type.MESSAGE and call.message is None:
        return "Expecting 'message' to be present"
    if call.type is not _Type.UPDATE:
        return None
    if call.update is None:
        return "Expecting 'update' to be present"
    return _validate_status(call, call.update.status)


def _validate_status(call: m.ExecutorCall, status: m.TaskStatus) -> str | None:
    executor_id, framework_id = call.executor_id.value, call.framework_id.value
    if status.uuid is None:
        return "Expecting 'uuid' to be present"
    if len(status.uuid) != 16:
        return f"Not a valid UUID: {len(status.uuid)} bytes, expecting 16"
    if status.executor_id is not None and status.executor_id.value != executor_id:
        return (
            f"ExecutorID in Call: {executor_id} does not match ExecutorID in TaskStatus: "
            f"{status.executor_id.value}"
        )
    if status.source is not m.TaskStatusSource.SOURCE_EXECUTOR:
        return (
            f"Received Call from executor {executor_id} of framework {framework_id} "
            "with invalid source, expecting 'SOURCE_EXECUTOR'"
        )
    if status.state is m.TaskState.TASK_STAGING:
        return (
            f"Received TASK_STAGING from executor {executor_id} of framework {framework_id} "
            "which is not allowed"
        )
    return None
