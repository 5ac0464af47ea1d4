"""What a framework is told about its tasks when it asks, and what its end leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from client import Document, Framework, custom_executor, task
from test_updates import in_state

from mesos_twisted.testing.processes import RunningCluster, wait_until

ONLY = {"task_id", "state", "message", "source", "reason", "agent_id", "timestamp"}


def answers(framework: Framework, task_id: str, count: int = 1) -> list[Document]:
    """The answers about a task, once there are so many."""

    def found() -> list[Document]:
        all_of_them = framework.statuses(task_id)
        return [one for one in all_of_them if one.get("reason") == "REASON_RECONCILIATION"]

    framework.wait(lambda: len(found()) >= count, "an answer")
    return found()


def test_a_known_task_is_in_its_latest_state(framework: Framework) -> None:
    """From the master, without uuid, data or labels; with health and container."""
    check = {"type": "COMMAND", "command": {"value": "true"}, "interval_seconds": 0.1}
    framework.run("sleep 1000", health_check={**check, "delay_seconds": 0})

    def healthy() -> bool:
        framework.acknowledge()
        return any("healthy" in one for one in framework.statuses("t"))

    framework.wait(healthy, "health")
    framework.acknowledge()
    framework.reconcile(("t", None))
    (status,) = answers(framework, "t")
    assert set(status) == ONLY | {"healthy", "container_status"}
    assert (status["state"], status["source"]) == ("TASK_RUNNING", "SOURCE_MASTER")
    assert status["message"] == "Reconciliation: Latest task state"
    assert status["healthy"] is True


def test_an_empty_question_is_about_every_task(framework: Framework) -> None:
    offer = framework.an_offer()
    names = ("a", "b", "c")
    framework.launch(offer, *[task(offer, name, "sleep 1000") for name in names])
    for name in names:
        framework.until(name, "TASK_RUNNING")
    framework.reconcile()
    for name in names:
        assert answers(framework, name)[0]["state"] == "TASK_RUNNING"


@pytest.mark.parametrize(
    ("capabilities", "known", "unknown"),
    [
        (("PARTITION_AWARE", "MULTI_ROLE"), "TASK_GONE", "TASK_UNKNOWN"),
        (("MULTI_ROLE",), "TASK_LOST", "TASK_LOST"),
    ],
)
def test_an_unknown_task_is_explained_by_its_agent(
    join: Any, capabilities: tuple[str, ...], known: str, unknown: str
) -> None:
    """Agents that are unreachable, gone or not back yet: with the master's core."""
    framework = join(capabilities=capabilities)
    agent = framework.an_offer()["agent_id"]["value"]
    framework.reconcile(("here", agent), ("nowhere", None), ("strange", "no-such-agent"))
    for task_id, state, message in (
        ("here", known, "Reconciliation: Task is unknown to the agent"),
        ("nowhere", unknown, "Reconciliation: Task is unknown"),
        ("strange", unknown, "Reconciliation: Task is unknown"),
    ):
        (status,) = answers(framework, task_id)
        assert (status["state"], status["message"]) == (state, message)
        assert status["source"] == "SOURCE_MASTER" and "uuid" not in status
    assert "agent_id" not in answers(framework, "nowhere")[0]


def test_a_framework_that_is_removed_takes_its_tasks_along(
    cluster: RunningCluster, join: Any, tmp_path: Path
) -> None:
    """KILLED in the books for that reason, no update to the framework, SHUTDOWN to executors."""
    framework = join()
    path = tmp_path / "heard"
    offer = framework.an_offer()
    executor = custom_executor()
    variables = [{"name": "HEARD", "value": str(path)}]
    executor["command"]["environment"] = {"variables": variables}
    with_executor = {**task(offer, "custom", None), "executor": executor}
    framework.launch(offer, task(offer, "command", "sleep 1000"), with_executor)
    for task_id in ("command", "custom"):
        framework.until(task_id, "TASK_RUNNING")
    framework.acknowledge()
    seen = len(framework.events("UPDATE"))
    framework.call("TEARDOWN")
    framework.wait(lambda: framework.stream.ended, "the end of the stream")
    assert len(framework.events("UPDATE")) == seen
    for task_id in ("command", "custom"):
        found = in_state(cluster, framework, "completed_tasks", task_id)
        last = found["statuses"][-1]
        assert (found["state"], last["state"]) == ("TASK_KILLED", "TASK_KILLED")
    wait_until(lambda: '"SHUTDOWN"' in path.read_text(), "SHUTDOWN to the executor")
    last_heard = json.loads(path.read_text().splitlines()[-1])
    assert last_heard == {"type": "SHUTDOWN"}

    def ended() -> bool:
        states = [cluster.request("GET", "/state", base=url).json() for url in cluster.agent_urls()]
        return not any(one["id"] == framework.id for s in states for one in s["frameworks"])

    wait_until(ended, "the agents have ended the framework")
