"""Who is who: ids, taking over, what may change of a framework, its roles, its time to return."""

from __future__ import annotations

import re
from typing import Any

import pytest
from client import AWARE, Document, Framework, task

from mesos_twisted.testing.master_world import (
    World,
    events_to,
    framework_id_of,
    framework_info,
)
from mesos_twisted.testing.processes import RunningCluster, wait_until


def known(cluster: RunningCluster, framework: Framework) -> Document | None:
    """The framework as /frameworks lists it, or None."""
    page = cluster.request("GET", f"/frameworks?framework_id={framework.id}").json()
    found: list[Document] = page["frameworks"]
    return found[0] if found else None


# Ids


def test_ids_are_the_masters_uuid_and_a_number(framework: Framework) -> None:
    """`<uuid>-0000` for frameworks (four digits at least), `-S0` for agents, `-O0` for offers."""
    subscribed = framework.wait(lambda: framework.events("SUBSCRIBED"), "SUBSCRIBED")[0]
    master = subscribed["subscribed"]["master_info"]["id"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", master)
    assert re.fullmatch(re.escape(master) + r"-\d{4,}", framework.id)
    offer = framework.an_offer()
    assert re.fullmatch(re.escape(master) + r"-O\d+", offer["id"]["value"])
    assert re.fullmatch(re.escape(master) + r"-S\d+", offer["agent_id"]["value"])


@pytest.mark.parametrize("good", ["a" * 255, "with space", "tâche:1", "a.b", "..."])
def test_any_text_of_255_signs_is_a_task_id(framework: Framework, good: str) -> None:
    framework.run("true", good)
    framework.until(good, "TASK_FINISHED")


@pytest.mark.parametrize("bad", ["a/b", "a\\b", ".", "..", "a\nb", "a" * 256, ""])
def test_an_id_that_could_not_be_a_directory_is_refused(framework: Framework, bad: str) -> None:
    """Task ids name directories: no slash, no control characters, not the directory itself."""
    framework.run("true", bad)
    assert framework.until(bad, "TASK_ERROR")["reason"] == "REASON_TASK_INVALID"


# Taking over


def test_the_newest_subscription_of_an_id_takes_over(join: Any) -> None:
    """The old stream hears "Framework failed over" and ends; the new one has the same id."""
    old = join(failover_timeout=60.0)
    new = join(failover_timeout=60.0, name=old.info["name"], id={"value": old.id})
    assert new.id == old.id
    assert old.error() == "Framework failed over"
    assert new.stream.headers["mesos-stream-id"] != old.stream.headers["mesos-stream-id"]
    assert old.post({"type": "REVIVE"}).status == 400
    assert new.post({"type": "REVIVE"}).status == 202


def test_offers_of_the_old_stream_are_discarded_not_rescinded(join: Any) -> None:
    """Nobody is told; the new stream gets the same resources in offers of other ids."""
    old = join(failover_timeout=60.0)
    first = old.an_offer()
    new = join(failover_timeout=60.0, name=old.info["name"], id={"value": old.id})
    second = new.an_offer()
    assert first["id"] != second["id"]
    old.error()
    assert old.rescinded() == [] and new.rescinded() == []
    new.launch(first, task(first, "stale"))
    assert new.until("stale", "TASK_DROPPED")["reason"] == "REASON_INVALID_OFFERS"


def test_running_tasks_survive_a_failover(cluster: RunningCluster, join: Any) -> None:
    """And what was not acknowledged is told to the new stream."""
    old = join(failover_timeout=60.0)
    old.run("sleep 1000", "t")
    old.wait(lambda: old.statuses("t"), "an update")
    new = join(failover_timeout=60.0, name=old.info["name"], id={"value": old.id})
    assert new.until("t", "TASK_RUNNING")["uuid"]
    assert new.states("t")[0] == "TASK_STARTING"


def test_an_id_nobody_saw_is_accepted(cluster: RunningCluster, join: Any) -> None:
    """As after the failover of a master, when no agent is back yet."""
    framework = join(id={"value": "an-earlier-leaders-0007"})
    assert framework.id == "an-earlier-leaders-0007"
    assert framework.an_offer()["framework_id"] == {"value": framework.id}


def test_the_id_of_a_removed_framework_is_refused_on_the_stream(join: Any) -> None:
    old = join()
    old.call("TEARDOWN")
    old.wait(lambda: old.stream.ended, "the end of the stream")
    assert join(id={"value": old.id}).error() == "Framework has been removed"


# What may change


def test_user_and_checkpoint_keep_their_values_on_resubscription(
    cluster: RunningCluster, join: Any
) -> None:
    """A change of them is ignored without a word; a new name or webui_url holds."""
    old = join(failover_timeout=60.0, checkpoint=True)
    changed = {"user": "nobody", "checkpoint": False, "name": "new", "webui_url": "http://x/"}
    new = join(failover_timeout=60.0, **changed, id={"value": old.id})
    assert new.id == old.id
    found = known(cluster, new)
    assert found is not None
    assert (found["user"], found["checkpoint"]) == ("root", True)
    assert (found["name"], found["webui_url"]) == ("new", "http://x/")


@pytest.mark.parametrize(
    ("field", "value"), [("user", "nobody"), ("checkpoint", True), ("principal", "other")]
)
def test_update_framework_refuses_a_new_user_checkpoint_or_principal(
    framework: Framework, field: str, value: Any
) -> None:
    """400, and nothing has changed."""
    info = {**framework.info, "id": {"value": framework.id}, field: value, "name": "changed"}
    update = {"type": "UPDATE_FRAMEWORK", "update_framework": {"framework_info": info}}
    answer = framework.post(update)
    assert answer.status == 400 and field in answer.body.decode()
    found = known(framework.cluster, framework)
    assert found is not None and found["name"] == framework.info["name"]


def test_update_framework_changes_roles_at_once(framework: Framework) -> None:
    """Offers of a role that was left are rescinded; the other fields are as given."""
    offer = framework.an_offer()
    info = {**framework.info, "id": {"value": framework.id}, "roles": ["other"]}
    update = {"type": "UPDATE_FRAMEWORK", "update_framework": {"framework_info": info}}
    assert framework.post(update).status == 200
    framework.wait(lambda: offer["id"]["value"] in framework.rescinded(), "RESCIND")
    framework.wait(lambda: framework.offers()[-1]["allocation_info"]["role"] == "other", "an offer")


def test_a_changed_principal_is_an_error_on_the_stream() -> None:
    """In the core, where one framework may claim two principals."""
    world = World()
    made = world.subscribe(framework_info(principal="alice"), principal="alice")
    framework_id = framework_id_of(made)
    again = framework_info(framework_id=framework_id, principal="bob")
    (event,) = events_to(world.subscribe(again, principal="bob"))
    assert event.error is not None
    assert event.error.message == "Changing framework's principal is not allowed."
    assert world.state.frameworks[framework_id].connected


# Roles


def test_a_framework_without_multi_role_sees_no_allocation_info(join: Any) -> None:
    """Nor does its task's status fail for lack of one: the master fills it in."""
    framework = join(capabilities=())
    offer = framework.an_offer()
    assert "allocation_info" not in offer
    assert not [one for one in offer["resources"] if "allocation_info" in one]
    assert {one["role"] for one in offer["resources"]} == {"*"}
    framework.launch(offer, task(offer, "old"))
    framework.until("old", "TASK_FINISHED")


def test_a_framework_with_multi_role_sees_the_role_of_each_offer(join: Any) -> None:
    framework = join(roles=("a", "b/c"))
    framework.an_offer()
    roles = {one["allocation_info"]["role"] for one in framework.offers()}
    assert roles and roles <= {"a", "b/c"}
    for offer in framework.offers():
        allocated = {one["allocation_info"]["role"] for one in offer["resources"]}
        assert allocated == {offer["allocation_info"]["role"]}


def test_the_role_is_a_star_by_default(cluster: RunningCluster, join: Any) -> None:
    found = known(cluster, join(capabilities=()))
    assert found is not None and found["role"] == "*"


def test_a_framework_of_no_roles_is_offered_nothing(join: Any) -> None:
    """A second framework has offers meanwhile, so an allocation did run."""
    nothing = join(roles=())
    other = join(roles=("other",))
    other.an_offer()
    assert nothing.offers() == [] and nothing.id


def test_reservations_are_told_in_the_form_the_framework_understands() -> None:
    """In the core, where an agent has reservations: without RESERVATION_REFINEMENT the old form
    (role and reservation), and what is reserved twice over is not offered."""
    world = World()
    old = world.framework(framework_info(("MULTI_ROLE",), roles=("web",)))
    world.agent(total="cpus:1;mem:512;cpus(web):2;mem(web):512")
    (event,) = [one for one in events_to(world.allocate()) if one.offers is not None]
    assert event.offers is not None
    (offer,) = event.offers.offers
    reserved = [one for one in offer.resources if one.role == "web"]
    assert {one.name for one in reserved} == {"cpus", "mem"}
    assert all(one.reservations == () for one in offer.resources)
    assert old.offers
    refined = World()
    refined.framework(framework_info((*AWARE,), roles=("web",)))
    refined.agent(total="cpus:1;mem:512;cpus(web):2;mem(web):512")
    (event,) = [one for one in events_to(refined.allocate()) if one.offers is not None]
    assert event.offers is not None
    stacks = [one.reservations for one in event.offers.offers[0].resources if one.reservations]
    assert {stack[-1].role for stack in stacks} == {"web"}
    assert all(one.role is None for one in event.offers.offers[0].resources)


# The time to return


def test_without_a_failover_timeout_everything_ends_with_the_stream(
    cluster: RunningCluster, join: Any
) -> None:
    """The default is 0: the framework is completed and its tasks are killed at once."""
    framework = join()
    framework.run("sleep 1000", "t")
    framework.until("t", "TASK_RUNNING")
    framework_id = framework.id
    framework.stream.close()

    def over() -> Any:
        state = cluster.request("GET", "/state").json()
        return [one for one in state["completed_frameworks"] if one["id"] == framework_id]

    (found,) = wait_until(over, "the framework is completed")
    assert found["completed_tasks"][0]["state"] == "TASK_KILLED"


def test_a_framework_that_may_return_keeps_its_tasks(cluster: RunningCluster, join: Any) -> None:
    framework = join(failover_timeout=60.0)
    framework.run("sleep 1000", "t")
    framework.until("t", "TASK_RUNNING")
    framework.stream.close()

    def disconnected() -> Document | None:
        found = known(cluster, framework)
        return found if found is not None and not found["active"] else None

    found = wait_until(disconnected, "the framework is disconnected")
    assert [one["state"] for one in found["tasks"]] == ["TASK_RUNNING"]
    again = join(failover_timeout=60.0, id={"value": framework.id})
    again.reconcile(("t", None))
    status = again.wait(lambda: again.statuses("t"), "an answer")[0]
    assert status["state"] == "TASK_RUNNING"


@pytest.mark.parametrize("seconds", ["Infinity", "-Infinity", 9.3e9, 1e300])
def test_a_failover_timeout_beyond_64_bits_of_nanoseconds_is_an_error(
    join: Any, seconds: Any
) -> None:
    assert "failover_timeout" in join(failover_timeout=seconds).error()


def test_the_longest_failover_timeout_is_292_years(join: Any) -> None:
    framework = join(failover_timeout=9.2e9)
    assert framework.id
