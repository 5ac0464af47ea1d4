"""10,000 agents come back with ten running tasks each: on new links, and on links that are open.

Cold is what a failover costs when no agent is connected to the new master. Warm is the same without
connecting: each agent's link is open and has said nothing yet. The state they leave is equal.
"""

from __future__ import annotations

from bench import processes
from bench.cluster import BenchCluster
from bench.report import Report
from bench.swarm import SwarmProcess

AGENTS, TASKS = 10_000, 10


def run(report: Report) -> None:
    """Each on a master of its own."""
    cold, warm = _return(report, False), _return(report, True)
    what = f"{AGENTS:,} agents x {TASKS} tasks return"
    report.add(f"{what}, cold TLS", cold, "s CPU", at_most=12)
    report.add(f"{what}, on open links", warm, "s CPU", at_most=4)
    report.add("open links over new ones", warm / cold)


def _return(report: Report, warm: bool) -> float:
    """Seconds of the master's CPU."""
    with BenchCluster(agents=0) as cluster:
        master = cluster.pid("master")
        empty, cpu = processes.rss_bytes(master), processes.cpu(master)
        with SwarmProcess(cluster, AGENTS, TASKS, hold=warm) as swarm:
            if warm:
                swarm.held()
                grown = (processes.rss_bytes(master) - empty) / AGENTS / 1000
                report.add("memory of an open link alone", grown, "kB RSS")
                used = processes.cpu(master).since(cpu).own / AGENTS
                report.add("a new link alone", used * 1e6, "us CPU")
                cpu = processes.cpu(master)
                swarm.go()
            took = swarm.registered(180)
            used = processes.cpu(master).since(cpu).own
            report.add(f"{'open' if warm else 'new'} links: all back after", took, "s")
            if not warm:
                grown = (processes.rss_bytes(master) - empty) / AGENTS / 1000
                report.add("memory per agent with 10 tasks", grown, "kB RSS", at_most=35)
            return used
