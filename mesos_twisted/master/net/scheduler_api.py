"""POST /api/v1/scheduler: a framework's calls, and the stream that a SUBSCRIBE opens.

The order of refusals is Mesos's: leader, method, Content-Type, body, validation, then for a call
the framework, its principal, its stream. What is accepted goes to the core as an event; later
faults reach the framework as status updates only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.core.state import Framework, MasterState
from mesos_twisted.master.core.validation.call import check_scheduler_call
from mesos_twisted.master.core.validation.framework import check_update, roles_of
from mesos_twisted.master.net.bodies import decode_body
from mesos_twisted.master.net.gate import Gate, Realm, method_not_allowed
from mesos_twisted.master.net.scheduler_auth import NO_REFUSALS, may_register, refusals
from mesos_twisted.master.net.scheduler_streams import SchedulerStreams
from mesos_twisted.protocol import media
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, FrameworkId
from mesos_twisted.security.core.principal import Principal, Role
from mesos_twisted.transport.messages import Request, Response, StreamResponse, text_response
from mesos_twisted.transport.stream import StreamWriter

Type = m.SchedulerCallType

ACCEPTED: Final = Response(202)
_OK: Final = Response(200)


class SchedulerApi:
    """The endpoint. `numbers` gives fresh connection ids, `new_uuid` fresh stream ids."""

    def __init__(
        self,
        state: MasterState,
        gate: Gate,
        realm: Realm,
        streams: SchedulerStreams,
        handle: Callable[[ev.Event], None],
        now: Callable[[], float],
        numbers: Callable[[], int],
        new_uuid: Callable[[], str],
    ) -> None:
        self._state = state
        self._gate = gate
        self._realm = realm
        self._streams = streams
        self._handle = handle
        self._now = now
        self._numbers = numbers
        self._new_uuid = new_uuid

    def handle(self, request: Request) -> Response | StreamResponse:
        """The answer to one request."""
        refusal = self._gate.not_serving(request)
        if refusal is not None:
            return refusal
        if request.method != "POST":
            return method_not_allowed(request, "POST")
        principal = self._gate.principal(request, self._realm)
        if isinstance(principal, Response):
            return principal
        call = decode_body(m.SchedulerCall, request)
        if isinstance(call, Response):
            return call
        name = principal.name if principal is not self._realm.otherwise else None
        stream_id = request.headers.get("mesos-stream-id")
        problem = check_scheduler_call(self._state, call, stream_id, name)
        if problem is not None:
            return text_response(_status(problem), problem.sentence)
        if call.subscribe is not None and call.type is Type.SUBSCRIBE:
            return self._subscribe(request, call.subscribe, principal, name)
        framework_id = FrameworkId(call.framework_id.value if call.framework_id else "")
        return self._called(self._state.frameworks[framework_id], call, principal)

    def _called(
        self, framework: Framework, call: m.SchedulerCall, principal: Principal
    ) -> Response:
        now = self._now()
        if call.type is Type.UPDATE_FRAMEWORK and call.update_framework is not None:
            return self._update(framework, call.update_framework, principal, now)
        refused = NO_REFUSALS
        if call.accept is not None and call.type is Type.ACCEPT:
            asker = self._asker(principal, framework.info)
            refused = refusals(self._gate.authorizer, asker, framework.info, call.accept)
        self._handle(ev.SchedulerCalled(framework.framework_id, call, now, refused))
        return ACCEPTED

    def _update(
        self,
        framework: Framework,
        update: m.SchedulerCallUpdateFramework,
        principal: Principal,
        now: float,
    ) -> Response:
        problem = check_update(self._state, framework, update)
        if problem is not None:
            return text_response(_status(problem), problem.sentence)
        info = update.framework_info
        asker = self._asker(principal, info)
        refused = may_register(self._gate.authorizer, asker, info, roles_of(info))
        if refused is not None:
            return text_response(403, refused.sentence)
        self._handle(ev.FrameworkUpdated(framework.framework_id, update, now))
        return _OK

    def _subscribe(
        self,
        request: Request,
        subscribe: m.SchedulerCallSubscribe,
        principal: Principal,
        name: str | None,
    ) -> Response | StreamResponse:
        chosen = media.response_media(request.headers)
        if chosen is None:
            return text_response(
                406,
                "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
            )
        info = subscribe.framework_info
        if name is not None and info.principal is None:
            info = msgspec.structs.replace(info, principal=name)
            subscribe = msgspec.structs.replace(subscribe, framework_info=info)
        refusal = may_register(
            self._gate.authorizer, self._asker(principal, info), info, roles_of(info)
        )
        stream_id = self._new_uuid()
        connection = ConnectionId(self._numbers())

        def start(writer: StreamWriter) -> None:
            self._streams.opened(connection, chosen, writer)
            self._handle(
                ev.SchedulerSubscribed(connection, stream_id, subscribe, name, refusal, self._now())
            )

        return StreamResponse(200, chosen.value, (("Mesos-Stream-Id", stream_id),), start)

    def _asker(self, principal: Principal, info: m.FrameworkInfo) -> Principal:
        """Where nobody must prove anything, a framework is who it says it is."""
        if principal is self._realm.otherwise and info.principal:
            return Principal(info.principal, Role.FRAMEWORK)
        return principal


def _status(problem: Problem) -> int:
    return int(problem.code) if problem.code.isdecimal() else 400
