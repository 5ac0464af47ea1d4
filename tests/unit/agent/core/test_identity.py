"""Who an agent is after a restart: damage, other flags, a reboot, and the way out of each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesos_twisted.agent.core import compatibility
from mesos_twisted.agent.core import effects as ef
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core.state import new_state
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, ContainerId
from mesos_twisted.resources.attributes import attributes_to_messages, parse_attributes
from mesos_twisted.resources.convert import to_messages
from mesos_twisted.resources.parse import resources_from_text

World = Any
GARBAGE = [b"", b"\x93", b"\xc1", b"\x81\xa4info", b"\x91" * 5000]


def why(world: World) -> str:
    """The sentence the agent left with."""
    [stop] = world.of(ef.StopAgent)
    assert stop.exit_code == 1
    return str(stop.message)


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("key", ["agent/info", "framework/f", "task/f/t", "update/f/t/00000001"])
def test_a_row_that_cannot_be_read_stops_a_strict_agent(
    world: World, key: str, garbage: bytes
) -> None:
    """The sentence names the row and every way to go on; nothing was changed, sent or killed."""
    world.running_task()
    assert key in world.rows
    world.rows[key] = garbage
    before = dict(world.rows)
    world.boot()
    sentence = why(world)
    assert f"row {key} cannot be read" in sentence
    assert "--no-strict" in sentence and "--recover=cleanup" in sentence
    assert world.rows == before
    assert {type(effect) for effect in world.last} == {ef.Log, ef.StopAgent}


def test_a_row_that_does_not_fit_its_key_is_damage_too(world: World) -> None:
    """Of a kind of executor nobody knows, under another's key, or without an id."""
    world.running_task()
    agent, task = world.rows["agent/info"], world.rows["task/f/t"]
    world.rows["task/f/t"] = task.replace(b"command", b"unheard")
    world.rows["task/f"] = task
    world.rows["agent/info"] = agent.replace(b"S0", b"").replace(b"\xa2id\x81\xa5value\xa2", b"")
    world.boot()
    assert "task/f/t" in why(world) and "task/f cannot" in why(world)


def test_many_damaged_rows_make_a_short_sentence(world: World) -> None:
    """Three are named."""
    world.running_task()
    for number in range(50):
        world.rows[f"task/f/{number:02d}"] = b""
    world.boot()
    assert "and 47 more" in why(world) and len(why(world)) < 1200


def test_a_lenient_agent_goes_on_with_the_rest(world: World) -> None:
    """It counts, says which, keeps the bytes aside, and the next start is clean."""
    kept = world.running_task()
    world.rows["task/f/broken"] = b"\x93"
    world.rows["unheard/of"] = b"left alone"
    world.policy = replace(world.policy, strict=False)
    world.boot()
    assert ef.Count("slave/recovery_errors", 1) in world.last
    assert any("task/f/broken" in str(log.fields) for log in world.of(ef.Log))
    assert world.state.task("f", "t").container_id == kept
    assert world.rows["unreadable/task/f/broken"] == b"\x93"
    assert world.rows["unheard/of"] == b"left alone"
    world.policy = replace(world.policy, strict=True)
    world.boot()
    assert world.of(ef.StopAgent) == [] and world.of(ef.Count) == []
    assert world.state.task("f", "t") is not None


def test_a_task_whose_row_is_damaged_is_told_to_be_gone(world: World) -> None:
    """After what was said of it already; its process is destroyed."""
    world.run(world.task())
    container_id = world.container("t")
    world.sandbox_ready(container_id)
    world.launched(container_id)
    assert world.states() == ["TASK_STARTING", "TASK_RUNNING"]
    world.rows["task/f/t"] = b""
    world.policy = replace(world.policy, strict=False)
    world.boot()
    assert world.states() == ["TASK_STARTING", "TASK_RUNNING", "TASK_GONE"]
    assert ef.DestroyContainer(container_id) in world.last
    world.boot()
    assert world.states() == ["TASK_STARTING", "TASK_RUNNING", "TASK_GONE"]
    world.register()
    world.exits(container_id, 9)
    world.acknowledge_all()
    assert not world.state.streams
    assert not [key for key in world.rows if key.startswith("update/")]


def test_a_task_without_any_row_is_the_masters_to_ask_for(world: World) -> None:
    """It is told to be dropped when the master names it."""
    world.running_task()
    world.rows = {"agent/info": world.rows["agent/info"]}
    world.boot()
    world.feed(ev.LinkOpened(ConnectionId(7), world.now))
    answer = agentlink.Reregistered(
        agent_id="S0", master_id="M", ping_timeout_s=75.0, unknown=(("f", "t"),)
    )
    world.say(answer)
    [status] = world.statuses()
    assert status.state is m.TaskState.TASK_DROPPED


def test_without_its_own_row_an_agent_with_tasks_is_damaged(world: World) -> None:
    """Strict: it stops. Otherwise it is a new agent; with nothing running it is one in any case."""
    container_id = world.running_task()
    del world.rows["agent/info"]
    world.boot()
    assert "the agent's own id is gone" in why(world)
    world.policy = replace(world.policy, strict=False)
    world.boot()
    assert world.state.agent_id is None and set(world.rows) == {"boot_id"}
    assert ef.DestroyContainer(container_id) in world.last


def test_what_the_store_gave_up_is_an_error_like_any_other(world: World) -> None:
    """Its sentence is shown, or counted."""
    event = ev.Recovered(dict(world.rows), (), "boot", world.now, ("the file was torn",))
    world.state = new_state(world.policy, b"x")
    world.feed(event)
    assert "the file was torn" in why(world)
    world.state = new_state(replace(world.policy, strict=False), b"x")
    world.feed(event)
    assert ef.Count("slave/recovery_errors", 1) in world.last
    assert world.state.agent_id == "S0"


@pytest.mark.parametrize("damage", ["none", "resources", "rows", "identity"])
def test_cleanup_is_a_way_out_of_everything(world: World, damage: str) -> None:
    """Every task is killed, no row is left, and the next start registers as a new agent."""
    container_id = world.running_task()
    if damage == "resources":
        fewer = world.policy.resources[:1]
        world.policy = replace(world.policy, resources=fewer)
        world.boot()
        assert "start it once with --recover=cleanup" in why(world)
    elif damage == "rows":
        world.rows["task/f/t"] = b"\x93"
    elif damage == "identity":
        del world.rows["agent/info"]
    usual, world.policy = world.policy, replace(world.policy, recover="cleanup")
    world.boot()
    if world.running:
        world.exits(container_id, 9)
    assert [effect.exit_code for effect in world.of(ef.StopAgent)] in ([0], [])
    assert world.state.stopped
    assert {key.split("/")[0] for key in world.rows} <= {"boot_id"}
    world.policy = usual
    world.boot()
    assert world.of(ef.StopAgent) == [] and world.state.agent_id is None
    world.feed(ev.LinkOpened(ConnectionId(7), world.now))
    assert isinstance(world.sent()[-1], agentlink.Register)


def test_cleanup_may_be_cut_short_and_begun_again(world: World) -> None:
    """What had not ended is found again, and killed further."""
    container_id = world.running_task()
    world.policy = replace(world.policy, recover="cleanup")
    world.boot()
    world.boot()
    assert ef.SignalContainer(container_id, 15, "group") in world.last
    world.exits(container_id, 15)
    assert [effect.exit_code for effect in world.of(ef.StopAgent)] == [0]


def test_after_a_reboot_other_flags_make_a_new_agent(world: World) -> None:
    """Nothing runs any more that could have relied on the old ones, so nobody is asked."""
    world.running_task()
    world.running.clear()
    world.policy = replace(world.policy, resources=world.policy.resources[:1])
    world.boot("another boot")
    assert world.of(ef.StopAgent) == [] and world.state.agent_id is None
    assert set(world.rows) == {"boot_id"}


def test_sandboxes_of_earlier_agents_are_garbage(world: World) -> None:
    """They are collected in time; the agent's own directory is not touched."""
    world.state = new_state(world.policy, b"x")
    world.feed(ev.Recovered(dict(world.rows), (), "boot", world.now, (), ("S0", "S9")))
    assert list(world.state.garbage) == ["slaves/S9"]
    world.now += 8 * 86400
    world.feed(ev.DiskMeasured(0.1, world.now))
    assert ef.DeletePath("slaves/S9") in world.last


def test_orphans_of_an_agent_without_state_are_destroyed(world: World) -> None:
    """The checkpoint is gone as a whole: the new agent starts on a clean host."""
    container_id = world.running_task()
    world.rows.clear()
    world.boot()
    assert ef.DestroyContainer(container_id) in world.last
    assert world.state.orphans == {container_id}
    world.exits(container_id, 9)
    assert world.state.orphans == set()
    assert ef.ForgetContainer(ContainerId(container_id)) in world.last


def agent(text: str, attributes: str = "", **more: Any) -> m.AgentInfo:
    parsed = parse_attributes(attributes)
    fields: dict[str, Any] = {"hostname": "h", "port": 5051, **more}
    return m.AgentInfo(
        resources=to_messages(resources_from_text(text), refined=True),
        attributes=attributes_to_messages(parsed),  # type: ignore[arg-type]  # it parses
        **fields,
    )


OLD = agent("cpus:4;mem:1024;ports:[1-9];disks:{a,b}", "rack:r1;zone:[1-3]")


@pytest.mark.parametrize(
    ("now", "equal", "additive"),
    [
        (OLD, None, None),
        (agent("mem:1024;cpus:4;disks:{b,a};ports:[1-5,6-9]", "zone:[1-3];rack:r1"), None, None),
        (
            agent("cpus:8;mem:1024;ports:[1-9];disks:{a,b}", "rack:r1;zone:[1-3]"),
            "the resource cpus was cpus:4 and is cpus:8",
            None,
        ),
        (
            agent("cpus:4;mem:1024;ports:[1-9];disks:{a,b};gpus:1", "rack:r1;zone:[1-4];new:1"),
            "the resource gpus was not set and is gpus:1; the attribute zone was [1-3] and is "
            "[1-4]; the attribute new was not set and is 1",
            None,
        ),
        (
            agent("cpus:2;mem:1024;ports:[2-20];disks:{a}", "rack:r2;zone:[1-3]"),
            "the resource cpus was cpus:4 and is cpus:2; the resource disks was disks:{a, b} and "
            "is disks:{a}; the resource ports was ports:[1-9] and is ports:[2-20]; the attribute "
            "rack was r1 and is r2",
            "the attribute rack was r1 and is r2",
        ),
        (agent("cpus:4"), "the resource mem was mem:1024 and is not set", "the attribute zone"),
        (
            agent(
                "cpus:4;mem:1024;ports:[1-9];disks:{a,b}",
                "rack:r1;zone:[1-3]",
                hostname="i",
                port=5052,
            ),
            "--hostname was h and is i; the port was 5051 and is 5052",
            "--hostname was h and is i; the port was 5051 and is 5052",
        ),
    ],
)
def test_the_sentence_says_exactly_what_changed(
    now: m.AgentInfo, equal: str | None, additive: str | None
) -> None:
    """And whether the other policy would allow it."""
    for policy, words in (("equal", equal), ("additive", additive)):
        problem = compatibility.check(policy, OLD, now)
        assert (problem is None) is (words is None), problem
        if problem is not None and words is not None:
            assert words in problem.sentence
            assert "--recover=cleanup" in problem.sentence
            allowed = policy == "equal" and additive is None
            assert ("--reconfiguration_policy=additive," in problem.sentence) is allowed


def test_a_domain_may_be_added_but_not_changed() -> None:
    """As the additive policy has it."""

    def domain(zone: str) -> m.DomainInfo:
        return m.DomainInfo(
            fault_domain=m.DomainInfoFaultDomain(
                region=m.DomainInfoFaultDomainRegionInfo(name="r"),
                zone=m.DomainInfoFaultDomainZoneInfo(name=zone),
            )
        )

    bare, one, other = agent("cpus:1"), agent("cpus:1", domain=domain("a")), domain("b")
    assert compatibility.check("additive", bare, one) is None
    problem = compatibility.check("additive", one, agent("cpus:1", domain=other))
    assert problem is not None
    assert "--domain was region r, zone a and is region r, zone b" in problem.sentence
    assert compatibility.check("equal", bare, one) is not None
