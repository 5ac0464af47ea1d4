"""What the Python launcher knows of tasks: the table's rows, the journal, the host's processes."""

from __future__ import annotations

import os
import signal
import socket
import struct

MAX_UNREAD = 64 << 20


class Connection:
    """A client's bytes in and out."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.dead, self.writing = sock, False, False
        self.unread, self.out = b"", bytearray()

    def answer(self, *fields: bytes | int) -> None:
        body = b"".join((f if isinstance(f, bytes) else str(f).encode()) + b"\0" for f in fields)
        self.out += struct.pack(">I", len(body)) + body
        if len(self.out) > MAX_UNREAD:
            self.dead = True


class Task:
    """One container: `status` is a wait status, or an errno when it could not be started."""

    __slots__ = ("asker", "destroyer", "destroying", "ghost", "id", "maxrss", "members", "pid",
                 "pipe", "stage", "start", "state", "status", "stime", "utime")  # fmt: skip

    def __init__(self, container_id: bytes, state: str) -> None:
        self.id, self.state = container_id, state
        self.pid = self.start = self.status = self.stage = 0
        self.utime = self.stime = self.maxrss = self.members = 0
        self.pipe = -1
        self.ghost = self.destroying = False
        self.asker: tuple[Connection, bytes] | None = None
        self.destroyer: tuple[Connection, bytes] | None = None


class Process:
    """One line of the process table of the host."""

    __slots__ = ("cpu_system", "cpu_user", "owned", "owner", "parent", "pid", "rss", "session",
                 "start", "state", "threads")  # fmt: skip

    def __init__(self, pid: int, text: bytes) -> None:
        words = text[text.rindex(b")") + 2 :].split()
        self.pid, self.state = pid, words[0]
        self.parent, self.session = int(words[1]), int(words[3])
        self.cpu_user = int(words[11]) + int(words[13])
        self.cpu_system = int(words[12]) + int(words[14])
        self.threads, self.start, self.rss = int(words[17]), int(words[19]), int(words[21])
        self.owner: Task | None = None
        self.owned = False

    def gone(self) -> bool:
        return self.state in b"ZXx"


def process(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", 0) as source:
            return Process(pid, source.read(1024))
    except (OSError, ValueError, IndexError):
        return None


def boot_id() -> bytes:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as source:
            return source.read().strip()
    except OSError:
        return b"-"


def still_there(task: Task) -> bool:
    p = process(task.pid)
    return p is not None and p.start == task.start and not p.gone()


def send_to(p: Process, number: int) -> int:
    """1 when the signal was sent to this very process, whatever its number is used for now."""
    try:
        fd = os.pidfd_open(p.pid)
    except OSError:
        return 0
    try:
        again = process(p.pid)
        if again is None or again.start != p.start:
            return 0
        signal.pidfd_send_signal(fd, number)
        return 1
    except OSError:
        return 0
    finally:
        os.close(fd)


class Journal:
    """What a later launcher may still tell of the tasks of this one."""

    def __init__(self, path: str) -> None:
        self.path, self.fd, self.lines, self.errors = path, -1, 0, 0
        self.pending: list[bytes] = []

    def note(self, *words: bytes | int) -> None:
        self.pending.append(b" ".join(w if isinstance(w, bytes) else b"%d" % w for w in words))
        self.lines += 1

    def note_task(self, task: Task) -> None:
        if task.pid:
            self.note(b"L", task.id, task.pid, task.start)
        if task.state in ("exited", "lost"):
            self.note(b"X", task.id, task.status, task.utime, task.stime, task.maxrss)
        elif task.state == "failed":
            self.note(b"E", task.id, task.status, task.stage)

    def flush(self) -> None:
        if self.pending:
            data = b"\n".join(self.pending) + b"\n"
            self.pending.clear()
            try:
                self.errors += os.write(self.fd, data) != len(data)
            except OSError:
                self.errors += 1

    def compact(self, tasks: dict[bytes, Task]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
        try:
            fd = os.open(self.path + ".new", flags, 0o600)
        except OSError:
            self.errors += 1
            return
        if self.fd >= 0:
            self.flush()
            os.close(self.fd)
        self.fd, self.lines = fd, 0
        self.note(b"B", boot_id())
        for task in tasks.values():
            if not task.ghost:
                self.note_task(task)
        self.flush()
        os.rename(self.path + ".new", self.path)
