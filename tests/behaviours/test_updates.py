"""Status updates: who sends them, when they are acknowledged, and the words of a task's end."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any

import pytest
from client import AWARE, Document, Framework, amounts, custom_executor, heard, order, task

from mesos_twisted.agent.core.state import Policy
from mesos_twisted.agent.core.updates import RETRY_MAX_S, RETRY_MIN_S
from mesos_twisted.testing.processes import RunningCluster, wait_until

KILLING = (*AWARE, "TASK_KILLING_STATE")


def in_state(cluster: RunningCluster, framework: Framework, where: str, task_id: str) -> Any:
    """The task among the framework's `tasks` or `completed_tasks` of /frameworks, or None."""
    page = cluster.request("GET", f"/frameworks?framework_id={framework.id}").json()
    for found in (*page["frameworks"], *page["completed_frameworks"]):
        for one in found[where]:
            if one["id"] == task_id:
                return one
    return None


# What is acknowledged


def test_an_update_has_a_uuid_exactly_when_it_must_be_acknowledged(framework: Framework) -> None:
    """16 bytes in base64 on what the agent sends; none on what the master says by itself."""
    offer = framework.an_offer()
    framework.launch(offer, task(offer, "good"), task(offer, "bad", None))
    framework.until("good", "TASK_FINISHED")
    framework.reconcile(("good", None), ("nobody", None))
    framework.wait(lambda: framework.statuses("nobody"), "an answer")
    framework.acknowledge()
    for status in [one["update"]["status"] for one in framework.events("UPDATE")]:
        if status["source"] == "SOURCE_MASTER":
            assert "uuid" not in status
        else:
            assert len(base64.b64decode(status["uuid"], validate=True)) == 16


def test_only_the_oldest_update_is_sent_until_it_is_acknowledged(
    cluster: RunningCluster, join: Any
) -> None:
    """Meanwhile the master learns the latest state from each repeated update: the resources are
    free, but the task is there until its terminal update is acknowledged."""
    old = join(failover_timeout=60.0)
    offer = old.an_offer()
    old.launch(offer, task(offer, "t"))
    old.wait(lambda: ended_on_its_agent(cluster, old), "the task ends")
    assert old.states("t") == ["TASK_STARTING"]
    new = join(failover_timeout=60.0, id={"value": old.id})

    def free() -> bool:
        mine = [one for one in new.offers() if one["agent_id"] == offer["agent_id"]]
        offered = [amounts(one["resources"])["cpus"] for one in mine]
        return round(sum(offered), 3) == amounts(offer["resources"])["cpus"]

    new.wait(free, "all of the agent is offered again")
    found = in_state(cluster, new, "tasks", "t")
    assert (found["state"], new.states("t")) == ("TASK_FINISHED", ["TASK_STARTING"])
    assert [one["state"] for one in found["statuses"]] == ["TASK_STARTING"]
    new.reconcile(("t", None), ("barrier", None))
    new.wait(lambda: new.statuses("barrier"), "an answer")
    assert new.states("t") == ["TASK_STARTING"], "no answer runs ahead of the updates"
    new.acknowledge()
    new.wait(lambda: new.states("t")[-1] == "TASK_RUNNING", "the next update")
    assert in_state(cluster, new, "tasks", "t")
    new.until("t", "TASK_FINISHED")
    wait_until(lambda: in_state(cluster, new, "completed_tasks", "t"), "the task is over")
    assert in_state(cluster, new, "tasks", "t") is None


def ended_on_its_agent(cluster: RunningCluster, framework: Framework) -> bool:
    """Has the framework's one task ended, by what its agent says?"""
    states = [cluster.request("GET", "/state", base=url).json() for url in cluster.agent_urls()]
    tasks = [
        one
        for state in states
        for known in state["frameworks"]
        if known["id"] == framework.id
        for executor in known["executors"]
        for one in (*executor["tasks"], *executor["queued_tasks"], *executor["completed_tasks"])
    ]
    return [one["state"] for one in tasks] == ["TASK_FINISHED"]


def test_an_update_is_repeated_after_ten_seconds_and_then_ever_later() -> None:
    """The times alone; the machine that uses them is tested with the agent's core."""
    assert (RETRY_MIN_S, RETRY_MAX_S) == (10.0, 600.0)


def test_a_new_stream_gets_what_the_old_one_did_not_acknowledge(join: Any) -> None:
    """At once and with the same uuid, so that it can be told from a new update."""
    old = join(failover_timeout=60.0)
    old.run("true")
    first = old.wait(lambda: old.statuses("t"), "an update")[0]
    new = join(failover_timeout=60.0, id={"value": old.id})
    again = new.wait(lambda: new.statuses("t"), "the same update")[0]
    assert (again["state"], again["uuid"]) == (first["state"], first["uuid"])
    new.until("t", "TASK_FINISHED")


def test_an_update_repeated_by_its_executor_is_told_once(framework: Framework) -> None:
    """By its uuid; both are acknowledged to the executor."""
    offer = framework.an_offer()
    custom = {"executor": custom_executor(), "command": None}
    given = {k: v for k, v in {**task(offer, "t"), **custom}.items() if v is not None}
    framework.launch(offer, given)
    framework.until("t", "TASK_RUNNING")
    uuid = base64.b64encode(b"0123456789abcdef").decode()
    said = {"task_id": "t", "state": "TASK_RUNNING", "message": "once", "uuid": uuid}
    order(framework, offer, update=said)
    order(framework, offer, update=said)

    def acknowledged() -> bool:
        framework.acknowledge()
        found = [one for one in heard(framework) if one["type"] == "ACKNOWLEDGED"]
        return [one["acknowledged"]["uuid"] for one in found].count(uuid) == 2

    framework.wait(acknowledged, "two acknowledgements")
    order(framework, offer, update={"task_id": "t", "state": "TASK_FINISHED"})
    framework.until("t", "TASK_FINISHED")
    assert [one.get("message") for one in framework.statuses("t")].count("once") == 1


# States


@pytest.mark.parametrize("capabilities", [AWARE, KILLING])
def test_starting_comes_before_running_and_killing_only_where_it_is_understood(
    join: Any, capabilities: tuple[str, ...]
) -> None:
    framework = join(capabilities=capabilities)
    framework.run("sleep 1000")
    framework.until("t", "TASK_RUNNING")
    framework.kill("t")
    status = framework.until("t", "TASK_KILLED")
    between = ["TASK_KILLING"] if "TASK_KILLING_STATE" in capabilities else []
    assert framework.states("t") == ["TASK_STARTING", "TASK_RUNNING", *between, "TASK_KILLED"]
    assert status["message"] == "Command terminated with signal Terminated"
    assert status["source"] == "SOURCE_EXECUTOR" and "reason" not in status


@pytest.mark.parametrize(
    ("command", "state", "message"),
    [
        ("exit 0", "TASK_FINISHED", "Command exited with status 0"),
        ("exit 3", "TASK_FAILED", "Command exited with status 3"),
        ("kill -9 $$", "TASK_FAILED", "Command terminated with signal Killed"),
        ("kill -15 $$", "TASK_FAILED", "Command terminated with signal Terminated"),
    ],
)
def test_the_end_of_a_command_is_told_in_words_that_clients_parse(
    framework: Framework, command: str, state: str, message: str
) -> None:
    framework.run(command)
    status = framework.until("t", state)
    assert status["message"] == message
    assert status["executor_id"] == {"value": "t"}
    assert status["container_status"]["container_id"]["value"]


def test_a_killed_task_is_killed_however_it_exits(framework: Framework) -> None:
    """Even when it ends well when asked to."""
    framework.run("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    framework.until("t", "TASK_RUNNING")
    framework.kill("t")
    assert framework.until("t", "TASK_KILLED")["message"].startswith("Command ")


def test_a_task_that_ignores_sigterm_loses_its_whole_tree_after_its_grace(
    framework: Framework, tmp_path: Path
) -> None:
    """By SIGKILL; the kill's own policy wins over the task's. The default grace is 3 seconds."""
    pids = tmp_path / "pids"
    tmp_path.chmod(0o755)
    command = f"trap '' TERM; sleep 1000 & echo $! $$ > {pids}; wait; wait; sleep 1000"
    framework.run(command, kill_policy={"grace_period": {"nanoseconds": 3600 * 10**9}})
    framework.until("t", "TASK_RUNNING")
    wait_until(lambda: pids.exists() and pids.read_text().split(), "the task has a child")
    framework.kill("t", kill_policy={"grace_period": {"nanoseconds": 100_000_000}})
    assert framework.until("t", "TASK_KILLED")["message"].endswith("signal Killed")
    for pid in pids.read_text().split():
        assert not os.path.exists(f"/proc/{pid}")
    assert Policy.__dataclass_fields__["default_kill_grace_s"].default == 3.0


# Executors that end


def custom_task(offer: Document, task_id: str = "t", **executor: Any) -> Document:
    """A task of the custom executor."""
    made = {**task(offer, task_id, None), "executor": {**custom_executor(), **executor}}
    return made


def test_tasks_of_an_executor_that_ends_have_failed(framework: Framework) -> None:
    """REASON_EXECUTOR_TERMINATED, not LOST; a FAILURE event tells how the process ended."""
    offer = framework.an_offer()
    framework.launch(offer, custom_task(offer))
    framework.until("t", "TASK_RUNNING")
    order(framework, offer, exit=3)
    status = framework.until("t", "TASK_FAILED")
    assert (status["source"], status["reason"]) == ("SOURCE_AGENT", "REASON_EXECUTOR_TERMINATED")
    assert status["message"] == "Executor terminated"
    failures = framework.wait(lambda: framework.events("FAILURE"), "FAILURE")
    assert failures[0]["failure"] == {
        "agent_id": offer["agent_id"],
        "executor_id": {"value": "custom"},
        "status": 3 << 8,
    }


def test_the_end_of_a_command_task_is_no_failure_event(framework: Framework) -> None:
    framework.run("exit 1")
    framework.until("t", "TASK_FAILED")
    framework.reconcile(("barrier", None))
    framework.wait(lambda: framework.statuses("barrier"), "an answer")
    assert framework.events("FAILURE") == []


def test_executors_have_a_minute_to_register_and_five_seconds_to_shut_down(
    cluster: RunningCluster,
) -> None:
    """The flags' defaults; what they time is tested with the agent's core."""
    flags = cluster.request("GET", "/flags", base=cluster.agent_urls()[0]).json()["flags"]
    assert flags["executor_registration_timeout"] == "1mins"
    assert flags["executor_shutdown_grace_period"] == "5secs"


# KILL


def test_a_kill_of_an_unknown_task_is_answered_like_a_question_about_it(
    framework: Framework,
) -> None:
    offer = framework.an_offer()
    framework.kill("nobody")
    status = framework.until("nobody", "TASK_UNKNOWN")
    assert status["reason"] == "REASON_RECONCILIATION" and "uuid" not in status
    framework.kill("elsewhere", agent_id=offer["agent_id"])
    assert framework.until("elsewhere", "TASK_GONE")["source"] == "SOURCE_MASTER"


def test_a_task_killed_before_its_executor_has_it_never_starts(framework: Framework) -> None:
    """TASK_KILLED, REASON_TASK_KILLED_DURING_LAUNCH, from the agent."""
    offer = framework.an_offer()
    silent = custom_executor(command="exec sleep 1000")
    framework.launch(offer, custom_task(offer, **silent))
    framework.kill("t")
    status = framework.until("t", "TASK_KILLED")
    assert status["reason"] == "REASON_TASK_KILLED_DURING_LAUNCH"
    assert status["source"] == "SOURCE_AGENT"
    assert framework.states("t") == ["TASK_KILLED"]


def test_a_kill_that_names_another_agent_is_ignored(framework: Framework) -> None:
    framework.run("sleep 1000")
    framework.until("t", "TASK_RUNNING")
    framework.kill("t", agent_id={"value": "another"})
    framework.reconcile(("t", None), ("barrier", None))
    framework.wait(lambda: framework.statuses("barrier"), "an answer")
    assert framework.states("t")[-1] == "TASK_RUNNING"


def test_a_status_names_the_agent_the_container_and_the_time(framework: Framework) -> None:
    """Clients find a task's address in it."""
    offer = framework.run("sleep 1000")
    status = framework.until("t", "TASK_RUNNING")
    assert status["agent_id"] == offer["agent_id"] and status["timestamp"] > 1e9
    container = status["container_status"]
    assert re.fullmatch(r"[0-9a-f-]{36}", container["container_id"]["value"])
    (network,) = container["network_infos"]
    assert network["ip_addresses"] == [{"protocol": "IPv4", "ip_address": "127.0.0.1"}]
    assert "healthy" not in status


def test_health_is_told_once_it_is_known(framework: Framework) -> None:
    """`healthy` and its own reason; the type of the check may be left out."""
    check = {"command": {"value": "true"}, "interval_seconds": 0.1, "delay_seconds": 0}
    framework.run("sleep 1000", health_check=check)

    def healthy() -> Document | None:
        framework.acknowledge()
        found = [one for one in framework.statuses("t") if one.get("healthy") is True]
        return found[0] if found else None

    status = framework.wait(healthy, "a healthy status")
    assert status["state"] == "TASK_RUNNING"
    assert status["reason"] == "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
