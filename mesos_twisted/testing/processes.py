"""A real cluster for system tests: processes of their own, spoken to from outside.

`RunningCluster.start` runs `mesos-twisted local` in a directory and waits until it is up; `stop`
ends it and checks that nothing is left. Calls go over real TLS with the standard library's client,
so no test process runs a reactor. Waiting polls with a deadline.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

START_S = 60.0
STOP_S = 40.0
POLL_S = 0.05


def wait_until(ready: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """What `ready()` gives once it is true. Raises AssertionError naming `what` at the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = ready()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s:g} s; last seen: {value!r}")
        threading.Event().wait(POLL_S)


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class RunningCluster:
    """A cluster of one master and some agents that is up."""

    root: Path
    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)

    @classmethod
    def start(
        cls, root: Path, *, agents: int = 2, arguments: tuple[str, ...] = ()
    ) -> RunningCluster:
        """Start it below `root`. Raises AssertionError with its output when it does not come up."""
        command = [sys.executable, "-m", "mesos_twisted", "local", "--dir", str(root)]
        command += ["--agents", str(agents), "--port=0", *arguments]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MESOS")}
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        cluster = cls(root, process, "")
        threading.Thread(target=cluster._read, daemon=True).start()
        try:
            cluster.url = wait_until(cluster._up, "the cluster is up", START_S)
        except AssertionError:
            output = "\n".join(cluster.lines)
            cluster.stop()
            raise AssertionError(
                f"the cluster did not start:\n{output}\n{cluster.logs()}"
            ) from None
        return cluster

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def _up(self) -> str | None:
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with status {self.process.returncode}")
        for line in self.lines:
            if line.startswith("the cluster is up: "):
                return line.removeprefix("the cluster is up: ").rstrip("/")
        return None

    def stop(self) -> None:
        """End it as Ctrl-C would. Raises AssertionError when a process is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        wait_until(lambda: not self.processes(), f"no process of {self.root} is left", 20)

    def processes(self) -> list[int]:
        """Every living process that has this cluster's directory in its command line."""
        found = []
        mark = str(self.root).encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if mark in line and b"pytest" not in line:
                    found.append(int(entry.name))
        return found

    def daemon_pid(self, name: str) -> int:
        """The pid of `master`, `agent-1`, …"""
        for pid in self.processes():
            try:
                words = (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"--work_dir={self.root}/work/{name}".encode() in words:
                return pid
        raise AssertionError(f"no process of {name} is alive\n{self.logs()}")

    def logs(self, lines: int = 40) -> str:
        """The last lines of every daemon's log."""
        out = []
        for path in sorted((self.root / "logs").glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            out.append("\n".join([f"--- {path.name}", *tail]))
        return "\n".join(out)

    def cert(self, name: str) -> Path:
        """A certificate of the cluster's authority: `operator`, `framework`, …"""
        return self.root / "certs" / f"{name}.pem"

    def key(self, name: str) -> Path:
        """The key of that certificate."""
        return self.root / "certs" / f"{name}-key.pem"

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.root / "certs" / "ca.pem"

    @property
    def master(self) -> str:
        """host:port of the master."""
        return self.url.removeprefix("https://")

    def context(self, identity: str | None = "operator") -> ssl.SSLContext:
        """TLS for a client with that certificate, or with none."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if identity is not None:
            context.load_cert_chain(self.cert(identity), self.key(identity))
        return context

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        identity: str | None = "operator",
        base: str | None = None,
    ) -> Answer:
        """One request over TLS to the master, or to `base` (https://host:port)."""
        parts = urlsplit(base or self.url)
        assert parts.hostname is not None
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, context=self.context(identity), timeout=30
        )
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            lower = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, lower, answer.read())
        finally:
            connection.close()

    def call(self, call: dict[str, Any], *, base: str | None = None) -> Any:
        """A v1 operator call in JSON; its answer's document."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        answer = self.request("POST", "/api/v1", json.dumps(call).encode(), headers, base=base)
        assert answer.status in (200, 202), (answer.status, answer.body)
        return answer.json() if answer.body else None

    def agent_urls(self) -> list[str]:
        """https://host:port of every registered agent."""
        agents = self.request("GET", "/slaves").json()["slaves"]
        return [f"https://{agent['hostname']}:{agent['port']}" for agent in agents]
