"""What executors and operators see of an agent: environment, events, reuse, restarts, files."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any
from urllib.parse import quote

import pytest
from client import Document, Framework, custom_executor, heard, task
from test_offers import start_agent

from mesos_twisted.testing.processes import RunningCluster, wait_until


def custom_task(offer: Document, task_id: str, executor: Document) -> Document:
    """A task of that executor."""
    return {**task(offer, task_id, None), "executor": executor}


def first_words(framework: Framework) -> Document:
    """What a custom executor says first: its environment and the SUBSCRIBED event."""
    found: Document = framework.wait(lambda: heard(framework), "the executor's first message")[0]
    return found


@pytest.mark.parametrize(("checkpoint", "text"), [(False, "0"), (True, "1")])
def test_an_executors_environment_is_text_that_clients_parse(
    join: Any, checkpoint: bool, text: str
) -> None:
    """MESOS_CHECKPOINT is always there, as a digit; the endpoint is ip:port; durations Mesos's."""
    framework = join(checkpoint=checkpoint)
    offer = framework.an_offer()
    framework.launch(offer, custom_task(offer, "t", custom_executor()))
    environment = first_words(framework)["environment"]
    assert environment["MESOS_CHECKPOINT"] == text
    assert re.fullmatch(r"\d+(\.\d+){3}:\d+", environment["MESOS_AGENT_ENDPOINT"])
    assert environment["MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"] == "5secs"
    if checkpoint:
        assert environment["MESOS_RECOVERY_TIMEOUT"] == "15mins"
        assert environment["MESOS_SUBSCRIPTION_BACKOFF_MAX"] == "2secs"
    else:
        assert "MESOS_RECOVERY_TIMEOUT" not in environment
    assert environment["MESOS_FRAMEWORK_ID"] == framework.id
    assert environment["MESOS_EXECUTOR_ID"] == "custom"
    assert environment["MESOS_SLAVE_ID"] == offer["agent_id"]["value"]
    assert environment["MESOS_HTTP_COMMAND_EXECUTOR"] == "0"
    assert environment["MESOS_ALLOCATION_ROLE"] == "*"
    assert environment["MESOS_SANDBOX"] == environment["MESOS_DIRECTORY"]


def test_subscribed_tells_an_executor_the_very_ids_of_its_environment(
    framework: Framework,
) -> None:
    """Clients compare `{"value": id}` as a whole: no key more, none less."""
    offer = framework.an_offer()
    framework.launch(offer, custom_task(offer, "t", custom_executor()))
    subscribed = first_words(framework)["subscribed"]
    assert subscribed["executor_info"]["executor_id"] == {"value": "custom"}
    assert subscribed["executor_info"]["framework_id"] == {"value": framework.id}
    assert subscribed["framework_info"]["id"] == {"value": framework.id}
    assert subscribed["agent_info"]["id"] == offer["agent_id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", subscribed["container_id"]["value"])


def test_an_executor_is_reused_by_tasks_that_give_the_same_info(framework: Framework) -> None:
    """One process, one SUBSCRIBED; another info under its id is an error of that task alone."""
    offer = framework.an_offer()
    framework.launch(
        offer,
        custom_task(offer, "a", custom_executor()),
        custom_task(offer, "b", custom_executor()),
        custom_task(offer, "c", {**custom_executor(), "name": "another"}),
    )
    framework.until("a", "TASK_RUNNING")
    framework.until("b", "TASK_RUNNING")
    status = framework.until("c", "TASK_ERROR")
    assert status["reason"] == "REASON_TASK_INVALID"
    assert "ExecutorInfo is not compatible" in status["message"]
    kinds = [one["type"] for one in heard(framework)]
    assert kinds.count("SUBSCRIBED") == 1 and kinds.count("LAUNCH") == 2


def test_a_command_task_has_a_tenth_of_a_cpu_and_32_mb_more_than_it_pays_for(
    cluster: RunningCluster, framework: Framework
) -> None:
    """In its container; the offer and the books know of the task's own resources only."""
    framework.run("sleep 1000", cpus=0.5, mem=64)
    framework.until("t", "TASK_RUNNING")
    found: list[Document] = []
    for url in cluster.agent_urls():
        found += [
            one
            for one in cluster.request("GET", "/containers", base=url).json()
            if one["framework_id"] == framework.id
        ]
    (container,) = found
    assert container["statistics"]["cpus_soft_limit"] == 0.6
    assert container["statistics"]["mem_limit_bytes"] == 96 * 1024 * 1024
    page = cluster.request("GET", f"/frameworks?framework_id={framework.id}").json()
    used = page["frameworks"][0]["used_resources"]
    assert (used["cpus"], used["mem"]) == (0.5, 64)


def test_an_agent_with_other_resources_than_before_refuses_to_start(
    cluster: RunningCluster,
) -> None:
    """And says what to do; with its old ones it starts as the agent that it was. That it keeps
    its id over a reboot of the host is tested with the agent's core."""
    mine = ("--resources=cpus:1;mem:128;disk:64;gpus:1;ports:[40000-40001]",)
    agent = start_agent(cluster, "restarted", *mine)
    before = agent.registered()
    agent.stop(15)
    assert before is not None
    changed = ["--resources=cpus:2;mem:128;disk:64;gpus:1;ports:[40000-40001]"]
    command = [one for one in agent.command if "--resources" not in one]
    done = subprocess.run([*command, *changed], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "the resource cpus was cpus:1 and is cpus:2" in said
    assert "reconfiguration_policy=equal" in said and "--recover=cleanup" in said
    again = start_agent(cluster, "restarted", *mine, port=agent.port)
    after = wait_until(again.registered, "the agent is back")
    again.stop()
    assert after["id"] == before["id"]
    wait_until(lambda: again.registered() is None, "the agent has left")


def test_reading_a_file_at_minus_one_tells_its_size(
    cluster: RunningCluster, framework: Framework
) -> None:
    """Pagers ask so first, and read on from there; at the end and beyond there is no data."""
    offer = framework.run("printf 0123456789", "printer")
    framework.until("printer", "TASK_FINISHED")
    for url in cluster.agent_urls():
        state = cluster.request("GET", "/state", base=url).json()
        if state["id"] == offer["agent_id"]["value"]:
            break
    executors = [
        one
        for known in (*state["frameworks"], *state["completed_frameworks"])
        if known["id"] == framework.id
        for one in (*known["executors"], *known["completed_executors"])
    ]
    path = quote(executors[0]["directory"] + "/stdout")

    def read(**asked: int) -> Document:
        more = "".join(f"&{name}={value}" for name, value in asked.items())
        answer = cluster.request("GET", f"/files/read?path={path}{more}", base=url)
        assert answer.status == 200, answer
        found: Document = json.loads(answer.body)
        return found

    assert read(offset=-1) == {"data": "", "offset": 10}
    assert read(offset=0, length=4) == {"data": "0123", "offset": 0}
    assert read(offset=8) == {"data": "89", "offset": 8}
    assert read(offset=10) == {"data": "", "offset": 10}
    assert read(offset=99) == {"data": "", "offset": 99}
