"""The agent's one loop: events in, the core's decisions, their effects performed in order.

What came in one reactor turn is decided together: its rows are one transaction, on disk before any
of its other effects goes out. An effect that causes an event at once does not recurse: the event
waits its turn. A decision that raises is a bug and ends the process with nothing of its round
written or told, as if killed just before; tasks go on, and the next start recovers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.logger import Logger, LogLevel

from mesos_twisted.agent.core import effects as fx
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core.state import AgentState
from mesos_twisted.agent.net.alarms import Alarms
from mesos_twisted.clock import Timer, Timers
from mesos_twisted.errors import UnavailableError
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId

EffectT = TypeVar("EffectT")
_LEVELS = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    "warn": LogLevel.warn,
    "error": LogLevel.error,
}
#: Events kept for a bug report.
RECENT = 256
#: Events decided together at most.
ROUND = 256


class Decide(Protocol):
    """The core."""

    def __call__(self, state: AgentState, event: ev.Event) -> list[fx.Effect]:
        """Change the state, and say what must be done."""


class Store(Protocol):
    """Durable rows."""

    def write(self, changes: list[fx.Checkpoint | fx.Forget]) -> None:
        """All of them are durable afterwards."""


class Link(Protocol):
    """The link to the leading master."""

    def send(self, message: agentlink.FromAgent) -> None:
        """Write one record; dropped when there is no link."""

    def reconnect(self, reason: str) -> None:
        """Close the link and look for the leader again."""


class ContainerPort(Protocol):
    """What performs the effects about containers."""

    def perform(
        self,
        effect: fx.PrepareSandbox
        | fx.LaunchContainer
        | fx.UpdateContainer
        | fx.SignalContainer
        | fx.DestroyContainer
        | fx.ForgetContainer,
    ) -> None:
        """Begin; the outcome comes back as an event."""


class CheckPort(Protocol):
    """What runs checks."""

    def start(self, effect: fx.StartChecks) -> None:
        """Run them until stopped."""

    def stop(self, effect: fx.StopChecks) -> None:
        """Run them no more."""


class ExecutorPort(Protocol):
    """The executors' event streams."""

    def send(self, connection: ConnectionId, event: m.ExecutorEvent) -> None:
        """Write one event."""

    def close(self, connection: ConnectionId) -> None:
        """Close after what was written."""


class Ports:
    """Where effects go; the service fills it before the first event."""

    __slots__ = ("checks", "containers", "count", "delete", "executors", "link", "stop", "store")

    store: Store
    link: Link
    containers: ContainerPort
    checks: CheckPort
    executors: ExecutorPort
    count: Callable[[str, int], None]
    delete: Callable[[str], None]
    stop: Callable[[int, str], None]


class AgentDriver:
    """`handle(event)` and `soon(event)` are the only ways into the core; they keep one order."""

    log = Logger()

    def __init__(
        self, state: AgentState, decide: Decide, timers: Timers, now: Callable[[], float]
    ) -> None:
        """`now` gives epoch seconds."""
        self.state = state
        self.ports = Ports()
        self.now = now
        self.recent: deque[ev.Event] = deque(maxlen=RECENT)
        self._decide = decide
        self._timers = timers
        self._performers = self._table()
        self._alarms: Alarms[tuple[str, ...]] = Alarms(timers, self._fired)
        self._waiting: deque[ev.Event] = deque()
        self._later: Timer | None = None
        self._busy = False
        self.stopped = False

    def handle(self, event: ev.Event) -> None:
        """The event is decided and its effects are performed; from within, it waits its turn."""
        if not self.stopped:
            self._waiting.append(event)
            self._go_on()

    def soon(self, event: ev.Event) -> None:
        """The event is handled before the reactor sleeps, together with others of this turn."""
        if not self.stopped:
            self._waiting.append(event)
            if self._later is None and not self._busy:
                self._later = self._timers.after(0, self._turn_ended)

    def let_go(self, event: ev.Event) -> None:
        """The event is too large to be kept for a bug report."""
        self.recent = deque((one for one in self.recent if one is not event), RECENT)

    def stop(self) -> None:
        """No event is taken any more and no timer fires."""
        self.stopped = True
        if self._later is not None:
            self._later.cancel()
        self._alarms.cancel_all()

    def _turn_ended(self) -> None:
        self._later = None
        self._go_on()

    def _go_on(self) -> None:
        if self._busy:
            return
        self._busy = True
        event: ev.Event | None = None
        try:
            while self._waiting and not self.stopped:
                effects: list[fx.Effect] = []
                for _ in range(min(len(self._waiting), ROUND)):
                    event = self._waiting.popleft()
                    self.recent.append(event)
                    effects += self._decide(self.state, event)
                self._perform(effects)
        except UnavailableError as error:
            # The disk: what was decided may not be told, and the next start decides again.
            self.stopped = True
            self.log.error("The agent stops: {reason}", reason=str(error))
            self.ports.stop(1, str(error))
        except Exception:
            self.stopped = True
            self.log.failure("The agent stops: handling {event} failed", event=type(event).__name__)
            self.ports.stop(1, "An internal error stopped the agent; its tasks go on.")
        finally:
            self._busy = False

    def _perform(self, effects: list[fx.Effect]) -> None:
        durable = [e for e in effects if type(e) is fx.Checkpoint or type(e) is fx.Forget]
        if durable:
            # All rows of a round in one transaction, before anything that follows from them.
            self.ports.store.write(durable)
        for effect in effects:
            kind = type(effect)
            if kind is not fx.Checkpoint and kind is not fx.Forget:
                self._performers[kind](effect)

    def _table(self) -> dict[type[Any], Callable[[Any], object]]:
        """Who performs an effect; a task has some twenty, so they are found by their type."""
        ports = self.ports
        table: dict[type[Any], Callable[[Any], object]] = {}

        def on(kind: type[EffectT], perform: Callable[[EffectT], object]) -> None:
            table[kind] = perform

        on(fx.SendToMaster, lambda e: ports.link.send(e.message))
        on(fx.Count, lambda e: ports.count(e.name, e.amount))
        on(fx.PrepareSandbox, lambda e: ports.containers.perform(e))
        on(fx.LaunchContainer, lambda e: ports.containers.perform(e))
        on(fx.UpdateContainer, lambda e: ports.containers.perform(e))
        on(fx.SignalContainer, lambda e: ports.containers.perform(e))
        on(fx.DestroyContainer, lambda e: ports.containers.perform(e))
        on(fx.ForgetContainer, lambda e: ports.containers.perform(e))
        on(fx.StartTimer, lambda e: self._alarms.start(e.key, e.after_s))
        on(fx.CancelTimer, lambda e: self._alarms.cancel(e.key))
        on(fx.SendToExecutor, lambda e: ports.executors.send(e.connection, e.event))
        on(fx.CloseExecutorStream, lambda e: ports.executors.close(e.connection))
        on(fx.StartChecks, lambda e: ports.checks.start(e))
        on(fx.StopChecks, lambda e: ports.checks.stop(e))
        on(fx.DeletePath, lambda e: ports.delete(e.path))
        on(fx.Reconnect, lambda e: ports.link.reconnect(e.reason))
        on(fx.StopAgent, lambda e: ports.stop(e.exit_code, e.message))
        on(fx.Log, lambda e: self.log.emit(_LEVELS[e.level], e.format, **dict(e.fields)))
        return table

    def _fired(self, key: tuple[str, ...]) -> None:
        self.handle(ev.TimerFired(key, self.now()))
