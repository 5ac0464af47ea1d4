"""Scheduler calls: which are answered with an error, with which status and sentence."""

from __future__ import annotations

import pytest

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import events
from mesos_twisted.master.core.validation.call import check_scheduler_call
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.master_world import World, framework_info

Call = m.SchedulerCallType
UNKNOWN = m.FrameworkID(value="nobody")
OURS = m.FrameworkID(value="M-0000")
PREFIX = "Failed to validate scheduler::Call: "


def asked(
    call: m.SchedulerCall,
    stream_id: str | None = "stream-1",
    principal: str | None = None,
    world: World | None = None,
) -> Problem | None:
    """The answer of a master with one framework (M-0000, on stream-1)."""
    if world is None:
        world = World()
        world.subscribe()
    return check_scheduler_call(world.state, call, stream_id, principal)


def ack(uuid: bytes) -> m.SchedulerCallAcknowledge:
    """An ACKNOWLEDGE with this uuid."""
    return m.SchedulerCallAcknowledge(
        agent_id=m.AgentID(value="a"), task_id=m.TaskID(value="t"), uuid=uuid
    )


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (m.SchedulerCall(), "Expecting 'type' to be present"),
        (m.SchedulerCall(type=Call.SUBSCRIBE), "Expecting 'subscribe' to be present"),
        (m.SchedulerCall(type=Call.KILL), "Expecting 'framework_id' to be present"),
        (m.SchedulerCall(type=Call.KILL, framework_id=OURS), "Expecting 'kill' to be present"),
        (
            m.SchedulerCall(type=Call.ACKNOWLEDGE, framework_id=OURS, acknowledge=ack(b"short")),
            "Not a valid UUID",
        ),
        (
            m.SchedulerCall(
                type=Call.SUBSCRIBE,
                framework_id=OURS,
                subscribe=m.SchedulerCallSubscribe(framework_info=framework_info()),
            ),
            "'framework_id' differs from 'subscribe.framework_info.id'",
        ),
    ],
)
def test_an_invalid_call_is_a_400_with_its_reason(call: m.SchedulerCall, sentence: str) -> None:
    """What is missing or malformed is named."""
    assert asked(call) == Problem("400", PREFIX + sentence)


@pytest.mark.parametrize("kind", [one for one in Call if one not in (Call.SUBSCRIBE, Call.UNKNOWN)])
def test_each_type_needs_its_own_body(kind: m.SchedulerCallType) -> None:
    """Only TEARDOWN, REVIVE and SUPPRESS say everything with their type."""
    problem = asked(m.SchedulerCall(type=kind, framework_id=OURS))
    if kind in (Call.TEARDOWN, Call.REVIVE, Call.SUPPRESS):
        assert problem is None
    else:
        expected = f"{PREFIX}Expecting '{kind.value.lower()}' to be present"
        assert problem == Problem("400", expected)


def test_the_order_of_the_checks_is_what_clients_see() -> None:
    """Unknown framework before principal, principal before subscription, that before the stream."""
    world = World()
    world.subscribe(principal="alice")
    framework = next(iter(world.state.frameworks.values()))
    revive = m.SchedulerCall(type=Call.REVIVE, framework_id=OURS)
    strange = m.SchedulerCall(type=Call.REVIVE, framework_id=UNKNOWN)
    assert asked(strange, None, "bob", world) == Problem("400", "Framework cannot be found")
    assert asked(revive, None, "bob", world) == Problem(
        "400",
        "Authenticated principal 'bob' does not match principal 'alice' set in `FrameworkInfo`",
    )
    assert asked(revive, None, "alice", world) == Problem(
        "400", "All non-subscribe calls should include the 'Mesos-Stream-Id' header"
    )
    zeros = "00000000-0000-0000-0000-000000000000"
    assert asked(revive, zeros, "alice", world) == Problem(
        "400",
        f"The stream ID '{zeros}' included in this request didn't match the stream ID"
        " currently associated with framework ID M-0000",
    )
    assert asked(revive, "stream-1", "alice", world) is None
    assert framework.connection is not None
    world.do(events.SchedulerClosed(framework.connection, world.now))
    assert asked(revive, None, "alice", world) == Problem("403", "Framework is not subscribed")


def test_a_subscribe_must_not_name_a_stream() -> None:
    """SUBSCRIBE with a Mesos-Stream-Id is a 400."""
    call = m.SchedulerCall(
        type=Call.SUBSCRIBE, subscribe=m.SchedulerCallSubscribe(framework_info=framework_info())
    )
    assert asked(call) == Problem(
        "400", "Subscribe calls should not include the 'Mesos-Stream-Id' header"
    )
    assert asked(call, None) is None


def test_an_unknown_type_is_not_implemented() -> None:
    """Type UNKNOWN is a 501 for a framework that may call at all."""
    problem = asked(m.SchedulerCall(type=Call.UNKNOWN, framework_id=OURS))
    assert problem is not None and problem.code == "501"
