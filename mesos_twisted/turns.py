"""Long work of one process: a slice of it in each turn of the reactor, whatever there is to do.

Two pages under way take turns, so that whoever else asks for something waits for one slice, not
for one of each. What the work is is not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from twisted.internet.defer import Deferred

from mesos_twisted.clock import Timer, Timers

#: Seconds of long work in one turn; a step under way is finished.
SLICE_S: Final = 0.005
#: Seconds that work may take at once, in the turn that asks for it: a small page needs no other.
AT_ONCE_S: Final = 0.002

#: Called with the time at which to stop; it comes again only when it is added again.
Work = Callable[[float], object]


class Turns:
    """Work that waits for its slice, in order."""

    __slots__ = ("_armed", "_timers", "_waiting")

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._waiting: deque[Work] = deque()
        self._armed: Timer | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def seconds(self) -> float:
        """The clock's time, in seconds."""
        return self._timers.seconds()

    def at_once(self) -> float:
        """When work that begins now must stop."""
        return self._timers.seconds() + AT_ONCE_S

    def add(self, work: Work) -> None:
        """`work(deadline)` is called in a later turn."""
        self._waiting.append(work)
        if self._armed is None:
            self._armed = self._timers.after(0, self._turn)

    def drop(self, work: Work) -> None:
        """It is not called; nothing when it does not wait."""
        if work in self._waiting:
            self._waiting.remove(work)
        if not self._waiting and self._armed is not None:
            self._armed.cancel()
            self._armed = None

    def take(self, steps: Iterator[object]) -> Deferred[None] | None:
        """Take all steps; None when they were taken at once, else it fires when they are taken.

        It fails with what a step raised.
        """
        if self._taken(steps, self.at_once()):
            return None
        done: Deferred[None] = Deferred()

        def work(deadline: float) -> None:
            try:
                finished = self._taken(steps, deadline)
            except Exception:
                # The steps' bug is whoever waits for them's to answer for.
                done.errback()
                return
            if finished:
                done.callback(None)
            else:
                self.add(work)

        self.add(work)
        return done

    def _taken(self, steps: Iterator[object], deadline: float) -> bool:
        seconds = self._timers.seconds
        for _ in steps:
            if seconds() >= deadline:
                return False
        return True

    def _turn(self) -> None:
        self._armed = None
        deadline = self._timers.seconds() + SLICE_S
        try:
            # Each once: what is added meanwhile waits for the next turn.
            for _ in range(len(self._waiting)):
                if not self._waiting:
                    break
                self._waiting.popleft()(deadline)
                if self._timers.seconds() >= deadline:
                    break
        finally:
            if self._waiting and self._armed is None:
                self._armed = self._timers.after(0, self._turn)
