"""The flags and wishes that decide who is offered what, from the operator's words to the offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesos_twisted.master.core.events import WhitelistRead
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net.authority import issue
from mesos_twisted.testing.master_service import (
    Certificates,
    Make,
    MasterWorld,
    register,
    scalar,
    whole,
)

HOSTS = ["a", "b", "c", "small", "large", "scraps", "gpus", "most", "next"]
MULTI = [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]
GPU = [*MULTI, {"type": "GPU_RESOURCES"}]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """With one more for an agent, good for all hosts here."""
    made = Certificates.make(tmp_path_factory.mktemp("certs"))
    issue(made.directory, Role.AGENT, "fleet", HOSTS)
    return made


def add_agent(world: MasterWorld, hostname: str, **info: Any) -> None:
    """One more agent."""
    link, _ = world.agent("fleet")
    said = register(hostname)
    said = msgspec.structs.replace(
        said,
        info=msgspec.structs.replace(said.info, **info),
        pid=f"slave(1)@10.0.0.{len(world.service.state.agents)}:5051",
    )
    link.dataReceived(agentlink.frame(said))


def offered(world: MasterWorld, stream: Any, seconds: float = 3.0) -> list[dict[str, Any]]:
    """The offers that come in this time."""
    world.clock.pump([0.5] * int(seconds * 2))
    found = []
    for event in stream.events():
        if event["type"] == "OFFERS":
            found += event["offers"]["offers"]
    return found


def hosts(offers: list[dict[str, Any]]) -> list[str]:
    return sorted(one["hostname"] for one in offers)


def subscribe(world: MasterWorld, constraints: Any = None, **info: Any) -> Any:
    """A stream; `constraints` as on the wire."""
    whole_info = {"user": "nobody", "name": "f", "roles": ["*"], "capabilities": MULTI, **info}
    subscribed = {"framework_info": whole_info}
    if constraints is not None:
        subscribed["offer_constraints"] = constraints
    call = {"type": "SUBSCRIBE", "subscribe": subscribed}
    return world.open("/api/v1/scheduler", call, role=Role.FRAMEWORK)


def matching(selector: dict[str, str], regex: str, role: str = "*") -> dict[str, Any]:
    one = {"selector": selector, "predicate": {"text_matches": {"regex": regex}}}
    return {"role_constraints": {role: {"groups": [{"attribute_constraints": [one]}]}}}


RACK = {"attribute_name": "rack"}


def rack(name: str) -> tuple[m.Attribute, ...]:
    return (m.Attribute(name="rack", type=m.ValueType.TEXT, text=m.ValueText(value=name)),)


# Offer constraints


def test_offer_constraints_over_the_api(world: MasterWorld) -> None:
    """Taken at SUBSCRIBE, shown in the state as they were given, replaced by an update."""
    add_agent(world, "a", attributes=rack("r1"))
    add_agent(world, "b", attributes=rack("x"))
    given = matching(RACK, "r[0-9]+")
    stream = subscribe(world, given)
    framework_id = stream.events()[0]["subscribed"]["framework_id"]
    assert hosts(offered(world, stream)) == ["a"]
    assert world.get("/state")[1]["frameworks"][0]["offer_constraints"] == given
    _, found = world.call({"type": "GET_FRAMEWORKS"})
    assert found["get_frameworks"]["frameworks"][0]["offer_constraints"] == given
    info = {
        "user": "nobody",
        "name": "f",
        "roles": ["*"],
        "capabilities": MULTI,
        "id": framework_id,
        "principal": "framework",
    }
    host = matching({"pseudoattribute_type": "HOSTNAME"}, "b")
    update = {"framework_info": info, "offer_constraints": host}
    call = {
        "type": "UPDATE_FRAMEWORK",
        "framework_id": framework_id,
        "update_framework": update,
    }
    header = {"mesos_stream_id": stream.headers["Mesos-Stream-Id"]}

    def send() -> tuple[int, Any]:
        request = world.request("POST", "/api/v1/scheduler", call, role=Role.FRAMEWORK, **header)
        return whole(request)

    assert send()[0] == 200
    assert hosts(offered(world, stream)) == ["b"]
    assert world.get("/state")[1]["frameworks"][0]["offer_constraints"] == host
    update["offer_constraints"] = matching(RACK, "a(")
    assert send() == (
        400,
        "'UpdateFramework' call is not valid: Offer constraints are not valid: A role * has an "
        "invalid 'AttributeConstraint': Failed to construct regex from pattern 'a(': missing ): a(",
    )
    assert world.get("/state")[1]["frameworks"][0]["offer_constraints"] == host


def test_wrong_offer_constraints_end_the_stream(world: MasterWorld) -> None:
    stream = subscribe(world, matching(RACK, "x", role="strange"))
    (event,) = stream.events()
    assert event["error"]["message"] == (
        "Offer constraints specify `role_constraints` for a role 'strange'"
        "not contained in the set of roles"
    )
    assert stream.ended


def test_the_operator_limits_patterns(make: Make) -> None:
    """--offer_constraints_re2_max_mem and --offer_constraints_re2_max_program_size."""
    pattern = "(abc|def|ghi){1,20}"
    tight, wide = make(), make(offer_constraints_re2_max_program_size=1000)
    tiny = make(offer_constraints_re2_max_mem=256)
    (event,) = subscribe(tight, matching(RACK, pattern)).events()
    assert "is larger than maximum of 100 allowed" in event["error"]["message"]
    assert subscribe(wide, matching(RACK, pattern)).events()[0]["type"] == "SUBSCRIBED"
    (event,) = subscribe(tiny, matching(RACK, "abcdefghijklmnop")).events()
    assert "pattern too large" in event["error"]["message"]


# The least an offer holds


def test_a_framework_may_ask_for_larger_or_smaller_offers(make: Make) -> None:
    """FrameworkInfo.offer_filters replaces --min_allocatable_resources for single roles."""
    world = make(min_allocatable_resources="cpus:4")

    def least(**amounts: float) -> dict[str, Any]:
        quantities = {name: {"value": value} for name, value in amounts.items()}
        return {"min_allocatable_resources": {"quantities": [{"quantities": quantities}]}}

    small = (scalar("cpus", 2.0), scalar("mem", 512.0))
    add_agent(world, "small", resources=small)
    plain = subscribe(world, roles=["a"])
    assert offered(world, plain) == []
    modest = subscribe(world, roles=["a", "b"], offer_filters={"a": least(cpus=1, mem=512)})
    (offer,) = offered(world, modest)
    assert offer["allocation_info"] == {"role": "a"}
    greedy = subscribe(world, roles=["c"], offer_filters={"c": least(cpus=16)})
    add_agent(world, "large", resources=(scalar("cpus", 8.0), scalar("mem", 512.0)))
    assert offered(world, greedy) == []
    anything: dict[str, Any] = {"d": {"min_allocatable_resources": {}}}
    picky = subscribe(world, roles=["d"], offer_filters=anything)
    add_agent(world, "scraps", resources=(scalar("disk", 1.0),))
    assert hosts(offered(world, picky)) == ["scraps"]


def test_wrong_offer_filters_are_refused(world: MasterWorld) -> None:
    wrong = {
        "*": {
            "min_allocatable_resources": {"quantities": [{"quantities": {"cpus": {"value": -1}}}]}
        }
    }
    (event,) = subscribe(world, offer_filters=wrong).events()
    assert event["type"] == "ERROR" and "'cpus'" in event["error"]["message"]


# Flags


@pytest.mark.parametrize(("filtered", "expected"), [(True, []), (False, ["gpus"])])
def test_filter_gpu_resources(make: Make, filtered: bool, expected: list[str]) -> None:
    """Agents with GPUs are kept for those who ask for GPUs, unless the operator says otherwise."""
    world = make(filter_gpu_resources=filtered)
    add_agent(world, "gpus", resources=(scalar("cpus", 4.0), scalar("gpus", 2.0)))
    plain = subscribe(world)
    assert hosts(offered(world, plain)) == expected
    if filtered:
        assert hosts(offered(world, subscribe(world, capabilities=GPU))) == ["gpus"]


@pytest.mark.parametrize("excluded", [(), ("gpus",)])
def test_fair_sharing_excluded_resource_names(make: Make, excluded: tuple[str, ...]) -> None:
    """Who holds all of a resource that does not count is first in line for others."""
    world = make(fair_sharing_excluded_resource_names=excluded)
    everything = (scalar("cpus", 1.0), scalar("gpus", 2.0))
    add_agent(world, "gpus", resources=everything)
    add_agent(world, "most", resources=(scalar("cpus", 3.0),))
    rich = subscribe(world, capabilities=GPU, constraints=matching(HOST, "gpus|next"))
    poor = subscribe(world, constraints=matching(HOST, "most|next"))
    assert hosts(offered(world, rich)) == ["gpus"] and hosts(offered(world, poor)) == ["most"]
    add_agent(world, "next", resources=(scalar("cpus", 1.0),))
    first = rich if excluded else poor
    assert hosts(offered(world, first)) == ["next"]


HOST = {"pseudoattribute_type": "HOSTNAME"}


def test_the_whitelist_is_read_again(make: Make, tmp_path: Path) -> None:
    """Every five seconds; a file that cannot be read changes nothing."""
    path = tmp_path / "hosts"
    path.write_text("a\n\n")
    world = make(whitelist=str(path))
    for name in ("a", "b", "c"):
        add_agent(world, name)
    stream = subscribe(world)
    assert hosts(offered(world, stream)) == ["a"]
    path.write_text("a\nb\n")
    assert hosts(offered(world, stream, 6.0)) == ["b"]
    path.unlink()
    assert offered(world, stream, 6.0) == []
    path.write_text("")
    assert offered(world, stream, 6.0) == []
    assert world.service.state.whitelist == frozenset()


def test_a_star_whitelists_every_host(make: Make) -> None:
    """Mesos's old spelling, in place of a path."""
    world = make(whitelist="*")
    add_agent(world, "a")
    assert hosts(offered(world, subscribe(world))) == ["a"]


def test_weights_of_the_first_start_are_kept(make: Make) -> None:
    """They are stored; from then on the registry's hold and the flag is ignored."""
    registry = MemoryRegistry()
    first = make(weights="a=2,b=3", registry=registry)
    assert weights_of(first) == {"a": 2.0, "b": 3.0}
    again = make(weights="a=7,c=9", registry=registry)
    assert weights_of(again) == {"a": 2.0, "b": 3.0}
    put = [{"role": "a", "weight": 5.0}]
    call = {"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": put}}
    again.call(call)
    assert weights_of(make(registry=registry)) == {"a": 5.0, "b": 3.0}


def weights_of(world: MasterWorld) -> dict[str, float]:
    """As the API and the policy have them."""
    _, found = world.call({"type": "GET_WEIGHTS"})
    infos = found["get_weights"].get("weight_infos", [])
    shown = {one["role"]: one["weight"] for one in infos}
    tree = world.service.state.allocator.role_tree()
    assert {one.role: one.weight for one in tree if one.weight != 1.0} == shown
    return shown


def test_roles_are_limited(make: Make) -> None:
    """--roles: any other is refused, the default role never is."""
    world = make(roles=("a", "b"))
    assert subscribe(world, roles=["a", "*"]).events()[0]["type"] == "SUBSCRIBED"
    (event,) = subscribe(world, roles=["a", "c"]).events()
    assert event["error"]["message"] == ("Roles { c } are not present in the master's --roles")


def test_offers_time_out(make: Make) -> None:
    """--offer_timeout: RESCIND, then the same resources again."""
    world = make(offer_timeout=10.0)
    add_agent(world, "a")
    stream = subscribe(world)
    (offer,) = offered(world, stream)
    world.clock.pump([0.5] * 20)
    kinds = [event["type"] for event in stream.events()]
    assert kinds.count("RESCIND") == 1 and "OFFERS" in kinds[kinds.index("RESCIND") :]
    assert offer["id"]["value"] not in world.service.state.offers


def test_without_a_whitelist_nothing_is_read(world: MasterWorld) -> None:
    """The core takes a list whenever it comes, and None for any host."""
    add_agent(world, "a")
    world.service.driver.handle(WhitelistRead(frozenset()))
    stream = subscribe(world)
    assert offered(world, stream) == []
    world.service.driver.handle(WhitelistRead(None))
    assert hosts(offered(world, stream)) == ["a"]
