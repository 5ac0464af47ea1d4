"""Emulated agents say what real ones say: the core takes them in."""

from bench import fleet
from bench.codec import accept_call
from mesos_twisted.protocol import agentlink, codec_json
from mesos_twisted.protocol.generated import messages as m


def test_a_returning_agent_survives_the_link() -> None:
    said = fleet.returning(7, 3, 1.0)
    assert agentlink.from_agent(agentlink.frame(said)[4:]) == said
    assert len(said.tasks) == 3 and len(said.frameworks) == 3
    assert {t.framework_id.value for t in said.tasks} == {
        f.id.value for f in said.frameworks if f.id is not None
    }


def test_agents_differ_in_their_addresses() -> None:
    assert fleet.pid(1) != fleet.pid(2)
    assert fleet.register(1).info.port != fleet.register(2).info.port


def test_the_measured_call_is_a_valid_accept() -> None:
    call = accept_call()
    assert codec_json.decode(m.SchedulerCall, codec_json.encode(call)) == call
