"""Writes gathered over one reactor turn and sent together at its end.

A wake-up costs some thirty times a message, so a connection that is written to ten times in a turn
sends once. One batch is shared by all connections of a process.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from mesos_twisted.clock import Timers

_log = Logger()


class Flushable(Protocol):
    """Something with bytes to send before the turn ends."""

    def flush(self) -> None:
        """Send what is gathered; harmless when there is nothing."""


class FlushBatch:
    """Calls `flush` once on each connection added, at the end of the current reactor turn.

    A call delayed by 0 s runs before the reactor polls again, which is what "end of the turn" means
    here.
    """

    __slots__ = ("_pending", "_timers")

    def __init__(self, clock: IReactorTime) -> None:
        self._timers = Timers(clock)
        self._pending: list[Flushable] = []

    def add(self, connection: Flushable) -> None:
        """`connection.flush()` is called before the reactor sleeps. Add it once per turn."""
        if not self._pending:
            self._timers.after(0, self._flush)
        self._pending.append(connection)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        for connection in pending:
            try:
                connection.flush()
            except Exception:
                # One broken connection must not keep the others' bytes back.
                _log.failure("Cannot send what a connection had gathered")
