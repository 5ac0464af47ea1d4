"""An agent that may not start says why and touches nothing; every state has a way out."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesos_twisted.testing.daemons import Daemons
from mesos_twisted.testing.processes import wait_until
from mesos_twisted.testing.scheduler_client import SchedulerClient

pytestmark = pytest.mark.system
AGENT = "agent-1"
ENDS = {"TASK_LOST", "TASK_GONE", "TASK_DROPPED", "TASK_FAILED", "TASK_KILLED"}


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    running = Daemons.begin(
        tmp_path_factory.mktemp("ways-out"), agent=("--resources=cpus:2;mem:512",)
    )
    yield running
    running.stop()
    for letter in "abcde":
        for pid in alive(running, letter):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def framework(daemons: Daemons) -> Iterator[SchedulerClient]:
    client = SchedulerClient(daemons)
    assert client.subscribe(failover_timeout=600) == 200
    yield client
    assert client.post("TEARDOWN").status == 202
    client.close()


def run(client: SchedulerClient, *names: str) -> None:
    """Tasks that run for long, acknowledged as running."""
    client.launch(client.offer(), {name: f"exec sleep 98{ord(name[-1])}" for name in names})
    for name in names:
        client.acknowledge(client.running(name))


def alive(daemons: Daemons, name: str) -> list[int]:
    """The processes of a task of `run`."""
    mark = b"sleep\x0098%d\x00" % ord(name[-1])
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == mark:
                if (entry / "cwd").readlink().is_relative_to(daemons.root):
                    found.append(int(entry.name))
        except OSError:
            continue
    return found


def kill_agent(daemons: Daemons) -> None:
    assert daemons.end(AGENT, signal.SIGKILL) == -signal.SIGKILL


def flags(daemons: Daemons, *more: str) -> list[str]:
    """The agent's command line with these flags in place of what it has of the same names."""
    names = tuple(one.partition("=")[0] + "=" for one in more)
    return [one for one in daemons.flags[AGENT] if not one.startswith(names)] + list(more)


def refused(daemons: Daemons, *more: str) -> str:
    """What an agent with these flags as well says when it does not start."""
    done = subprocess.run(flags(daemons, *more), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done
    return done.stdout + done.stderr


def agent_ids(daemons: Daemons) -> list[str]:
    agents: list[dict[str, Any]] = daemons.request("GET", "/slaves").json()["slaves"]
    return [agent["id"] for agent in agents if agent["active"]]


def end_of(client: SchedulerClient, name: str) -> str:
    """The terminal state that was told; what comes before it is acknowledged."""

    def found() -> str | None:
        for status in client.statuses():
            if status["task_id"]["value"] == name:
                if status["state"] in ENDS:
                    return str(status["state"])
                if "uuid" in status:
                    client.acknowledge(status)
        return None

    state: str = wait_until(found, f"{name} is told to have ended", 30)
    return state


def database(daemons: Daemons) -> Path:
    return daemons.root / "work" / AGENT / "meta" / "checkpoints.db"


def test_other_resources_and_the_way_to_have_them(
    daemons: Daemons, framework: SchedulerClient
) -> None:
    """Refused, and the task runs on; allowed to grow; or all ends and a new agent comes."""
    run(framework, "task-a")
    [before] = agent_ids(daemons)
    kill_agent(daemons)
    said = refused(daemons, "--resources=cpus:1;mem:512", "--attributes=rack:r2")
    assert "the resource cpus was cpus:2 and is cpus:1" in said
    assert "the attribute rack was not set and is r2" in said
    assert "start it once with --recover=cleanup" in said
    assert len(alive(daemons, "task-a")) == 1
    # More is the same agent, where that is allowed.
    grown = ("--resources=cpus:3;mem:512", "--reconfiguration_policy=additive")
    daemons.flags[AGENT] = flags(daemons, *grown)
    daemons.bring_up(AGENT)
    daemons.registered(1)
    assert agent_ids(daemons) == [before]
    slaves = daemons.request("GET", "/slaves").json()["slaves"]
    assert [one["resources"]["cpus"] for one in slaves] == [3.0]
    kill_agent(daemons)
    # Less is a new agent, once the old one has ended.
    daemons.flags[AGENT] = flags(daemons, "--resources=cpus:1;mem:512")
    assert "the resource cpus was cpus:3 and is cpus:1" in refused(daemons)
    done = subprocess.run([*daemons.flags[AGENT], "--recover=cleanup"], timeout=60)
    assert done.returncode == 0
    assert alive(daemons, "task-a") == []
    daemons.bring_up(AGENT)
    wait_until(lambda: agent_ids(daemons) not in ([], [before]), "a new agent is registered")
    assert end_of(framework, "task-a") == "TASK_LOST"


@pytest.mark.parametrize("damage", ["empty", "garbage"])
def test_a_lost_database_stops_a_strict_agent_and_not_a_lenient_one(
    daemons: Daemons, framework: SchedulerClient, damage: str
) -> None:
    """The lenient one keeps its id, and each task that it cannot know is told to have ended."""
    name = f"task-{damage}-{'b' if damage == 'empty' else 'c'}"
    run(framework, name)
    before = agent_ids(daemons)
    kill_agent(daemons)
    database(daemons).write_bytes(b"" if damage == "empty" else b"?" * 9999)
    database(daemons).with_name("checkpoints.db-wal").unlink(missing_ok=True)
    said = refused(daemons)
    assert "cannot be used" in said and "--no-strict" in said
    assert len(alive(daemons, name)) == 1
    daemons.flags[AGENT].append("--no-strict")
    daemons.bring_up(AGENT)
    assert end_of(framework, name) == "TASK_DROPPED"
    assert agent_ids(daemons) == before and alive(daemons, name) == []
    daemons.flags[AGENT].remove("--no-strict")


def test_a_damaged_row_stops_a_strict_agent_and_costs_a_lenient_one_that_row(
    daemons: Daemons, framework: SchedulerClient
) -> None:
    """The other task runs on under the same agent; the error is counted once."""
    run(framework, "task-d", "task-e")
    before = agent_ids(daemons)
    kill_agent(daemons)
    with sqlite3.connect(database(daemons)) as rows:
        cut = "UPDATE rows SET value = substr(value, 1, 40) WHERE key LIKE 'task/%/task-d'"
        assert rows.execute(cut).rowcount == 1
    rows.close()
    said = refused(daemons)
    assert "task-d cannot be read" in said and "--no-strict" in said
    assert len(alive(daemons, "task-d")) == len(alive(daemons, "task-e")) == 1
    daemons.flags[AGENT].append("--no-strict")
    daemons.bring_up(AGENT)
    assert end_of(framework, "task-d") == "TASK_DROPPED"
    assert agent_ids(daemons) == before
    assert alive(daemons, "task-d") == [] and len(alive(daemons, "task-e")) == 1
    [url] = daemons.agent_urls()
    metrics = daemons.request("GET", "/metrics/snapshot", base=url).json()
    assert metrics["slave/recovery_errors"] == 1
    daemons.flags[AGENT].remove("--no-strict")
    kill_agent(daemons)
    daemons.bring_up(AGENT)
    daemons.registered(1)
    assert len(alive(daemons, "task-e")) == 1
