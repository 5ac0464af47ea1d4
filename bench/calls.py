"""What one call costs the master: POST to 202 over TLS, beside a twisted.web Site in the same run.

Two calls change nothing: an ACKNOWLEDGE the core refuses, a DECLINE of an offer nobody knows. The
third declines offers that stand, one a call, of emulated agents; REVIVE brings them back for the
next round. 64 kept connections have one call each under way.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

from bench import processes
from bench.client import Client
from bench.cluster import BenchCluster
from bench.report import Report
from bench.swarm import SwarmProcess
from mesos_twisted.local.layout import free_port

CONNECTIONS, SECONDS, ROUNDS = 64, 1.2, 7
OFFERS = 1500
LIVE = "DECLINE of live offers"
PATH = "/api/v1/scheduler"


def run(report: Report) -> None:
    """Rounds alternate between the calls and servers; the median of each counts."""
    with BenchCluster(agents=0) as cluster, SwarmProcess(cluster, OFFERS) as swarm:
        swarm.registered()
        with cluster.client("framework") as stream:
            figures = _rounds(cluster, stream)
    median = {name: sorted(values)[len(values) // 2] for name, values in figures.items()}
    site_cpu = median["Site"][1]
    for name in median:
        if name != "Site":
            rate, cpu = median[name]
            report.add(f"{name} to 202, master CPU", cpu * 1e6, "us", at_most=60)
            report.add(f"{name} to 202", rate, "calls/s", note="client shares the machine")
            limit = None if name == LIVE else 0.2
            report.add(f"{name}, share of twisted.web Site", cpu / site_cpu, "", at_most=limit)
    report.add("twisted.web Site over TLS, CPU", site_cpu * 1e6, "us", note="parses JSON, 202")
    report.add("twisted.web Site over TLS", median["Site"][0], "calls/s")


def _rounds(cluster: BenchCluster, stream: Client) -> dict[str, list[tuple[float, float]]]:
    """Name to calls a second and CPU seconds per call, of each round."""
    offers = _Offers(cluster, stream)
    calls = {name: json.dumps(c).encode() for name, c in _calls(offers.framework_id).items()}
    master, site = cluster.pid("master"), _Site(cluster)
    figures: dict[str, list[tuple[float, float]]] = {}
    try:
        ours = [cluster.client("framework") for _ in range(CONNECTIONS)]
        theirs = [site.client() for _ in range(CONNECTIONS)]
        wires = {name: ours[0].wire("POST", PATH, c, offers.headers) for name, c in calls.items()}
        for number in range(ROUNDS):
            if number:
                offers.revive()
            live = [ours[0].wire("POST", PATH, body, offers.headers) for body in offers.bodies()]
            figures.setdefault(LIVE, []).append(_load(ours, iter(live), master, 0.0))
            # The Site comes between, so that what the declines left to do is not the others'.
            wire = wires["ACKNOWLEDGE"]
            figures.setdefault("Site", []).append(_load(theirs, repeat(wire), site.pid))
            for name, wire in wires.items():
                figures.setdefault(name, []).append(_load(ours, repeat(wire), master))
    finally:
        site.end()
    return figures


class _Offers:
    """A framework's stream, and the offers that come on it."""

    def __init__(self, cluster: BenchCluster, stream: Client) -> None:
        info = {"user": "root", "name": "calls", "principal": "framework"}
        call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        headers = {"Accept": "application/json"}
        stream.socket.sendall(stream.wire("POST", PATH, json.dumps(call).encode(), headers))
        status, fields = stream.head()
        if status != 200:
            raise RuntimeError(f"SUBSCRIBE: {status} {b''.join(stream.body(fields)).decode()}")
        self.headers = {"Mesos-Stream-Id": fields["mesos-stream-id"], **headers}
        self._cluster = cluster
        self._records = stream.body(fields)
        self.framework_id: str = self._event()["subscribed"]["framework_id"]["value"]

    def _event(self) -> Any:
        return json.JSONDecoder().raw_decode(next(self._records).partition(b"\n")[2].decode())[0]

    def bodies(self) -> list[bytes]:
        """A DECLINE of each offer, when there is one of every agent."""
        found: list[bytes] = []
        while len(found) < OFFERS:
            event = self._event()
            for offer in event.get("offers", {}).get("offers", ()):
                decline = {"offer_ids": [offer["id"]], "filters": {"refuse_seconds": 3600.0}}
                call = {"type": "DECLINE", "decline": decline}
                found.append(json.dumps(self._about(call)).encode())
        return found

    def revive(self) -> None:
        """All agents may be offered again."""
        with self._cluster.client("framework") as client:
            body = json.dumps(self._about({"type": "REVIVE"})).encode()
            answer = client.request("POST", PATH, body, self.headers)
            if answer.status != 202:
                raise RuntimeError(f"REVIVE: {answer.status}")

    def _about(self, call: Mapping[str, object]) -> dict[str, object]:
        return {"framework_id": {"value": self.framework_id}, **call}


def _calls(framework_id: str) -> dict[str, dict[str, object]]:
    about: dict[str, object] = {"framework_id": {"value": framework_id}}
    return {
        "ACKNOWLEDGE": about
        | {
            "type": "ACKNOWLEDGE",
            "acknowledge": {
                "agent_id": {"value": "no-such-agent-S0"},
                "task_id": {"value": "no-such-task"},
                "uuid": "jhadf73jhakdlfha723adf==",
            },
        },
        "DECLINE": about
        | {
            "type": "DECLINE",
            "decline": {
                "offer_ids": [{"value": "no-such-offer-O1"}],
                "filters": {"refuse_seconds": 5.0},
            },
        },
    }


def _load(
    clients: list[Client], wires: Iterator[bytes], pid: int, warm_s: float = 0.5
) -> tuple[float, float]:
    """Calls a second and the server's CPU seconds per call, until time or `wires` are over."""
    poll = select.poll()
    by_fd = {client.socket.fileno(): client.socket for client in clients}
    warm = time.monotonic() + warm_s
    start, end, before, first = 0.0, warm + SECONDS, processes.cpu(pid), 0
    for sock in by_fd.values():
        poll.register(sock, select.POLLIN)
        sock.sendall(next(wires))
    done, waiting = 0, len(by_fd)
    figures: tuple[float, float] | None = None
    while waiting:
        now = time.monotonic()
        if not start and now > warm:
            start, before, first = now, processes.cpu(pid) if warm_s else before, done
        if figures is None and now > end:
            # What is under way is still waited for: the connections are used again.
            counted, wires = done - first, iter(())
            figures = (counted / (now - start), processes.cpu(pid).since(before).own / counted)
        for fd, _ in poll.poll(1000):
            sock = by_fd[fd]
            answer = sock.recv(4096)
            if b" 202 " not in answer[:16]:
                raise RuntimeError(f"The server did not answer 202 but {answer[:300]!r}")
            done += 1
            wire = next(wires, None)
            if wire is None:
                waiting -= 1
            else:
                sock.sendall(wire)
    if figures is None:
        figures = (done / (time.monotonic() - start), processes.cpu(pid).since(before).own / done)
    return figures


class _Site:
    """twisted.web's Site over its default TLS with the master's certificate."""

    def __init__(self, cluster: BenchCluster) -> None:
        self._layout = cluster.layout
        self._port = free_port(22050)
        command = [sys.executable, "-m", "bench.site", str(self._port)]
        layout = cluster.layout
        command += [str(layout.cert("master")), str(layout.key("master"))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ))
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self.pid = self._process.pid

    def client(self) -> Client:
        return Client("localhost", self._port, self._layout, "framework")

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)
