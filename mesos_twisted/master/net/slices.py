"""Long work in slices: some milliseconds in each turn of the reactor."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import Deferred

from mesos_twisted.clock import Timers

#: Seconds of work in one turn; a step under way is finished.
SLICE_S = 0.008


def in_slices(timers: Timers, steps: Iterator[None]) -> Deferred[None] | None:
    """Take all steps; None when one slice was enough, else it fires when they are taken."""
    if _slice(timers, steps):
        return None
    done: Deferred[None] = Deferred()
    timers.after(0, _continue, timers, steps, done)
    return done


def _slice(timers: Timers, steps: Iterator[None]) -> bool:
    deadline = timers.seconds() + SLICE_S
    for _ in steps:
        if timers.seconds() >= deadline:
            return False
    return True


def _continue(timers: Timers, steps: Iterator[None], done: Deferred[None]) -> None:
    try:
        finished = _slice(timers, steps)
    except Exception:
        # The steps' bug is whoever waits for them's to answer for.
        done.errback()
        return
    if finished:
        done.callback(None)
    else:
        timers.after(0, _continue, timers, steps, done)
