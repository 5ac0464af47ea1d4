"""Frameworks known from before a failover: their time to return, and what they still hold."""

from __future__ import annotations

import msgspec
import pytest

from mesos_twisted.master.core import effects
from mesos_twisted.master.core.effects import StartTimer
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.master_world import framework_info, sent_to_agents, updates_in, uuid_of
from tests.unit.master.core.test_lost_agents import S1, leading, report, stage


def test_a_recovered_framework_has_its_time_to_return() -> None:
    """Its failover_timeout, but no less than agents have; then all it has is ended."""
    for timeout_s, wait_s in ((0.0, 600.0), (3600.0, 3600.0)):
        world = leading("M-S0")
        info = framework_info(framework_id="old-0000", failover_timeout=timeout_s)
        tasks = (report("t", "old-0000"),)
        made = world.reregister("M-S0", frameworks=(info,), tasks=tasks)
        assert StartTimer(("failover", "old-0000"), wait_s) in made
        made = world.fire("failover", "old-0000")
        assert sent_to_agents(made) == [agentlink.ShutdownFramework(framework_id="old-0000")]
        assert list(world.state.completed) == ["old-0000"]


def test_a_framework_whose_name_an_agent_has_lost_may_return() -> None:
    """Its own words are all there is of it: user and principal are what it says."""
    world = leading("M-S0")
    nameless = m.FrameworkInfo(user="", name="", id=m.FrameworkID(value="old-0000"))
    world.reregister("M-S0", frameworks=(nameless,), tasks=(report("t", "old-0000"),))
    info = msgspec.structs.replace(
        framework_info(framework_id="old-0000"), user="nobody", principal="p"
    )
    made = world.subscribe(info=info)
    assert not [one for one in made if isinstance(one, effects.CloseStream)]
    framework = next(iter(world.state.frameworks.values()))
    assert framework.connected and framework.info.user == "nobody"
    assert framework.info.principal == "p" and list(framework.tasks) == ["t"]


@pytest.mark.parametrize(
    "change",
    [
        {"roles": ("a", "a", "/b", "c d")},
        {"failover_timeout": float("nan")},
        {"role": "-x", "capabilities": ()},
        {
            "offer_filters": {
                "a": m.OfferFilters(
                    min_allocatable_resources=m.OfferFiltersMinAllocatableResources(
                        quantities=(
                            m.OfferFiltersResourceQuantities(
                                quantities={"cpus": m.ValueScalar(value=-1.0)}
                            ),
                        )
                    )
                )
            }
        },
    ],
)
def test_a_framework_that_would_be_refused_today_still_holds_what_it_has(
    change: dict[str, object],
) -> None:
    """What its tasks use is not offered to others."""
    world = leading("M-S0")
    info = msgspec.structs.replace(framework_info(framework_id="old-0000"), **change)
    world.reregister(
        "M-S0", total="cpus:1;mem:64", frameworks=(info,), tasks=(report("t", "old-0000"),)
    )
    other = world.framework()
    world.offers(other)
    (offer,) = other.offers.values()
    assert offer.resources.unallocate().quantities().get("mem") == 32_000


def test_agents_that_owe_updates_hear_of_a_framework_that_is_back() -> None:
    """Without a task or the framework's info: the update comes at once, not at its next retry."""
    world = leading("M-S0", "M-S1")
    world.reregister("M-S0", owing=("old-0000",))
    world.reregister("M-S1", 1)
    made = world.subscribe(framework_info(framework_id="old-0000"))
    (message,) = sent_to_agents(made)
    assert isinstance(message, agentlink.UpdateFramework) and message.resend


def test_agents_with_nothing_left_of_a_framework_still_hear_of_it() -> None:
    """An agent may owe an update of a task that the master has no more."""
    world, framework, agent = stage()
    world.status(framework, agent, "t", "TASK_FINISHED")
    world.ack(framework, "M-S0", "t", uuid_of("t", "TASK_FINISHED"))
    made = world.subscribe(framework_info(framework_id=framework.framework_id))
    assert [type(one) for one in sent_to_agents(made)] == [agentlink.UpdateFramework]
    made = world.call(framework, "TEARDOWN")
    assert [type(one) for one in sent_to_agents(made)] == [agentlink.ShutdownFramework]


def test_updates_of_a_task_whose_id_is_anothers_stay_here() -> None:
    """The framework hears of its own task only, and the agent waits for nobody."""
    world = leading("M-S0", "M-S1")
    framework = world.framework(framework_info(framework_id="M-0000"))
    tasks = (report("t"),)
    world.reregister("M-S0", frameworks=(framework.info,), tasks=tasks)
    tasks = (report("t", agent_id="M-S1"),)
    made = world.reregister("M-S1", 1, frameworks=(framework.info,), tasks=tasks)
    assert [one.task_id for one in sent_to_agents(made) if isinstance(one, agentlink.KillTask)] == [
        "t"
    ]
    agent = world.state.agents[S1]
    made = world.status(framework, agent, "t", "TASK_KILLED")
    assert updates_in(made) == []
    (ack,) = sent_to_agents(made)
    assert isinstance(ack, agentlink.Acknowledge) and ack.uuid == uuid_of("t", "TASK_KILLED")
    assert framework.tasks["t"].agent_id == "M-S0"  # type: ignore[index]  # a test's own id
