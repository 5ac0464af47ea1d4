"""DRAIN_AGENT, DEACTIVATE_AGENT and REACTIVATE_AGENT: answers, and what is shown of them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from mesos_twisted.protocol import agentlink, codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.security.core.principal import Role
from mesos_twisted.testing.master_service import Certificates, Make, MasterWorld, register, whole
from tests.unit.master.net.test_operator_api import SlowRegistry, launched

WRITES = ("DRAIN_AGENT", "DEACTIVATE_AGENT", "REACTIVATE_AGENT")


def wish(kind: str, agent_id: str, **more: Any) -> dict[str, Any]:
    """A call."""
    return {"type": kind, kind.lower(): {"agent_id": {"value": agent_id}, **more}}


def ready(world: MasterWorld) -> tuple[str, Any, Any]:
    """An agent that knows how to be drained: its id, its link, and the link's other end."""
    link, transport = world.agent()
    said = msgspec.structs.replace(register(), capabilities=("AGENT_DRAINING",), drains=True)
    link.dataReceived(agentlink.frame(said))
    answer = next(r for r in transport.records() if isinstance(r, agentlink.Registered))
    return answer.agent_id, link, transport


def shown(world: MasterWorld) -> tuple[dict[str, Any], dict[str, Any]]:
    """The only agent, in GET_AGENTS and on the page."""
    v1 = world.call({"type": "GET_AGENTS"})[1]["get_agents"]["agents"][0]
    pages = [world.get(page)[1]["slaves"][0] for page in ("/slaves", "/state")]
    fields = ("deactivated", "active", "drain_info", "estimated_drain_start_time_seconds")
    assert [pages[0].get(name) for name in fields] == [pages[1].get(name) for name in fields]
    return v1, pages[0]


def test_a_drain_is_answered_when_it_holds_and_is_shown(certificates: Certificates) -> None:
    """First in the registry; then the agent is told, and pages and calls say so."""
    registry = SlowRegistry()
    world = MasterWorld(certificates, registry=registry)
    agent_id, _, transport = ready(world)
    v1, page = shown(world)
    assert v1["deactivated"] is False and "drain_info" not in v1 and "drain_info" not in page
    registry.slow = True
    answers: list[Any] = []
    call = wish("DRAIN_AGENT", agent_id, max_grace_period={"seconds": 600, "nanos": 5})
    world.request("POST", "/api/v1", call).addCallback(answers.append)
    assert answers == [] and transport.records() == []
    registry.waiting.pop(0)()
    assert whole(answers[0]) == (200, "")
    config = {"max_grace_period": {"nanoseconds": 600_000_000_005}, "mark_gone": False}
    (told,) = transport.records()
    assert told.config.max_grace_period.nanoseconds == 600_000_000_005
    for one in shown(world):
        assert one["deactivated"] is True and one["active"] is False
        assert one["drain_info"] == {"state": "DRAINING", "config": config}
    v1, page = shown(world)
    assert v1["estimated_drain_start_time"] == {"nanoseconds": 1000 * 10**9}
    assert page["estimated_drain_start_time_seconds"] == 1000.0
    assert world.call(wish("REACTIVATE_AGENT", agent_id)) == (
        400,
        "Agent is still in the DRAINING state",
    )
    registry.waiting.pop(0)()  # nothing runs there: it is drained
    assert shown(world)[0]["drain_info"]["state"] == "DRAINED"
    registry.slow = False
    assert world.call(wish("REACTIVATE_AGENT", agent_id)) == (200, "")
    v1, page = shown(world)
    assert v1["deactivated"] is False and v1["active"] is True
    assert "drain_info" not in v1 and "estimated_drain_start_time_seconds" not in page
    assert world.close() == []


def test_a_master_that_follows_shows_the_drain_too(certificates: Certificates) -> None:
    """From the registry: the agent that comes back is told, and without offers."""
    registry = MemoryRegistry()
    world = MasterWorld(certificates, registry=registry)
    link, _, agent_id = world.registered()
    world.call(wish("DEACTIVATE_AGENT", agent_id))
    world.close()
    world = MasterWorld(certificates, registry=MemoryRegistry(registry.records))
    link, transport = world.agent()
    info = msgspec.structs.replace(register().info, id=m.AgentID(value=agent_id))
    said = agentlink.Reregister(info=info, pid="p", version="1.12.0", drains=True)
    link.dataReceived(agentlink.frame(said))
    assert shown(world)[0]["deactivated"] is True
    assert world.call(wish("DRAIN_AGENT", agent_id))[0] == 400  # it did not say AGENT_DRAINING
    transport.records()
    assert world.close() == []


def test_binary_calls(world: MasterWorld) -> None:
    """In protobuf, too."""
    agent_id, _, _ = ready(world)
    drain = m.MasterCallDrainAgent(
        agent_id=m.AgentID(value=agent_id), max_grace_period=m.Duration(seconds=3)
    )
    call = m.MasterCall(type=m.MasterCallType.DRAIN_AGENT, drain_agent=drain)
    binary = {"content_type": "application/x-protobuf"}
    assert whole(world.request("POST", "/api/v1", codec_protobuf.encode(call), **binary))[0] == 200
    reading = {"type": "GET_AGENTS"}
    body = world.call(reading, accept="application/x-protobuf")[1]
    (found,) = codec_protobuf.decode(m.MasterResponse, body).get_agents.agents
    assert found.deactivated and found.drain_info is not None
    assert found.drain_info.state is m.DrainState.DRAINED
    grace = found.drain_info.config.max_grace_period
    assert grace is not None and grace.nanoseconds == 3_000_000_000


def test_what_cannot_be_asked(world: MasterWorld) -> None:
    """Unknown, incapable, negative, active; each in Mesos's words."""
    _, _, agent_id = world.registered()
    for kind in WRITES:
        body = f"Failed to validate master::Call: Expecting '{kind.lower()}' to be present"
        assert world.call({"type": kind}) == (400, body)
    assert world.call(wish("DRAIN_AGENT", "x")) == (400, "Unknown agent")
    assert world.call(wish("DEACTIVATE_AGENT", "x")) == (400, "Unknown agent")
    assert world.call(wish("REACTIVATE_AGENT", "x")) == (400, "Agent is not deactivated")
    assert world.call(wish("REACTIVATE_AGENT", agent_id)) == (400, "Agent is not deactivated")
    words = f"Agent {agent_id} is not capable of draining"
    assert world.call(wish("DRAIN_AGENT", agent_id)) == (400, words)
    negative = wish("DRAIN_AGENT", agent_id, max_grace_period={"seconds": -1})
    assert "must not be negative" in world.call(negative)[1]
    world.call({"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": {"value": agent_id}}})
    assert world.call(wish("DRAIN_AGENT", agent_id)) == (400, "Unknown agent")


def test_an_agent_that_is_away_is_reactivated_and_that_is_a_conflict(world: MasterWorld) -> None:
    """It will get offers when it is back; Mesos's answer is all the same that it was removed."""
    _, _, agent_id = world.registered()
    world.call(wish("DEACTIVATE_AGENT", agent_id))
    world.clock.pump([15.0] * 8)
    assert agent_id in world.service.state.unreachable
    answer = (409, "Agent removed while processing the call")
    assert world.call(wish("REACTIVATE_AGENT", agent_id)) == answer
    assert not world.service.state.deactivated
    assert world.call(wish("REACTIVATE_AGENT", agent_id)) == (400, "Agent is not deactivated")


@pytest.mark.parametrize("kind", WRITES)
def test_frameworks_may_not_ask(world: MasterWorld, kind: str) -> None:
    """Operators by default; whoever may not ask hears nothing of the agent."""
    assert world.call(wish(kind, "x"), role=Role.FRAMEWORK)[0] == 403


def test_whoever_may_drain_may_not_mark_gone(make: Make) -> None:
    """Each has an ACL of its own."""
    nobody = {"principals": {"type": "ANY"}, "agents": {"type": "NONE"}}
    world = make(acls=json.dumps({"permissive": True, "mark_agents_gone": [nobody]}))
    agent_id, _, _ = ready(world)
    assert world.call(wish("DRAIN_AGENT", agent_id, mark_gone=True))[0] == 403
    assert not world.service.state.draining
    assert world.call(wish("DRAIN_AGENT", agent_id))[0] == 200
    world = make(acls=json.dumps({"permissive": True, "drain_agents": [nobody]}))
    assert world.call(wish("DRAIN_AGENT", "x"))[0] == 403
    assert world.call(wish("DEACTIVATE_AGENT", "x"))[0] == 400


def test_a_deactivated_agent_keeps_its_task(world: MasterWorld) -> None:
    """It gets no offers, and that is all."""
    framework_id, _ = launched(world)
    agent_id = next(iter(world.service.state.agents))
    assert world.call(wish("DEACTIVATE_AGENT", str(agent_id)))[0] == 200
    assert list(world.service.state.frameworks[framework_id].tasks) == ["t"]
