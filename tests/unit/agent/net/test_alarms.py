"""Alarms ring once, in order, when due; what is cancelled or started anew does not."""

from twisted.internet.task import Clock

from mesos_twisted.agent.net import alarms
from mesos_twisted.agent.net.alarms import Alarms
from mesos_twisted.clock import Timers


def make() -> tuple[Alarms[str], Clock, list[tuple[str, float]]]:
    """Alarms that note when they rang."""
    clock = Clock()
    rung: list[tuple[str, float]] = []
    return Alarms(Timers(clock), lambda key: rung.append((key, clock.seconds()))), clock, rung


def test_they_ring_in_the_order_they_are_due() -> None:
    """Those due at once in the order they were started; nothing is scheduled afterwards."""
    some, clock, rung = make()
    for key, after_s in (("c", 3.0), ("a", 1.0), ("b", 1.0), ("z", 0.0)):
        some.start(key, after_s)
    clock.pump([0.0, 1.0, 1.0, 1.0])
    assert rung == [("z", 0.0), ("a", 1.0), ("b", 1.0), ("c", 3.0)]
    assert not clock.getDelayedCalls() and not len(some)


def test_an_alarm_started_anew_rings_once_at_its_new_time() -> None:
    """Later or earlier than before."""
    some, clock, rung = make()
    some.start("later", 1.0)
    some.start("later", 2.0)
    some.start("sooner", 9.0)
    some.start("sooner", 1.5)
    clock.pump([0.5] * 30)
    assert rung == [("sooner", 1.5), ("later", 2.0)]


def test_a_cancelled_alarm_never_rings() -> None:
    """The last one cancelled leaves nothing scheduled; cancelling twice is harmless."""
    some, clock, rung = make()
    some.start("a", 1.0)
    some.start("b", 2.0)
    some.cancel("a")
    some.cancel("a")
    clock.advance(1.0)
    some.cancel("b")
    assert not clock.getDelayedCalls()
    clock.advance(5.0)
    assert rung == []


def test_what_rings_may_start_and_cancel_others() -> None:
    """One that it starts at once waits for the next turn; one that it cancels does not ring."""
    clock = Clock()
    rung: list[str] = []

    def ring(key: str) -> None:
        rung.append(key)
        if key == "first":
            some.cancel("second")
            some.start("again", 0.0)

    some = Alarms(Timers(clock), ring)
    for key in ("first", "second", "third"):
        some.start(key, 1.0)
    clock.advance(1.0)
    assert rung == ["first", "third", "again"]
    assert not clock.getDelayedCalls()


def test_what_rings_may_stop_everything() -> None:
    """Nothing rings after that."""
    clock = Clock()
    rung: list[str] = []

    def ring(key: str) -> None:
        rung.append(key)
        some.cancel_all()

    some = Alarms(Timers(clock), ring)
    some.start("a", 1.0)
    some.start("b", 1.0)
    clock.advance(9.0)
    assert rung == ["a"] and not clock.getDelayedCalls()


def test_many_cancelled_alarms_are_not_kept() -> None:
    """The heap stays within what is live and some slack, over one timer."""
    some, clock, rung = make()
    some.start("kept", 60.0)
    for number in range(10 * alarms.SLACK):
        some.start(f"{number}", 10.0)
        some.cancel(f"{number}")
    assert len(some._heap) <= 2 * len(some) + alarms.SLACK
    assert len(clock.getDelayedCalls()) == 1
    clock.pump([10.0] * 6)
    assert rung == [("kept", 60.0)]
