"""A simulated world's time: one order, dropped or held back with its process, and repeatable."""

from __future__ import annotations

import pytest
from twisted.internet.error import AlreadyCalled, AlreadyCancelled

from mesos_twisted.clock import Timers
from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.net import EPOCH, SimNetwork
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.transport.batch import FlushBatch


def _process(clock: SimClock) -> SimReactor:
    return SimReactor(SimNetwork(clock).node("n"), "n/p")


def test_calls_run_by_time_and_then_in_the_order_they_were_asked_for() -> None:
    clock, ran = SimClock(), []
    for name, delay in (("b", 2.0), ("a", 1.0), ("c", 2.0), ("at once", 0.0)):
        clock.callLater(delay, ran.append, name)
    clock.callLater(1.0, clock.callLater, 0.0, ran.append, "after a")
    clock.run(1.5)
    assert ran == ["at once", "a", "after a"]
    clock.run(0.5)
    assert ran == ["at once", "a", "after a", "b", "c"]
    assert clock.seconds() == 2.0


def test_a_call_can_be_cancelled_moved_and_asked() -> None:
    clock, ran = SimClock(), []
    process = _process(clock)
    first = process.callLater(1, ran.append, "first")
    moved = process.callLater(1, ran.append, "moved")
    moved.delay(4)
    again = process.callLater(9, ran.append, "again")
    again.reset(2)
    assert moved.getTime() == EPOCH + 5
    first.cancel()
    with pytest.raises(AlreadyCancelled):
        first.cancel()
    clock.run(3)
    assert ran == ["again"]
    with pytest.raises(AlreadyCalled):
        again.reset(1)
    assert process.getDelayedCalls() == [moved] and moved.active() and not again.active()


def test_many_cancelled_calls_leave_the_others_in_order() -> None:
    clock, ran = SimClock(), []
    calls = [clock.callLater(i % 97, ran.append, i) for i in range(20000)]
    for i, call in enumerate(calls):
        if i % 5:
            call.cancel()
    clock.run(100)
    assert ran == sorted(range(0, 20000, 5), key=lambda i: (i % 97, i))


def test_a_paused_process_runs_late_and_in_order_and_a_dead_one_never() -> None:
    clock, ran = SimClock(), []
    process = _process(clock)
    for i in range(3):
        process.callLater(i + 1, ran.append, i)
    cancelled = process.callLater(2, ran.append, "cancelled")
    process.pause()
    clock.run(10)
    assert ran == []
    cancelled.cancel()
    process.resume()
    clock.run(0)
    assert ran == [0, 1, 2]
    process.callLater(1, ran.append, "never")
    process.kill()
    clock.run(10)
    assert ran == [0, 1, 2]


def test_a_nodes_clock_drifts_and_is_set() -> None:
    clock, ran = SimClock(), []
    process = _process(clock)
    node = process.node
    node.set_rate(2.0)
    process.callLater(10, lambda: ran.append((clock.now, process.seconds())))
    clock.run(5)
    assert ran == [(5.0, EPOCH + 10)]
    process.callLater(20, lambda: ran.append((clock.now, process.seconds())))
    node.step_clock(18)
    clock.run(1)
    assert ran[1] == (6.0, EPOCH + 30)
    process.callLater(2, ran.append, "late")
    node.step_clock(-100)
    clock.run(50)
    assert len(ran) == 2
    clock.run(1)
    assert ran[2] == "late"


def test_a_timer_never_sees_a_time_before_its_own() -> None:
    clock = SimClock()
    process = _process(clock)
    process.node.set_rate(1.0001)
    seen = []
    for i in range(2000):
        due = process.seconds() + i * 0.0137
        process.callLater(i * 0.0137, lambda due=due: seen.append(process.seconds() >= due))
    clock.run(60)
    assert len(seen) == 2000 and all(seen)


def test_timers_and_batches_of_production_run_on_it() -> None:
    clock, ran = SimClock(), []
    process = _process(clock)
    timers = Timers(process)
    timers.every(1.5, ran.append, "beat")
    once = timers.after(4.0, ran.append, "once")

    class Connection:
        def flush(self) -> None:
            ran.append("flushed")

    FlushBatch(process).add(Connection())
    clock.run(3.2)
    assert ran == ["flushed", "beat", "beat"]
    once.cancel()
    timers.cancel_all()
    assert process.getDelayedCalls() == []


def test_streams_of_chance_do_not_disturb_each_other() -> None:
    one, other = SimClock(7), SimClock(7)
    other.random("b").random()
    assert one.random("a").random() == other.random("a").random()
    assert one.fresh_bytes("x") == other.fresh_bytes("x") != one.fresh_bytes("y")


def test_an_exception_is_the_processs_own_or_the_worlds() -> None:
    clock = SimClock()
    process = _process(clock)
    reports: list[object] = []
    process.callLater(1, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        clock.run(2)
    process.on_error = reports.append
    process.callLater(1, lambda: 1 / 0)
    clock.run(2)
    assert len(reports) == 1
    clock.callLater(1, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        clock.run(2)
