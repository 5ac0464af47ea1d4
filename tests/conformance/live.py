"""The cluster that the recorded run is repeated on, and a scheduler's stream on it.

One master and one agent, started with the flags of the recorded run: the same resources and
attributes, and nobody has to prove who asks (the recorded one had no certificates). TLS stays. The
tests import these modules by `load`, for test folders are no packages.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from mesos_twisted.local.layout import Layout, free_port, prepare
from mesos_twisted.protocol import recordio
from mesos_twisted.testing.processes import STOP_S, Answer, RunningCluster, wait_until

RESOURCES = "cpus:8;mem:8000;disk:10000;ports:[31000-32000]"
ATTRIBUTES = "rack:r1;level:10;os:debian"
JSON = "application/json"
PROTOBUF = "application/x-protobuf"
MAX_RECORD = 1 << 24


class Recorded(RunningCluster):
    """A master and an agent with the recorded run's flags."""

    agent: str
    _daemons: list[subprocess.Popen[bytes]]

    @classmethod
    def begin(cls, root: Path) -> Recorded:
        """Start both; they know each other when this returns."""
        layout = Layout(root, 1)
        prepare(layout)
        # Two ports that runs beside this one do not look at first.
        port, agent_port = (free_port(one) for one in random.sample(range(11000, 30000), 2))
        opened = [
            "--hostname=localhost",
            "--ip=127.0.0.1",
            "--no-authenticate_http_readonly",
            "--no-authenticate_http_readwrite",
        ]
        master = _spawn(
            layout,
            "master",
            [
                f"--port={port}",
                "--no-authenticate_http_frameworks",
                "--registry=in_memory",
                *opened,
            ],
        )
        # The base class keeps one process; `stop` below ends both.
        cluster = cls(root, master, f"https://localhost:{port}")  # type: ignore[arg-type]
        cluster.agent = f"https://localhost:{agent_port}"
        cluster._daemons = [master]
        try:
            cluster._daemons.append(
                _spawn(
                    layout,
                    "agent-1",
                    [
                        f"--master=127.0.0.1:{port}",
                        f"--port={agent_port}",
                        f"--runtime_dir={layout.work('agent-1')}/run",
                        f"--resources={RESOURCES}",
                        f"--attributes={ATTRIBUTES}",
                        "--isolation=posix/cpu,posix/mem",
                        "--no-authenticate_http_executors",
                        *opened,
                    ],
                )
            )
            wait_until(cluster._registered, "the agent is registered", 60)
        except BaseException:
            sys.stderr.write(cluster.logs())
            cluster.stop()
            raise
        return cluster

    def _registered(self) -> bool:
        for daemon in self._daemons:
            assert daemon.poll() is None, f"a daemon ended with status {daemon.returncode}"
        try:
            answer = self.request("GET", "/slaves", identity=None)
        except OSError:
            return False
        return answer.status == 200 and len(answer.json()["slaves"]) == 1

    def stop(self) -> None:
        """End the agent with its tasks, then the master."""
        for daemon, signo in zip(
            reversed(self._daemons), (signal.SIGUSR1, signal.SIGTERM), strict=False
        ):
            if daemon.poll() is None:
                daemon.send_signal(signo)
                try:
                    daemon.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    os.killpg(daemon.pid, signal.SIGKILL)
                    daemon.wait()
        wait_until(lambda: not self.processes(), f"no process of {self.root} is left", 20)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        agent: bool = False,
    ) -> Answer:
        """A request without a certificate, to the master or the agent."""
        base = self.agent if agent else self.url
        return self.request(method, path, body, headers, identity=None, base=base)


def _spawn(layout: Layout, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
    work = layout.work(name)
    work.mkdir(mode=0o755, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mesos_twisted", name.partition("-")[0]]
    command += [
        f"--work_dir={work}",
        f"--tls_cert_file={layout.cert(name)}",
        f"--tls_key_file={layout.key(name)}",
        f"--tls_ca_file={layout.ca}",
        *arguments,
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MESOS")}
    with layout.log(name).open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )


class Stream:
    """An open event stream: its status, headers and, as they come, its records."""

    def __init__(
        self, cluster: Recorded, path: str, body: bytes, content: str, accept: str
    ) -> None:
        host, _, port = cluster.master.partition(":")
        self._connection = http.client.HTTPSConnection(
            host, int(port), context=cluster.context(None), timeout=60
        )
        headers = {"Content-Type": content, "Accept": accept}
        self._connection.request("POST", path, body, headers)
        # A "Connection: close" answer takes the socket away from the connection.
        self._socket = self._connection.sock
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.headers = {k.lower(): v for k, v in self._answer.getheaders()}
        self.records: list[bytes] = []
        self.ended = False
        #: What came, when it is no stream of records.
        self.refusal = b""
        self._decoder = recordio.Decoder(MAX_RECORD)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := self._answer.read1(65536):
                if self.status == 200:
                    self.records += self._decoder.feed(data)
                else:
                    self.refusal += data
        except (OSError, ValueError, http.client.HTTPException):
            pass
        self.ended = True

    @property
    def id(self) -> str:
        """Its Mesos-Stream-Id."""
        return self.headers["mesos-stream-id"]

    def documents(self) -> list[dict[str, Any]]:
        """The records so far, of a JSON stream."""
        return [json.loads(record) for record in list(self.records)]

    def close(self) -> None:
        """Hang up, whoever is reading."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._connection.close()


class Scheduler(Stream):
    """A JSON scheduler that acknowledges what it is told to."""

    def __init__(self, cluster: Recorded, subscribe: dict[str, Any]) -> None:
        super().__init__(cluster, "/api/v1/scheduler", json.dumps(subscribe).encode(), JSON, JSON)
        self._cluster = cluster
        self._acknowledged = 0

    @property
    def framework_id(self) -> str:
        """As the master gave it."""
        first = wait_until(self.documents, "the first record")[0]
        return str(first["subscribed"]["framework_id"]["value"])

    def call(self, call: dict[str, Any]) -> Answer:
        """A call on this stream."""
        call = {**call, "framework_id": {"value": self.framework_id}}
        headers = {"Content-Type": JSON, "Mesos-Stream-Id": self.id}
        return self._cluster.ask("POST", "/api/v1/scheduler", json.dumps(call).encode(), headers)

    def updates(self, task: str) -> list[dict[str, Any]]:
        """The statuses of one task so far."""
        return [
            one["update"]["status"]
            for one in self.documents()
            if one["type"] == "UPDATE" and one["update"]["status"]["task_id"]["value"] == task
        ]

    def offers(self) -> list[dict[str, Any]]:
        """The offers so far."""
        found = [one["offers"]["offers"] for one in self.documents() if one["type"] == "OFFERS"]
        return [offer for offers in found for offer in offers]

    def acknowledge(self) -> list[Answer]:
        """Acknowledge every update that wants it and came since the last time."""
        answers = []
        documents = self.documents()
        for one in documents[self._acknowledged :]:
            status = one.get("update", {}).get("status", {})
            # The recorded run ended before the killed task's end was acknowledged.
            if "uuid" in status and status["state"] != "TASK_KILLED":
                call = {name: status[name] for name in ("agent_id", "task_id", "uuid")}
                answers.append(self.call({"type": "ACKNOWLEDGE", "acknowledge": call}))
        self._acknowledged = len(documents)
        return answers

    def until(self, ready: Any, what: str) -> Any:
        """Wait for it, acknowledging meanwhile."""

        def look() -> Any:
            self.acknowledge()
            return ready()

        return wait_until(look, f"{what} (the last records: {self.records[-3:]!r})", 40)
