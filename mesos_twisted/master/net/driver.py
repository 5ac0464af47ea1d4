"""The master's one loop: an event in, the core's decision, its effects performed in order.

An effect that causes an event at once does not recurse: the event waits its turn. Registry writes
do not hold later effects back; the core asks for what must wait when RegistryApplied comes. A
decision that raises is a bug: the process stops and a standby takes over, as it does when the
registry cannot be written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.master.core import effects as fx
from mesos_twisted.master.core import events as ev
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.registry.interfaces import Registry

_LEVELS = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    "warn": LogLevel.warn,
    "error": LogLevel.error,
}
#: Events kept for a bug report.
RECENT = 256
#: Requests for an allocation within so many seconds are one. What a task frees asks too, where
#: Mesos waits for the interval: latency is worth more than few, large offers (docs/adr/0404).
COALESCE_S = 0.002


class StreamPort(Protocol):
    """The schedulers' event streams."""

    def send(self, connection: ConnectionId, event: m.SchedulerEvent) -> None:
        """Write one event; nothing when the stream has closed."""

    def close(self, connection: ConnectionId) -> None:
        """Close after what was written."""


class LinkPort(Protocol):
    """The agents' links."""

    def send(self, link: ConnectionId, message: agentlink.FromMaster) -> None:
        """Write one record; nothing when the link has closed."""

    def close(self, link: ConnectionId) -> None:
        """Close after what was written."""


class Ports:
    """Where effects go; the service fills it before the first event.

    `stop(exit_code, sentence)` ends the process; `logs(level)` says whether a line of that level
    would be written (yes, unless it is set).
    """

    __slots__ = ("links", "logs", "metrics", "publish", "registry", "stop", "streams")

    streams: StreamPort
    links: LinkPort
    registry: Registry
    metrics: Metrics
    publish: Callable[[m.MasterEvent], None]
    stop: Callable[[int, str], None]
    logs: Callable[[str], bool]

    def __init__(self) -> None:
        self.logs = lambda level: True


class MasterDriver:
    """`handle(event)` is the only way into the core.

    `now` gives epoch seconds, `seed` a fresh random number for each allocation.
    """

    log = Logger()

    def __init__(
        self,
        decide: Callable[[ev.Event], list[fx.Effect]],
        timers: Timers,
        now: Callable[[], float],
        seed: Callable[[], int],
        *,
        allocation_interval_s: float = 1.0,
        store_timeout_s: float = 20.0,
    ) -> None:
        self.ports = Ports()
        self.now = now
        self.recent: deque[ev.Event] = deque(maxlen=RECENT)
        self.stopped = False
        self._decide = decide
        self._timers = timers
        self._seed = seed
        self._interval_s = allocation_interval_s
        self._store_timeout_s = store_timeout_s
        self._armed: dict[tuple[str, ...], Timer] = {}
        self._waiting: deque[ev.Event] = deque()
        self._busy = False
        self._allocation: Timer | None = None
        self._asked_at = 0.0
        self._allocated_at = float("-inf")
        self._periodic: Timer | None = None
        self.registry_operations = 0
        #: Registry operations asked for and made durable so far; they are applied in order.
        self._asked_operations = self._applied_operations = 0
        #: When each write that is not done was asked for.
        self._began: deque[float] = deque()
        self._unsettled: deque[tuple[int, Deferred[None]]] = deque()
        self._perform: dict[type[Any], Callable[[Any], None]] = {
            fx.SendEvent: self._send_event,
            fx.CloseStream: self._close_stream,
            fx.SendToAgent: self._send_to_agent,
            fx.CloseLink: self._close_link,
            fx.ApplyRegistry: self._apply,
            fx.StartTimer: self._start_timer,
            fx.CancelTimer: self._cancel_timer,
            fx.RequestAllocation: self._request_allocation,
            fx.Publish: self._publish,
            fx.StopMaster: self._stop_master,
            fx.Count: self._count,
            fx.Log: self._log,
        }

    def start(self) -> None:
        """Allocations come each interval from here on."""
        self._periodic = self._timers.every(self._interval_s, self._interval)

    def stop(self) -> None:
        """No event is taken any more and no timer fires."""
        self.stopped = True
        self._waiting.clear()
        for timer in (*self._armed.values(), self._periodic, self._allocation):
            if timer is not None:
                timer.cancel()
        self._armed.clear()

    def handle(self, event: ev.Event) -> None:
        """The event is decided and its effects are performed; from within, it waits its turn."""
        if self.stopped:
            return
        self._waiting.append(event)
        if self._busy:
            return
        self._busy = True
        perform = self._perform
        try:
            while self._waiting and not self.stopped:
                event = self._waiting.popleft()
                self.recent.append(event)
                for effect in self._decide(event):
                    perform[type(effect)](effect)
        except Exception:
            # Whatever it is, the state may be half changed: nothing may be built on it.
            self.log.failure(
                "The master stops: handling {event} failed", event=type(event).__name__
            )
            self.stop()
            self.ports.stop(70, "An internal error stopped the master; a standby takes over.")
        finally:
            self._busy = False

    # Effects

    def _send_event(self, effect: fx.SendEvent) -> None:
        self.ports.streams.send(effect.connection, effect.event)

    def _close_stream(self, effect: fx.CloseStream) -> None:
        self.ports.streams.close(effect.connection)

    def _send_to_agent(self, effect: fx.SendToAgent) -> None:
        self.ports.links.send(effect.link, effect.message)

    def _close_link(self, effect: fx.CloseLink) -> None:
        self.ports.links.close(effect.link)

    def _apply(self, effect: fx.ApplyRegistry) -> None:
        began = self._timers.seconds()
        self._began.append(began)
        self.registry_operations += 1
        self._asked_operations += 1
        done = self.ports.registry.apply([effect.operation])
        late = self._timers.after(self._store_timeout_s, self._store_late)
        done.addCallbacks(
            self._applied,
            self._not_applied,
            callbackArgs=(effect.number, began, late),
            errbackArgs=(late,),
        )

    def _applied(self, version: int, number: int, began: float, late: Timer) -> None:
        late.cancel()
        self._began.popleft()
        self.registry_operations -= 1
        timing = self.ports.metrics.timing("registrar/state_store_ms")
        timing.record(self._timers.seconds() - began)
        self.handle(ev.RegistryApplied(number, self.now()))
        self._applied_operations += 1
        while self._unsettled and self._unsettled[0][0] <= self._applied_operations:
            self._unsettled.popleft()[1].callback(None)

    @property
    def write_s(self) -> float:
        """How long the oldest registry write that is not done takes already; 0 when all are."""
        return self._timers.seconds() - self._began[0] if self._began else 0.0

    def settled(self) -> Deferred[None]:
        """Fires when every registry write asked for until now holds and has had its effects."""
        if self._applied_operations == self._asked_operations:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._unsettled.append((self._asked_operations, done))
        return done

    def _not_applied(self, failure: Failure, late: Timer) -> None:
        late.cancel()
        self._lost_registry(failure.getErrorMessage())

    def _store_late(self) -> None:
        limit = f"{self._store_timeout_s:g} s (--registry_store_timeout)"
        self._lost_registry(f"a write took longer than {limit}")

    def _lost_registry(self, reason: str) -> None:
        if not self.stopped:
            self.log.error("The master stops: no registry: {reason}", reason=reason)
            self.stop()
            self.ports.stop(75, f"The registry was not written: {reason}")

    def _start_timer(self, effect: fx.StartTimer) -> None:
        key = effect.key
        old = self._armed.pop(key, None)
        if old is not None:
            old.cancel()
        self._armed[key] = self._timers.after(effect.after_s, self._fired, key)

    def _fired(self, key: tuple[str, ...]) -> None:
        self._armed.pop(key, None)
        self.handle(ev.TimerFired(key, self.now()))

    def _cancel_timer(self, effect: fx.CancelTimer) -> None:
        timer = self._armed.pop(effect.key, None)
        if timer is not None:
            timer.cancel()

    def _publish(self, effect: fx.Publish) -> None:
        self.ports.publish(effect.event)

    def _stop_master(self, effect: fx.StopMaster) -> None:
        self.log.error("The master stops: {reason}", reason=effect.sentence)
        self.stop()
        self.ports.stop(effect.exit_code, effect.sentence)

    def _count(self, effect: fx.Count) -> None:
        # As `Metrics.add`: several for each call of a scheduler.
        counters, name = self.ports.metrics.counters, effect.name
        counters[name] = counters.get(name, 0) + effect.amount

    def _log(self, effect: fx.Log) -> None:
        if self.ports.logs(effect.level):
            self.log.emit(_LEVELS[effect.level], effect.format, **dict(effect.fields))

    # Allocations

    def _request_allocation(self, effect: fx.RequestAllocation) -> None:
        if self._allocation is None:
            now = self._asked_at = self._timers.seconds()
            # The first request after a quiet time is served in the next turn of the reactor.
            wait_s = max(0.0, self._allocated_at + COALESCE_S - now)
            self._allocation = self._timers.after(wait_s, self._requested)

    def _requested(self) -> None:
        self._allocation = None
        self._allocate()

    def _interval(self) -> None:
        if self._allocation is not None:
            self._allocation.cancel()
            self._allocation = None
        else:
            self._asked_at = self._timers.seconds()
        self._allocate()

    def _allocate(self) -> None:
        began = self._timers.seconds()
        metrics = self.ports.metrics
        metrics.timing("allocator/mesos/allocation_run_latency_ms").record(began - self._asked_at)
        self.handle(ev.AllocationDue(self.now(), self._seed()))
        self._allocated_at = self._timers.seconds()
        metrics.timing("allocator/mesos/allocation_run_ms").record(self._allocated_at - began)
