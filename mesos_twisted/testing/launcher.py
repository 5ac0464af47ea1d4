"""Speaks to a real launcher from outside, waiting in turn for each answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mesos_twisted.containerizer.zygote.protocol import FrameDecoder, frame

DEADLINE_S = 20
PATH = f"PATH={os.environ.get('PATH', '/bin:/usr/bin')}"
PYTHON = sys.executable


class Launcher:
    """A launcher in a fresh directory, and one connection that speaks to it, waiting in turn."""

    def __init__(self, argv: tuple[str, ...], directory: Path) -> None:
        self.argv, self.directory = argv, directory
        self.socket = directory / "z.sock"
        self.start()

    def start(self, idle_s: int = 60) -> None:
        journal = str(self.directory / "journal")
        subprocess.run([*self.argv, str(self.socket), journal, str(idle_s)], check=True, timeout=20)
        self.connect()

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(str(self.socket))
        self.decoder, self.seen = FrameDecoder(), list[list[str]]()
        self.number = 0
        self.pid = int(self.ask("HELLO")[3])

    def say(self, kind: str, *fields: str) -> str:
        self.number += 1
        texts = (kind, str(self.number), *fields)
        self.sock.sendall(frame([os.fsencode(t) for t in texts]))
        return str(self.number)

    def hear(self, number: str, kinds: tuple[str, ...] = (), about: str = "") -> list[str]:
        """The first unheard frame with this number (and kind, and container)."""
        while True:
            for i, f in enumerate(self.seen):
                if f[1] == number and (not kinds or f[0] in kinds) and (not about or about == f[2]):
                    return self.seen.pop(i)
            data = self.sock.recv(65536)
            assert data, "the launcher closed the connection"
            self.seen += [[os.fsdecode(x) for x in f] for f in self.decoder.feed(data)]

    def ask(self, kind: str, *fields: str) -> list[str]:
        return self.hear(self.say(kind, *fields))

    def launch_later(self, name: str, *argv: str, **more: str) -> str:
        env = more.pop("env", PATH).split("\n")
        keys = "cwd stdout stderr uid gid groups umask nice rlimits flags".split()
        known = [more.pop(k, "") for k in keys]
        assert not more
        return self.say("LAUNCH", name, argv[0], *known, str(len(argv)), *argv, *env)

    def launch(self, name: str, *argv: str, **more: str) -> list[str]:
        return self.hear(self.launch_later(name, *argv, **more))

    def exit_of(self, name: str) -> int:
        return int(self.hear("0", ("EXITED",), name)[3])

    def entries(self) -> dict[str, list[str]]:
        number, found = self.say("LIST"), {}
        while (f := self.hear(number))[0] == "ENTRY":
            found[f[2]] = f[3:]
        return found

    def journalled_pid(self, name: str) -> int:
        lines = (self.directory / "journal").read_text().splitlines()
        return next(int(w[2]) for w in map(str.split, lines) if w[:2] == ["L", name])

    def nonce(self) -> str:
        lines = (self.directory / "journal").read_text().splitlines()
        return next(w[1] for w in map(str.split, lines) if w[0] == "N")

    def output(self, name: str, *argv: str, **more: str) -> str:
        path = self.directory / f"{name}.out"
        answer = self.launch(name, *argv, stdout=str(path), **more)
        assert answer[0] == "LAUNCHED", answer
        assert self.exit_of(name) == 0
        return path.read_text()

    def stop(self) -> None:
        for name in self.entries():
            self.ask("DESTROY", name)
        self.ask("SHUTDOWN", "force")
        self.sock.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(condition: Callable[[], object], what: str) -> None:
    """Real processes tell nobody when they write a file or leave."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.005)  # polls a real process, with a deadline
