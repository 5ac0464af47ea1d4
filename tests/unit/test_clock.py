"""Timers run when they are due, and nothing is left when all are cancelled."""

import time

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers, backoff, make_steady


def test_a_timer_runs_once_with_its_arguments():
    clock, calls = Clock(), []
    timers = Timers(clock)
    timer = timers.after(2, calls.append, "x")
    clock.advance(1.9)
    assert timer.active and len(timers) == 1 and calls == []
    clock.advance(0.1)
    assert calls == ["x"] and not timer.active and len(timers) == 0


def test_a_repeated_timer_keeps_its_beat_and_survives_a_failure():
    clock, calls = Clock(), []

    def beat():
        calls.append(clock.seconds())
        if len(calls) == 2:
            raise ValueError("bad beat")

    timer = Timers(clock).every(10, beat)
    clock.advance(10)
    with pytest.raises(ValueError):
        clock.advance(10)
    clock.advance(10)
    assert calls == [10, 20, 30]
    clock.advance(35)  # three beats were slept through; they are not caught up
    assert calls == [10, 20, 30, 65]
    timer.cancel()
    assert clock.getDelayedCalls() == []


def test_cancelling_all_leaves_nothing():
    clock = Clock()
    timers = Timers(clock)
    timers.after(1, print)
    timers.every(1, print).cancel()
    timers.every(1, print)
    timers.cancel_all()
    assert clock.getDelayedCalls() == [] and len(timers) == 0


def test_backoff_doubles_up_to_its_cap():
    assert [backoff(n, 1.0, 8.0, 1.0) for n in range(5)] == [1, 2, 4, 8, 8]
    assert backoff(10_000, 1.0, 8.0, 0.0) == 4.0


def test_a_steady_reactor_goes_by_the_time_since_the_host_started():
    """Its timers too: a wall clock that is set back delays nothing."""

    def host() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    reactor, fired = EPollReactor(), []
    make_steady(reactor)
    before = host()
    call = reactor.callLater(10, fired.append, True)
    assert before + 10 <= call.getTime() <= host() + 10
    reactor.iterate(0)
    assert fired == []
    reactor.seconds = call.getTime
    reactor.iterate(0)
    assert fired == [True]
    for descriptor in reactor.removeAll():
        descriptor.connectionLost(Failure(ConnectionDone()))
    reactor._poller.close()
