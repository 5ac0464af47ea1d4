"""A process of emulated agents, held by a benchmark; and a probe of the master's pauses."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any

from bench.client import Client
from bench.cluster import BenchCluster


class SwarmProcess:
    """`python -m bench.emulated` over a cluster; leaving the `with` ends it."""

    def __init__(self, cluster: BenchCluster, count: int, tasks: int = 0, first: int = 0) -> None:
        command = [sys.executable, "-m", "bench.emulated", "--master", cluster.master]
        command += ["--certs", str(cluster.layout.certs), "--count", str(count)]
        command += ["--tasks", str(tasks), "--first", str(first)]
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

    def update(self, tasks: int) -> None:
        """So many tasks change; returns when the updates are sent."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"update {tasks}\n")
        self._process.stdin.flush()
        self.wait("updated", 1, 30)

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
    """Asks the master's /health again and again from a thread; the answers' delays are kept.

    A delay counts the master's pauses, and also the scheduler of a busy machine.
    """

    def __init__(self, client: Client, every_s: float = 0.002) -> None:
        self._client, self._every_s = client, every_s
        self.delays: list[float] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self) -> None:
        wire = self._client.wire("GET", "/health")
        while not self._ending.wait(self._every_s):
            began = time.monotonic()
            self._client.socket.sendall(wire)
            _, fields = self._client.head()
            for _ in self._client.body(fields):
                pass
            self.delays.append(time.monotonic() - began)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join(30)
        self._client.socket.close()
