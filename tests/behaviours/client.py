"""A scheduler made of the standard library alone, which sees every chunk of its stream.

`Stream` reads the chunked answer by hand and insists that each chunk is exactly one record.
`Framework` subscribes, keeps what it is told by type, acknowledges, and makes calls. Nothing here
uses the package's codecs, so what passes here passes for clients that nobody here wrote.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from mesos_twisted.testing.processes import Answer, RunningCluster, wait_until

SCHEDULER = "/api/v1/scheduler"
JSON = "application/json"
PROTOBUF = "application/x-protobuf"
AWARE = ("MULTI_ROLE", "PARTITION_AWARE", "RESERVATION_REFINEMENT")
SUBSCRIBE: dict[str, Any] = {
    "type": "SUBSCRIBE",
    "subscribe": {"framework_info": {"user": "root", "name": "raw"}},
}
MINIMAL = {"Content-Type": JSON}
EXECUTOR = Path(__file__).with_name("executor.py")
_names = itertools.count()

Document = dict[str, Any]


class Stream:
    """An open event stream: `chunks` as they came, `records` without their length lines."""

    def __init__(
        self,
        cluster: RunningCluster,
        path: str,
        body: bytes,
        headers: dict[str, str],
        identity: str = "framework",
    ) -> None:
        host, _, port = cluster.master.partition(":")
        self._connection = http.client.HTTPSConnection(
            host, int(port), context=cluster.context(identity), timeout=60
        )
        self._connection.request("POST", path, body, headers)
        self._socket = self._connection.sock
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.headers = {name.lower(): value for name, value in self._answer.getheaders()}
        self.chunks: list[bytes] = []
        self.records: list[bytes] = []
        self.refusal = b""
        self.ended = False
        self.broken: str | None = None
        if self._answer.chunked and self.status == 200:
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
        else:
            self.refusal = self._answer.read()
            self.ended = True
            self._connection.close()

    def _read(self) -> None:
        file = self._answer.fp
        try:
            while size := int(file.readline().strip() or b"0", 16):
                chunk = file.read(size)
                assert file.readline() == b"\r\n", "a chunk ends with a line break"
                self.chunks.append(chunk)
                length, _, record = chunk.partition(b"\n")
                assert length == str(len(record)).encode(), f"not one record: {chunk!r}"
                self.records.append(record)
        except (OSError, ValueError):
            pass
        except AssertionError as error:
            self.broken = str(error)
        self.ended = True

    def close(self) -> None:
        """Hang up."""
        if self.status == 200:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._thread.join(10)
        self._connection.close()


class Framework:
    """A subscribed JSON scheduler. Give `info` to change or add fields of its FrameworkInfo."""

    def __init__(
        self,
        cluster: RunningCluster,
        *,
        capabilities: tuple[str, ...] = AWARE,
        roles: tuple[str, ...] = ("*",),
        suppressed: tuple[str, ...] = (),
        subscribe: Document | None = None,
        **info: Any,
    ) -> None:
        self.cluster = cluster
        base: Document = {
            "user": "root",
            "name": f"behaviours-{next(_names)}",
            "capabilities": [{"type": kind} for kind in capabilities],
        }
        if "MULTI_ROLE" in capabilities:
            base["roles"] = list(roles)
        self.info = {k: v for k, v in {**base, **info}.items() if v is not None}
        call: Document = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self.info}}
        if "id" in self.info:
            call["framework_id"] = self.info["id"]
        if suppressed:
            call["subscribe"]["suppressed_roles"] = list(suppressed)
        call["subscribe"].update(subscribe or {})
        self.stream = Stream(
            cluster,
            SCHEDULER,
            json.dumps(call).encode(),
            {"Content-Type": JSON, "Accept": JSON},
        )
        assert self.stream.status == 200, (self.stream.status, self.stream.refusal)
        self._acknowledged = 0

    # What it was told

    def events(self, kind: str | None = None) -> list[Document]:
        """The events so far (of one type)."""
        assert self.stream.broken is None, self.stream.broken
        found = [json.loads(record) for record in list(self.stream.records)]
        return [one for one in found if kind in (None, one["type"])]

    @property
    def id(self) -> str:
        """Its id, as the master gave it."""
        event = self.wait(lambda: self.events("SUBSCRIBED"), "SUBSCRIBED")[0]
        return str(event["subscribed"]["framework_id"]["value"])

    def error(self) -> str:
        """The message of the one ERROR event, after which the stream has ended."""
        self.wait(lambda: self.stream.ended, "the end of the stream")
        event = self.events()[-1]
        assert event["type"] == "ERROR" and set(event["error"]) == {"message"}, event
        return str(event["error"]["message"])

    def offers(self) -> list[Document]:
        """The offers so far, used ones too."""
        return [one for event in self.events("OFFERS") for one in event["offers"]["offers"]]

    def rescinded(self) -> list[str]:
        """The ids of the offers taken back so far."""
        return [one["rescind"]["offer_id"]["value"] for one in self.events("RESCIND")]

    def statuses(self, task_id: str) -> list[Document]:
        """The statuses of one task so far."""
        found = [one["update"]["status"] for one in self.events("UPDATE")]
        return [one for one in found if one["task_id"]["value"] == task_id]

    def states(self, task_id: str) -> list[str]:
        """The states of one task so far, repeats left out."""
        states = [one["state"] for one in self.statuses(task_id)]
        return [state for state, _ in itertools.groupby(states)]

    # Waiting

    def wait(self, ready: Any, what: str) -> Any:
        """What `ready()` gives once it is true."""
        return wait_until(ready, f"{what} (last: {self.stream.records[-2:]!r})", 45)

    def an_offer(self, after: int = 0) -> Document:
        """The first offer beyond the first `after` ones."""
        offer: Document = self.wait(lambda: self.offers()[after:], "an offer")[0]
        return offer

    def allocations(self) -> float:
        """How often the master has looked for whom to make offers."""
        answer = self.cluster.request("GET", "/metrics/snapshot")
        return float(json.loads(answer.body)["allocator/mesos/allocation_runs"])

    def see_allocations(self) -> None:
        """Two more allocations are over, and what they sent to this stream has been read.

        Of two that follow, the second began after this call; the answer to a question comes after
        every offer that was made before it was asked.
        """
        before = self.allocations()
        self.wait(lambda: self.allocations() >= before + 2, "two allocations")
        told = len(self.events("UPDATE"))
        self.reconcile(("nobody's", None))
        self.wait(lambda: len(self.events("UPDATE")) > told, "the answer to a question")

    def until(self, task_id: str, state: str) -> Document:
        """Acknowledge until the task is in that state; its status."""

        def look() -> Document | None:
            self.acknowledge()
            found = [one for one in self.statuses(task_id) if one["state"] == state]
            return found[-1] if found else None

        status: Document = self.wait(look, f"{state} of {task_id}")
        self.acknowledge()  # it may have come after the last acknowledgement
        return status

    # Calls

    def post(self, call: Document, headers: dict[str, str] | None = None) -> Answer:
        """A call of this framework on its stream."""
        sent = {"Content-Type": JSON, "Mesos-Stream-Id": self.stream.headers["mesos-stream-id"]}
        sent |= headers or {}
        full = {"framework_id": {"value": self.id}, **call}
        return self.cluster.request(
            "POST",
            SCHEDULER,
            json.dumps(full).encode(),
            {name: value for name, value in sent.items() if value},
            identity="framework",
        )

    def call(self, kind: str, **body: Any) -> None:
        """A call that is accepted with 202 and nothing else."""
        answer = self.post({"type": kind, **body})
        assert (answer.status, answer.body) == (202, b""), (kind, answer)

    def acknowledge(self) -> None:
        """Acknowledge what wants it and came since the last time."""
        updates = self.events("UPDATE")
        for one in updates[self._acknowledged :]:
            status = one["update"]["status"]
            if "uuid" in status:
                fields = {name: status[name] for name in ("agent_id", "task_id", "uuid")}
                self.call("ACKNOWLEDGE", acknowledge=fields)
        self._acknowledged = len(updates)

    def accept(
        self, offer: Document | list[Document], *operations: Document, refuse_s: float = 3600
    ) -> None:
        """ACCEPT one offer or several."""
        offers = offer if isinstance(offer, list) else [offer]
        accept = {
            "offer_ids": [one["id"] for one in offers],
            "operations": list(operations),
            "filters": {"refuse_seconds": refuse_s},
        }
        self.call("ACCEPT", accept=accept)

    def decline(self, offer: Document, **filters: float) -> None:
        """DECLINE, with the filters if there are any."""
        decline: Document = {"offer_ids": [offer["id"]]}
        if filters:
            decline["filters"] = filters
        self.call("DECLINE", decline=decline)

    def launch(self, offer: Document, *tasks: Document, refuse_s: float = 3600) -> None:
        """ACCEPT with one LAUNCH."""
        operation = {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}
        self.accept(offer, operation, refuse_s=refuse_s)

    def run(self, command: str, task_id: str = "t", **more: Any) -> Document:
        """Launch one command from a fresh offer; the offer."""
        offer = self.an_offer()
        self.launch(offer, task(offer, task_id, command, **more))
        return offer

    def kill(self, task_id: str, **more: Any) -> None:
        """KILL."""
        self.call("KILL", kill={"task_id": {"value": task_id}, **more})

    def reconcile(self, *tasks: tuple[str, str | None]) -> None:
        """RECONCILE of (task id, agent id) pairs; of none: of all."""
        asked = [
            {"task_id": {"value": one}} | ({"agent_id": {"value": agent}} if agent else {})
            for one, agent in tasks
        ]
        self.call("RECONCILE", reconcile={"tasks": asked})

    # Its end

    def leave(self) -> None:
        """Tear the framework down, whatever its state, and hang up."""
        known = self.events("SUBSCRIBED")
        if known:
            framework_id = known[0]["subscribed"]["framework_id"]
            teardown = {"type": "TEARDOWN", "teardown": {"framework_id": framework_id}}
            self.cluster.request(
                "POST", "/api/v1", json.dumps(teardown).encode(), {"Content-Type": JSON}
            )
        self.stream.close()


def scalar(name: str, value: float, **more: Any) -> Document:
    """A scalar resource."""
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}, **more}


def task(
    offer: Document,
    task_id: str,
    command: str | None = "true",
    cpus: float = 0.1,
    mem: float = 32,
    **more: Any,
) -> Document:
    """A task for the offer's agent."""
    made: Document = {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": offer["agent_id"],
        "resources": [scalar("cpus", cpus), scalar("mem", mem)],
    }
    if command is not None:
        made["command"] = {"value": command}
    return {**made, **more}


def amounts(resources: list[Document]) -> dict[str, float]:
    """Scalars by name, over all their parts, in the precision of the protocol."""
    found: dict[str, float] = {}
    for one in resources:
        if one["type"] == "SCALAR":
            found[one["name"]] = round(found.get(one["name"], 0.0) + one["scalar"]["value"], 3)
    return found


def until_none_left(cluster: RunningCluster) -> None:
    """Wait until no framework and no task of an earlier test holds anything."""

    def idle() -> bool:
        state = cluster.request("GET", "/state").json()
        used = [agent["used_resources"]["cpus"] for agent in state["slaves"]]
        return not state["frameworks"] and not any(used)

    wait_until(idle, "the cluster is idle")


def custom_executor(executor_id: str = "custom", command: str | None = None) -> Document:
    """The ExecutorInfo of the executor beside this module, or of another command."""
    return {
        "type": "CUSTOM",
        "executor_id": {"value": executor_id},
        "command": {"value": command or f"exec {sys.executable} {EXECUTOR}"},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32)],
    }


def heard(framework: Framework) -> list[Document]:
    """What its custom executors told the framework, in order."""
    messages = [one["message"] for one in framework.events("MESSAGE")]
    return [json.loads(base64.b64decode(one["data"])) for one in messages]


def order(framework: Framework, offer: Document, **what: Any) -> None:
    """Give an order to the custom executor on the offer's agent."""
    framework.call(
        "MESSAGE",
        message={
            "agent_id": offer["agent_id"],
            "executor_id": {"value": "custom"},
            "data": base64.b64encode(json.dumps(what).encode()).decode(),
        },
    )


def post(
    cluster: RunningCluster,
    body: Any,
    path: str = SCHEDULER,
    headers: dict[str, str] | None = None,
    identity: str | None = "framework",
    method: str = "POST",
) -> Answer:
    """A request as it is given: bytes stay bytes, everything else becomes JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return cluster.request(method, path, raw, headers or MINIMAL, identity=identity)
