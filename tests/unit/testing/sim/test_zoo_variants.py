"""What some planted bugs change in the part that they are in, without a world around it."""

from __future__ import annotations

import pytest

from mesos_twisted.agent.core import registration
from mesos_twisted.agent.core.effects import Effect, Reconnect
from mesos_twisted.agent.core.state import Leader, Phase, Policy, new_state
from mesos_twisted.errors import BugError
from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.allocator.interface import FrameworkSpec
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId
from mesos_twisted.sdk.core.session import Session as FrameworkSession
from mesos_twisted.testing.sim.zoo import BUGS
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core import events as e
from mesos_twisted.zookeeper.core.session import Session
from mesos_twisted.zookeeper.core.watches import Watches

_ID = FrameworkId("f")


def _allocator() -> HierarchicalAllocator:
    allocator = HierarchicalAllocator()
    allocator.add_framework(_ID, FrameworkSpec(roles=("*",)))
    allocator.suppress(_ID)
    return allocator


def test_an_agent_obeys_a_deposed_master() -> None:
    deposed, leader = Leader("registry", 1, "m1"), Leader("registry", 2, "m2")

    with BUGS["agent-obeys-anybody"].plant():
        assert not deposed.is_behind(leader)
    assert deposed.is_behind(leader)


def test_watches_are_not_armed_again() -> None:
    watches = Watches()
    watches.answered(r.GetData("/mesos", True), r.Code.OK, object())

    with BUGS["watches-left-behind"].plant():
        assert watches.rearm(7) == []
    assert watches.rearm(7) == [r.SetWatches(7, ("/mesos",), (), ())]


def test_a_session_does_not_end_by_its_own_clock() -> None:
    planted, whole = Session(1, 6.0), Session(1, 6.0)

    with BUGS["own-clock-ignored"].plant():
        planted._alive(5.0)
    whole._alive(5.0)

    assert planted.expires_at is None
    assert whole.expires_at == 11.0


def test_a_stream_is_never_silent() -> None:
    session = FrameworkSession(m.FrameworkInfo(user="", name="f"), subscribed=True)

    with BUGS["framework-trusts-a-silent-stream"].plant():
        assert not session.silent(1e6)
    assert session.silent(1e6)


def test_an_agent_keeps_a_silent_master() -> None:
    state = new_state(Policy(hostname="a", ip="127.0.0.1", pid="slave(1)@127.0.0.1:1"), b"seed")
    state.phase = Phase.RUNNING
    out: list[Effect] = []

    with BUGS["agent-trusts-a-silent-master"].plant():
        registration.ping_timed_out(state, out)
    assert out == []
    registration.ping_timed_out(state, out)
    assert any(isinstance(effect, Reconnect) for effect in out)


def test_suppressing_twice_is_a_bug() -> None:
    allocator = _allocator()

    with BUGS["suppressed-twice"].plant(), pytest.raises(BugError):
        allocator.suppress(_ID)
    allocator.suppress(_ID)


def test_removing_a_suppressed_framework_is_a_bug() -> None:
    allocator = _allocator()

    with BUGS["removed-while-suppressed"].plant(), pytest.raises(BugError):
        allocator.remove_framework(_ID)
    allocator.remove_framework(_ID)


def _ended_session() -> tuple[Session, list[e.Effect]]:
    session = Session(1, 6.0)
    session.handle(e.Started(0.0, 0.5))
    session.handle(e.Opened(0.0))
    session.session_id = 7
    assert session._link is not None
    return session, session._greeted(session._link, r.ConnectResponse(0, 0, bytes(16)), 0.1)


def test_a_session_that_ended_is_replaced() -> None:
    with BUGS["session-replaced-in-silence"].plant():
        replaced, _ = _ended_session()
    ended, _ = _ended_session()

    assert not replaced.over
    assert ended.over
