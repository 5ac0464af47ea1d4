"""How long a launch takes on an idle cluster: ACCEPT sent to TASK_RUNNING and to the end."""

from __future__ import annotations

from bench import processes
from bench.cluster import BenchCluster
from bench.report import Report, percentile
from bench.scheduler import Launcher, connect, drive

TASKS, WARM_UP = 300, 20


def run(report: Report) -> None:
    """Launch `true` 300 times, the next when the last has ended."""
    with BenchCluster(agents=1) as cluster:
        launcher = Launcher()

        async def work() -> None:
            launcher.driver = connect(cluster, launcher, "launch")
            await launcher.begin("true", WARM_UP, 1)
            before = {n: processes.cpu(cluster.pid(n)) for n in ("master", "agent-1")}
            await launcher.begin("true", TASKS, 1)
            running = [launcher.running_at[n] - at for n, at in launcher.sent_at.items()]
            ended = [launcher.ended_at[n] - at for n, at in launcher.sent_at.items()]
            ms = 1000.0
            tell = report.add
            tell("launch to RUNNING, p50", percentile(running, 0.5) * ms, "ms", at_most=10)
            tell("launch to RUNNING, p99", percentile(running, 0.99) * ms, "ms", at_most=50)
            tell("launch to terminal, p50", percentile(ended, 0.5) * ms, "ms", at_most=20)
            tell("launch to terminal, p99", percentile(ended, 0.99) * ms, "ms", at_most=80)
            for name, cpu in before.items():
                used = processes.cpu(cluster.pid(name)).since(cpu).own
                tell(f"{name} CPU per task, one in flight", used / TASKS * 1e6, "us")
            tell("failed tasks", launcher.failed, at_most=0)
            await launcher.driver.stop(teardown=True)

        drive(work, 60)
