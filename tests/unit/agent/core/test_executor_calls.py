"""Which calls of an executor the agent refuses, and with which sentence."""

from __future__ import annotations

from typing import Any

from mesos_twisted.agent.core.state import AgentState
from mesos_twisted.agent.core.validation import check_call, check_claims, check_turn, find_executor
from mesos_twisted.errors import Problem
from mesos_twisted.protocol.generated import messages as m
from tests.unit.agent.core.test_custom_executor import RUNNING, World, container, run


def _call(kind: m.ExecutorCallType, **more: Any) -> m.ExecutorCall:
    ids = {"executor_id": m.ExecutorID(value="e"), "framework_id": m.FrameworkID(value="f")}
    return m.ExecutorCall(type=kind, **{**ids, **more})


def check_executor_call(
    state: AgentState, call: m.ExecutorCall, claims: dict[str, str] | None
) -> Problem | None:
    """All the checks, in the order of the edge."""
    problem = check_call(call)
    if problem is not None:
        return problem
    found = find_executor(state, call)
    problem = None if claims is None else check_claims(call, found, "p", claims)
    if problem is not None:
        return problem
    return found if isinstance(found, Problem) else check_turn(found, call)


def test_calls_are_refused_with_mesos_sentences(world: World) -> None:
    """400 for malformed or unknown, 403 for not subscribed or another's token."""
    subscribe = _call(m.ExecutorCallType.SUBSCRIBE, subscribe=m.ExecutorCallSubscribe())
    problem = check_executor_call(world.state, subscribe, None)
    assert problem is not None
    assert (problem.code, problem.sentence) == ("400", "Framework cannot be found")
    run(world)
    message = _call(m.ExecutorCallType.MESSAGE, message=m.ExecutorCallMessage(data=b""))
    problem = check_executor_call(world.state, message, None)
    assert problem is not None
    assert (problem.code, problem.sentence) == ("403", "Executor is not subscribed")
    good = {"fid": "f", "eid": "e", "cid": container(world)}
    assert check_executor_call(world.state, subscribe, good) is None
    problem = check_executor_call(world.state, subscribe, {**good, "cid": "other"})
    assert problem is not None and problem.code == "403"
    bare = _call(m.ExecutorCallType.UPDATE)
    problem = check_executor_call(world.state, bare, None)
    assert problem is not None
    assert problem.sentence == (
        "Failed to validate Executor::Call: Expecting 'update' to be present"
    )


def test_an_update_needs_a_uuid_and_the_right_source(world: World) -> None:
    """Each fault has its sentence."""

    def sentence(**status: Any) -> str:
        given = {"task_id": m.TaskID(value="t"), "state": RUNNING, **status}
        update = m.ExecutorCallUpdate(status=m.TaskStatus(**given))
        problem = check_executor_call(
            world.state, _call(m.ExecutorCallType.UPDATE, update=update), None
        )
        assert problem is not None and problem.code == "400"
        return problem.sentence

    assert sentence().endswith("Expecting 'uuid' to be present")
    assert sentence(uuid=b"x").endswith("Not a valid UUID")
    assert sentence(uuid=b"x" * 16).endswith("with invalid source, expecting 'SOURCE_EXECUTOR'")
    executor = m.TaskStatusSource.SOURCE_EXECUTOR
    staging = sentence(uuid=b"x" * 16, source=executor, state=m.TaskState.TASK_STAGING)
    assert "Received TASK_STAGING from executor e of framework f" in staging
