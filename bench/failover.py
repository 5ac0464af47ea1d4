"""1,000 agents with tasks are registered again after the end of the leader, found by ZooKeeper.

Three masters, three ZooKeeper servers, all over mutual TLS but ZooKeeper. The leader is killed
(-9), the next one is stopped (SIGTERM), both with an idle link from each agent to each standby;
then one is killed while agents keep none (`--standby_links=false`), which is the cold start to
compare with. Times run from the signal: after kill -9 the end of the leader's session is in them
(6 s, `--zk_session_timeout`), then the election, the next leader's reading of the registry, and the
agents' return. Wall time on shared cores, but for the CPU.
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
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from bench import processes
from bench.report import Report
from mesos_twisted.testing.failover import Failover
from mesos_twisted.testing.processes import wait_until

AGENTS, TASKS, SHARE = 1_000, 10, 0.95
SESSION_S, LIMIT_S = 6.0, 240.0
LEADS = "This master leads"


def run(report: Report) -> None:
    """Three ends of a leader."""
    with tempfile.TemporaryDirectory() as directory:
        cluster = Failover.assemble(Path(directory), masters=3, servers=3, agents=1)
        try:
            standby = next(name for name in cluster.masters() if name != cluster.leader())
            pid = cluster.running[standby].pid
            empty, used = processes.rss_bytes(pid), processes.cpu(pid).own
            with Following(cluster, warm=True) as crowd:
                crowd.until(AGENTS, None, AGENTS * 2)
                grown = (processes.rss_bytes(pid) - empty) / AGENTS / 1000
                report.add("memory of an idle link at a standby", grown, "kB RSS", at_most=35)
                used = (processes.cpu(pid).own - used) / AGENTS * 1e6
                report.add("an idle link made, the standby's CPU", used, "us CPU")
                killed = _end(report, cluster, crowd, signal.SIGKILL, "kill -9", SESSION_S + 2, 10)
                crowd.until(AGENTS, None, AGENTS * 2)
                _end(report, cluster, crowd, signal.SIGTERM, "SIGTERM", 2.0, None)
            with Following(cluster, warm=False) as crowd:
                crowd.until(AGENTS, None, 0)
                cold = _end(report, cluster, crowd, signal.SIGKILL, "kill -9, cold", None, None)
            report.add("next leader's CPU, open links over new ones", killed / cold)
        finally:
            cluster.stop()


class Following:
    """The agents' process."""

    def __init__(self, cluster: Failover, warm: bool) -> None:
        command = [sys.executable, "-m", "bench.following", f"--master={cluster.zk}"]
        command += [f"--certs={cluster.root}/certs", f"--count={AGENTS}", f"--tasks={TASKS}"]
        if not warm:
            command.append("--no-standby_links")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Following:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(b"", 30)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # The last may be cut short when the process ends.
            if line.endswith(b"}\n"):
                self._said.put(json.loads(line))

    def until(self, count: int, before: int | None, idle: int) -> float:
        """When so many were registered with a leader that has another port than `before`, and had
        so many idle links; seconds since the epoch.
        """
        while True:
            line = self._said.get(timeout=LIMIT_S)
            if line["registered"] >= count and line["idle"] >= idle:
                if line["leader"] not in (0, before):
                    return float(line["at"])


def _end(
    report: Report,
    cluster: Failover,
    crowd: Following,
    signo: signal.Signals,
    what: str,
    serves_s: float | None,
    returned_s: float | None,
) -> float:
    """The leader ends; its machine comes back afterwards. The next leader's CPU seconds."""
    leader = cluster.leader()
    standbys = {name: cluster.running[name].pid for name in cluster.masters() if name != leader}
    before = {name: processes.cpu(pid).own for name, pid in standbys.items()}
    process = cluster.running.pop(leader)
    began = time.time()
    process.send_signal(signo)
    port = cluster.ports[leader]
    most = crowd.until(int(AGENTS * SHARE), port, 0) - began
    every = crowd.until(AGENTS, port, 0) - began
    process.wait(30)
    used = max(processes.cpu(pid).own - before[name] for name, pid in standbys.items())
    serves = wait_until(lambda: _led_at(cluster, began), "another master leads") - began
    report.add(f"{what} of the leader: the next one serves", serves, "s", at_most=serves_s)
    report.add(f"{what} of the leader: 95 % of {AGENTS:,}", most, "s", at_most=returned_s)
    report.add(f"{what} of the leader: all of them", every, "s")
    report.add(f"{what} of the leader: the next one's CPU", used, "s CPU")
    cluster.bring_up(leader)
    return used


def _led_at(cluster: Failover, after: float) -> float | None:
    """When a master has said since then that it leads; seconds since the epoch."""
    for name in cluster.ports:
        for line in (cluster.root / "logs" / f"{name}.log").read_text().splitlines():
            if LEADS in line:
                at = datetime.fromisoformat(json.loads(line)["time"]).timestamp()
                if at >= after:
                    return at
    return None
