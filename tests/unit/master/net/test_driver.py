"""The loop: order, no recursion, coalesced allocations, and an end when a promise breaks."""

import io
import json
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger

from mesos_twisted.clock import Timers
from mesos_twisted.errors import BugError
from mesos_twisted.logs import Logging
from mesos_twisted.master.core import effects as fx
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.net.driver import MasterDriver
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.registry.memory import MemoryRegistry

EVENT = m.SchedulerEvent(type=m.SchedulerEventType.HEARTBEAT)


class World:
    """A driver whose core is a function of the test's."""

    def __init__(self, decide: Callable[[ev.Event], list[fx.Effect]]) -> None:
        self.clock = Clock()
        self.seen: list[Any] = []
        self.stopped: list[tuple[int, str]] = []
        self._decide = decide
        self.driver = MasterDriver(self.decided, Timers(self.clock), self.clock.seconds, lambda: 7)
        ports = self.driver.ports
        ports.streams = ports.links = self  # type: ignore[assignment]
        ports.registry, ports.metrics = MemoryRegistry(), Metrics()
        ports.publish = lambda event: self.seen.append(event)
        ports.stop = lambda code, why: self.stopped.append((code, why))

    def decided(self, event: ev.Event) -> list[fx.Effect]:
        self.seen.append(type(event).__name__)
        return self._decide(event)

    def send(self, connection: ConnectionId, event: object) -> None:
        self.seen.append(("send", connection))
        if connection == 2:
            self.driver.handle(ev.SchedulerClosed(connection, 0.0))

    def close(self, connection: ConnectionId) -> None:
        self.seen.append(("close", connection))


def recovered(effects: list[fx.Effect]) -> Callable[[ev.Event], list[fx.Effect]]:
    """A core that has effects for Recovered only."""
    return lambda event: effects if isinstance(event, ev.Recovered) else []


def test_effects_in_order_and_events_in_turn() -> None:
    """An event caused by an effect waits until the list is done."""
    one, two = ConnectionId(1), ConnectionId(2)
    effects: list[fx.Effect] = [fx.SendEvent(two, EVENT), fx.SendEvent(one, EVENT)]
    world = World(recovered([*effects, fx.CloseStream(one)]))
    world.driver.handle(ev.Recovered(0.0))
    assert world.seen == ["Recovered", ("send", 2), ("send", 1), ("close", 1), "SchedulerClosed"]


def test_timers_are_replaced_and_cancelled() -> None:
    """One timer for each key."""
    world = World(
        recovered(
            [
                fx.StartTimer(("a",), 1.0),
                fx.StartTimer(("a",), 5.0),
                fx.StartTimer(("b",), 1.0),
                fx.CancelTimer(("b",)),
                fx.CancelTimer(("unknown",)),
            ]
        )
    )
    world.driver.handle(ev.Recovered(0.0))
    world.clock.advance(2.0)
    assert world.seen == ["Recovered"]
    world.clock.advance(4.0)
    assert world.seen == ["Recovered", "TimerFired"]


def test_requests_for_allocation_are_one() -> None:
    """The first comes in the next turn, further ones a little later, together."""
    world = World(recovered([fx.RequestAllocation(), fx.RequestAllocation()]))
    world.driver.handle(ev.Recovered(0.0))
    assert world.seen == ["Recovered"]
    world.clock.advance(0)
    assert world.seen == ["Recovered", "AllocationDue"]
    world.driver.handle(ev.Recovered(0.0))
    world.clock.advance(0)
    assert world.seen[2:] == ["Recovered"]
    world.clock.advance(0.002)
    assert world.seen[3:] == ["AllocationDue"]


def test_allocations_come_each_interval() -> None:
    """Also when nobody asks."""
    world = World(recovered([]))
    world.driver.start()
    world.clock.pump([1.0, 1.0])
    assert world.seen == ["AllocationDue", "AllocationDue"]
    world.driver.stop()
    assert not world.clock.getDelayedCalls()


def test_a_broken_promise_ends_the_process() -> None:
    """Nothing is decided after it, and the event is there for a report."""

    def decide(event: ev.Event) -> list[fx.Effect]:
        raise BugError("broken")

    world = World(decide)
    world.driver.handle(ev.Recovered(0.0))
    world.driver.handle(ev.Recovered(1.0))
    assert world.seen == ["Recovered"] and world.stopped[0][0] == 70
    assert len(world.driver.recent) == 1


def test_the_registry_answers_with_the_number() -> None:
    """Whatever the store, RegistryApplied comes as an event of its own."""
    operation = fx.StoreWeights((("a", 2.0),))
    one = ConnectionId(1)
    world = World(recovered([fx.ApplyRegistry(4, operation), fx.SendEvent(one, EVENT)]))
    world.driver.handle(ev.Recovered(0.0))
    assert world.seen == ["Recovered", ("send", 1), "RegistryApplied"]
    assert not world.clock.getDelayedCalls()


def test_a_line_that_would_not_be_written_is_not_made() -> None:
    """The port says which levels count; without one all do."""
    out = io.StringIO()
    effects: list[fx.Effect] = [fx.Log("debug", "quiet", ()), fx.Log("info", "loud", ())]
    for logs in (None, lambda level: level != "debug"):
        world = World(recovered(effects))
        if logs is not None:
            world.driver.ports.logs = logs
        world.driver.log = Logger("n", observer=Logging(out, "json", "DEBUG").observer)
        world.driver.handle(ev.Recovered(0.0))
    lines = out.getvalue().splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["quiet", "loud", "loud"]
