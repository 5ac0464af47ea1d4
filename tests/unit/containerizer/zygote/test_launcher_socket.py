"""A launcher whose socket the service manager made, as systemd passes it: both alike."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_twisted.containerizer.zygote import start
from mesos_twisted.containerizer.zygote.build import build, command
from mesos_twisted.testing.launcher import DEADLINE_S, Launcher

#: As a unit starts it: the socket is descriptor 3, and named by the environment.
AS_SYSTEMD = (
    "echo 300 >/proc/self/oom_score_adj; export LISTEN_PID=$$ LISTEN_FDS=${COUNT:-1} "
    'LISTEN_FDNAMES=x; exec "$@"'
)


class Unit(Launcher):
    """A socket unit and the service it starts; the first is there all the time."""

    def __init__(self, argv: tuple[str, ...], directory: Path) -> None:
        self.argv, self.directory = argv, directory
        self.socket = directory / "z.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen(8)
        self.services: list[subprocess.Popen[bytes]] = []

    def activate(self, idle_s: int = 60, **env: str) -> subprocess.Popen[bytes]:
        fd = self.listener.fileno()
        words = [*self.argv, str(self.socket), str(self.directory / "journal"), str(idle_s)]
        service = subprocess.Popen(
            ["/bin/sh", "-c", AS_SYSTEMD, "sh", *words],
            # Another descriptor comes with it, for the launcher not to keep.
            pass_fds=[3, fd],
            preexec_fn=lambda: os.dup2(fd, 3) and None,
            env={**os.environ, **env},
            stderr=subprocess.PIPE,
        )
        self.services.append(service)
        return service

    def serve(self, idle_s: int = 60) -> subprocess.Popen[bytes]:
        service = self.activate(idle_s)
        self.connect()
        return service

    def close(self) -> None:
        for service in self.services:
            service.kill()
            service.communicate()
        self.listener.close()


@pytest.fixture(params=["c", "python"])
def unit(request: pytest.FixtureRequest, cache: Path) -> Iterator[Unit]:
    if request.param == "c" and build(cache) is None:
        pytest.skip("no C compiler here; the Python launcher is what runs on such a host")
    with tempfile.TemporaryDirectory(prefix="z") as directory:
        os.chmod(directory, 0o755)
        made = Unit(command(cache, request.param), Path(directory))
        yield made
        made.close()


def test_it_serves_the_socket_it_is_given_and_stays_the_services_process(unit: Unit) -> None:
    service = unit.serve()
    assert unit.pid == service.pid
    assert unit.launch("a", "/bin/sh", "-c", "exit 3")[0] == "LAUNCHED"
    assert unit.exit_of("a") == 3 << 8


def test_a_task_has_nothing_of_the_service(unit: Unit) -> None:
    """Neither its socket and streams, nor the variables that name them, nor its oom score."""
    unit.serve()
    said = unit.output("a", "/bin/sh", "-c", "ls -l /proc/$$/fd; env; cat /proc/$$/oom_score_adj")
    assert "LISTEN" not in said and "socket:" not in said
    assert {line.split()[-3] for line in said.splitlines() if "->" in line} <= set("012")
    assert said.splitlines()[-1] == "0"


def test_without_a_task_it_ends_and_the_socket_starts_the_next(unit: Unit) -> None:
    """It stays for a task, whose end it sees; what comes later waits in the socket."""
    service = unit.serve(idle_s=0)
    assert unit.launch("a", "/bin/sh", "-c", "read x <$FIFO; exit 5", env=f"FIFO={fifo(unit)}")
    unit.sock.close()
    with open(fifo(unit), "w") as told:
        assert service.poll() is None
        told.write("go\n")
    assert service.wait(DEADLINE_S) == 0
    assert unit.socket.exists()
    next_one = unit.serve()
    assert next_one.pid != service.pid
    assert unit.entries()["a"][0] == "exited" and unit.entries()["a"][3] == str(5 << 8)


def fifo(unit: Unit) -> Path:
    path = unit.directory / "fifo"
    if not path.exists():
        os.mkfifo(path)
    return path


def test_asked_to_end_it_leaves_the_socket(unit: Unit) -> None:
    service = unit.serve()
    assert unit.ask("SHUTDOWN")[0] == "BYE"
    assert service.wait(DEADLINE_S) == 0 and unit.socket.exists()


def test_two_never_share_a_journal(unit: Unit) -> None:
    unit.serve()
    second = unit.activate()
    said = second.communicate(timeout=DEADLINE_S)[1].decode()
    assert second.returncode == 1 and "another launcher holds" in said


def test_what_is_no_single_socket_is_refused(unit: Unit) -> None:
    wrong = unit.activate(COUNT="2")
    said = wrong.communicate(timeout=DEADLINE_S)[1].decode()
    assert wrong.returncode == 1 and "one listening Unix socket" in said


PING = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
try:
    s.sendall(b"\\0\\0\\0\\7PING\\0001\\0")
    print(s.recv(64)[4:8].decode())
except OSError:
    print()
"""


def test_only_root_and_the_sockets_owner_may_speak(unit: Unit) -> None:
    """The launcher is root's and the agent another user, for whom the socket was made."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    os.chown(unit.socket, 65533, 65533)
    unit.socket.chmod(0o666)
    unit.serve()
    asked = {
        uid: subprocess.run(
            ["/usr/bin/env", "-S", "python3", "-I", "-S", "-c", PING, str(unit.socket)],
            user=uid,
            group=uid,
            extra_groups=[],
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
        ).stdout.strip()
        for uid in (0, 65533, 65532)
    }
    assert asked == {0: "PONG", 65533: "PONG", 65532: ""}


def test_the_command_of_a_unit_becomes_the_launcher(tmp_path: Path) -> None:
    ran: list[list[str]] = []
    start.start(
        [f"--runtime_dir={tmp_path}", f"--launcher_dir={tmp_path}", "--idle=7"],
        lambda file, words: ran.append([file, *words]),
    )
    ((file, *words),) = ran
    assert words[0] == file and words[-3:] == [
        str(tmp_path / "zygote.sock"),
        str(tmp_path / "zygote.journal"),
        "7",
    ]
    assert file == sys.executable or Path(file).parent == tmp_path
