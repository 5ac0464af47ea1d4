"""An agent with the history of thousands of executors comes back in seconds, in little memory."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_twisted.agent.core import paths, rows
from mesos_twisted.agent.core.effects import Checkpoint
from mesos_twisted.agent.core.state import CompletedExecutor, ExecutorKind, Framework
from mesos_twisted.agent.net.checkpoint import CheckpointStore
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ContainerId, ExecutorId, FrameworkId
from mesos_twisted.testing.daemons import Daemons
from mesos_twisted.testing.processes import wait_until

pytestmark = pytest.mark.system
AGENT = "agent-1"
EXECUTORS, FRAMEWORKS, TASKS = 5000, 25, 10
LIMIT_KB = 512 << 10
CPU_S = 30.0


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    running = Daemons.begin(tmp_path, agent=("--resources=cpus:2;mem:512",))
    yield running
    running.stop()


def status(task_id: str, state: m.TaskState, number: int) -> m.TaskStatus:
    return m.TaskStatus(
        task_id=m.TaskID(value=task_id),
        state=state,
        message="Command exited with status 0",
        source=m.TaskStatusSource.SOURCE_EXECUTOR,
        timestamp=1.7e9 + number,
        uuid=number.to_bytes(16, "big"),
    )


def ended(agent_id: AgentId, number: int) -> Checkpoint:
    """The row of one executor that is over, with its tasks."""
    framework_id = FrameworkId(f"framework-{number % FRAMEWORKS:04d}")
    info = m.FrameworkInfo(
        user="root", name="history", id=m.FrameworkID(value=framework_id), checkpoint=True
    )
    executor_id, run = ExecutorId(f"executor-{number}"), ContainerId(f"run-{number}")
    labels = m.Labels(labels=tuple(m.Label(key=f"key-{n}", value=f"value-{n}") for n in range(5)))
    amounts = tuple(
        m.Resource(name=name, type=m.ValueType.SCALAR, scalar=m.ValueScalar(value=1.0))
        for name in ("cpus", "mem", "disk")
    )
    states = (m.TaskState.TASK_STARTING, m.TaskState.TASK_RUNNING, m.TaskState.TASK_FINISHED)
    tasks = tuple(
        m.Task(
            name="task",
            task_id=m.TaskID(value=f"task-{number}-{n}"),
            framework_id=info.id,
            agent_id=m.AgentID(value=agent_id),
            executor_id=m.ExecutorID(value=executor_id),
            state=states[-1],
            resources=amounts,
            statuses=tuple(status(f"task-{number}-{n}", state, number) for state in states),
            labels=labels,
        )
        for n in range(TASKS)
    )
    completed = CompletedExecutor(
        id=executor_id,
        container_id=run,
        info=m.ExecutorInfo(executor_id=m.ExecutorID(value=executor_id), name="executor"),
        kind=ExecutorKind.CUSTOM,
        directory=paths.run_directory(agent_id, framework_id, executor_id, run),
        tasks=tasks,
    )
    return rows.done(Framework(framework_id, info), completed, time.time())


def peak_kb(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_five_thousand_ended_executors_are_recovered_in_little_memory(daemons: Daemons) -> None:
    """With ten tasks each: the peak stays below 512 MiB, and the history is shown."""
    [agent] = daemons.request("GET", "/slaves").json()["slaves"]
    daemons.end(AGENT, signal.SIGTERM)
    store = CheckpointStore(str(daemons.root / "work" / AGENT / "meta"))
    for first in range(0, EXECUTORS, 500):
        store.write([ended(AgentId(agent["id"]), first + n) for n in range(500)])
    size = sum(map(len, store.rows().values()))
    store.close()
    daemons.bring_up(AGENT)
    pid = daemons.running[AGENT].pid
    daemons.registered(1)
    [url] = daemons.agent_urls()
    metrics = wait_until(
        lambda: daemons.request("GET", "/metrics/snapshot", base=url).json(), "the agent answers"
    )
    peak, used = peak_kb(pid), cpu_s(pid)
    took = metrics["slave/recovery_time_secs"]
    print(f"{size / 1e6:.1f} MB of rows, {took:.2f} s, {used:.2f} s of CPU, {peak / 1024:.0f} MiB")
    assert metrics["slave/recovery_errors"] == 0
    assert metrics["gc/path_removals_pending"] >= EXECUTORS
    state = daemons.request("GET", "/state", base=url).json()
    assert state["id"] == agent["id"] and len(state["completed_frameworks"]) == FRAMEWORKS
    for framework in state["completed_frameworks"]:
        assert len(framework["completed_executors"]) == 150
        assert all(len(one["completed_tasks"]) == TASKS for one in framework["completed_executors"])
    assert peak < LIMIT_KB, f"{peak} kB"
    assert used < CPU_S
