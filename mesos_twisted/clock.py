"""Timers that are tracked, and how long to wait before trying again.

`Timers` is the only caller of `callLater` in the package, so a service that stops can leave
nothing behind. Why a timer is wanted is not known here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Timer:
    """One pending call; it runs once, or again and again when `Timers.every` made it."""

    __slots__ = ("_args", "_call", "_due", "_function", "_interval_s", "_timers")

    def __init__(
        self,
        timers: Timers,
        function: Callable[..., object],
        args: tuple[Any, ...],
        interval_s: float | None,
    ) -> None:
        self._timers = timers
        self._function = function
        self._args = args
        self._interval_s = interval_s
        self._due = 0.0
        self._call: IDelayedCall | None = None

    @property
    def active(self) -> bool:
        """Whether a call is still to come."""
        return self._call is not None

    def cancel(self) -> None:
        """No call comes after this; cancelling twice is harmless."""
        call, self._call = self._call, None
        if call is not None:
            self._timers._armed.discard(self)
            call.cancel()

    def _arm(self, seconds: float) -> None:
        self._timers._armed.add(self)
        # twisted's IReactorTime is untyped about the arguments it passes on.
        self._call = self._timers._clock.callLater(seconds, self._fire)

    def _fire(self) -> None:
        self._call = None
        if self._interval_s is None:
            self._timers._armed.discard(self)
        else:
            # Armed before the call: a function that raises does not end the series. Beats
            # missed while the process slept are dropped, not caught up.
            now = self._timers._clock.seconds()
            self._due += self._interval_s
            if self._due <= now:
                self._due = now + self._interval_s
            self._arm(self._due - now)
        self._function(*self._args)


class Timers:
    """The timers of one owner, over an `IReactorTime`; `cancel_all` leaves nothing scheduled."""

    __slots__ = ("_armed", "_clock")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._armed: set[Timer] = set()

    def __len__(self) -> int:
        return len(self._armed)

    def seconds(self) -> float:
        """The clock's time, in seconds."""
        return self._clock.seconds()

    def after(self, seconds: float, function: Callable[..., object], *args: Any) -> Timer:
        """`function(*args)` is called once, `seconds` from now (0: in the next reactor turn)."""
        timer = Timer(self, function, args, None)
        timer._arm(seconds)
        return timer

    def every(self, interval_s: float, function: Callable[..., object], *args: Any) -> Timer:
        """`function(*args)` is called each `interval_s`, first one interval from now."""
        if interval_s <= 0:
            raise ValueError(f"The interval of a repeated timer must be positive, not {interval_s}")
        timer = Timer(self, function, args, interval_s)
        timer._due = self._clock.seconds() + interval_s
        timer._arm(interval_s)
        return timer

    def cancel_all(self) -> None:
        """Every timer made here is cancelled; new ones can still be made."""
        for timer in tuple(self._armed):
            timer.cancel()


def make_steady(reactor: Any) -> None:
    """From now on the reactor's time neither jumps when the host's clock is set nor stands still
    while the host sleeps. Twisted takes it from the clock on the wall, so that a clock set back
    would stop every timer, and a leader would believe in its session for too long.

    Do it before anything is scheduled. Its seconds have nothing to do with the epoch then.
    """
    reactor.seconds = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


def backoff(attempt: int, base_s: float, cap_s: float, jitter: float) -> float:
    """Seconds to wait before try number `attempt` (0 is the first repeat).

    Doubles from `base_s` up to `cap_s`; `jitter` in [0, 1) is a random number of the caller's and
    picks a point in the upper half of the interval, so that many peers do not return together.
    """
    ceiling = cap_s if attempt > 60 else min(cap_s, base_s * 2.0 ** max(attempt, 0))
    return ceiling * (0.5 + 0.5 * jitter)
