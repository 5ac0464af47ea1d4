"""When offers are made, refused, taken back and used: what frameworks build their loops on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from client import AWARE, Document, Framework, amounts, scalar, task, until_none_left

from mesos_twisted.local.layout import free_port
from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.allocator.interface import (
    AgentSpec,
    AllocatorOptions,
    Capability,
    FrameworkSpec,
)
from mesos_twisted.master.core.state import Policy
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.parse import resources_from_text
from mesos_twisted.testing.master_world import World, events_to
from mesos_twisted.testing.processes import RunningCluster, wait_until


@dataclass
class ExtraAgent:
    """A third agent that a test starts, with its own flags."""

    cluster: RunningCluster
    process: subprocess.Popen[bytes]
    command: list[str]
    port: int

    def registered(self) -> Document | None:
        """The connected agent as the master lists it, or None."""
        agents = self.cluster.request("GET", "/slaves").json()["slaves"]
        found = [one for one in agents if one["port"] == self.port and one["active"]]
        return found[0] if found else None

    def up(self) -> Document | None:
        """The same; raises AssertionError when its process has ended."""
        assert self.process.poll() is None, self.cluster.logs()
        return self.registered()

    def stop(self, signo: int = signal.SIGUSR1) -> None:
        """End it; SIGUSR1 ends its tasks too and takes it out of the master's tables."""
        if self.process.poll() is None:
            self.process.send_signal(signo)
            self.process.wait(20)


def start_agent(
    cluster: RunningCluster, name: str, *flags: str, port: int | None = None
) -> ExtraAgent:
    """A third agent that is registered."""
    work, port = cluster.root / "work" / name, port or free_port(random.randrange(20000, 30000))
    work.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mesos_twisted", "agent", f"--master={cluster.master}"]
    command += [
        f"--port={port}",
        f"--work_dir={work}",
        f"--runtime_dir={work}/run",
        f"--tls_cert_file={cluster.cert('agent-2')}",
        f"--tls_key_file={cluster.key('agent-2')}",
        f"--tls_ca_file={cluster.ca}",
        "--hostname=localhost",
        "--ip=127.0.0.1",
        "--registration_backoff_factor=100ms",
        *flags,
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MESOS")}
    with (cluster.root / "logs" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    agent = ExtraAgent(cluster, process, command, port)
    try:
        wait_until(agent.up, f"{name} is registered", 60)
    except AssertionError:
        agent.stop(signal.SIGKILL)
        raise
    return agent


GPU_FLAGS = (
    "--resources=cpus:2;mem:512;disk:100;gpus:2;ports:[40000-40010]",
    "--attributes=rack:r1;level:10",
)


@pytest.fixture
def gpu_agent(cluster: RunningCluster) -> Iterator[ExtraAgent]:
    """An agent with GPUs, which frameworks that do not ask for them never see."""
    agent = start_agent(cluster, "gpus", *GPU_FLAGS)
    yield agent
    if agent.process.poll() is None:
        agent.stop()
    elif agent.process.returncode < 0:
        # A test killed it: only its next process can end what is left of it.
        start_agent(cluster, "gpus", *GPU_FLAGS, port=agent.port).stop()
    wait_until(lambda: agent.registered() is None, "the agent has left")


GPUS = (*AWARE, "GPU_RESOURCES")


# How an offer ends


def test_an_offer_ends_with_its_use_and_nothing_is_rescinded(framework: Framework) -> None:
    """ACCEPT and DECLINE are the framework's own doing."""
    offer = framework.an_offer()
    framework.decline(offer)
    framework.launch(offer, task(offer, "late"))
    assert framework.until("late", "TASK_DROPPED")["reason"] == "REASON_INVALID_OFFERS"
    assert framework.rescinded() == []


def test_offers_of_an_agent_whose_connection_breaks_are_rescinded_at_once(
    cluster: RunningCluster, gpu_agent: ExtraAgent, join: Any
) -> None:
    """Without waiting for a ping; the agent's frameworks hear FAILURE later, when it is lost."""
    framework = join(capabilities=GPUS)
    agent = gpu_agent.registered()
    assert agent is not None

    def mine() -> list[Document]:
        return [one for one in framework.offers() if one["agent_id"]["value"] == agent["id"]]

    offer = framework.wait(mine, "an offer of the agent")[0]
    gpu_agent.stop(signal.SIGKILL)
    framework.wait(lambda: offer["id"]["value"] in framework.rescinded(), "RESCIND")
    framework.launch(offer, task(offer, "late"))
    assert framework.until("late", "TASK_DROPPED")["reason"] == "REASON_INVALID_OFFERS"


def test_tasks_of_an_agent_that_leaves_for_good_are_lost(gpu_agent: ExtraAgent, join: Any) -> None:
    """LOST to every framework, when an operator ends the agent; FAILURE names the agent."""
    framework = join(capabilities=GPUS, checkpoint=True)
    agent = gpu_agent.registered()
    assert agent is not None
    offer = framework.wait(
        lambda: [one for one in framework.offers() if one["agent_id"]["value"] == agent["id"]],
        "an offer of the agent",
    )[0]
    framework.launch(offer, task(offer, "t", "sleep 1000"))
    framework.until("t", "TASK_RUNNING")
    gpu_agent.stop()
    failure = framework.wait(lambda: framework.events("FAILURE"), "FAILURE")[0]["failure"]
    assert failure == {"agent_id": {"value": agent["id"]}}
    status = framework.until("t", "TASK_LOST")
    assert (status["source"], status["reason"]) == ("SOURCE_MASTER", "REASON_AGENT_REMOVED")
    assert status["message"] == "Agent localhost removed: the agent unregistered"
    framework.reconcile(("t", agent["id"]))
    framework.until("t", "TASK_UNKNOWN")


def test_offers_of_a_role_whose_weight_changes_are_rescinded(
    cluster: RunningCluster, join: Any
) -> None:
    """And made afresh, by the new weights."""
    framework = join(roles=("weighed",))
    offer = framework.an_offer()
    weights = [{"role": "weighed", "weight": 2.5}]
    cluster.call({"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": weights}})
    framework.wait(lambda: offer["id"]["value"] in framework.rescinded(), "RESCIND")
    framework.an_offer(after=len(framework.rescinded()))


def test_an_offer_nobody_uses_is_rescinded_after_the_offer_timeout() -> None:
    """In the core, where time is an argument."""
    world = World(Policy(offer_timeout_s=30.0, publish_per_framework_metrics=False))
    framework = world.framework()
    world.agent()
    (offer_id,) = world.offers(framework)
    made = world.fire("offer", offer_id)
    (event,) = events_to(made)
    assert event.rescind is not None and event.rescind.offer_id.value == offer_id
    assert not framework.offers


# ACCEPT


def test_an_invalid_offer_drops_every_task_and_returns_every_offer(framework: Framework) -> None:
    """The answer is 202 all the same; tasks are DROPPED from the master without a uuid."""
    framework.an_offer()
    framework.wait(lambda: len(framework.offers()) >= 2, "an offer of each agent")
    good = framework.offers()[0]
    count = len(framework.offers())
    bad = {"id": {"value": "no-such-offer"}}
    reserve = {
        "type": "RESERVE",
        "id": {"value": "operation"},
        "reserve": {"resources": [scalar("cpus", 1)]},
    }
    launch = {"type": "LAUNCH", "launch": {"task_infos": [task(good, "a"), task(good, "b")]}}
    framework.accept([good, bad], launch, reserve, refuse_s=0)
    for task_id in ("a", "b"):
        status = framework.until(task_id, "TASK_DROPPED")
        assert (status["source"], status["reason"]) == ("SOURCE_MASTER", "REASON_INVALID_OFFERS")
        assert "uuid" not in status and status["agent_id"] == good["agent_id"]
        assert status["message"] == (
            "Task launched with invalid offers: Offer no-such-offer is no longer valid"
        )
    events = framework.wait(lambda: framework.events("UPDATE_OPERATION_STATUS"), "the operation")
    operation = events[0]["update_operation_status"]["status"]
    assert (operation["operation_id"], operation["state"]) == (
        {"value": "operation"},
        "OPERATION_ERROR",
    )
    again = framework.an_offer(after=count)
    assert again["agent_id"] == good["agent_id"]
    assert amounts(again["resources"]) == amounts(good["resources"])


def test_tasks_of_others_than_partition_aware_frameworks_are_lost(join: Any) -> None:
    framework = join(capabilities=())
    offer = framework.an_offer()
    framework.launch({"id": {"value": "no-such-offer"}}, task(offer, "t"))
    assert framework.until("t", "TASK_LOST")["reason"] == "REASON_INVALID_OFFERS"


def test_offers_of_two_agents_cannot_be_merged(framework: Framework) -> None:
    framework.wait(
        lambda: len({one["agent_id"]["value"] for one in framework.offers()}) == 2,
        "an offer of each agent",
    )
    first, second = framework.offers()[:2]
    framework.accept(
        [first, second], {"type": "LAUNCH", "launch": {"task_infos": [task(first, "t")]}}
    )
    assert framework.until("t", "TASK_DROPPED")["reason"] == "REASON_INVALID_OFFERS"


def test_offers_of_one_agent_are_merged(framework: Framework) -> None:
    """Half of an agent is used for a while, its offer taken, the other half offered later."""
    offer = framework.an_offer()
    whole = amounts(offer["resources"])
    half = whole["cpus"] / 2
    framework.launch(offer, task(offer, "holder", "sleep 1000", cpus=half), refuse_s=0)
    framework.until("holder", "TASK_RUNNING")

    def rest() -> Document | None:
        for one in framework.offers():
            if one["agent_id"] == offer["agent_id"] and (
                amounts(one["resources"]).get("cpus") == round(whole["cpus"] - half, 3)
            ):
                return one
        return None

    left = framework.wait(rest, "an offer of the other half")
    seen = len(framework.offers())
    framework.kill("holder")
    framework.until("holder", "TASK_KILLED")
    freed = framework.wait(
        lambda: [one for one in framework.offers()[seen:] if one["agent_id"] == offer["agent_id"]],
        "an offer of what the task held",
    )[0]
    merged = {"type": "LAUNCH", "launch": {"task_infos": [task(left, "all", cpus=whole["cpus"])]}}
    framework.accept([left, freed], merged)
    framework.until("all", "TASK_FINISHED")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"command": None}, "at least one (but not both) of CommandInfo or ExecutorInfo"),
        ({"resources": []}, "Task uses no resources"),
        ({"agent_id": {"value": "another"}}, "Task uses invalid agent another"),
        ({"resources": [scalar("cpus", 10000)]}, "more than available"),
        ({"task_id": {"value": "good"}}, "Task has duplicate ID: good"),
        ({"kill_policy": {"grace_period": {"nanoseconds": -1}}}, "must be non-negative"),
    ],
)
def test_a_task_that_will_not_do_fails_alone(
    framework: Framework, change: Document, words: str
) -> None:
    """TASK_ERROR for that one, from the master and without a uuid; the others are launched."""
    offer = framework.an_offer()
    bad = {k: v for k, v in {**task(offer, "bad"), **change}.items() if v is not None}
    framework.launch(offer, task(offer, "good", "sleep 1000"), bad, task(offer, "other", "true"))
    framework.until("other", "TASK_FINISHED")
    status = framework.until(bad["task_id"]["value"], "TASK_ERROR")
    assert (status["source"], status["reason"]) == ("SOURCE_MASTER", "REASON_TASK_INVALID")
    assert words in status["message"] and "uuid" not in status
    assert "TASK_RUNNING" in framework.states("good") or framework.until("good", "TASK_RUNNING")


def group(offer: Document, *tasks: Document, executor_id: str = "pod") -> Document:
    """A LAUNCH_GROUP under a default executor."""
    executor = {
        "type": "DEFAULT",
        "executor_id": {"value": executor_id},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32), scalar("disk", 1)],
    }
    return {
        "type": "LAUNCH_GROUP",
        "launch_group": {"executor": executor, "task_group": {"tasks": list(tasks)}},
    }


def test_a_bad_task_fails_its_whole_group(framework: Framework) -> None:
    """Every task of it is told, with the group's reason; the offer's rest is usable again."""
    offer = framework.an_offer()
    bad = {**task(offer, "bad"), "resources": []}
    framework.accept(offer, group(offer, task(offer, "good"), bad))
    for task_id in ("good", "bad"):
        status = framework.until(task_id, "TASK_ERROR")
        assert status["reason"] == "REASON_TASK_GROUP_INVALID"
        assert status["message"] == "Task 'bad' is invalid: Task uses no resources"


def test_a_group_whose_tasks_name_its_executor_is_launched(framework: Framework) -> None:
    """Some clients set `executor` in each task of a group; the same one is no mistake."""
    offer = framework.an_offer()
    operation = group(offer, task(offer, "a"), task(offer, "b"))
    executor = operation["launch_group"]["executor"]
    executor["framework_id"] = {"value": framework.id}
    for one in operation["launch_group"]["task_group"]["tasks"]:
        one["executor"] = executor
    framework.accept(offer, operation)
    for task_id in ("a", "b"):
        framework.until(task_id, "TASK_FINISHED")


@pytest.mark.parametrize("kind", ["LAUNCH", "LAUNCH_GROUP"])
def test_a_launch_with_an_operation_id_is_an_error_of_its_tasks(
    framework: Framework, kind: str
) -> None:
    """Feedback on launches is what the tasks' updates are: no operation status is sent."""
    offer = framework.an_offer()
    operation = group(offer, task(offer, "t"))
    if kind == "LAUNCH":
        operation = {"type": "LAUNCH", "launch": {"task_infos": [task(offer, "t")]}}
    framework.accept(offer, {**operation, "id": {"value": "asked"}})
    status = framework.until("t", "TASK_ERROR")
    grouped = kind == "LAUNCH_GROUP"
    assert status["reason"] == f"REASON_TASK_{'GROUP_' if grouped else ''}INVALID"
    assert status["message"] == f"The `id` field cannot be set on {kind} operations"
    framework.reconcile(("barrier", None))
    framework.wait(lambda: framework.statuses("barrier"), "an answer")
    assert framework.events("UPDATE_OPERATION_STATUS") == []


# Who sees what


def test_agents_with_gpus_are_hidden_from_frameworks_that_do_not_ask_for_them(
    gpu_agent: ExtraAgent, join: Any
) -> None:
    agent = gpu_agent.registered()
    assert agent is not None
    blind = join(roles=("blind",))
    blind.wait(lambda: len(blind.offers()) >= 2, "an offer of each other agent")
    seeing = join(capabilities=GPUS, roles=("seeing",))
    seeing.wait(
        lambda: [one for one in seeing.offers() if one["agent_id"]["value"] == agent["id"]],
        "an offer of the GPUs",
    )
    assert agent["id"] not in {one["agent_id"]["value"] for one in blind.offers()}


def test_remote_regions_are_hidden_from_frameworks_that_are_not_region_aware() -> None:
    """In the core, where the master has a region."""
    allocator = HierarchicalAllocator(AllocatorOptions(region="here"))
    total = resources_from_text("cpus:1;mem:512")
    allocator.add_agent(AgentId("near"), AgentSpec("near", total, region="here"), {})
    allocator.add_agent(AgentId("far"), AgentSpec("far", total, region="there"), {})
    allocator.add_framework(FrameworkId("blind"), FrameworkSpec(("*",)))
    assert {one.agent_id for one in allocator.allocate(1.0, 1)} == {"near"}
    aware = FrameworkSpec(("*",), capabilities=frozenset({Capability.REGION_AWARE}))
    allocator.add_framework(FrameworkId("aware"), aware)
    assert {one.agent_id for one in allocator.allocate(2.0, 2)} == {"far"}


# Amounts


def test_a_tenth_and_two_tenths_are_three_tenths(framework: Framework) -> None:
    """Scalars are thousandths: what two tasks take and what one gives back are equal."""
    offer = framework.an_offer()
    whole = amounts(offer["resources"])["cpus"]
    exact = {**task(offer, "sum", "sleep 1000"), "resources": []}
    exact["resources"] = [scalar("cpus", 0.1 + 0.2), scalar("mem", 32.0000001)]
    framework.launch(offer, exact, refuse_s=0)
    framework.until("sum", "TASK_RUNNING")
    rest = framework.wait(
        lambda: [one for one in framework.offers()[1:] if one["agent_id"] == offer["agent_id"]],
        "the rest",
    )[0]
    cpus = [one["scalar"]["value"] for one in rest["resources"] if one["name"] == "cpus"]
    assert cpus == [round(whole - 0.3, 3)]
    page = framework.cluster.request("GET", "/tasks?task_id=sum").json()["tasks"][0]
    assert page["resources"]["cpus"] == 0.3 and page["resources"]["mem"] == 32


# The offer itself


def test_an_offer_says_all_about_its_agent(gpu_agent: ExtraAgent, join: Any) -> None:
    """Its url says https, for our agents speak TLS only; all else is Mesos's."""
    agent = gpu_agent.registered()
    assert agent is not None
    framework = join(capabilities=GPUS)
    offer = framework.wait(
        lambda: [one for one in framework.offers() if one["agent_id"]["value"] == agent["id"]],
        "an offer of the agent",
    )[0]
    address = {"hostname": "localhost", "ip": "127.0.0.1", "port": gpu_agent.port}
    assert offer["url"] == {"scheme": "https", "address": address, "path": "/slave(1)"}
    assert offer["hostname"] == "localhost"
    assert offer["framework_id"] == {"value": framework.id}
    assert offer["allocation_info"] == {"role": "*"}
    assert offer["attributes"] == [
        {"name": "rack", "type": "TEXT", "text": {"value": "r1"}},
        {"name": "level", "type": "SCALAR", "scalar": {"value": 10.0}},
    ]
    assert json.dumps(offer).isascii() and "executor_ids" not in offer


def test_all_is_free_again_when_frameworks_have_left(cluster: RunningCluster) -> None:
    """Nothing of what earlier tests held is lost."""
    until_none_left(cluster)
