"""Many alarms by key over one timer of the reactor.

Every status update arms one and its acknowledgement disarms it, mostly long before it is due: both
are a change of a table here. A disarmed alarm leaves its entry in the heap until that comes up or
stale entries are the most of it. What an alarm means is not known here.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from mesos_twisted.clock import Timer, Timers

KeyT = TypeVar("KeyT", bound=Hashable)
#: Stale entries of the heap are tolerated up to this many more than live ones.
SLACK = 1024


class Alarms(Generic[KeyT]):
    """`ring(key)` is called once for each alarm that is not cancelled, in the order they are due.

    Alarms due at the same moment ring in the order they were started.
    """

    __slots__ = ("_due", "_heap", "_number", "_ring", "_timer", "_timer_due", "_timers")

    def __init__(self, timers: Timers, ring: Callable[[KeyT], object]) -> None:
        self._timers = timers
        self._ring = ring
        #: Key to the number of its live entry in the heap.
        self._due: dict[KeyT, int] = {}
        self._heap: list[tuple[float, int, KeyT]] = []
        self._number = 0
        self._timer: Timer | None = None
        self._timer_due = 0.0

    def __len__(self) -> int:
        return len(self._due)

    def start(self, key: KeyT, after_s: float) -> None:
        """The key's alarm rings in so many seconds; an earlier one of the key never does."""
        due = self._timers.seconds() + after_s
        self._number += 1
        self._due[key] = self._number
        heapq.heappush(self._heap, (due, self._number, key))
        if len(self._heap) > 2 * len(self._due) + SLACK:
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)
        self._arm(due)

    def cancel(self, key: KeyT) -> None:
        """The key's alarm does not ring; without one nothing happens."""
        if self._due.pop(key, None) is not None and not self._due:
            self.cancel_all()

    def cancel_all(self) -> None:
        """No alarm rings and nothing is scheduled."""
        self._due.clear()
        self._heap.clear()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._timers.after(max(0.0, due - self._timers.seconds()), self._ring_due)

    def _ring_due(self) -> None:
        self._timer = None
        now, last = self._timers.seconds(), self._number
        again: list[tuple[float, int, KeyT]] = []
        while self._heap:
            entry = self._heap[0]
            live = self._due.get(entry[2]) == entry[1]
            if live and entry[0] > now:
                break
            heapq.heappop(self._heap)
            if live and entry[1] > last:
                again.append(entry)  # started by what rang just now: it waits for the next turn
            elif live:
                del self._due[entry[2]]
                self._ring(entry[2])
        for entry in again:
            heapq.heappush(self._heap, entry)
        if not self._due:
            self.cancel_all()
        else:
            self._arm(self._heap[0][0])
