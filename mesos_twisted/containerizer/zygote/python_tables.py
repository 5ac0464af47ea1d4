"""What the Python launcher knows: tasks, connections, and its children that lead no task."""

from __future__ import annotations

import os
import select
import socket
import struct
from dataclasses import dataclass

from mesos_twisted.containerizer.zygote.python_journal import Journal

MAX_UNREAD = 64 << 20
#: Descriptors kept for looking at /proc and writing the journal.
SPARE_FDS = 16
STAGES = ["fork", "setsid", "nice", "rlimit", "setgroups", "setgid", "setuid", "no_new_privs",
          "chdir", "stdin", "stdout", "stderr", "exec"]  # fmt: skip
LIVE = ("starting", "running")


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

    __slots__ = ("asker", "destroyer", "destroying", "empties", "ghost", "id", "maxrss", "members",
                 "pid", "pipe", "stage", "start", "state", "status", "stime", "utime")  # fmt: skip

    def __init__(self, container_id: bytes, state: str) -> None:
        self.id, self.state = container_id, state
        self.pid = self.start = self.status = self.stage = 0
        self.utime = self.stime = self.maxrss = self.members = self.empties = 0
        self.pipe = -1
        self.ghost = self.destroying = False
        self.asker: tuple[Connection, bytes] | None = None
        self.destroyer: tuple[Connection, bytes] | None = None


@dataclass(slots=True)
class Child:
    """A child of ours that leads no task; `unclear` counts looks that could not tell whose."""

    owner: Task | None
    unclear: int = 0


class Tables:
    """One launcher's state; the parts of the launcher work on it."""

    def __init__(self, journal: Journal, fd_limit: int) -> None:
        self.me, self.journal, self.fd_limit = os.getpid(), journal, fd_limit
        self.tasks: dict[bytes, Task] = {}
        self.by_pid: dict[int, Task] = {}
        self.destroying: dict[bytes, Task] = {}
        self.connections: dict[int, Connection] = {}
        self.pipes: dict[int, Task] = {}
        self.children: dict[int, Child] = {}
        self.launches = self.failures = self.live = self.turns = self.passes = 0
        self.fd_freed = self.over = False
        self.epoll = select.epoll()

    def set_pid(self, task: Task, pid: int) -> None:
        task.pid = pid
        self.by_pid[pid] = task

    def is_leader(self, pid: int) -> bool:
        task = self.by_pid.get(pid)
        return task is not None and task.state in LIVE

    def drop(self, task: Task) -> None:
        self.tasks.pop(task.id, None)
        self.destroying.pop(task.id, None)
        if self.by_pid.get(task.pid) is task:
            del self.by_pid[task.pid]
        self.drop_children(task)

    def drop_children(self, owner: Task | None) -> None:
        """Children with that owner are looked at anew."""
        self.children = {pid: c for pid, c in self.children.items() if c.owner is not owner}

    def note_task(self, task: Task) -> None:
        """The journal has all that a later launcher may tell of `task`."""
        if task.pid:
            self.journal.note(b"L", task.id, task.pid, task.start)
        if task.state in ("exited", "lost"):
            figures = (task.status, task.utime, task.stime, task.maxrss)
            self.journal.note(b"X", task.id, *figures)
        elif task.state == "failed":
            self.journal.note(b"E", task.id, task.status, task.stage)

    def compact(self) -> None:
        """The journal is written anew, with what still matters."""
        if self.journal.begin():
            for task in self.tasks.values():
                if not task.ghost:
                    self.note_task(task)
            self.journal.commit()

    def tell_launch(self, task: Task) -> None:
        if task.asker is None:
            return
        connection, seq = task.asker
        if task.state == "failed":
            stage = STAGES[task.stage].encode()
            connection.answer(b"FAILED", seq, task.id, task.status, stage)
        else:
            connection.answer(b"LAUNCHED", seq, task.id, task.pid, task.start)

    def tell_exit(self, task: Task) -> None:
        for c in self.connections.values():
            c.answer(b"EXITED", 0, task.id, task.status, task.utime, task.stime, task.maxrss)
