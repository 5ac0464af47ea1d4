"""May this executor call take effect? The code of a Problem is the HTTP status, as text.

In this order: `check_call` looks at the call alone; then a heartbeat is welcome whomever it names;
`check_claims` tells whether the caller's token is the named executor's; then what `find_executor`
found; `check_turn`. Source: common/validation.cpp, slave/http.cpp, which look first and ask for the
claims after; here a token of one executor learns nothing of another.
"""

from __future__ import annotations

from collections.abc import Mapping

from mesos_twisted.agent.core.state import AgentState, Executor, ExecutorState, Phase
from mesos_twisted.errors import Problem
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ExecutorId, FrameworkId

_INVALID = "Failed to validate Executor::Call: "
_Type = m.ExecutorCallType


def check_call(call: m.ExecutorCall) -> Problem | None:
    """What is wrong with the call itself, or None."""
    if call.type is None:
        return _bad("Expecting 'type' to be present")
    if call.type is _Type.SUBSCRIBE and call.subscribe is None:
        return _bad("Expecting 'subscribe' to be present")
    if call.type is _Type.MESSAGE and call.message is None:
        return _bad("Expecting 'message' to be present")
    if call.type is not _Type.UPDATE:
        return None
    if call.update is None:
        return _bad("Expecting 'update' to be present")
    return _check_status(call, call.update.status)


def _check_status(call: m.ExecutorCall, status: m.TaskStatus) -> Problem | None:
    executor_id, framework_id = call.executor_id.value, call.framework_id.value
    if status.uuid is None:
        return _bad("Expecting 'uuid' to be present")
    if len(status.uuid) != 16:
        return _bad("Not a valid UUID")
    if status.executor_id is not None and status.executor_id.value != executor_id:
        return _bad(
            f"ExecutorID in Call: {executor_id} does not match ExecutorID in TaskStatus: "
            f"{status.executor_id.value}"
        )
    sender = f"from executor {executor_id} of framework {framework_id}"
    if status.source is not m.TaskStatusSource.SOURCE_EXECUTOR:
        return _bad(f"Received Call {sender} with invalid source, expecting 'SOURCE_EXECUTOR'")
    if status.state is m.TaskState.TASK_STAGING:
        return _bad(f"Received TASK_STAGING {sender} which is not allowed")
    return None


def find_executor(state: AgentState, call: m.ExecutorCall) -> Executor | Problem:
    """The executor that the call names, or why nobody may call now."""
    if state.phase is Phase.RECOVERING:
        return Problem("503", "Agent has not finished recovery")
    framework = state.frameworks.get(FrameworkId(call.framework_id.value))
    if framework is None:
        return Problem("400", "Framework cannot be found")
    executor = framework.executors.get(ExecutorId(call.executor_id.value))
    return executor or Problem("400", "Executor cannot be found")


def check_claims(
    call: m.ExecutorCall, found: Executor | Problem, name: str, claims: Mapping[str, str]
) -> Problem | None:
    """Is the token the named executor's, and if that is known, this very run's?

    `name` is the principal's.
    """
    head = f"Authenticated principal '{name}' does not contain "
    framework_id, executor_id = call.framework_id.value, call.executor_id.value
    if claims.get("fid") != framework_id:
        sentence = f"an 'fid' claim with the framework ID {framework_id}"
        return Problem("403", f"{head}{sentence}, which is set in the call")
    if claims.get("eid") != executor_id:
        sentence = f"an 'eid' claim with the executor ID {executor_id}"
        return Problem("403", f"{head}{sentence}, which is set in the call")
    if isinstance(found, Executor) and claims.get("cid") != found.container_id:
        return Problem("403", f"{head}a 'cid' claim with the correct active ContainerID")
    return None


def check_turn(executor: Executor, call: m.ExecutorCall) -> Problem | None:
    """May the executor, which is who it says, make this call now?"""
    waiting = executor.state is ExecutorState.REGISTERING or executor.recovered
    if waiting and call.type is not _Type.SUBSCRIBE:
        return Problem("403", "Executor is not subscribed")
    if call.type is _Type.UNKNOWN:
        return Problem("501", "The call's type is not known to this agent")
    return None


def _bad(sentence: str) -> Problem:
    return Problem("400", _INVALID + sentence)
