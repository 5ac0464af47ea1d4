"""Log lines: one JSON object each, or plain text. Where they go (standard error) is the caller's.

Every named field of an event becomes a key, so `agent_id` or `task_id` can be searched for.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import msgspec
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEvent,
    globalLogBeginner,
)
from twisted.python.failure import Failure
from zope.interface import implementer

#: The level flag's words to Twisted's levels.
LEVELS = {
    "DEBUG": LogLevel.debug,
    "INFO": LogLevel.info,
    "WARNING": LogLevel.warn,
    "ERROR": LogLevel.error,
}
_ORDER = ("debug", "info", "warn", "error")
_HIDDEN = frozenset({"message", "isError", "why", "format", "time", "system"})


def _plain(value: object) -> Any:
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _fields(event: LogEvent) -> Iterable[tuple[str, Any]]:
    for key, value in event.items():
        if not key.startswith("log_") and key not in _HIDDEN:
            yield key, _plain(value)


def as_json(event: LogEvent) -> str:
    """The event as one line: time, level, logger, message, then its own fields."""
    moment = datetime.datetime.fromtimestamp(event.get("log_time", 0.0), datetime.UTC)
    level = event.get("log_level")
    line: dict[str, Any] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level.name if level is not None else "info",
        "logger": event.get("log_namespace", ""),
        "message": formatEvent(event),
    }
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        line["error"] = failure.getErrorMessage()
        line["traceback"] = failure.getTraceback()
    for key, value in _fields(event):
        line.setdefault(key, value)
    return msgspec.json.encode(line).decode()


def as_text(event: LogEvent) -> str:
    """The event as one line a person reads; tracebacks take more."""
    return eventAsText(event).rstrip("\n")


@implementer(ILogObserver)
class LineObserver:
    """Writes each event as a line and flushes it."""

    def __init__(self, out: TextIO, render: Callable[[LogEvent], str]) -> None:
        self._out = out
        self._render = render

    def __call__(self, event: LogEvent) -> None:
        try:
            self._out.write(self._render(event) + "\n")
            self._out.flush()
        except (OSError, ValueError):
            # A closed standard error must not take the service with it.
            pass


def _from(level: str) -> frozenset[str]:
    return frozenset(_ORDER[_ORDER.index(LEVELS[level].name) :])


class Logging:
    """The process's logging: begun once, its level changed at any time."""

    def __init__(self, out: TextIO, log_format: str, level: str) -> None:
        self._predicate = LogLevelFilterPredicate(defaultLogLevel=LEVELS[level])
        render = as_text if log_format == "text" else as_json
        self.observer = FilteringLogObserver(LineObserver(out, render), [self._predicate])
        self.level = level
        self._written = _from(level)

    def writes(self, level: str) -> bool:
        """Would an event of this level (`debug`, `info`, `warn`, `error`) be written?

        To ask costs far less than an event that nobody reads.
        """
        return level in self._written

    def begin(self) -> None:
        """Events go out from here on; what was logged before follows at once."""
        globalLogBeginner.beginLoggingTo([self.observer], redirectStandardIO=False)

    def set_level(self, level: str) -> None:
        """Only events of this level and above are written."""
        self.level = level
        self._written = _from(level)
        self._predicate.defaultLogLevel = LEVELS[level]
        self._predicate.clearLogLevels()
