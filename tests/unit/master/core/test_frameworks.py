"""Frameworks: who may subscribe, who wins, and how they end."""

from __future__ import annotations

import math

import msgspec
import pytest

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import events
from mesos_twisted.master.core.effects import (
    CancelTimer,
    CloseStream,
    Effect,
    Publish,
    RequestAllocation,
    SendEvent,
    StartTimer,
)
from mesos_twisted.master.core.state import Policy
from mesos_twisted.master.core.validation.framework import check_update
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, FrameworkId
from mesos_twisted.testing.master_world import (
    World,
    events_to,
    framework_id_of,
    framework_info,
    sent_to_agents,
    updates_in,
    uuid_of,
)

Kind = m.SchedulerEventType


def error_of(made: list[Effect]) -> str:
    """The message of the one ERROR event, after which the stream is closed."""
    (event,) = events_to(made)
    assert event.type is Kind.ERROR and event.error is not None
    assert isinstance(made[-1], CloseStream)
    return event.error.message


def test_subscribed_is_followed_by_a_heartbeat_at_once() -> None:
    """SUBSCRIBED tells id, interval and master; HEARTBEAT comes right after it."""
    first, second = events_to(World().subscribe())
    assert first.subscribed is not None and first.subscribed.master_info is not None
    assert first.subscribed.framework_id.value == "M-0000"
    assert first.subscribed.heartbeat_interval_seconds == 15.0
    assert first.subscribed.master_info.id == "M"
    assert second == m.SchedulerEvent(type=Kind.HEARTBEAT)


def test_framework_ids_count_from_zero_with_four_digits() -> None:
    """Ids are the master's id and a counter."""
    world = World()
    assert [framework_id_of(world.subscribe()) for _ in range(3)] == ["M-0000", "M-0001", "M-0002"]


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (
            framework_info((), role="/bad/"),
            "'FrameworkInfo.role' is not a valid role: Role '/bad/' cannot start with a slash",
        ),
        (
            framework_info(role="x"),
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable",
        ),
        (
            msgspec.structs.replace(framework_info(()), roles=("x",)),
            "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable",
        ),
        (
            framework_info(roles=("a", "a")),
            "'FrameworkInfo.roles' contains duplicate items: { a }",
        ),
        (
            framework_info(roles=("other",)),
            "Roles { other } are not present in the master's --roles",
        ),
        (
            framework_info(user="root"),
            "User 'root' is not allowed to run frameworks without --root_submissions set",
        ),
    ],
)
def test_a_bad_framework_is_told_on_the_stream(info: m.FrameworkInfo, message: str) -> None:
    """A bad FrameworkInfo is no HTTP error: the stream holds one ERROR and closes."""
    world = World(Policy(roles=frozenset({"a"}), root_submissions=False))
    assert error_of(world.subscribe(info)) == message
    assert not world.state.frameworks


@pytest.mark.parametrize("timeout", [math.inf, -math.inf, math.nan, 1e300])
def test_the_failover_timeout_must_be_a_duration(timeout: float) -> None:
    """What a 64-bit count of nanoseconds cannot hold is an ERROR."""
    message = error_of(World().subscribe(framework_info(failover_timeout=timeout)))
    assert message.startswith("The framework failover_timeout (") and "is invalid" in message


def test_suppressed_roles_must_be_the_frameworks_own() -> None:
    """Suppressing a role that is not subscribed to is an ERROR."""
    message = error_of(World().subscribe(framework_info(roles=("a",)), suppressed=("b",)))
    assert message == "Suppressed roles { b } are not contained in the set of roles"


def test_an_unauthorized_role_is_told_on_the_stream() -> None:
    """The edge's refusal reaches the framework as an ERROR."""
    refusal = Problem("unauthorized", "Not authorized to use role 'x'")
    assert error_of(World().subscribe(refusal=refusal)) == refusal.sentence


def test_roles_may_be_empty() -> None:
    """A MULTI_ROLE framework without roles subscribes and gets no offers."""
    world = World()
    world.agent()
    framework = world.framework(framework_info(roles=()))
    assert world.offers(framework) == []


def test_the_newest_stream_of_an_id_wins() -> None:
    """The old stream gets ERROR "Framework failed over" and closes; old offers are discarded
    without a RESCIND to the new one."""
    world = World()
    framework = world.framework()
    world.agent()
    assert len(world.offers(framework)) == 1
    old = framework.connection
    made = world.subscribe(framework_info(framework_id=framework.framework_id))
    assert [type(one) for one in made][:2] == [SendEvent, CloseStream]
    (error,) = events_to(made, old)
    assert error.error is not None and error.error.message == "Framework failed over"
    assert [one.type for one in events_to(made, framework.connection)] == [
        Kind.SUBSCRIBED,
        Kind.HEARTBEAT,
    ]
    assert not world.state.offers
    assert CancelTimer(("failover", framework.framework_id)) in made
    assert world.do(events.SchedulerClosed(old or ConnectionId(0), world.now)) == []
    assert framework.active


def test_agents_resend_to_a_framework_that_failed_over() -> None:
    """Agents with its tasks hear of the new scheduler and send again what it has not seen."""
    world = World()
    framework, agent = world.framework(), world.agent()
    world.running(framework, agent, "t")
    made = world.subscribe(framework_info(framework_id=framework.framework_id))
    assert sent_to_agents(made) == [
        agentlink.UpdateFramework(framework=framework.info, resend=True)
    ]


def test_an_id_of_an_earlier_leader_is_accepted() -> None:
    """After a master's failover a framework brings its id, and keeps it."""
    world = World()
    assert framework_id_of(world.subscribe(framework_info(framework_id="old-0007"))) == "old-0007"
    assert world.state.frameworks[FrameworkId("old-0007")].active


def test_a_removed_id_is_never_accepted_again() -> None:
    """The id of a completed framework gets ERROR "Framework has been removed"."""
    world = World()
    framework = world.framework()
    world.call(framework, "TEARDOWN")
    made = world.subscribe(framework_info(framework_id=framework.framework_id))
    assert error_of(made) == "Framework has been removed"


def test_user_and_checkpoint_stay_and_other_fields_change() -> None:
    """Subscribing again with another user or checkpoint is silently ignored."""
    world = World()
    framework = world.framework()
    again = framework_info(
        framework_id=framework.framework_id, user="other", checkpoint=False, name="new"
    )
    world.subscribe(again)
    assert framework.info.user == "root" and framework.info.checkpoint
    assert framework.info.name == "new"


def test_the_principal_never_changes() -> None:
    """Subscribing again with another principal is an ERROR, and the old stream stays."""
    world = World()
    world.subscribe(principal="alice")
    framework = world.state.frameworks[FrameworkId("M-0000")]
    assert framework.info.principal == "alice"
    made = world.subscribe(framework_info(framework_id="M-0000"), principal="bob")
    assert error_of(made) == "Changing framework's principal is not allowed."
    assert framework.connection == 1


def test_update_framework_checks_what_may_change() -> None:
    """UPDATE_FRAMEWORK answers 400 for user, checkpoint and principal, and applies the rest."""
    world = World()
    framework = world.framework(framework_info(roles=("a", "b")))
    world.agent()
    world.offers(framework)

    def asked(info: m.FrameworkInfo) -> Problem | None:
        update = m.SchedulerCallUpdateFramework(framework_info=info)
        return check_update(world.state, framework, update)

    name = framework.framework_id
    wrong = asked(framework_info(roles=("a",), framework_id=name, user="x"))
    assert wrong is not None and wrong.code == "400"
    assert wrong.sentence == (
        "FrameworkInfo update is not valid: "
        "Updating 'FrameworkInfo.user' is unsupported; attempted to update from 'root' to 'x'"
    )
    assert asked(framework_info(framework_id=name, checkpoint=False)) is not None
    assert asked(framework_info(framework_id=name, principal="x")) is not None
    good = framework_info(roles=("c",), framework_id=name)
    assert asked(good) is None
    update = m.SchedulerCallUpdateFramework(framework_info=good, suppressed_roles=("c",))
    made = world.do(events.FrameworkUpdated(framework.framework_id, update, world.now))
    assert [one.type for one in events_to(made)] == [Kind.RESCIND]
    assert framework.roles == ("c",) and framework.suppressed == {"c"}
    assert world.offers(framework) == []


def test_agents_hear_of_an_update_only_when_the_info_changed() -> None:
    """Suppressing a role by UPDATE_FRAMEWORK concerns the master alone."""
    world = World()
    framework, agent = world.framework(), world.agent()
    world.running(framework, agent, "t")
    same = m.SchedulerCallUpdateFramework(framework_info=framework.info, suppressed_roles=("*",))
    made = world.do(events.FrameworkUpdated(framework.framework_id, same, world.now))
    assert sent_to_agents(made) == [] and framework.suppressed == {"*"}
    named = msgspec.structs.replace(framework.info, name="renamed")
    update = m.SchedulerCallUpdateFramework(framework_info=named)
    made = world.do(events.FrameworkUpdated(framework.framework_id, update, world.now))
    assert sent_to_agents(made) == [agentlink.UpdateFramework(framework=named)]


def test_without_a_failover_timeout_everything_ends_with_the_stream() -> None:
    """failover_timeout 0: the framework and its tasks are gone the moment the stream breaks."""
    world = World()
    framework = world.framework(framework_info(failover_timeout=0.0))
    agent = world.agent()
    world.running(framework, agent, "t")
    assert framework.connection is not None
    made = world.do(events.SchedulerClosed(framework.connection, world.now))
    assert sent_to_agents(made) == [agentlink.ShutdownFramework(framework_id="M-0000")]
    assert not world.state.frameworks and not agent.tasks


def test_a_disconnected_framework_has_its_failover_timeout() -> None:
    """Its offers are free at once, its tasks stay, and the timer removes it."""
    world = World()
    framework, agent = world.framework(), world.agent()
    world.running(framework, agent, "t")
    world.offers(framework)
    assert framework.connection is not None
    made = world.do(events.SchedulerClosed(framework.connection, world.now))
    assert StartTimer(("failover", "M-0000"), 60.0) in made
    assert not world.state.offers and framework.tasks
    assert world.offers(framework) == []
    world.fire("failover", "M-0000")
    assert not world.state.frameworks
    assert "M-0000" in world.state.completed


def test_a_framework_that_is_back_is_not_removed_by_its_old_timer() -> None:
    """A late timer finds the framework connected and does nothing."""
    world = World()
    framework = world.framework()
    assert framework.connection is not None
    world.do(events.SchedulerClosed(framework.connection, world.now))
    world.subscribe(framework_info(framework_id="M-0000"))
    assert world.fire("failover", "M-0000") == []
    assert framework.active


def test_removal_kills_tasks_in_the_books_only() -> None:
    """Tasks become TASK_KILLED, REASON_FRAMEWORK_REMOVED; no update is sent; agents end it."""
    world = World()
    framework, agent = world.framework(), world.agent()
    world.running(framework, agent, "t")
    made = world.do(events.TeardownAsked(framework.framework_id, world.now))
    assert updates_in(made) == []
    assert sent_to_agents(made) == [agentlink.ShutdownFramework(framework_id="M-0000")]
    assert [one for one in made if isinstance(one, CloseStream)] != []
    (task,) = framework.completed
    assert task.state is m.TaskState.TASK_KILLED
    assert task.statuses[-1].reason is m.TaskStatusReason.REASON_FRAMEWORK_REMOVED
    assert framework.unregistered_at == world.now


def test_the_history_of_frameworks_is_bounded() -> None:
    """Only so many completed frameworks are remembered, the oldest go first."""
    world = World(Policy(max_completed_frameworks=2))
    for _ in range(3):
        world.call(world.framework(), "TEARDOWN")
    assert list(world.state.completed) == ["M-0001", "M-0002"]


def test_suppress_keeps_open_offers_and_revive_drops_filters() -> None:
    """SUPPRESS stops new offers and keeps open ones; REVIVE drops filters and asks for offers."""
    world = World()
    framework = world.framework()
    world.agent()
    offers = world.offers(framework)
    world.call(framework, "SUPPRESS")
    assert list(framework.offers) == offers
    decline = m.SchedulerCallDecline(
        offer_ids=(m.OfferID(value=offers[0]),), filters=m.Filters(refuse_seconds=1e9)
    )
    world.call(framework, "DECLINE", decline=decline)
    assert world.offers(framework) == []
    world.call(framework, "REVIVE")
    assert any(isinstance(one, RequestAllocation) for one in world.last)
    assert len(world.offers(framework)) == 1


def test_suppress_of_a_strange_role_is_dropped_whole() -> None:
    """One role that is not subscribed to drops the call."""
    world = World()
    framework = world.framework(framework_info(roles=("a", "b")))
    world.call(framework, "SUPPRESS", suppress=m.SchedulerCallSuppress(roles=("a", "x")))
    assert framework.suppressed == set()
    world.call(framework, "SUPPRESS", suppress=m.SchedulerCallSuppress(roles=("a",)))
    assert framework.suppressed == {"a"}
    world.call(framework, "REVIVE", revive=m.SchedulerCallRevive(roles=("a",)))
    assert framework.suppressed == set()


def test_operators_hear_of_frameworks_only_when_they_listen() -> None:
    """Publish effects are made only while somebody listens."""
    world = World()
    assert not [one for one in world.subscribe() if isinstance(one, Publish)]
    world.state.operator_subscribers = 1
    (added,) = [one for one in world.subscribe() if isinstance(one, Publish)]
    assert added.event.type is m.MasterEventType.FRAMEWORK_ADDED
    framework = world.state.frameworks[FrameworkId("M-0001")]
    made = world.call(framework, "TEARDOWN")
    (removed,) = [one for one in made if isinstance(one, Publish)]
    assert removed.event.framework_removed is not None
    assert removed.event.framework_removed.framework_info == framework.info


def test_calls_and_events_are_counted_by_framework() -> None:
    """Per-framework metrics follow the framework's name and id."""
    world = World(Policy())
    world.subscribe()
    prefix = "master/frameworks/f/M-0000/"
    assert world.counts()[prefix + "events/subscribed"] == 1
    assert world.counts()[prefix + "calls/subscribe"] == 1
    assert world.counts()[prefix + "events"] == 2
    world.call(world.state.frameworks[FrameworkId("M-0000")], "REVIVE")
    assert world.counts()[prefix + "calls/revive"] == 1
    assert world.counts()["master/messages_revive_offers"] == 1


def test_a_finished_task_of_a_removed_framework_keeps_its_state() -> None:
    """A task that ended before stays as it ended."""
    world = World()
    framework, agent = world.framework(), world.agent()
    world.running(framework, agent, "t")
    world.status(framework, agent, "t", "TASK_FINISHED", uuid=uuid_of("t", "x"))
    world.call(framework, "TEARDOWN")
    assert [one.state for one in framework.completed] == [m.TaskState.TASK_FINISHED]
