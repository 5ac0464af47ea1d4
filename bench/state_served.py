"""/state over TLS from a master of 10,000 emulated agents with ten tasks each, and their return.

Pauses are the delays of /health asked every few milliseconds meanwhile; the client that reads the
page, the probe and the agents share the two cores with the master.
"""

from __future__ import annotations

import time

from bench import processes
from bench.cluster import BenchCluster
from bench.report import Report, percentile
from bench.swarm import Pulse, SwarmProcess

AGENTS, TASKS = 10_000, 10


def run(report: Report) -> None:
    """Return, read cold, read warm, change 1 %, read."""
    with BenchCluster(agents=0) as cluster:
        master = cluster.pid("master")
        memory, cpu = processes.rss_bytes(master), processes.cpu(master)
        with SwarmProcess(cluster, AGENTS, TASKS) as swarm:
            took = swarm.registered(180)
            used = processes.cpu(master).since(cpu).own
            grown = (processes.rss_bytes(master) - memory) / AGENTS / 1000
            note = f"{took:.0f} s wall with the agents on the same cores"
            what = f"{AGENTS:,} agents x {TASKS} tasks return, cold TLS"
            report.add(what, used, "s CPU", at_most=12, note=note)
            report.add("memory per agent with 10 tasks", grown, "kB RSS", at_most=35)
            time.sleep(3.0)  # what the returns left to do is not the page's
            quiet = _quiet(cluster)
            report.add("/health meanwhile nothing, p99", quiet * 1000, "ms")
            _read(report, cluster, "/state, nothing rendered", None)
            _read(report, cluster, "/state, all rendered", None)
            swarm.update(AGENTS * TASKS // 100)
            time.sleep(2.0)  # the updates themselves are not the page's
            _read(report, cluster, "/state, 1 % changed", 300)
            resident = processes.rss_bytes(master) / 1e6
            report.add("master resident, pages rendered", resident, "MB")


def _quiet(cluster: BenchCluster) -> float:
    with Pulse(cluster) as pulse:
        time.sleep(3.0)  # the time that is measured
    return percentile(pulse.delays, 0.99)


def _read(report: Report, cluster: BenchCluster, what: str, limit_ms: float | None) -> None:
    master = cluster.pid("master")
    with cluster.client() as client, Pulse(cluster) as pulse:
        cpu, began = processes.cpu(master), time.monotonic()
        answer = client.request("GET", "/state", keep=False)
        took = time.monotonic() - began
        used = processes.cpu(master).since(cpu).own
    if answer.status != 200:
        raise RuntimeError(f"/state answered {answer.status}")
    size = int(answer.headers["x-size"]) / 1e6
    note = f"{size:.1f} MB in {took:.1f} s; the probe's {len(pulse.delays)} requests included"
    report.add(what, used * 1000, "ms CPU", at_most=limit_ms, note=note)
    pause = max(pulse.delays) * 1000
    report.add(f"{what}: longest /health", pause, "ms", at_most=20 if limit_ms else None)
    report.add(f"{what}: /health p99", percentile(pulse.delays, 0.99) * 1000, "ms")
