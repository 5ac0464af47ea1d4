"""The time of a simulated world: one heap of calls, one order, one trace.

Nothing happens but what is on the heap, so a world is a function of its seed. Time is in seconds
since the world began and stands still while a call runs; calls due at the same time run in the
order they were asked for. Who a call belongs to (a process that may be paused or dead) is asked of
its owner just before it runs.

    clock = SimClock(seed)
    clock.random("faults")      a stream of chance of its own: who draws more disturbs nobody else
    clock.run(60.0)             the next 60 s
    clock.trace()               equal for equal runs, in any process

The trace is a hash over the time and number of every call that ran and over what `note` was told
(the network notes each delivery). A test that wants words sets `heard`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush
from random import Random
from typing import Any, Final, Protocol

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from mesos_twisted.errors import BugError

_STEP: Final = struct.Struct("<dQ")
_HASH_AT: Final = 1 << 16
#: Numbers of calls that are not on the heap.
_DONE, _CANCELLED = -1, -2
#: Cancelled calls are swept from the heap when there are so many, and most are.
_SWEEP_AT: Final = 4096


class Owner(Protocol):
    """A process, to the clock."""

    def admit(self, call: SimCall) -> bool:
        """Whether it runs now. An owner that is paused keeps it, one that is dead forgets it."""

    def failed(self) -> None:
        """A call of it raised; the exception is the current one."""

    def seconds_at(self, time: float) -> float:
        """The owner's own clock at the world's `time`."""

    def delay_until(self, seconds: float) -> float:
        """World seconds from now until the owner's own clock shows `seconds`; 0 if it did."""


@implementer(IDelayedCall)
class SimCall:
    """One call to come."""

    __slots__ = ("_clock", "args", "due", "function", "number", "owner", "shown")

    def __init__(
        self,
        clock: SimClock,
        owner: Owner | None,
        function: Callable[..., object],
        args: tuple[Any, ...],
        due: float,
        shown: float,
        number: int,
    ) -> None:
        self._clock = clock
        self.owner = owner
        self.function = function
        self.args = args
        self.due = due
        #: When its owner thinks it is due.
        self.shown = shown
        self.number = number

    def active(self) -> bool:
        """Whether it is still to come."""
        return self.number >= 0

    def getTime(self) -> float:
        """When, on the owner's clock."""
        return self.shown

    def cancel(self) -> None:
        """It will not run. Raises Twisted's AlreadyCalled or AlreadyCancelled."""
        self._check()
        self.number = _CANCELLED
        self._clock._cancelled()

    def reset(self, secondsFromNow: float) -> None:
        """It runs that long from now. Raises as `cancel`."""
        self._check()
        owner, now = self.owner, self._clock.now
        local = now if owner is None else owner.seconds_at(now)
        self._move(local + secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """It runs that much later than it would have. Raises as `cancel`."""
        self._check()
        self._move(self.shown + secondsLater)

    def _check(self) -> None:
        if self.number == _DONE:
            raise AlreadyCalled
        if self.number == _CANCELLED:
            raise AlreadyCancelled

    def _move(self, shown: float) -> None:
        clock, self.shown = self._clock, shown
        wait = shown - clock.now if self.owner is None else self.owner.delay_until(shown)
        clock._cancelled()
        clock.push(self, clock.now + max(0.0, wait))


@implementer(IReactorTime)
class SimClock:
    """The world's clock; to what belongs to no process it is an `IReactorTime`."""

    def __init__(self, seed: int | str = 0) -> None:
        self.seed = seed
        self.now = 0.0
        #: Calls that have run.
        self.events = 0
        #: Called after each call that ran: for invariants.
        self.after_each: Callable[[], object] | None = None
        #: Called with what is noted, in words: (time, who, what).
        self.heard: Callable[[float, str, str], object] | None = None
        self._heap: list[tuple[float, int, SimCall]] = []
        self._next = 0
        self._dead = 0
        self._streams: dict[str, Random] = {}
        self._hash = hashlib.blake2b(digest_size=16)
        self._unhashed = bytearray()

    # Chance

    def random(self, purpose: str) -> Random:
        """The stream of chance for one purpose: a function of the seed and these words."""
        stream = self._streams.get(purpose)
        if stream is None:
            stream = self._streams[purpose] = Random(self.fresh_bytes(purpose))
        return stream

    def fresh_bytes(self, purpose: str) -> bytes:
        """32 bytes for one purpose, always the same under this seed: for ids' seeds."""
        return hashlib.blake2b(f"{self.seed}/{purpose}".encode(), digest_size=32).digest()

    # IReactorTime

    def seconds(self) -> float:
        """Since the world began."""
        return self.now

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any
    ) -> SimCall:
        """A call that belongs to the world: it is never held back."""
        if kw:
            callable = partial(callable, **kw)
        return self.schedule(delay, None, callable, args, self.now + delay)

    def getDelayedCalls(self) -> list[SimCall]:
        """What is to come, of all owners, in order."""
        return [call for _, number, call in sorted(self._heap) if call.number == number]

    # The heap

    def schedule(
        self,
        delay: float,
        owner: Owner | None,
        function: Callable[..., object],
        args: tuple[Any, ...],
        shown: float,
    ) -> SimCall:
        """The general form: `shown` is the time due on the owner's clock, `delay` the world's."""
        if delay < 0:
            raise BugError(f"A call cannot be made {-delay:g} s ago")
        return self.at(self.now + delay, owner, function, args, shown)

    def at(
        self,
        due: float,
        owner: Owner | None,
        function: Callable[..., object],
        args: tuple[Any, ...],
        shown: float,
    ) -> SimCall:
        """`schedule` by the world's time, to the last bit: equal times keep their order."""
        number = self._next
        self._next = number + 1
        call = SimCall(self, owner, function, args, due, shown, number)
        heappush(self._heap, (due, number, call))
        return call

    def push(self, call: SimCall, due: float) -> None:
        """Put `call` on the heap, behind all that is due at the same time."""
        call.due, call.number = due, self._next
        self._next += 1
        heappush(self._heap, (due, call.number, call))

    def of(self, owner: Owner) -> list[SimCall]:
        """The calls of one owner that are to come, in order."""
        return [call for call in self.getDelayedCalls() if call.owner is owner]

    def _cancelled(self) -> None:
        self._dead += 1
        if self._dead >= _SWEEP_AT and self._dead * 2 > len(self._heap):
            # In place: a run holds on to it.
            self._heap[:] = [entry for entry in self._heap if entry[2].number == entry[1]]
            heapify(self._heap)
            self._dead = 0

    # Running

    def step(self, until: float = float("inf")) -> bool:
        """Run the next call that is due by `until` (world time); False when there is none."""
        return self._go(until, True)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        until = self.now + seconds
        self._go(until, False)
        self.now = until

    def _go(self, until: float, once: bool) -> bool:
        """Run what is due by `until`, or the first of it; whether that one was there."""
        heap, unhashed, pack = self._heap, self._unhashed, _STEP.pack
        while heap:
            due, number, call = heap[0]
            if call.number != number:
                heappop(heap)
                continue
            if due > until:
                return False
            heappop(heap)
            self.now = due
            call.number = _DONE
            owner = call.owner
            if owner is not None and not owner.admit(call):
                continue
            self.events += 1
            unhashed += pack(due, number)
            if len(unhashed) >= _HASH_AT:
                self._hash.update(unhashed)
                unhashed.clear()
            try:
                call.function(*call.args)
            except Exception:
                # A process may survive its bug, as Twisted's reactor does; the world may not.
                if owner is None:
                    raise
                owner.failed()
            if self.after_each is not None:
                self.after_each()
            if once:
                return True
        return False

    def run_until(self, reached: Callable[[], Any], within_s: float, what: str = "") -> Any:
        """Let time pass until `reached()` is true, and give what it gave.

        Raises AssertionError when it is not within `within_s`.
        """
        until = self.now + within_s
        while not (found := reached()):
            if not self.step(until):
                raise AssertionError(f"not reached within {within_s:g} s: {what or reached}")
        return found

    # The trace

    def note(self, who: str, what: str, data: bytes = b"") -> None:
        """Part of the trace from now on."""
        unhashed = self._unhashed
        unhashed += what.encode()
        unhashed += data
        if self.heard is not None:
            self.heard(self.now, who, what)

    def trace(self) -> str:
        """The hash of all that happened so far."""
        self._hash.update(self._unhashed)
        self._unhashed.clear()
        return self._hash.hexdigest()
