"""Nobody is left, nobody else is touched, and nothing untrue is said: both launchers alike."""

from __future__ import annotations

import os
import platform
import random
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesos_twisted.containerizer.zygote.protocol import MARKER
from mesos_twisted.testing.launcher import DEADLINE_S, PYTHON, Launcher, alive, until

RUN = (PYTHON, "-S", "-E", "-c")


class Held:
    """A pipe that every process of a task holds: it has no writer once none is left."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "held"
        os.mkfifo(self.path)
        self.reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def by_nobody(self) -> bool:
        try:
            return os.read(self.reader, 1) == b""
        except BlockingIOError:
            return False


@pytest.fixture
def held(launcher: Launcher) -> Iterator[Held]:
    made = Held(launcher.directory)
    yield made
    os.close(made.reader)


HOPPER = """
import os, sys
held = os.open(sys.argv[1], os.O_WRONLY)
for _ in range(3):
    if os.fork() == 0:
        while True:
            if os.fork():
                os._exit(0)
            os.setsid()
os._exit(0)
"""


def test_destroyed_means_that_nobody_is_left(launcher: Launcher, held: Held) -> None:
    """Processes that only fork and leave, into sessions of their own, are caught all the same."""
    launcher.launch("a", *RUN, HOPPER, str(held.path))
    launcher.launch("other", "/bin/sleep", "60")
    assert launcher.exit_of("a") == 0
    assert not held.by_nobody()
    assert launcher.ask("DESTROY", "a")[0] == "DESTROYED"
    assert held.by_nobody()
    assert launcher.entries()["other"][0] == "running"


def test_others_may_fork_and_leave_meanwhile(launcher: Launcher, held: Held) -> None:
    """A task that is never quiet does not keep another from being destroyed, nor is it ended."""
    launcher.launch("noisy", *RUN, HOPPER, str(held.path))
    assert launcher.exit_of("noisy") == 0
    for i in range(5):
        launcher.launch(f"t{i}", "/bin/sh", "-c", "sleep 60 & sleep 60")
        assert launcher.ask("DESTROY", f"t{i}")[0] == "DESTROYED"
    assert not held.by_nobody()
    launcher.ask("DESTROY", "noisy")
    assert held.by_nobody()


BOMB = """
import os, sys, time
held = os.open(sys.argv[1], os.O_WRONLY)
for _ in range(8):
    os.fork()
    os.setsid() if os.getpid() != os.getsid(0) else None
while True:
    if os.fork() == 0:
        os.setsid()
        time.sleep(0.05)
        os._exit(0)
    os.wait()
"""


def test_a_bomb_ends_while_others_are_served(launcher: Launcher, held: Held) -> None:
    """Hundreds of processes that start others for ever end; tasks start and end meanwhile."""
    launcher.launch("a", *RUN, BOMB, str(held.path))
    until(lambda: int(launcher.ask("USAGE", "a")[6]) > 300, "three hundred processes")
    destroyed = launcher.say("DESTROY", "a")
    for i in range(5):
        assert launcher.launch(f"t{i}", "/bin/true")[0] == "LAUNCHED"
        assert launcher.exit_of(f"t{i}") == 0
    assert launcher.hear(destroyed)[0] == "DESTROYED"
    assert held.by_nobody()


THREAD = """
import ctypes, os, sys, threading, time
held = os.open(sys.argv[1], os.O_WRONLY)
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall(int(sys.argv[2]), 0)
"""


def test_a_process_whose_first_thread_ended_is_alive(launcher: Launcher, held: Held) -> None:
    """The kernel shows it as a zombie, and still it is counted and ended."""
    number = {"x86_64": "60", "aarch64": "93"}[platform.machine()]
    script = f"exec {PYTHON} -S -E -c '{THREAD}' {held.path} {number} & sleep 60"
    launcher.launch("a", "/bin/sh", "-c", script)
    pid = int(launcher.entries()["a"][1])

    def zombie() -> bool:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        states = [Path(f"/proc/{c}/stat").read_text().rpartition(")")[2].split() for c in children]
        return any(words[0] == "Z" and words[17] == "2" for words in states)

    until(zombie, "a zombie with a thread")
    assert launcher.ask("USAGE", "a")[6] == "3"
    launcher.ask("DESTROY", "a")
    assert held.by_nobody()


@contextmanager
def another(launcher: Launcher) -> Iterator[Launcher]:
    """A launcher of the same kind in another directory."""
    directory = launcher.directory / "other"
    directory.mkdir()
    made = Launcher(launcher.argv, directory)
    try:
        yield made
    finally:
        made.stop()


def test_launchers_leave_each_other_alone(launcher: Launcher) -> None:
    """The same container id below two launchers of one host names two containers."""
    with another(launcher) as second:
        mine = int(launcher.launch("a", "/bin/sleep", "60")[3])
        second.launch("b", "/bin/sleep", "60")
        second.ask("DESTROY", "a")  # unknown there, so that it looks at the whole host
        assert alive(mine)
        os.kill(second.pid, signal.SIGKILL)
        assert second.sock.recv(1) == b""
        second.start()
        second.ask("DESTROY", "a")
        assert alive(mine)
        assert second.ask("SIGNAL", "b", "0", "tree")[3] == "1"


LEAVER = """
import os, sys, time
held = os.open(sys.argv[1], os.O_WRONLY)
if os.fork(): os._exit(0)
os.setsid()
time.sleep(60)
"""


def test_a_later_launcher_finds_what_a_dead_one_left(launcher: Launcher, held: Held) -> None:
    """Whose launcher was killed is found by the mark, even with no leader, and can be ended."""
    launcher.launch("a", *RUN, LEAVER, str(held.path))
    launcher.launch("b", "/bin/sleep", "60")
    assert launcher.exit_of("a") == 0
    mark = f"{MARKER}={launcher.nonce()}:a"
    os.kill(launcher.pid, signal.SIGKILL)
    assert launcher.sock.recv(1) == b""
    launcher.start()
    assert mark == f"{MARKER}={launcher.nonce()}:a"
    assert launcher.entries()["b"][0] == "orphaned"
    assert launcher.launch("c", "/bin/true")[0] == "LAUNCHED"
    launcher.ask("FORGET", "a")  # now nobody knows of it but by the mark
    assert not held.by_nobody()
    assert launcher.ask("DESTROY", "a")[0] == "DESTROYED"
    assert held.by_nobody()
    assert launcher.ask("SIGNAL", "b", "15", "leader")[3] == "1"
    assert launcher.exit_of("b") == -1
    assert launcher.entries()["b"][0] == "lost"


def test_a_number_used_again_is_a_stranger(launcher: Launcher) -> None:
    """A journalled pid that now names a process started at another time takes no signal."""
    launcher.launch("a", "/bin/sleep", "60")
    pid = launcher.journalled_pid("a")
    stranger = int(launcher.launch("b", "/bin/sleep", "60")[3])
    os.kill(launcher.pid, signal.SIGKILL)
    assert launcher.sock.recv(1) == b""
    journal = launcher.directory / "journal"
    text = journal.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("L ")]
    journal.write_text("\n".join([*lines, f"L x {stranger} 1"]) + "\n")
    launcher.start()
    assert launcher.entries()["x"][0] == "lost"
    assert launcher.ask("SIGNAL", "x", "9", "leader")[3] == "0"
    assert launcher.ask("DESTROY", "x")[0] == "DESTROYED"
    assert alive(stranger) and alive(pid)
    for name in ("a", "b"):
        launcher.ask("DESTROY", name)
    assert not alive(stranger) and not alive(pid)


def test_without_descriptors_it_waits_and_does_not_spin(launcher: Launcher) -> None:
    """Clients beyond the limit of descriptors wait their turn, at no cost of processor time."""
    launcher.launch("tick", "/bin/sleep", "1.5")
    resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, (24, 24))
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    try:
        for one in crowd:
            one.settimeout(DEADLINE_S)
            one.connect(str(launcher.socket))
        before = turns(launcher)
        assert launcher.exit_of("tick") == 0
        assert turns(launcher) - before < 200
        for one in crowd[:-1]:
            one.close()
        crowd[-1].sendall(b"\0\0\0\x07PING\x001\0")
        assert crowd[-1].recv(64).endswith(b"PONG\x001\0")
    finally:
        for one in crowd:
            one.close()


def turns(launcher: Launcher) -> int:
    stats = launcher.ask("STATS")
    return int(stats[stats.index("turns") + 1])


def test_tasks_are_as_likely_victims_as_any_process(launcher: Launcher) -> None:
    """Short memory ends tasks before the launcher, which alone knows how they ended."""
    assert launcher.output("a", "cat", "/proc/self/oom_score_adj") == "0\n"
    lowered = subprocess.run(["/bin/sh", "-c", "echo -900 > /proc/self/oom_score_adj"], stderr=-3)
    if lowered.returncode == 0:  # only who may do so sees the launcher do it
        assert int(Path(f"/proc/{launcher.pid}/oom_score_adj").read_text()) <= -900


def nonsense(chance: random.Random, directory: Path) -> bytes:
    """Frames close enough to true ones that every request's reading of its fields is met."""
    kinds = [
        b"LAUNCH",
        b"SIGNAL",
        b"DESTROY",
        b"FORGET",
        b"USAGE",
        b"LIST",
        b"STATS",
        b"HELLO",
        b"?",
    ]
    words = [b"", b"0", b"-1", b"1", b"15", b"99999999999999999999", b"a", b"b" * 255, b"c" * 256,
             b"/bin/true", b"/", b"tree", b"group", b"7:1:2", b"7::", b":", b"1,2,", b"\xff\xfe",
             b"A=b", b"PATH=/bin", b"MESOS_TWISTED_CONTAINER=x", b"%s%n", b"x" * 70000]  # fmt: skip
    fields = [chance.choice(kinds), b"%d" % chance.randrange(9)]
    fields += [chance.choice(words) for _ in range(chance.choice((0, 1, 2, 3, 12, 13, 14, 20)))]
    if fields[0] == b"LAUNCH" and len(fields) >= 15:
        fields[2] = chance.choice((b"a", b"d", b"e"))
        fields[4] = os.fsencode(directory)  # what a relative path makes is made here
        fields[14] = chance.choice((b"1", b"0", b"2", b"-1", b"99"))
    body = b"\0".join(fields) + b"\0"
    data = bytearray(len(body).to_bytes(4, "big") + body)
    if chance.random() < 0.1:
        data[chance.randrange(len(data))] = chance.randrange(256)
    if chance.random() < 0.05:
        del data[chance.randrange(len(data)) :]
    return bytes(data)


@pytest.mark.parametrize("seed", range(3))
def test_nonsense_never_ends_it(launcher: Launcher, seed: int) -> None:
    """Whatever is said on other connections, this one is answered by the same launcher."""
    chance = random.Random(seed)
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as other:
            other.settimeout(DEADLINE_S)
            other.connect(str(launcher.socket))
            try:
                other.sendall(
                    b"".join(
                        nonsense(chance, launcher.directory) for _ in range(chance.randrange(1, 12))
                    )
                )
                other.shutdown(socket.SHUT_WR)
                while other.recv(65536):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass  # it hung up on us, as it may
        assert launcher.ask("PING")[0] == "PONG"
    before = launcher.pid
    assert int(launcher.ask("HELLO")[3]) == before
    assert launcher.launch("true", "/bin/true")[0] == "LAUNCHED"
    assert launcher.exit_of("true") == 0
