"""The agents' links: whose they are, what they carry, and when they are cut."""

from mesos_twisted.protocol import agentlink
from mesos_twisted.testing.master_service import MasterWorld, register


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
