"""What an idle master and an idle agent cost: memory, and CPU over ten quiet seconds."""

from __future__ import annotations

import time

from bench import processes
from bench.cluster import BenchCluster
from bench.report import Report

SETTLE_S, WATCH_S = 10.0, 10.0


def run(report: Report) -> None:
    """Look after 20 seconds."""
    with BenchCluster(agents=1) as cluster:
        time.sleep(SETTLE_S)  # the daemons' start is not what is measured
        names = ("master", "agent-1")
        before = {name: processes.cpu(cluster.pid(name)) for name in names}
        time.sleep(WATCH_S)  # the quiet time that is measured
        for name in names:
            pid = cluster.pid(name)
            used = processes.cpu(pid).since(before[name])
            report.add(f"{name} resident", processes.rss_bytes(pid) / 1e6, "MB", at_most=75)
            report.add(f"{name} PSS", processes.pss_bytes(pid) / 1e6, "MB")
            report.add(f"{name} CPU", used.own / WATCH_S * 100, "% of a core")
        launcher = cluster.launcher()
        report.add("launcher resident", processes.rss_bytes(launcher) / 1e6, "MB")
