"""Processes that a benchmark holds: emulated agents, and a probe of the master's pauses."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any

from bench.cluster import BenchCluster


class SwarmProcess:
    """`python -m bench.emulated` over a cluster; leaving the `with` ends it."""

    def __init__(
        self, cluster: BenchCluster, count: int, tasks: int = 0, first: int = 0, hold: bool = False
    ) -> None:
        command = [sys.executable, "-m", "bench.emulated", "--master", cluster.master]
        command += ["--certs", str(cluster.layout.certs), "--count", str(count)]
        command += ["--tasks", str(tasks), "--first", str(first), *(("--hold",) if hold else ())]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.count, self.pid = count, self._process.pid
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))
        self._said.put(None)

    def wait(self, key: str, value: int, limit_s: float) -> dict[str, Any]:
        """What it says once `key` has reached `value`. Raises RuntimeError for a failure."""
        deadline = time.monotonic() + limit_s
        while True:
            said = self._said.get(timeout=max(0.1, deadline - time.monotonic()))
            if said is None or "failed" in said:
                raise RuntimeError(f"The emulated agents failed: {said}")
            if said.get(key, -1) >= value:
                return said

    def registered(self, limit_s: float = 120.0) -> float:
        """Seconds until every agent was registered."""
        return float(self.wait("registered", self.count, limit_s)["seconds"])

    def tell_update(self, tasks: int, turn: int) -> None:
        """So many tasks change soon, others at each `turn`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"quietly {tasks} {turn}\n")
        self._process.stdin.flush()

    def held(self, limit_s: float = 120.0) -> None:
        """Every agent is connected, and has said nothing yet."""
        self.wait("held", self.count, limit_s)

    def go(self) -> None:
        """They speak."""
        self._tell("go")

    def update(self, tasks: int) -> None:
        """So many tasks change; returns when the updates are sent."""
        self._tell(f"update {tasks}")
        self.wait("updated", 1, 30)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> SwarmProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Pulse:
    """`python -m bench.pulse` over a cluster; its `delays` are there when the `with` has ended."""

    def __init__(self, cluster: BenchCluster) -> None:
        command = [sys.executable, "-m", "bench.pulse", str(cluster.port), str(cluster.root)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.delays: list[float] = []

    def __enter__(self) -> Pulse:
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        told, _ = self._process.communicate(b"", 30)
        if error is None:
            self.delays = json.loads(told)
