"""Counters, gauges and timers, kept in plain dicts. Pure: no clock, no names of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from mesos_twisted.metrics.names import PERCENTILES

#: Values a timer keeps; older ones leave its percentiles.
TIMER_VALUES: Final = 1000


class Timing:
    """The last thousand durations of one kind, in milliseconds."""

    __slots__ = ("_next", "_values", "count", "last")

    def __init__(self) -> None:
        self._values: list[float] = []
        self._next = 0
        self.count = 0
        self.last = 0.0

    def record(self, seconds: float) -> None:
        """One more duration."""
        self.last = seconds * 1000.0
        self.count += 1
        if len(self._values) < TIMER_VALUES:
            self._values.append(self.last)
        else:
            self._values[self._next] = self.last
            self._next = (self._next + 1) % TIMER_VALUES

    def show(self, name: str, into: dict[str, float]) -> None:
        """Write the metric and its statistics; nothing before the first duration."""
        if not self.count:
            return
        values = sorted(self._values)
        into[name] = self.last
        into[name + "/count"] = float(len(values))
        into[name + "/min"] = values[0]
        into[name + "/max"] = values[-1]
        for suffix, fraction in PERCENTILES:
            into[f"{name}/{suffix}"] = percentile(values, fraction)


def percentile(ordered: list[float], fraction: float) -> float:
    """The value below which `fraction` of the ordered values lie, between neighbours linearly."""
    position = fraction * (len(ordered) - 1)
    below = int(position)
    if below + 1 >= len(ordered):
        return ordered[-1]
    part = position - below
    return ordered[below] + part * (ordered[below + 1] - ordered[below])


class Metrics:
    """The metrics of one process."""

    __slots__ = ("_gauges", "_groups", "_timings", "counters")

    def __init__(self, counters: Iterable[str] = (), timers: Iterable[str] = ()) -> None:
        self.counters: dict[str, int] = dict.fromkeys(counters, 0)
        self._gauges: dict[str, Callable[[], float]] = {}
        self._groups: list[Callable[[], Mapping[str, float]]] = []
        self._timings: dict[str, Timing] = {name: Timing() for name in timers}

    def add(self, name: str, amount: int = 1) -> None:
        """The counter has risen; it begins at 0 when it is new."""
        self.counters[name] = self.counters.get(name, 0) + amount

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Counters for which `gone(name)` holds are shown no more (their framework is over)."""
        for name in [name for name in self.counters if gone(name)]:
            del self.counters[name]

    def gauge(self, name: str, ask: Callable[[], float]) -> None:
        """The value is asked at each snapshot."""
        self._gauges[name] = ask

    def group(self, ask: Callable[[], Mapping[str, float]]) -> None:
        """Several gauges that one look at the state answers; a counter of the same name wins."""
        self._groups.append(ask)

    def timing(self, name: str) -> Timing:
        """The timer of this name, made when it is new."""
        return self._timings.setdefault(name, Timing())

    def snapshot(self) -> dict[str, float]:
        """Every metric with its value now, by name."""
        found: dict[str, float] = {}
        for group in self._groups:
            found.update(group())
        for name, count in self.counters.items():
            found[name] = float(count)
        for name, ask in self._gauges.items():
            found[name] = float(ask())
        for name, timing in self._timings.items():
            timing.show(name, found)
        return dict(sorted(found.items()))

    def is_counter(self, name: str) -> bool:
        """Does this metric only ever rise?"""
        return name in self.counters
