"""What `systemctl status` shows of a master, and when it is not kept alive."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mesos_twisted.clock import Timers
from mesos_twisted.master.core import effects as fx
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.net.driver import MasterDriver
from mesos_twisted.master.net.standing import standing
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.registry.operations import RegistryOperation, RemoveAgent
from mesos_twisted.systemd import Standing

OTHER = m.MasterInfo(id="x", ip=0, port=5050, hostname="m2")


@pytest.mark.parametrize(
    ("leader", "is_us", "leading", "said"),
    [
        (None, False, False, "Waiting for the election of a leader"),
        (OTHER, True, False, "Elected: reading the registry"),
        (OTHER, True, True, "Leading"),
        (OTHER, False, False, "Standing by for m2:5050"),
    ],
)
def test_what_it_does_or_waits_for(
    leader: m.MasterInfo | None, is_us: bool, leading: bool, said: str
) -> None:
    assert standing(leader, is_us, leading, 0.0, 20.0) == Standing(said)


class Slow:
    """A registry whose writes are done when the test says so."""

    def __init__(self) -> None:
        self.writes: list[Deferred[int]] = []

    def apply(self, operations: list[RegistryOperation]) -> Deferred[int]:
        self.writes.append(Deferred())
        return self.writes[-1]


def test_a_write_that_takes_too_long_is_stuck_even_when_nothing_ends_the_process() -> None:
    """The oldest write counts, until it is done; it does not when the master has given up."""
    clock, slow = Clock(), Slow()
    write = fx.ApplyRegistry(1, RemoveAgent(AgentId("a")))

    def decide(event: ev.Event) -> list[fx.Effect]:
        return [write] if isinstance(event, ev.AllocationDue) else []

    driver = MasterDriver(decide, Timers(clock), clock.seconds, lambda: 7, store_timeout_s=20.0)
    driver.ports.registry, driver.ports.metrics = slow, Metrics()  # type: ignore[assignment]
    ended: list[int] = []
    driver.ports.stop = lambda code, why: ended.append(code)

    def is_stuck() -> bool:
        return standing(OTHER, True, True, driver.write_s, 20.0).stuck

    driver.handle(ev.AllocationDue(0.0, 7))
    clock.advance(15.0)
    driver.handle(ev.AllocationDue(0.0, 7))
    slow.writes[0].callback(1)
    clock.advance(10.0)
    assert not is_stuck() and driver.write_s == 10.0 and not ended
    clock.advance(10.5)
    assert is_stuck() and ended == [75]
    clock.advance(1000.0)
    assert is_stuck()
