"""Short tasks a second on one agent, what each costs every process, and 100 that stay."""

from __future__ import annotations

import os
import time

from bench import processes
from bench.cluster import BenchCluster
from bench.report import Report
from bench.scheduler import Launcher, connect, drive, pause

TASKS, STAYING = 3000, 100
LIMIT_S = 60


def run(report: Report) -> None:
    """`true` 3,000 times with 50 in flight, 500 times with 10, then `sleep 600` a hundred times."""
    with BenchCluster(agents=1) as cluster:
        launcher = Launcher()

        async def work() -> None:
            launcher.driver = connect(cluster, launcher, "throughput")
            await launcher.begin("true", 100, 50)
            await _short(report, cluster, launcher, 50, TASKS)
            await _short(report, cluster, launcher, 10, 500)
            await pause(1.0)
            await _staying(report, cluster, launcher)
            report.add("failed tasks", launcher.failed, at_most=0)
            await launcher.driver.stop(teardown=True)

        drive(work, LIMIT_S)


async def _short(
    report: Report, cluster: BenchCluster, launcher: Launcher, window: int, tasks: int
) -> None:
    pids = {n: cluster.pid(n) for n in ("master", "agent-1")}
    pids |= {"launcher": cluster.launcher(), "scheduler": os.getpid()}
    before = {name: processes.cpu(pid) for name, pid in pids.items()}
    began = time.monotonic()
    await launcher.begin("true", tasks, window)
    took = time.monotonic() - began
    target = 300 if window == 50 else None
    note = f"{tasks / launcher.accepts:.1f} tasks per ACCEPT"
    name = f"short tasks, {window} in flight"
    report.add(name, tasks / took, "tasks/s", at_least=target, note=note)
    if window != 50:
        return
    for name, pid in pids.items():
        used = processes.cpu(pid).since(before[name])
        limit = 300 if name == "master" else None
        report.add(f"{name} CPU per task", used.own / tasks * 1e6, "us", at_most=limit)
        if name == "launcher":
            each = used.children / tasks * 1e6
            report.add("the tasks' own CPU (sh, true)", each, "us")


async def _staying(report: Report, cluster: BenchCluster, launcher: Launcher) -> None:
    """Memory is what agent and launcher grow by, not the tasks' own."""
    pids = {"agent-1": cluster.pid("agent-1"), "launcher": cluster.launcher()}
    before = {name: processes.pss_bytes(pid) for name, pid in pids.items()}
    began = time.monotonic()
    await launcher.begin("sleep 600", STAYING, STAYING, "running")
    took = time.monotonic() - began
    report.add(f"{STAYING} x `sleep 600`, all running after", took, "s", at_most=0.5)
    await pause(1.0)
    grown = sum(processes.pss_bytes(pid) - before[name] for name, pid in pids.items())
    each = grown / STAYING / 1000
    report.add("memory per running task beyond its own", each, "kB PSS", at_most=100)
