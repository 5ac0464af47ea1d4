"""Is this scheduler call well formed, and may it come on this stream?

`check_call` looks at the call alone; `check_scheduler_call` goes on to who sends it. The order of
the checks is what clients see: each Problem's code is the HTTP status to answer with, as text.
"""

from __future__ import annotations

from mesos_twisted.errors import Problem
from mesos_twisted.master.core.state import MasterState
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId

Call = m.SchedulerCallType
_INVALID = "Failed to validate scheduler::Call: "
#: Calls that say everything with their type.
_WITHOUT_BODY = frozenset({Call.TEARDOWN, Call.REVIVE, Call.SUPPRESS, Call.UNKNOWN})
_BODIES = {kind: kind.value.lower() for kind in Call if kind not in _WITHOUT_BODY}


def check_call(call: m.SchedulerCall, principal: str | None) -> Problem | None:
    """What is wrong with the call itself, or None."""
    if call.type is None:
        return _bad("Expecting 'type' to be present")
    if call.type is Call.SUBSCRIBE:
        return _check_subscribe(call, principal)
    if call.framework_id is None:
        return _bad("Expecting 'framework_id' to be present")
    body = _BODIES.get(call.type)
    if body is not None and getattr(call, body) is None:
        return _bad(f"Expecting '{body}' to be present")
    if call.acknowledge is not None and call.type is Call.ACKNOWLEDGE:
        return _check_uuid(call.acknowledge.uuid)
    if (
        call.acknowledge_operation_status is not None
        and call.type is Call.ACKNOWLEDGE_OPERATION_STATUS
    ):
        problem = _check_uuid(call.acknowledge_operation_status.uuid)
        if problem is None and call.acknowledge_operation_status.agent_id is None:
            problem = _bad("Expecting 'agent_id' to be present")
        return problem
    if call.update_framework is not None and call.type is Call.UPDATE_FRAMEWORK:
        if call.update_framework.framework_info.id != call.framework_id:
            return _bad("'framework_id' differs from 'update_framework.framework_info.id'")
    return None


def _check_subscribe(call: m.SchedulerCall, principal: str | None) -> Problem | None:
    if call.subscribe is None:
        return _bad("Expecting 'subscribe' to be present")
    info = call.subscribe.framework_info
    given = "" if call.framework_id is None else call.framework_id.value
    if given != ("" if info.id is None else info.id.value):
        return _bad("'framework_id' differs from 'subscribe.framework_info.id'")
    if principal is not None and info.principal is not None and principal != info.principal:
        return _bad(
            f"Authenticated principal '{principal}' does not match principal"
            f" '{info.principal}' set in `FrameworkInfo`"
        )
    return None


def _check_uuid(uuid: bytes) -> Problem | None:
    return None if len(uuid) == 16 else _bad("Not a valid UUID")


def check_scheduler_call(
    state: MasterState, call: m.SchedulerCall, stream_id: str | None, principal: str | None
) -> Problem | None:
    """Why the call is not taken, or None; `stream_id` is the Mesos-Stream-Id header's value and
    `principal` the authenticated name, None when there is none."""
    problem = check_call(call, principal)
    if problem is not None:
        return problem
    if call.type is Call.SUBSCRIBE:
        if stream_id is not None:
            return Problem("400", "Subscribe calls should not include the 'Mesos-Stream-Id' header")
        return None
    assert call.framework_id is not None
    framework = state.frameworks.get(FrameworkId(call.framework_id.value))
    if framework is None:
        return Problem("400", "Framework cannot be found")
    if principal is not None and principal != framework.info.principal:
        return Problem(
            "400",
            f"Authenticated principal '{principal}' does not match principal"
            f" '{framework.info.principal or ''}' set in `FrameworkInfo`",
        )
    if framework.connection is None:
        return Problem("403", "Framework is not subscribed")
    if stream_id is None:
        return Problem("400", "All non-subscribe calls should include the 'Mesos-Stream-Id' header")
    if stream_id != framework.stream_id:
        return Problem(
            "400",
            f"The stream ID '{stream_id}' included in this request didn't match the stream ID"
            f" currently associated with framework ID {framework.framework_id}",
        )
    if call.type is Call.UNKNOWN:
        return Problem("501", "")
    return None


def _bad(sentence: str) -> Problem:
    return Problem("400", _INVALID + sentence)
