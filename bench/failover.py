"""1,000 agents with tasks are registered again after kill -9 of the leader, found by ZooKeeper.

Three masters, three ZooKeeper servers, all over mutual TLS but ZooKeeper. The time runs from the
signal: it has the end of the leader's session in it (6 s, `--zk_session_timeout`), the election,
the next leader's reading of the registry, and the agents' handshakes. Wall time, on shared cores.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench import processes
from bench.report import Report
from mesos_twisted.testing.failover import Failover

AGENTS, TASKS, SHARE = 1_000, 10, 0.95


def run(report: Report) -> None:
    """The leader is killed."""
    with tempfile.TemporaryDirectory() as directory:
        cluster = Failover.assemble(Path(directory), masters=3, servers=3, agents=1)
        crowd = None
        try:
            command = [sys.executable, "-m", "bench.following", f"--master={cluster.zk}"]
            command += [f"--certs={directory}/certs", f"--count={AGENTS}", f"--tasks={TASKS}"]
            crowd = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            said: queue.Queue[dict[str, Any]] = queue.Queue()
            threading.Thread(target=_read, args=(crowd, said), daemon=True).start()
            _until(said, AGENTS, 0)
            _follow(report, cluster, said)
        finally:
            if crowd is not None:
                crowd.communicate(b"", 30)
            cluster.stop()


def _follow(report: Report, cluster: Failover, said: queue.Queue[dict[str, Any]]) -> None:
    leader = cluster.leader()
    standbys = {name: cluster.running[name].pid for name in cluster.masters() if name != leader}
    before = {name: processes.cpu(pid).own for name, pid in standbys.items()}
    began = time.time()
    cluster.end(leader, signal.SIGKILL)
    port = cluster.ports[leader]
    known = _until(said, 0, port) - began
    most = _until(said, int(AGENTS * SHARE), port) - began
    used = max(processes.cpu(pid).own - before[name] for name, pid in standbys.items())
    report.add("agents know the next leader after", known, "s", note="from kill -9")
    note = "from kill -9, on shared cores"
    report.add(f"95 % of {AGENTS:,} registered after", most, "s", at_most=10.0, note=note)
    report.add("the next leader's CPU", used, "s CPU")


def _read(crowd: subprocess.Popen[bytes], said: queue.Queue[dict[str, Any]]) -> None:
    assert crowd.stdout is not None
    for line in crowd.stdout:
        said.put(json.loads(line))


def _until(said: queue.Queue[dict[str, Any]], count: int, before: int) -> float:
    """When so many were registered with a leader that has another port than the one `before`."""
    while True:
        line = said.get(timeout=120)
        if line["registered"] >= count and line["leader"] not in (0, before):
            return float(line["at"])
