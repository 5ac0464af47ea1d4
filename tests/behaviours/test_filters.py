"""How frameworks say for how long they want no offers: filters, SUPPRESS and REVIVE."""

from __future__ import annotations

from typing import Any

from client import Framework, amounts, task

from mesos_twisted.master.core.allocator.interface import LONGEST_REFUSE_S
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.master_world import World

# Filters


def test_what_an_accept_leaves_is_refused_for_its_filters_time(framework: Framework) -> None:
    """The rest of the agent does not come back while the filter holds, and does after REVIVE."""
    first = framework.an_offer()
    framework.wait(lambda: len(framework.offers()) == 2, "an offer of each agent")
    for offer in framework.offers():
        framework.launch(offer, task(offer, offer["id"]["value"], "sleep 1000"), refuse_s=3600)
        framework.until(offer["id"]["value"], "TASK_RUNNING")
    framework.see_allocations()
    assert len(framework.offers()) == 2
    framework.call("REVIVE")
    rest = framework.an_offer(after=2)
    assert amounts(rest["resources"])["cpus"] < amounts(first["resources"])["cpus"]


def test_a_refusal_of_zero_seconds_is_none(framework: Framework) -> None:
    offer = framework.an_offer()
    count = len(framework.offers())
    framework.decline(offer, refuse_seconds=0)
    framework.wait(
        lambda: [one for one in framework.offers()[count:] if one["agent_id"] == offer["agent_id"]],
        "the same agent again",
    )


def test_an_endless_refusal_is_a_year_and_revive_ends_it(framework: Framework) -> None:
    """Some clients refuse for 4294967295 seconds."""
    offer = framework.an_offer()
    framework.wait(lambda: len(framework.offers()) == 2, "an offer of each agent")
    for one in framework.offers():
        framework.decline(one, refuse_seconds=4294967295)
    framework.see_allocations()
    assert len(framework.offers()) == 2
    assert LONGEST_REFUSE_S == 365 * 86400
    framework.call("REVIVE")
    again = framework.an_offer(after=2)
    assert amounts(again["resources"]) == amounts(offer["resources"])


def test_the_default_refusal_is_five_seconds() -> None:
    """In the core: a DECLINE without filters holds for 5 s, not longer."""
    world = World()
    framework = world.framework()
    world.agent()
    (offer_id,) = world.offers(framework)
    declined = m.SchedulerCallDecline(offer_ids=(m.OfferID(value=offer_id),))
    world.call(framework, "DECLINE", decline=declined)
    world.now += 4.9
    assert world.offers(framework) == []
    world.now += 0.2
    assert world.offers(framework) != []


# SUPPRESS and REVIVE


def test_suppress_keeps_open_offers_and_ends_new_ones(framework: Framework) -> None:
    """REVIVE of no roles means all of them."""
    offer = framework.an_offer()
    framework.wait(lambda: len(framework.offers()) == 2, "an offer of each agent")
    framework.call("SUPPRESS")
    framework.launch(offer, task(offer, "t"), refuse_s=0)
    framework.until("t", "TASK_FINISHED")
    framework.see_allocations()
    assert framework.rescinded() == [] and len(framework.offers()) == 2
    framework.call("REVIVE")
    framework.an_offer(after=2)


def test_roles_may_be_suppressed_from_the_start(join: Any) -> None:
    framework = join(roles=("a", "b"), suppressed=("a",))
    framework.an_offer()
    assert {one["allocation_info"]["role"] for one in framework.offers()} == {"b"}
    framework.call("SUPPRESS", suppress={"roles": ["b"]})
    for offer in framework.offers():
        framework.decline(offer, refuse_seconds=0)
    count = len(framework.offers())
    framework.call("REVIVE", revive={"roles": ["a"]})
    assert framework.an_offer(after=count)["allocation_info"]["role"] == "a"
