"""Roles, users and frameworks that ACLs hide are on no page and in no stream."""

import json
from typing import Any

import pytest

from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.security.core.principal import Role
from mesos_twisted.testing.master_service import Make, MasterWorld, register, scalar

ANY = {"type": "ANY"}
ACLS = {
    "permissive": True,
    "view_roles": [
        {"principals": {"values": ["boss"]}, "roles": ANY},
        {"principals": ANY, "roles": {"values": ["*", "seen"]}},
        {"principals": ANY, "roles": {"type": "NONE"}},
    ],
    "view_frameworks": [
        {"principals": {"values": ["boss"]}, "users": ANY},
        {"principals": ANY, "users": {"type": "NONE"}},
    ],
}
GUEST: dict[str, Any] = {"role": Role.OPERATOR, "name": "guest"}
BOSS: dict[str, Any] = {"role": Role.OPERATOR, "name": "boss"}


def reserved(role: str) -> m.Resource:
    """A processor kept for a role."""
    stack = m.ResourceReservationInfo(type=m.ResourceReservationInfoType.STATIC, role=role)
    return m.Resource(
        name="cpus",
        type=m.ValueType.SCALAR,
        scalar=m.ValueScalar(value=1.0),
        reservations=(stack,),
    )


def join(world: MasterWorld) -> None:
    """An agent with reservations registers."""
    link, _ = world.agent()
    first = register()
    resources = (scalar("cpus", 2.0), reserved("seen"), reserved("secret"))
    info = m.AgentInfo(hostname="localhost", port=5051, resources=resources)
    link.dataReceived(
        agentlink.frame(
            agentlink.Register(info=info, pid=first.pid, version=first.version, capabilities=())
        )
    )


@pytest.fixture
def world(make: Make) -> MasterWorld:
    """A master with those rules."""
    return make(acls=json.dumps(ACLS))


def test_hidden_roles_are_nowhere(world: MasterWorld) -> None:
    """No page and no call names the role; the boss sees it."""
    join(world)
    for page in ("/state", "/slaves", "/state-summary", "/roles"):
        assert "secret" not in json.dumps(world.get(page, **GUEST)[1])
        assert "seen" in json.dumps(world.get(page, **GUEST)[1])
        assert "secret" in json.dumps(world.get(page, **BOSS)[1])
    for kind in ("GET_STATE", "GET_AGENTS", "GET_ROLES"):
        assert "secret" not in json.dumps(world.call({"type": kind}, **GUEST)[1])
        assert "secret" in json.dumps(world.call({"type": kind}, **BOSS)[1])


def test_hidden_roles_are_not_told(world: MasterWorld) -> None:
    """An agent's event shows the rest of it."""
    streams = [world.open("/api/v1", {"type": "SUBSCRIBE"}, **who) for who in (GUEST, BOSS)]
    for stream in streams:
        stream.events()
    join(world)
    guest, boss = (stream.events()[0] for stream in streams)
    assert guest["type"] == boss["type"] == "AGENT_ADDED"
    assert "secret" not in json.dumps(guest) and "seen" in json.dumps(guest)
    assert "secret" in json.dumps(boss)


def test_hidden_frameworks_are_nowhere(world: MasterWorld) -> None:
    """Neither on a page nor in a stream."""
    stream = world.open("/api/v1", {"type": "SUBSCRIBE"}, **GUEST)
    world.subscribe(name="mine")
    for page in ("/state", "/frameworks", "/state-summary", "/tasks"):
        assert "mine" not in json.dumps(world.get(page, **GUEST)[1])
    assert "mine" in json.dumps(world.get("/frameworks", **BOSS)[1])
    assert "FRAMEWORK_ADDED" not in [event["type"] for event in stream.events()]
