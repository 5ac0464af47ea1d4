"""What a service tells systemd over NOTIFY_SOCKET, and the watchdog that trusts a quick loop only.

Without systemd nothing is sent and nothing fails. Who is ready, and when, is the caller's affair.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from twisted.logger import Logger

from mesos_twisted.clock import Timers

_log = Logger()


class Notifier:
    """Sends state to the service manager that started this process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        try:
            microseconds = int(environ.get("WATCHDOG_USEC", "0"))
        except ValueError:
            microseconds = 0
        #: Seconds within which a ping must come; None when nobody waits for one.
        self.watchdog_s: float | None = microseconds / 1e6 if microseconds > 0 else None

    def ready(self, status: str) -> None:
        """The service serves."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={status}")

    def reloading(self, monotonic_s: float) -> None:
        """A reload has begun; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_s * 1e6)}")

    def stopping(self) -> None:
        """The service is on its way out."""
        self._send("STOPPING=1")

    def ping(self) -> None:
        """The service is alive."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the abstract namespace's zero byte.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(text.encode(), address)
        except OSError as error:
            _log.warn("systemd was not told {text}: {error}", text=text, error=str(error))


@dataclass(frozen=True, slots=True)
class Standing:
    """What the service does or waits for, in a line; `stuck` when it cannot go on by itself."""

    status: str
    stuck: bool = False


class LoopWatch:
    """Measures how late timers come, and pings the watchdog while that is bearable.

    `beat_s` is the time between looks; `observed` is told the seconds by which each came late. A
    loop later than `max_lag_s`, or a service that `standing` calls stuck, gets no ping: systemd
    then restarts a service that no longer serves anybody. Each new status is told.
    """

    def __init__(
        self,
        timers: Timers,
        notifier: Notifier,
        max_lag_s: float,
        beat_s: float = 1.0,
        observed: Callable[[float], object] | None = None,
        standing: Callable[[], Standing] | None = None,
    ) -> None:
        self._timers = timers
        self._notifier = notifier
        self._max_lag_s = max_lag_s
        self._beat_s = beat_s
        self._observed = observed
        self._standing = standing
        self._stands = Standing("")
        self._pinged = timers.seconds()
        self._due = self._pinged + beat_s
        self.lag_s = 0.0
        self._timer = timers.every(beat_s, self._beat)

    def stop(self) -> None:
        """No look and no ping comes after this."""
        self._timer.cancel()

    def _beat(self) -> None:
        # Against the time it was due, not the last look: two looks may be late alike.
        now = self._timers.seconds()
        self.lag_s = max(0.0, now - self._due)
        self._due += self._beat_s
        if self._due <= now:
            self._due = now + self._beat_s
        if self._observed is not None:
            self._observed(self.lag_s)
        if self._standing is not None:
            self._tell(self._standing())
        watchdog_s = self._notifier.watchdog_s
        if watchdog_s is None:
            return
        if self.lag_s > self._max_lag_s:
            _log.error("The event loop was {lag:.1f} s late; no watchdog ping", lag=self.lag_s)
            self._pinged = now
            return
        if now - self._pinged + self._beat_s >= watchdog_s / 2 and not self._stands.stuck:
            self._pinged = now
            self._notifier.ping()

    def _tell(self, stands: Standing) -> None:
        if stands.stuck and not self._stands.stuck:
            _log.error("{status}; no watchdog ping", status=stands.status)
        if stands.status != self._stands.status:
            self._notifier.status(stands.status)
        self._stands = stands
