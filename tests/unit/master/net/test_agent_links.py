"""The agents' links: whose they are, what they carry, and when they are cut."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from mesos_twisted.master.core import events as ev
from mesos_twisted.master.net.agent_links import (
    SILENT_S,
    STANDBY_RECORD_BYTES,
    SWEEP_S,
    TOLD_AT_ONCE,
)
from mesos_twisted.protocol import agentlink
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.registry.operations import Snapshot
from mesos_twisted.testing.master_service import LinkTransport, Make, MasterWorld, register


def test_an_agent_registers(world: MasterWorld) -> None:
    """It gets an id and is known."""
    _, _, agent_id = world.registered()
    assert agent_id in world.service.state.agents


def test_only_agents_have_links(world: MasterWorld) -> None:
    """A framework's certificate opens nothing."""
    _, transport = world.agent("framework")
    assert transport.closed and not len(world.service.links)


def test_the_certificate_is_bound_to_the_host(world: MasterWorld) -> None:
    """An agent cannot register as another host."""
    link, transport = world.agent()
    link.dataReceived(agentlink.frame(register("elsewhere")))
    assert not world.service.state.agents
    assert any(isinstance(one, agentlink.Shutdown) for one in transport.records())


def test_garbage_cuts_the_link(world: MasterWorld) -> None:
    """What is no record ends the link, and the core hears of it."""
    link, transport, _ = world.registered()
    link.dataReceived(b"\x00\x00\x00\x01\xc1")
    assert transport.closed


def test_records_of_tomorrow_are_skipped(world: MasterWorld) -> None:
    """An unknown type is counted, not an error."""
    link, transport, _ = world.registered()
    body = b"\x81\xa1t\xa8tomorrow"
    link.dataReceived(len(body).to_bytes(4, "big") + body)
    assert not transport.closed
    assert world.service.metrics.counters["master/dropped_messages"] == 1


def test_a_slow_reader_is_cut(world: MasterWorld) -> None:
    """Memory is bounded: what waits for one agent has an end."""
    link, transport, _ = world.registered()
    transport.producer.pauseProducing()
    link.write(bytes(world.service.links.limit))
    assert not transport.closed
    link.write(b"x")
    assert transport.closed


def test_records_split_anywhere(world: MasterWorld) -> None:
    """One byte at a time is as good as all at once."""
    link, _ = world.agent()
    for byte in agentlink.frame(register()):
        link.dataReceived(bytes([byte]))
    assert len(world.service.state.agents) == 1


# Links that stand by


class Unread(MemoryRegistry):
    """A registry that is read when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.loading: Deferred[Snapshot] = Deferred()

    def load(self) -> Deferred[Snapshot]:
        return self.loading


STANDBY = agentlink.frame(agentlink.Standby(version="1.11.0"))
LEADS, STANDS_BY = agentlink.Standing(leads=True), agentlink.Standing(leads=False)


def standing_by(world: MasterWorld) -> tuple[Any, LinkTransport]:
    """A link whose agent has said that it stands by."""
    link, transport = world.agent()
    link.dataReceived(STANDBY)
    return link, transport


def test_a_link_stands_by_until_its_master_leads(make: Make) -> None:
    """Nothing of it reaches the core before; then it is a link as any other."""
    registry = Unread()
    world = make(registry=registry)
    link, transport = standing_by(world)
    assert transport.records() == [STANDS_BY] and not transport.closed
    assert world.service.links.standbys == 1
    assert world.get("/metrics/snapshot")[1]["master/standby_links"] == 1
    link.dataReceived(STANDBY)
    assert transport.records() == [STANDS_BY] and world.service.links.standbys == 1
    assert not any(isinstance(one, ev.AgentSaid) for one in world.service.driver.recent)
    registry.loading.callback(Snapshot())
    assert transport.records() == [LEADS]
    link.dataReceived(agentlink.frame(register()))
    world.clock.advance(0)
    assert len(world.service.state.agents) == 1 and world.service.links.standbys == 0


def test_who_registers_too_early_is_cut(make: Make) -> None:
    """One that looks for the leader by trying must try the next master, at once."""
    registry = Unread()
    world = make(registry=registry)
    link, transport = world.agent()
    link.dataReceived(agentlink.frame(register()))
    assert transport.closed
    link, transport = standing_by(world)
    link.dataReceived(agentlink.frame(register()))
    assert transport.closed
    registry.loading.callback(Snapshot())
    assert not world.service.state.agents


def test_a_link_that_stands_by_sends_nothing_large(make: Make) -> None:
    registry = Unread()
    world = make(registry=registry)
    link, transport = standing_by(world)
    link.dataReceived((STANDBY_RECORD_BYTES + 1).to_bytes(4, "big"))
    assert transport.closed
    link, transport = standing_by(world)
    registry.loading.callback(Snapshot())
    link.dataReceived((STANDBY_RECORD_BYTES + 1).to_bytes(4, "big"))
    assert not transport.closed


def test_many_are_told_some_in_each_turn(make: Make) -> None:
    """Their answers do not come all at once."""
    registry = Unread()
    world = make(registry=registry)
    transports = [standing_by(world)[1] for _ in range(2 * TOLD_AT_ONCE + 1)]
    for transport in transports:
        transport.records()
    gone, transports = transports[0], transports[1:]
    link = next(iter(world.service.links._links.values()))
    link.connectionLost(Failure(ConnectionDone()))
    assert world.service.links.standbys == 2 * TOLD_AT_ONCE
    registry.loading.callback(Snapshot())
    assert sum(bool(one.records()) for one in transports) == TOLD_AT_ONCE
    world.clock.advance(0)
    assert sum(bool(one.records()) for one in transports) == TOLD_AT_ONCE
    world.clock.advance(0)
    assert not any(one.records() for one in (gone, *transports))


def test_who_is_silent_stands_by_no_more(make: Make) -> None:
    """Nor who never says what it wants of a master that does not lead; an agent that is there
    speaks each minute."""
    world = make(registry=Unread())
    _, mute = world.agent()
    _, gone = standing_by(world)
    there, transport = standing_by(world)
    for _ in range(int(SILENT_S / SWEEP_S) + 2):
        there.dataReceived(STANDBY)
        world.clock.advance(SWEEP_S)
        if world.stopped:  # the registry was not read in time, which is not of interest here
            world.stopped.clear()
    assert mute.closed and gone.closed and not transport.closed


def test_a_registered_agent_is_not_standing_by(world: MasterWorld) -> None:
    """What it says of it late changes nothing, and the core hears of its end."""
    link, transport, _ = world.registered()
    link.dataReceived(STANDBY)
    assert transport.records() == [LEADS] and world.service.links.standbys == 0
    world.clock.advance(SILENT_S + SWEEP_S)
    link.connectionLost(Failure(ConnectionDone()))
    assert any(isinstance(one, ev.AgentLinkClosed) for one in world.service.driver.recent)
