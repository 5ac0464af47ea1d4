"""Whose end of a loopback connection it is, told by the kernel and by parentage alone."""

import os
import socket
from pathlib import Path

import pytest

from mesos_twisted.agent.net import peer_process
from mesos_twisted.agent.net.peer_process import Socket


@pytest.fixture
def fake_proc(tmp_path: Path) -> Path:
    """Process 10 leads a container: 11 is its child, 12 its grandchild, 13 of its session after a
    double fork; 20 is a stranger."""
    parents = {1: (0, 1), 10: (1, 10), 11: (10, 10), 12: (11, 12), 13: (1, 10), 20: (1, 20)}
    for pid, (parent, session) in parents.items():
        directory = tmp_path / str(pid)
        (directory / "fd").mkdir(parents=True)
        (directory / "stat").write_text(f"{pid} (a) b) (c) S {parent} 0 {session} 0 0")
    (tmp_path / "net").mkdir()
    return tmp_path


def hold(proc: Path, pid: int, inode: int) -> None:
    """Give the process a socket."""
    (proc / str(pid) / "fd" / "5").symlink_to(f"socket:[{inode}]")


@pytest.mark.parametrize("pid", [10, 11, 12, 13])
def test_the_containers_own_processes_belong(fake_proc: Path, pid: int) -> None:
    """First process, descendants, and the session's."""
    hold(fake_proc, pid, 77)
    assert peer_process.belongs(Socket(1000, 77), 10, 1000, str(fake_proc))


def test_strangers_do_not(fake_proc: Path) -> None:
    """Nor another user's socket, nor one that nobody holds."""
    hold(fake_proc, 20, 77)
    assert not peer_process.belongs(Socket(1000, 77), 10, 1000, str(fake_proc))
    hold(fake_proc, 11, 78)
    assert not peer_process.belongs(Socket(1001, 78), 10, 1000, str(fake_proc))
    assert peer_process.belongs(Socket(1001, 78), 10, None, str(fake_proc))
    assert not peer_process.belongs(Socket(1000, 0), 10, None, str(fake_proc))


def test_a_real_connection_is_found_and_is_ours() -> None:
    """On this kernel, with this process as the container."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            address, local = client.getsockname()
            found = peer_process.find_socket(address, local, port)
            assert found is not None and found.uid == os.geteuid()
            assert peer_process.belongs(found, os.getpid(), os.geteuid())
            assert peer_process.find_socket(address, local, port + 1) is None


def test_only_loopback_is_looked_at() -> None:
    """Another host's process cannot be seen."""
    assert peer_process.find_socket("10.0.0.1", 1, 2) is None
    assert peer_process.find_socket("::1", 1, 2) is None
