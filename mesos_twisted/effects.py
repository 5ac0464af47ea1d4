"""Effects that every core can ask for: timers, counters, log lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Say TimerFired(key) after so many seconds; a timer of the same key is replaced."""

    key: tuple[str, ...]
    after_s: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget a timer; unknown keys are fine."""

    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """Add to a counter declared in metrics.names."""

    name: str
    amount: int = 1


@dataclass(frozen=True, slots=True)
class Log:
    """One line; ids are fields."""

    level: Literal["debug", "info", "warn", "error"]
    format: str
    fields: tuple[tuple[str, object], ...] = ()
