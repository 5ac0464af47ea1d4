"""Daemons are killed and come back: nothing that ran is lost, nothing is told twice as an end."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesos_twisted.testing.daemons import Daemons
from mesos_twisted.testing.processes import wait_until
from mesos_twisted.testing.scheduler_client import SchedulerClient

pytestmark = pytest.mark.system
ENDS = {"zero": "TASK_FINISHED", "seven": "TASK_FAILED", "shot": "TASK_FAILED"}
TERMINAL = {f"TASK_{end}" for end in "FINISHED FAILED KILLED LOST GONE ERROR DROPPED".split()}


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    running = Daemons.begin(
        tmp_path_factory.mktemp("recovery"), agent=("--resources=cpus:8;mem:4096",)
    )
    yield running
    running.stop()


@pytest.fixture
def framework(daemons: Daemons) -> Iterator[SchedulerClient]:
    client = SchedulerClient(daemons)
    assert client.subscribe(failover_timeout=600) == 200
    yield client
    assert client.post("TEARDOWN").status == 202
    client.close()


def waiting(go: Path, rest: str) -> str:
    """A script that says its pid is there, then waits for `go` before the rest."""
    return f"while ! test -e {go}; do sleep 0.1; done; {rest}"


def acknowledge_all(client: SchedulerClient, start: int = 0) -> None:
    for status in client.statuses(start):
        if "uuid" in status:
            client.acknowledge(status)


def states(client: SchedulerClient, start: int = 0) -> dict[str, list[str]]:
    """Task id to the states told, in order, without repetitions of one uuid."""
    found: dict[str, list[str]] = {}
    uuids = set()
    for status in client.statuses(start):
        if status.get("uuid", id(status)) not in uuids:
            uuids.add(status.get("uuid", id(status)))
            found.setdefault(status["task_id"]["value"], []).append(status["state"])
    return found


def launch_fifty(client: SchedulerClient, go: Path, prefix: str) -> list[str]:
    """Fifty running tasks of five kinds, all acknowledged as running."""
    scripts = {}
    rests = {
        "zero": "exit 0",
        "seven": "exit 7",
        "shot": "kill -KILL $$",
        "stays": "sleep 1000",
        "other": "sleep 1001",
    }
    for number in range(10):
        for kind, rest in rests.items():
            scripts[f"{prefix}-{kind}-{number}"] = waiting(go, rest)
    client.launch(client.offer(), scripts)

    def all_run() -> bool:
        return (
            sum(
                s == ["TASK_STARTING", "TASK_RUNNING"] or "TASK_RUNNING" in s
                for s in states(client).values()
            )
            == 50
        )

    seen = 0

    def acknowledged() -> bool:
        nonlocal seen
        now = len(client.events)
        acknowledge_all(client, seen)
        seen = now
        return all_run()

    wait_until(acknowledged, "fifty tasks run", 60)
    acknowledge_all(client, seen)
    return list(scripts)


@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGTERM])
def test_an_agent_comes_back_with_every_task(
    daemons: Daemons, framework: SchedulerClient, tmp_path: Path, signo: signal.Signals
) -> None:
    go = tmp_path / "go"
    prefix = signo.name.lower()
    tasks = launch_fifty(framework, go, prefix)
    agent_id = daemons.request("GET", "/slaves").json()["slaves"][0]["id"]
    start = len(framework.events)
    status = daemons.end("agent-1", signo)
    assert status == (0 if signo is signal.SIGTERM else -signo)
    # Thirty tasks end while nobody supervises them.
    go.touch()
    meta = daemons.root / "work" / "agent-1"
    wait_until(lambda: len(sleepers(meta)) <= 20, "thirty tasks have ended", 30)
    daemons.bring_up("agent-1")

    def told() -> dict[str, list[str]] | None:
        found = states(framework, start)
        ended = [t for t in tasks if any(s in TERMINAL for s in found.get(t, ()))]
        return found if len(ended) >= 30 else None

    found: dict[str, list[str]] = wait_until(told, "thirty ends are told", 60)
    for task in tasks:
        kind = task.split("-")[1]
        expected = ENDS.get(kind)
        ends = [state for state in found.get(task, ()) if state in TERMINAL]
        assert ends == ([expected] if expected else []), (task, found.get(task))
    # What was not acknowledged comes again, with the same uuid.
    first = next(s for s in framework.statuses(start) if s["state"] in TERMINAL)
    wait_until(
        lambda: sum(s.get("uuid") == first["uuid"] for s in framework.statuses(start)) >= 2,
        "an unacknowledged update comes again",
        40,
    )
    acknowledge_all(framework, start)
    # The others still run under the same agent id, and can be killed.
    agents = daemons.request("GET", "/slaves").json()["slaves"]
    assert [a["id"] for a in agents if a["active"]] == [agent_id]
    start = len(framework.events)
    framework.post("RECONCILE", reconcile={"tasks": []})
    wait_until(lambda: len(states(framework, start)) >= 20, "live tasks are reconciled")
    assert {s for found in states(framework, start).values() for s in found} <= {
        "TASK_RUNNING"
    } | TERMINAL
    for task in tasks:
        if task.split("-")[1] == "stays":
            framework.post("KILL", kill={"task_id": {"value": task}})

    def killed() -> bool:
        found = states(framework, start)
        return sum(found.get(t, [""])[-1] == "TASK_KILLED" for t in tasks) == 10

    wait_until(killed, "ten tasks are killed", 30)
    acknowledge_all(framework, start)


def sleepers(meta: Path) -> list[int]:
    """Shells of tasks whose sandbox is below this work directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink().is_relative_to(meta) and (
                    entry / "cmdline"
                ).read_bytes().startswith((b"sh\0", b"/bin/sh\0")):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_a_master_comes_back_and_agents_and_frameworks_with_it(
    daemons: Daemons, framework: SchedulerClient, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    tasks = launch_fifty(framework, go, "master")
    agent_id = daemons.request("GET", "/slaves").json()["slaves"][0]["id"]
    assert daemons.end("master", signal.SIGKILL) == -signal.SIGKILL
    assert framework.closed.wait(20)
    go.touch()
    start = len(framework.events)
    daemons.bring_up("master")
    framework_id = framework.framework_id
    assert framework.subscribe(failover_timeout=600) == 200
    assert framework.framework_id == framework_id
    daemons.registered(1)
    agents: list[dict[str, Any]] = daemons.request("GET", "/slaves").json()["slaves"]
    assert [a["id"] for a in agents if a["active"]] == [agent_id]
    seen = start

    def told() -> bool:
        nonlocal seen
        now = len(framework.events)
        acknowledge_all(framework, seen)
        seen = now
        found = states(framework, start)
        return sum(any(s in TERMINAL for s in found.get(t, ())) for t in tasks) >= 30

    wait_until(told, "thirty ends are told", 60)
    # Give repeats the time to come that an acknowledged update must not use.
    threading.Event().wait(1.0)
    found = states(framework, start)
    for task in tasks:
        expected = ENDS.get(task.split("-")[1])
        ends = [state for state in found.get(task, ()) if state in TERMINAL]
        assert ends == ([expected] if expected else []), (task, found.get(task))
    live = [
        t["id"]
        for t in daemons.request("GET", f"/tasks?limit=1000&framework_id={framework_id}").json()[
            "tasks"
        ]
        if t["state"] == "TASK_RUNNING"
    ]
    assert sorted(live) == sorted(t for t in tasks if t.split("-")[1] in ("stays", "other"))
    assert os.path.exists(daemons.root / "work" / "master" / "registry.sqlite")
