"""Long work gets one slice of each turn, in order, and nobody is left out."""

import pytest
from twisted.internet.task import Clock

from mesos_twisted.clock import Timers
from mesos_twisted.turns import AT_ONCE_S, SLICE_S, Turns


class Reactor(Clock):
    """A clock whose turns are told apart, as a reactor's are."""

    def turn(self) -> None:
        """What is due when the turn begins; what that asks for waits for the next."""
        due, self.calls = self.calls, []
        for call in due:
            call.called = 1
            call.func(*call.args, **call.kw)


@pytest.fixture
def clock() -> Reactor:
    return Reactor()


@pytest.fixture
def turns(clock: Reactor) -> Turns:
    return Turns(Timers(clock))


def test_one_slice_a_turn_whoever_waits(clock: Reactor, turns: Turns) -> None:
    """Work that uses up its slice leaves the next to the next turn, in the order of asking."""
    done: list[str] = []

    def use_up(name: str) -> None:
        done.append(name)
        clock.rightNow += SLICE_S

    for name in "abc":
        turns.add(lambda deadline, name=name: use_up(name))
    for told in (["a"], ["a", "b"], ["a", "b", "c"]):
        clock.turn()
        assert done == told
    assert not clock.getDelayedCalls()


def test_short_work_shares_a_slice(clock: Reactor, turns: Turns) -> None:
    """What takes no time is all done in one turn; what is added meanwhile waits for the next."""
    done: list[str] = []

    def first(deadline: float) -> None:
        done.append("a")
        turns.add(lambda deadline: done.append("c"))

    turns.add(first)
    turns.add(lambda deadline: done.append("b"))
    clock.turn()
    assert done == ["a", "b"] and len(turns) == 1
    clock.turn()
    assert done == ["a", "b", "c"]


def test_steps_are_taken_in_slices(clock: Reactor, turns: Turns) -> None:
    """A few at once, the rest in later turns; then the Deferred fires."""
    taken: list[int] = []

    def steps():
        for number in range(8):
            clock.rightNow += AT_ONCE_S / 2
            taken.append(number)
            yield None

    done = turns.take(steps())
    assert done is not None and taken == [0, 1]
    clock.turn()
    assert taken == [0, 1, 2, 3, 4, 5, 6] and not done.called
    clock.turn()
    assert taken == list(range(8)) and done.called


def test_quick_steps_need_no_turn(turns: Turns) -> None:
    """None says that all is done."""
    assert turns.take(iter([None, None])) is None and len(turns) == 0


def test_a_failing_step_is_told(clock: Reactor, turns: Turns) -> None:
    """Whoever waits hears of it; other work goes on."""

    def steps():
        clock.rightNow += AT_ONCE_S
        yield None
        raise ValueError("broken")

    done = turns.take(steps())
    other: list[int] = []
    turns.add(lambda deadline: other.append(1))
    assert done is not None
    failures: list[str] = []
    done.addErrback(lambda failure: failures.append(failure.getErrorMessage()))
    clock.turn()
    assert failures == ["broken"] and other == [1]


def test_a_raising_work_does_not_stop_the_others(clock: Reactor, turns: Turns) -> None:
    """They come in the next turn."""
    done: list[int] = []

    def broken(deadline: float) -> None:
        raise ValueError("broken")

    turns.add(broken)
    turns.add(lambda deadline: done.append(1))
    with pytest.raises(ValueError, match="broken"):
        clock.turn()
    clock.turn()
    assert done == [1]


def test_dropped_work_does_not_come(clock: Reactor, turns: Turns) -> None:
    """And with the last of it no timer is left."""
    done: list[int] = []

    def work(deadline: float) -> None:
        done.append(1)

    turns.add(work)
    turns.drop(work)
    turns.drop(work)
    assert not clock.getDelayedCalls()
    clock.turn()
    assert done == []
