"""Executors of this host reach the API by loopback and by a Unix socket, and are known by their
process."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor

from mesos_twisted.agent.net import peer_process
from mesos_twisted.agent.net.endpoint import ExecutorEndpoint, UnixServer
from mesos_twisted.agent.net.peer_process import Caller
from mesos_twisted.errors import UnavailableError
from mesos_twisted.transport.listen import stop_gracefully
from mesos_twisted.transport.messages import Request, Response, text_response


class Api:
    """Stands for the executor API: remembers who asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request, int | None]] = []

    def request(self, request: Request, loopback_port: int | None = None) -> Response:
        self.asked.append((request, loopback_port))
        return text_response(202, "")


class World:
    """An endpoint on a Unix socket, its reactor turned by hand."""

    def __init__(self, directory: Path) -> None:
        self.reactor = EPollReactor()
        self.path = str(directory / "run" / "agent.sock")
        self.api, self.endpoint = Api(), ExecutorEndpoint()
        self.servers: list[UnixServer] = []

    def listen(self, endpoint: ExecutorEndpoint) -> None:
        server = UnixServer(self.reactor, endpoint.handle)
        self.servers.append(server)
        endpoint.listen_unix(self.reactor, server, self.path)

    def post(self, client: socket.socket, path: str = "/api/v1/executor") -> bytes:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
        client.setblocking(False)
        got = b""

        def answered() -> bool:
            nonlocal got
            try:
                got += client.recv(65536)
            except BlockingIOError:
                return False
            return b"\r\n\r\n" in got

        self.until(answered)
        return got.split(b"\r\n", 1)[0]

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, "it did not come to pass"
            self.reactor.iterate(0.01)

    def stop(self) -> None:
        done: list[object] = []
        stop_gracefully(self.endpoint.listeners, self.servers, 1.0).addBoth(done.append)
        self.until(lambda: done)


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="e") as directory:
        made = World(Path(directory))
        yield made
        made.stop()
        made.reactor.fireSystemEvent("shutdown")
        made.reactor.iterate(0)


def connected(world: World) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(world.path)
    return client


def test_every_user_may_connect_and_is_named_by_the_kernel(world: World) -> None:
    """The socket is open to all in a directory that all may pass, and only the API is there."""
    world.listen(world.endpoint)
    assert stat.S_IMODE(os.stat(world.path).st_mode) == 0o666
    assert stat.S_IMODE(os.stat(os.path.dirname(world.path)).st_mode) & 0o011 == 0o011
    with connected(world) as client:
        assert world.post(client) == b"HTTP/1.1 503 Service Unavailable"
        world.endpoint.serve(world.api)  # type: ignore[arg-type]  # a fake of its one method
        assert world.post(client) == b"HTTP/1.1 202 Accepted"
        assert world.post(client, "/state") == b"HTTP/1.1 404 Not Found"
        ((request, port),) = world.api.asked
        caller = request.peer.identity
        assert port is None and isinstance(caller, Caller)
        assert (caller.pid, caller.uid, caller.proven) == (os.getpid(), os.geteuid(), None)


def test_a_socket_left_over_is_replaced_and_no_other(world: World) -> None:
    """A crash leaves one; a living listener or a file of another kind is not touched."""
    os.mkdir(os.path.dirname(world.path), 0o700)
    left = socket.socket(socket.AF_UNIX)
    left.bind(world.path)
    left.close()
    world.listen(world.endpoint)
    with pytest.raises(UnavailableError, match=r"agent\.sock cannot be made: another process"):
        world.listen(ExecutorEndpoint())
    os.unlink(world.path)
    Path(world.path).write_text("precious")
    with pytest.raises(UnavailableError, match="something else than a socket"):
        world.listen(ExecutorEndpoint())
    assert Path(world.path).read_text() == "precious"


def test_it_stops_when_somebody_deleted_the_socket(world: World) -> None:
    """Whoever tidies up does not hang the agent's end."""
    world.listen(world.endpoint)
    os.unlink(world.path)
    world.stop()
    assert not os.path.exists(world.path)


CHILDREN = """
import os, sys, time
def tell(name): print(name, os.getpid(), flush=True)
tell("leader")
if os.fork() == 0:
    if os.fork() == 0:
        tell("same-session")
        time.sleep(60)
    os._exit(0)
os.wait()
if os.fork() == 0:
    os.setsid()
    tell("own-session")
    time.sleep(60)
time.sleep(60)
"""


def test_a_caller_is_of_the_container_by_session_or_parentage() -> None:
    """Whoever is neither, or whose number is another process's by now, is not."""
    argv = [sys.executable, "-S", "-E", "-c", CHILDREN]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert child.stdout is not None
        pids: dict[str, int] = {}
        while len(pids) < 3:
            name, number = child.stdout.readline().split()
            pids[name] = int(number)
        leader = pids["leader"]
        try:
            for name, pid in pids.items():
                started = start_of(pid)
                uid = os.geteuid()
                assert peer_process.is_member(Caller(pid, uid, started), leader, uid), name
                assert not peer_process.is_member(Caller(pid, uid + 1, started), leader, uid)
                assert not peer_process.is_member(Caller(pid, uid, started + 1), leader, uid)
            us = Caller(os.getpid(), os.geteuid(), start_of(os.getpid()))
            assert not peer_process.is_member(us, leader, None)
        finally:
            for pid in pids.values():
                os.kill(pid, 9)
    gone = Caller(leader, os.geteuid(), 1)
    assert not peer_process.is_member(gone, leader, None)


def start_of(pid: int) -> int:
    """Clock ticks since boot."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
