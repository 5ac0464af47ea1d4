"""A scheduler on the standard library alone: one thread reads events, calls go on their own way.

For tests that start real processes and run no reactor. Nothing is retried and nothing acknowledged
unless the test says so.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

from mesos_twisted.testing.processes import Answer, RunningCluster, wait_until

PATH = "/api/v1/scheduler"
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class SchedulerClient:
    """One framework. `events` grows as they come; `closed` is set when the stream ends."""

    def __init__(self, cluster: RunningCluster, identity: str = "framework") -> None:
        self.cluster, self.identity = cluster, identity
        self.framework_id = ""
        self.events: list[dict[str, Any]] = []
        self.closed = threading.Event()
        self._stream_id = ""
        self._sock: socket.socket | None = None

    def subscribe(self, **info: Any) -> int:
        """Open a stream; the HTTP status. A known framework id is used again."""
        framework = {"user": "root", "name": "test", "roles": ["*"], "checkpoint": True, **info}
        framework["capabilities"] = [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]
        call: dict[str, Any] = {"type": "SUBSCRIBE"}
        if self.framework_id:
            framework["id"] = call["framework_id"] = {"value": self.framework_id}
        call["subscribe"] = {"framework_info": framework}
        self.close()
        parts = urlsplit(self.cluster.url)
        context = self.cluster.context(self.identity)
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, context=context, timeout=60
        )
        connection.request("POST", PATH, json.dumps(call), JSON)
        self._sock = connection.sock
        answer = connection.getresponse()
        self.closed = threading.Event()
        if answer.status == 200:
            self._stream_id = answer.headers["Mesos-Stream-Id"]
            seen = len(self.events)
            threading.Thread(target=self._read, args=(answer, self.closed), daemon=True).start()
            found = wait_until(
                lambda: self.of_type("SUBSCRIBED", seen) or self.of_type("ERROR", seen),
                "subscribed",
            )
            if found[0]["type"] == "SUBSCRIBED":
                self.framework_id = found[0]["subscribed"]["framework_id"]["value"]
        return answer.status

    def _read(self, answer: http.client.HTTPResponse, closed: threading.Event) -> None:
        try:
            while line := answer.readline():
                self.events.append(json.loads(answer.read(int(line))))
        except (OSError, ValueError, http.client.HTTPException):
            # The stream broke; that is what `closed` tells.
            return
        finally:
            closed.set()

    def of_type(self, kind: str, start: int = 0) -> list[dict[str, Any]]:
        """The events of one type from place `start` on."""
        return [event for event in self.events[start:] if event["type"] == kind]

    def statuses(self, start: int = 0) -> list[dict[str, Any]]:
        """The task statuses received."""
        return [event["update"]["status"] for event in self.of_type("UPDATE", start)]

    def post(self, kind: str, identity: str | None = None, **fields: Any) -> Answer:
        """Any other call."""
        call = {"type": kind, "framework_id": {"value": self.framework_id}, **fields}
        headers = {**JSON, "Mesos-Stream-Id": self._stream_id}
        body = json.dumps(call).encode()
        return self.cluster.request("POST", PATH, body, headers, identity=identity or self.identity)

    def acknowledge(self, status: dict[str, Any]) -> Answer:
        """Acknowledge one status."""
        fields = {"agent_id": status["agent_id"], "task_id": status["task_id"]}
        return self.post("ACKNOWLEDGE", acknowledge={**fields, "uuid": status["uuid"]})

    def offer(self, start: int = 0) -> dict[str, Any]:
        """The first offer from event `start` on."""

        def found() -> Any:
            offers = self.of_type("OFFERS", start)
            return offers and offers[0]["offers"]["offers"][0]

        offer: dict[str, Any] = wait_until(found, "an offer")
        return offer

    def launch(self, offer: dict[str, Any], scripts: dict[str, str], cpus: float = 0.01) -> None:
        """Launch a command task per id. Raises AssertionError when the call is refused."""
        amounts = {"cpus": cpus, "mem": 1}
        resources = [
            {"name": n, "type": "SCALAR", "scalar": {"value": v}, "allocation_info": {"role": "*"}}
            for n, v in amounts.items()
        ]
        tasks = [
            {
                "name": task_id,
                "task_id": {"value": task_id},
                "agent_id": offer["agent_id"],
                "resources": resources,
                "command": {"value": script},
            }
            for task_id, script in scripts.items()
        ]
        operations = [{"type": "LAUNCH", "launch": {"task_infos": tasks}}]
        accept = {"offer_ids": [offer["id"]], "operations": operations}
        answer = self.post("ACCEPT", accept=accept)
        assert answer.status == 202, answer

    def running(self, task_id: str) -> dict[str, Any]:
        """The status that says the task runs; what comes before it is acknowledged."""
        done = 0

        def found() -> dict[str, Any] | None:
            nonlocal done
            statuses = self.statuses()
            for status in statuses[done:]:
                if status["task_id"]["value"] == task_id and status["state"] == "TASK_RUNNING":
                    return status
                if "uuid" in status:
                    self.acknowledge(status)
                done += 1
            return None

        status: dict[str, Any] = wait_until(found, f"{task_id} runs")
        return status

    def close(self) -> None:
        """Drop the stream as a crash would."""
        sock, self._sock = self._sock, None
        if sock is not None:
            # Past the TLS layer, which another thread is reading through.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            self.closed.wait(10)
            sock.close()
