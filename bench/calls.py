"""What one call costs the master: POST to 202 over TLS, beside a twisted.web Site in the same run.

The calls are those that change nothing: an ACKNOWLEDGE the core refuses, a DECLINE of an offer
nobody knows. 64 kept connections have one call each under way.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time

from bench import processes
from bench.client import Client
from bench.cluster import BenchCluster
from bench.report import Report
from mesos_twisted.local.layout import free_port

CONNECTIONS, SECONDS, ROUNDS = 64, 3.0, 3
PATH = "/api/v1/scheduler"


def run(report: Report) -> None:
    """Rounds alternate between the servers; the median of each counts."""
    with BenchCluster(agents=0) as cluster, cluster.client("framework") as stream:
        framework_id, stream_id = _subscribe(stream)
        headers = {"Mesos-Stream-Id": stream_id, "Accept": "application/json"}
        calls = {name: json.dumps(c).encode() for name, c in _calls(framework_id).items()}
        site = _Site(cluster)
        try:
            figures: dict[str, list[tuple[float, float]]] = {}
            for _ in range(ROUNDS):
                for name, body in calls.items():
                    clients = [cluster.client("framework") for _ in range(CONNECTIONS)]
                    wire = clients[0].wire("POST", PATH, body, headers)
                    figure = _load(clients, wire, cluster.pid("master"))
                    figures.setdefault(name, []).append(figure)
                clients = [site.client() for _ in range(CONNECTIONS)]
                wire = clients[0].wire("POST", PATH, calls["ACKNOWLEDGE"], headers)
                figures.setdefault("Site", []).append(_load(clients, wire, site.pid))
        finally:
            site.end()
    median = {name: sorted(values)[len(values) // 2] for name, values in figures.items()}
    site_cpu = median["Site"][1]
    for name in calls:
        rate, cpu = median[name]
        report.add(f"{name} to 202, master CPU", cpu * 1e6, "us", at_most=60)
        report.add(f"{name} to 202", rate, "calls/s", note="client shares the machine")
        report.add(f"{name}, share of twisted.web Site", cpu / site_cpu, "", at_most=0.2)
    report.add("twisted.web Site over TLS, CPU", site_cpu * 1e6, "us", note="parses JSON, 202")
    report.add("twisted.web Site over TLS", median["Site"][0], "calls/s")


def _calls(framework_id: str) -> dict[str, object]:
    about = {"framework_id": {"value": framework_id}}
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


def _subscribe(client: Client) -> tuple[str, str]:
    info = {"user": "root", "name": "calls", "principal": "framework"}
    call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
    headers = {"Accept": "application/json"}
    client.socket.sendall(client.wire("POST", PATH, json.dumps(call).encode(), headers))
    status, fields = client.head()
    if status != 200:
        raise RuntimeError(f"SUBSCRIBE: {status} {b''.join(client.body(fields)).decode()}")
    first = next(client.body(fields)).partition(b"\n")[2]
    event = json.JSONDecoder().raw_decode(first.decode())[0]
    return event["subscribed"]["framework_id"]["value"], fields["mesos-stream-id"]


def _load(clients: list[Client], wire: bytes, pid: int) -> tuple[float, float]:
    """Calls a second and the server's CPU seconds per call."""
    poll = select.poll()
    by_fd = {client.socket.fileno(): client.socket for client in clients}
    for sock in by_fd.values():
        poll.register(sock, select.POLLIN)
        sock.sendall(wire)
    done, bad = 0, b""
    warm = time.monotonic() + 0.5
    start, end, before, first = 0.0, warm + SECONDS, processes.cpu(pid), 0
    while (now := time.monotonic()) < end:
        if not start and now > warm:
            start, before, first = now, processes.cpu(pid), done
        for fd, _ in poll.poll(1000):
            sock = by_fd[fd]
            answer = sock.recv(4096)
            if b" 202 " not in answer[:16]:
                bad = answer
                end = 0.0
                break
            done += 1
            sock.sendall(wire)
    took, used = time.monotonic() - start, processes.cpu(pid).since(before).own
    for client in clients:
        client.socket.close()
    if bad or done == first:
        raise RuntimeError(f"The server did not answer 202 but {bad[:300]!r}")
    return (done - first) / took, used / (done - first)


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
