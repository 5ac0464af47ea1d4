"""1,000 and 10,000 emulated agents on one master: registering, being pinged, and in the way.

The agents' process shares the two cores, so wall times are the machine's; CPU is the master's own.
"""

from __future__ import annotations

import subprocess
import sys
import time

from twisted.internet.threads import deferToThread

from bench import processes
from bench.cluster import BenchCluster
from bench.report import Report, percentile
from bench.scheduler import Launcher, connect, drive, pause
from bench.swarm import SwarmProcess

SIZES = (1_000, 10_000)
#: As long as one ping to each agent takes to come round.
WATCH_S = 15.0
PROBES, CROWD = 15, 200


def run(report: Report) -> None:
    """Each size with a master of its own; the probe runs on the smaller one."""
    for count in SIZES:
        with BenchCluster(agents=0) as cluster:
            _fill(report, cluster, count)


def _fill(report: Report, cluster: BenchCluster, count: int) -> None:
    master = cluster.pid("master")
    memory, cpu = processes.rss_bytes(master), processes.cpu(master)
    with SwarmProcess(cluster, count) as swarm:
        took = swarm.registered()
        used = processes.cpu(master).since(cpu).own
        large = count >= 10_000
        what = f"{count:,} agents"
        note = "client and handshakes on the same cores"
        report.add(f"{what}: registrations", count / took, "agents/s", note=note)
        report.add(f"{what}: master CPU per registration", used / count * 1e6, "us")
        grown = (processes.rss_bytes(master) - memory) / count / 1000
        limit = 35 if large else None
        report.add(f"{what}: memory each", grown, "kB RSS", at_most=limit)
        time.sleep(2.0)  # the last registrations' work is not the pings'
        cpu = processes.cpu(master)
        time.sleep(WATCH_S)  # the quiet time that is measured
        used = processes.cpu(master).since(cpu).own
        limit = 8 if large else None
        report.add(f"{what}: pings", used / WATCH_S * 100, "% of a core", at_most=limit)
        report.add(f"{what}: CPU per agent and ping", used / count * 1e6, "us")
        if not large:
            drive(lambda: _probe(report, cluster, what), 60)


async def _probe(report: Report, cluster: BenchCluster, what: str) -> None:
    alone = await _delays(cluster)
    layout = cluster.layout
    crowd = subprocess.Popen(
        [sys.executable, "-m", "bench.crowd", cluster.master, str(layout.certs), str(CROWD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert crowd.stdout is not None and crowd.stdin is not None
    try:
        await deferToThread(crowd.stdout.readline)
        await pause(3.0)
        master = cluster.pid("master")
        cpu, began = processes.cpu(master), time.monotonic()
        crowded = await _delays(cluster)
        used = processes.cpu(master).since(cpu).own / (time.monotonic() - began)
    finally:
        crowd.stdin.close()
        crowd.wait(20)
    ms = 1000.0
    note = "REVIVE to RUNNING"
    report.add(f"{what}: probe alone, p50", percentile(alone, 0.5) * ms, "ms", note=note)
    report.add(f"{what}: probe among {CROWD} declining", percentile(crowded, 0.5) * ms, "ms p50")
    report.add(f"{what}: the same, worst", max(crowded) * ms, "ms")
    report.add(f"{what}: master, {CROWD} declining", used * 100, "% of a core")


async def _delays(cluster: BenchCluster) -> list[float]:
    """Seconds from asking for offers to TASK_RUNNING, several times, a second apart."""
    found = []
    launcher = Launcher()
    driver = launcher.driver = connect(cluster, launcher, "probe")
    await launcher.begin("sleep 600", 1, 1, "running")
    for _ in range(PROBES):
        await driver.suppress()
        if launcher.offered:
            await driver.decline(list(launcher.offered.values()), 0.0)
            launcher.offered.clear()
        await pause(0.6)
        began = time.monotonic()
        ready = launcher.begin("sleep 600", 1, 1, "running")
        await driver.revive()
        await ready
        found.append(time.monotonic() - began)
    await driver.stop(teardown=True)
    return found
