"""The launcher in Python, for hosts without a C compiler: the same conversation as `zygote.c`.

Started by `build.command` with arguments SOCKET JOURNAL IDLE_SECONDS; it and the two modules it is
made of import the standard library only. The conversation is described in `protocol.py`. It goes
to the background once it listens, reaps every descendant, and ends by itself when no agent is
connected and no task lives.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import signal
import socket
import struct
import sys
import time

from mesos_twisted.containerizer.zygote.python_child import become, libc
from mesos_twisted.containerizer.zygote.python_tasks import (
    Connection,
    Journal,
    Process,
    Task,
    boot_id,
    process,
    send_to,
    still_there,
)

VERSION = 1
MARKER = b"MESOS_TWISTED_CONTAINER="
MAX_FRAME = 8 << 20
STOP_ROUNDS = 20
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGESIZE")
GOOD_ID = re.compile(rb"[A-Za-z0-9._-]{1,255}\Z")
STAGES = ["fork", "setsid", "nice", "rlimit", "setgroups", "setgid", "setuid", "no_new_privs",
          "chdir", "stdin", "stdout", "stderr", "exec"]  # fmt: skip
LIVE = ("starting", "running")


class Launcher:
    """Tasks, connections and the loop over them."""

    def __init__(self, socket_path: str, journal_path: str, idle_s: float) -> None:
        self.socket_path, self.idle_s, self.me = socket_path, idle_s, os.getpid()
        self.tasks: dict[bytes, Task] = {}
        self.by_pid: dict[int, Task] = {}
        self.destroying: dict[bytes, Task] = {}
        self.connections: dict[int, Connection] = {}
        self.pipes: dict[int, Task] = {}
        self.known: dict[int, Task | None] = {}  # children of ours that lead no task
        self.wants: list[tuple[Connection, bytes, Task | None]] = []
        self.launches = self.failures = self.live = self.rounds = 0
        self.use_all = self.over = False
        self.epoll = select.epoll()
        self.journal = Journal(journal_path)

    # -- launching
    def launch(self, connection: Connection, seq: bytes, f: list[bytes]) -> None:
        task = self.tasks.get(f[2])
        if task is not None and not task.ghost:
            task.asker = (connection, seq)
            if task.state != "starting":
                self.tell_launch(task)
            return
        task = self.tasks[f[2]] = Task(f[2], "starting")
        self.destroying.pop(f[2], None)
        task.asker = (connection, seq)
        self.launches += 1
        try:
            read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as problem:
            self.fail(task, 0, problem.errno or errno.EMFILE)
            self.tell_launch(task)
            return
        try:
            pid = os.fork()
        except OSError as problem:
            os.close(read_end)
            os.close(write_end)
            self.fail(task, 0, problem.errno or errno.EAGAIN)
            self.tell_launch(task)
            return
        if not pid:
            become(f, write_end)
        os.close(write_end)
        self.set_pid(task, pid)
        self.live += 1
        seen = process(pid)
        task.start = seen.start if seen else 0
        task.pipe = read_end
        self.pipes[read_end] = task
        self.epoll.register(read_end, select.EPOLLIN)
        self.journal.note(b"L", task.id, pid, task.start)

    def set_pid(self, task: Task, pid: int) -> None:
        task.pid = pid
        self.by_pid[pid] = task

    def fail(self, task: Task, stage: int, number: int) -> None:
        task.state, task.stage, task.status = "failed", stage, number
        self.failures += 1
        self.journal.note(b"E", task.id, number, stage)

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

    def settle(self, task: Task) -> None:
        """The child has exec'ed (its end of the pipe is closed), or says why it could not."""
        if task.pipe < 0:
            return
        try:
            word = os.read(task.pipe, 8)
        except BlockingIOError:
            return  # an event for an earlier pipe of the same number
        self.pipes.pop(task.pipe)
        self.epoll.unregister(task.pipe)  # a child before its exec still has it open
        os.close(task.pipe)
        task.pipe = -1
        if len(word) == 8:
            self.fail(task, *struct.unpack("ii", word))
            self.live -= 1
        else:
            task.state = "running"
        self.tell_launch(task)

    def reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            task = self.by_pid.get(pid)
            self.known.pop(pid, None)
            if task is None or task.state in ("exited", "lost"):
                continue
            self.settle(task)
            if task.state != "running":
                continue
            task.state, task.status = "exited", status
            task.utime, task.stime = int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
            task.maxrss = usage.ru_maxrss
            self.live -= 1
            self.journal.note(b"X", task.id, status, task.utime, task.stime, task.maxrss)
            self.tell_exit(task)

    # -- whose is a process
    def marked(self, pid: int) -> Task | None:
        try:
            with open(f"/proc/{pid}/environ", "rb", 0) as source:
                for entry in source.read().split(b"\0"):
                    if entry.startswith(MARKER):
                        return self.tasks.get(entry[len(MARKER) :])
        except OSError:
            pass
        return None

    def direct(self, p: Process) -> Task | None:
        """The owner by what the process itself shows, not by its parent."""
        task = self.by_pid.get(p.pid)
        if task and task.start == p.start and task.state not in ("exited", "lost"):
            return task
        if p.parent == self.me and (task := self.by_pid.get(p.session)):
            return task
        return self.marked(p.pid) if p.parent == self.me or self.use_all else None

    def snapshot(self) -> dict[int, Process]:
        """Every process of the host, each with the task it belongs to."""
        table: dict[int, Process] = {}
        for name in os.listdir("/proc"):
            if name.isdigit() and (p := process(int(name))):
                table[p.pid] = p
        for p in table.values():
            path, owner, q = [], None, p
            while not q.owned and q.pid != self.me:
                path.append(q)
                if owner := self.direct(q):
                    break
                parent = table.get(q.parent) if q.parent not in (0, 1, self.me) else None
                if parent is None:
                    break
                q = parent
            else:
                owner = q.owner
            for q in path:
                q.owned, q.owner = True, owner
        return table

    def set_scope(self) -> None:
        """Processes that are not below us matter only for the tasks of a launcher before us."""
        self.use_all = any(
            t.state == "orphaned" or (t.destroying and t.state == "lost")
            for t in self.tasks.values()
        )

    def orphans(self) -> bool:
        """False when no child of ours can belong to a task that is being destroyed."""
        try:
            with open(f"/proc/self/task/{self.me}/children", "rb", 0) as source:
                children = source.read().split()
        except OSError:
            return True
        for pid in map(int, children):
            task = self.by_pid.get(pid)
            if task is None or task.state not in LIVE:
                owner = self.known.get(pid)
                if pid not in self.known or (owner is not None and owner.destroying):
                    return True
        return False

    # -- killing and measuring
    def finish_destroyed(self, snapped: bool) -> None:
        for task in list(self.destroying.values()):
            if task.state in LIVE or task.state == "orphaned" or (snapped and task.members):
                continue
            if not snapped and task.state == "lost":
                continue
            task.destroying = False
            del self.destroying[task.id]
            if task.ghost:
                del self.tasks[task.id]
            if task.destroyer:
                connection, seq = task.destroyer
                connection.answer(b"DESTROYED", seq, task.id)

    def destroy_pass(self) -> None:
        if not self.orphans():
            self.finish_destroyed(False)
        if not self.destroying:
            return
        self.set_scope()
        self.check_orphaned()
        for task in self.destroying.values():
            if task.state in LIVE:
                try:
                    os.killpg(task.pid, signal.SIGSTOP)  # one group at one instant
                except OSError:
                    pass
        stopped: set[tuple[int, int]] = set()
        members: list[Process] = []
        table: dict[int, Process] = {}
        for _ in range(STOP_ROUNDS):
            table = self.snapshot()
            members = [
                p
                for p in table.values()
                if p.owner is not None and p.owner.destroying and not p.gone()
            ]
            fresh = [p for p in members if (p.pid, p.start) not in stopped]
            for p in fresh:
                send_to(p, signal.SIGSTOP)
            if not fresh:
                break
            stopped.update((p.pid, p.start) for p in fresh)
        for task in self.destroying.values():
            task.members = 0
        for p in members:
            if p.owner is not None:
                p.owner.members += 1
            send_to(p, signal.SIGKILL)
        self.known = {
            p.pid: p.owner
            for p in table.values()
            if p.parent == self.me and not (p.owner is not None and p.owner.pid == p.pid)
        }
        self.finish_destroyed(True)
        self.rounds += 1

    def signal_task(self, task: Task, number: int, scope: bytes) -> int:
        if scope == b"tree" or task.state == "orphaned":
            self.set_scope()
            return sum(
                send_to(p, number)
                for p in self.snapshot().values()
                if p.owner is task and not p.gone() and (scope != b"leader" or p.pid == task.pid)
            )
        if task.state not in LIVE:
            return 0
        for kill in (os.killpg, os.kill) if scope == b"group" else (os.kill,):
            try:
                kill(task.pid, number)
                return 1
            except OSError:
                continue
        return 0

    def answer_usage(self) -> None:
        self.set_scope()
        sums: dict[Task | None, list[int]] = {task: [0] * 5 for _, _, task in self.wants if task}
        for p in self.snapshot().values():
            total = sums.get(p.owner)
            if total is not None and not p.gone():
                figures = (p.cpu_user, p.cpu_system, p.rss, 1, p.threads)
                total[:] = [a + b for a, b in zip(total, figures, strict=True)]
        for connection, seq, task in self.wants:
            user, system, rss, count, threads = sums.get(task) or [0] * 5
            us = 1000000 // TICKS
            name = task.id if task else b""
            connection.answer(
                b"USAGE", seq, name, user * us, system * us, rss * PAGE, count, threads
            )
        self.wants.clear()

    def check_orphaned(self) -> None:
        """Tasks of a launcher before us: their end can be seen, their status cannot."""
        for task in self.tasks.values():
            if task.state == "orphaned" and not still_there(task):
                task.state, task.status = "lost", -1
                self.journal.note_task(task)
                self.tell_exit(task)

    # -- requests
    def request(self, c: Connection, f: list[bytes]) -> None:
        kind, seq, name = f[0], (f[1:2] or [b"0"])[0], (f[2:3] or [b""])[0]
        if kind == b"LAUNCH" and len(f) >= 15 and GOOD_ID.match(name):
            if 1 <= int(f[14]) <= len(f) - 15:
                self.launch(c, seq, f)
            else:
                c.answer(b"REFUSED", seq, b"LAUNCH has no argument vector")
        elif kind == b"HELLO":
            c.answer(b"HELLO", seq, VERSION, self.me, b"python")
        elif kind == b"PING":
            c.answer(b"PONG", seq)
        elif kind == b"LIST":
            for t in self.tasks.values():
                stage = STAGES[t.stage].encode() if t.state == "failed" else b""
                if not t.ghost:
                    c.answer(b"ENTRY", seq, t.id, t.state.encode(), t.pid, t.start, t.status,
                             stage, t.utime, t.stime, t.maxrss)  # fmt: skip
            c.answer(b"LISTED", seq)
        elif kind == b"STATS":
            c.answer(b"STATS", seq, b"launches", self.launches, b"failures", self.failures,
                     b"live", self.live, b"known", len(self.tasks), b"destroying",
                     len(self.destroying), b"journal_lines", self.journal.lines,
                     b"journal_errors", self.journal.errors)  # fmt: skip
        elif kind == b"SHUTDOWN":
            if self.live and name != b"force":
                c.answer(b"REFUSED", seq, b"%d tasks are still running" % self.live)
            else:
                c.answer(b"BYE", seq)
                self.over = True
        elif not GOOD_ID.match(name):
            c.answer(b"REFUSED", seq, b"the request is unknown, or its container id is not valid")
        else:
            self.request_about(c, kind, seq, name, f)

    def request_about(
        self, c: Connection, kind: bytes, seq: bytes, name: bytes, f: list[bytes]
    ) -> None:
        task = self.tasks.get(name)
        if kind == b"SIGNAL" and len(f) >= 5:
            count = self.signal_task(task, int(f[3]), f[4]) if task else 0
            c.answer(b"SIGNALLED", seq, name, count)
        elif kind == b"DESTROY":
            if task is None:
                task = self.tasks[name] = Task(name, "lost")
                task.ghost = True
            task.destroying, task.destroyer, self.rounds = True, (c, seq), 0
            self.destroying[name] = task
        elif kind == b"FORGET":
            if task and (task.state in LIVE or task.state == "orphaned"):
                c.answer(b"REFUSED", seq, b"the container " + name + b" still runs")
                return
            if task and not task.ghost:
                self.journal.note(b"F", name)
                del self.tasks[name]
                self.destroying.pop(name, None)
                if self.by_pid.get(task.pid) is task:
                    del self.by_pid[task.pid]
            c.answer(b"FORGOTTEN", seq, name)
        elif kind == b"USAGE":
            self.wants.append((c, seq, task))
        else:
            c.answer(b"REFUSED", seq, b"the request is unknown or incomplete")

    def feed(self, c: Connection) -> None:
        try:
            got = c.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            got = b""
        if not got:
            c.dead = True
            return
        data, at = c.unread + got, 0
        while len(data) - at >= 4:
            (size,) = struct.unpack_from(">I", data, at)
            if not 0 < size <= MAX_FRAME:
                c.dead = True
                break
            if len(data) - at - 4 < size:
                break
            at += 4 + size
            if data[at - 1]:
                c.dead = True
                break
            try:
                self.request(c, data[at - size : at - 1].split(b"\0"))
            except ValueError:
                c.dead = True
                break
        c.unread = data[at:]

    def load(self) -> None:
        """The tasks of the launcher before us, as far as its journal tells."""
        was, boot = b"", boot_id()
        try:
            with open(self.journal.path, "rb") as source:
                lines = source.read().split(b"\n")[:-1]
        except OSError:
            lines = []
        for line in lines:
            words = line.split()
            if words[:1] == [b"B"]:
                was = words[-1]
                continue
            try:
                name, numbers = words[1], [int(w) for w in words[2:]]
                task = self.tasks.get(name)
                if words[0] == b"F":
                    self.tasks.pop(name, None)
                elif words[0] == b"L":
                    task = self.tasks.setdefault(name, Task(name, "orphaned"))
                    self.set_pid(task, numbers[0])
                    task.start = numbers[1]
                elif words[0] == b"X" and task:
                    task.status, task.utime, task.stime, task.maxrss = numbers
                    task.state = "lost" if task.status == -1 else "exited"
                elif words[0] == b"E":
                    task = self.tasks.setdefault(name, Task(name, "failed"))
                    task.state, (task.status, task.stage) = "failed", numbers
            except (ValueError, IndexError):
                continue
        for task in self.tasks.values():
            if task.state == "orphaned" and (boot != was or not still_there(task)):
                task.state, task.status = "lost", -1
        self.journal.compact(self.tasks)

    def flush(self) -> None:
        self.journal.flush()  # before the answers: what the agent hears is already written
        for fd, c in list(self.connections.items()):
            if c.out and not c.dead:
                try:
                    del c.out[: c.sock.send(c.out, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)]
                except BlockingIOError:
                    pass
                except OSError:
                    c.dead = True
                if c.writing != bool(c.out) and not c.dead:
                    c.writing = bool(c.out)
                    self.epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if c.writing else 0))
            if c.dead:
                del self.connections[fd]
                self.epoll.unregister(fd)
                c.sock.close()

    def serve(self, listener: socket.socket, wake: socket.socket) -> None:
        self.epoll.register(listener, select.EPOLLIN)
        self.epoll.register(wake, select.EPOLLIN)
        alone_since, ticked = time.monotonic(), 0.0
        while not self.over:
            wait = 1.0 if not self.destroying else 0.01 if self.rounds < 100 else 0.2
            for fd, mask in self.epoll.poll(wait, 256):
                if fd == listener.fileno():
                    self.welcome(listener)
                elif fd == wake.fileno():
                    try:
                        wake.recv(4096)
                    except BlockingIOError:
                        pass
                    self.reap()
                elif fd in self.pipes:
                    self.settle(self.pipes[fd])
                elif fd in self.connections and mask & ~select.EPOLLOUT:
                    self.feed(self.connections[fd])
            if self.wants:
                self.answer_usage()
            if self.destroying:
                self.reap()
                self.destroy_pass()
            now = time.monotonic()
            if now - ticked >= 1:
                ticked = now
                self.check_orphaned()
            if self.journal.lines > 20000 + 4 * len(self.tasks):
                self.journal.compact(self.tasks)
            self.flush()
            if self.connections or self.live or self.destroying:
                alone_since = now
            elif now - alone_since >= self.idle_s:
                self.over = True
        os.unlink(self.socket_path)

    def welcome(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        _, uid, _ = struct.unpack(
            "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )
        if uid not in (0, os.geteuid()):
            sock.close()
            return
        sock.setblocking(False)
        self.connections[sock.fileno()] = Connection(sock)
        self.epoll.register(sock, select.EPOLLIN)


def main(argv: list[str]) -> int:
    if len(argv) != 4:
        print("usage: zygote.py SOCKET JOURNAL IDLE_SECONDS", file=sys.stderr)
        return 2
    socket_path, journal_path = argv[1], argv[2]
    if len(os.fsencode(socket_path)) > 107:
        print("zygote: the socket's path is longer than 107 characters", file=sys.stderr)
        return 2
    os.umask(0o077)
    os.closerange(3, 4096)
    lock = os.open(socket_path + ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # another one already serves this socket
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    try:
        os.unlink(socket_path)
    except FileNotFoundError:
        pass
    listener.bind(socket_path)
    listener.listen(64)
    if os.fork():
        os._exit(0)  # listening: whoever started us may connect
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for target in range(3):
        os.dup2(null, target)
    if null > 2:
        os.close(null)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # environments pass through here
    for ignored in (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    wake, woken = socket.socketpair()
    wake.setblocking(False)
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    launcher = Launcher(socket_path, journal_path, float(argv[3]))
    launcher.load()
    launcher.serve(listener, wake)
    return 0
