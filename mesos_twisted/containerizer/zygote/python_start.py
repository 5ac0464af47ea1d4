"""The Python launcher's starting of tasks, and its hearing of their ends."""

from __future__ import annotations

import errno
import os
import select
import struct

from mesos_twisted.containerizer.zygote.python_child import become
from mesos_twisted.containerizer.zygote.python_host import process
from mesos_twisted.containerizer.zygote.python_tables import SPARE_FDS, Connection, Tables, Task


class Starter:
    """Forks and reaps."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        if max(ends) >= self._tables.fd_limit - SPARE_FDS:
            for end in ends:
                os.close(end)
            raise OSError(errno.EMFILE, "few descriptors are left")
        return ends

    def launch(self, connection: Connection, seq: bytes, f: list[bytes]) -> None:
        task = self._tables.tasks.get(f[2])
        if task is not None and not task.ghost:
            task.asker = (connection, seq)
            if task.state != "starting":
                self._tables.tell_launch(task)
            return
        task = self._tables.tasks[f[2]] = Task(f[2], "starting")
        self._tables.destroying.pop(f[2], None)
        task.asker = (connection, seq)
        self._tables.launches += 1
        try:
            read_end, write_end = self._pipe()
        except OSError as problem:
            self.fail(task, 0, problem.errno or errno.EMFILE)
            self._tables.tell_launch(task)
            return
        try:
            pid = os.fork()
        except OSError as problem:
            os.close(read_end)
            os.close(write_end)
            self.fail(task, 0, problem.errno or errno.EAGAIN)
            self._tables.tell_launch(task)
            return
        if not pid:
            become(f, write_end, self._tables.me, self._tables.journal.nonce)
        os.close(write_end)
        self._tables.set_pid(task, pid)
        self._tables.live += 1
        seen = process(pid)
        task.start = seen.start if seen else 0
        task.pipe = read_end
        self._tables.pipes[read_end] = task
        self._tables.epoll.register(read_end, select.EPOLLIN)
        self._tables.journal.note(b"L", task.id, pid, task.start)

    def fail(self, task: Task, stage: int, number: int) -> None:
        task.state, task.stage, task.status = "failed", stage, number
        self._tables.failures += 1
        self._tables.journal.note(b"E", task.id, number, stage)

    def settle(self, task: Task) -> None:
        """The child has exec'ed (its end of the pipe is closed), or says why it could not."""
        if task.pipe < 0:
            return
        try:
            word = os.read(task.pipe, 8)
        except BlockingIOError:
            return  # an event for an earlier pipe of the same number
        self._tables.pipes.pop(task.pipe)
        self._tables.epoll.unregister(task.pipe)  # a child before its exec still has it open
        os.close(task.pipe)
        self._tables.fd_freed = True
        task.pipe = -1
        if len(word) == 8:
            self.fail(task, *struct.unpack("ii", word))
            self._tables.live -= 1
        else:
            task.state = "running"
        self._tables.tell_launch(task)

    def reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            task = self._tables.by_pid.get(pid)
            self._tables.children.pop(pid, None)
            if task is None or task.state in ("exited", "lost"):
                continue
            self.settle(task)
            if task.state != "running":
                continue
            task.state, task.status = "exited", status
            task.utime, task.stime = int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
            task.maxrss = usage.ru_maxrss
            self._tables.live -= 1
            self._tables.journal.note(b"X", task.id, status, task.utime, task.stime, task.maxrss)
            self._tables.tell_exit(task)
