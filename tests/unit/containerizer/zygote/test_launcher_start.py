"""Started means that somebody answers: both launchers alike."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import subprocess

import pytest

from mesos_twisted.containerizer.zygote.protocol import frame
from mesos_twisted.testing.launcher import DEADLINE_S, Launcher


class Dying:
    """Holds the lock and the socket as a launcher does that was killed and is not yet gone."""

    def __init__(self, launcher: Launcher) -> None:
        self.lock = os.open(f"{launcher.socket}.lock", os.O_RDWR)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        launcher.socket.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(DEADLINE_S)
        self.listener.bind(str(launcher.socket))
        self.listener.listen(8)

    def leave(self) -> None:
        """The kernel closes what a dead process had one after the other, the lock last."""
        self.listener.close()
        os.close(self.lock)


def end(launcher: Launcher) -> None:
    """The fixture's launcher is no more, nor its lock."""
    launcher.ask("SHUTDOWN", "force")
    with open(f"{launcher.socket}.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


@pytest.mark.parametrize("accepts", [True, False])
def test_who_dies_is_not_taken_for_one_who_serves(launcher: Launcher, accepts: bool) -> None:
    """A socket that takes a connection and hangs up, asked or not, has nobody behind it."""
    end(launcher)
    dying = Dying(launcher)
    argv = [*launcher.argv, str(launcher.socket), str(launcher.directory / "journal"), "60"]
    with subprocess.Popen(argv) as starter:
        assert select.select([dying.listener], [], [], DEADLINE_S)[0]
        if accepts:
            asking, _ = dying.listener.accept()
            asking.settimeout(DEADLINE_S)
            assert asking.recv(64) == frame([b"PING", b"1"])
            asking.close()
        dying.leave()
        assert starter.wait(DEADLINE_S) == 0
    launcher.connect()
    assert launcher.ask("PING")[0] == "PONG"


def test_who_serves_is_left_in_place(launcher: Launcher) -> None:
    """A second start ends well, and the first launcher goes on."""
    before = launcher.pid
    launcher.start()
    assert launcher.pid == before
