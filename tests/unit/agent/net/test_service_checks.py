"""Health checks and general checks of real tasks: what passes, fails and is told."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_world import World

from mesos_twisted.local.layout import Layout
from mesos_twisted.protocol.generated import messages as m


class Answers(http.server.BaseHTTPRequestHandler):
    """200, or what the server was told."""

    def do_GET(self) -> None:
        self.send_response(getattr(self.server, "answer", 200))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture(params=["HTTP", "HTTPS", "TCP", "COMMAND"])
def check(request: pytest.FixtureRequest, certificates: Layout) -> Iterator[tuple[Any, Any, Any]]:
    """(fields of a check, make it fail, kind)"""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    if request.param == "HTTPS":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        name = next(iter(certificates.agent_names()))
        context.load_cert_chain(certificates.cert(name), certificates.key(name))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    ended: list[bool] = []

    def end() -> None:
        if not ended:
            ended.append(True)
            server.shutdown()
            server.server_close()
            thread.join()

    def fail() -> None:
        if request.param == "TCP":
            end()
        else:
            server.answer = 500  # type: ignore[attr-defined]  # a free attribute of ours

    yield request.param, server.server_port, fail
    end()


def health(kind: str, port: int, flag: Path) -> m.HealthCheck:
    common: dict[str, Any] = {
        "delay_seconds": 0.0,
        "interval_seconds": 0.05,
        "timeout_seconds": 5.0,
        "consecutive_failures": 1,
        "grace_period_seconds": 0.0,
    }
    if kind == "COMMAND":
        command = m.CommandInfo(value=f"test ! -e {flag}")
        return m.HealthCheck(type=m.HealthCheckType.COMMAND, command=command, **common)
    if kind == "TCP":
        tcp = m.HealthCheckTCPCheckInfo(port=port)
        return m.HealthCheck(type=m.HealthCheckType.TCP, tcp=tcp, **common)
    http_check = m.HealthCheckHTTPCheckInfo(port=port, scheme=kind.lower(), path="/")
    return m.HealthCheck(type=m.HealthCheckType.HTTP, http=http_check, **common)


def test_a_task_that_becomes_unhealthy_is_killed(
    world: World, check: tuple[str, int, Callable[[], None]]
) -> None:
    """`healthy` is told when it passes, and with the end."""
    kind, port, fail = check
    flag = world.directory / "flag"
    world.run("t", "sleep 60", health_check=health(kind, port, flag))
    while not world.await_state("t", "TASK_RUNNING").healthy:
        pass
    flag.touch()
    fail()
    while (status := world.await_state("t", "TASK_RUNNING")).healthy:
        pass
    assert status.healthy is False
    killed = world.await_state("t", "TASK_KILLED")
    assert killed.healthy is False


def test_a_general_check_shows_its_outcome(world: World) -> None:
    """The exit code of a command, in each update that changes it."""
    flag = world.directory / "flag"
    general = m.CheckInfo(
        type=m.CheckInfoType.COMMAND,
        command=m.CheckInfoCommand(command=m.CommandInfo(value=f"test -e {flag}")),
        delay_seconds=0.0,
        interval_seconds=0.05,
        timeout_seconds=5.0,
    )
    world.run("t", "sleep 60", check=general)

    def code() -> int | None:
        shown = world.await_state("t", "TASK_RUNNING").check_status
        command = None if shown is None else shown.command
        return None if command is None else command.exit_code

    while code() != 1:
        pass
    flag.touch()
    while code() != 0:
        pass
