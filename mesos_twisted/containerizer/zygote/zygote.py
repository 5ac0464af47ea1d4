"""The launcher in Python, for hosts without a C compiler: the same conversation as the C program.

Started by `build.command` with arguments SOCKET JOURNAL IDLE_SECONDS; it and the modules it is
made of import the standard library only. The conversation is described in `protocol.py`. It goes
to the background once it listens, reaps every descendant, and ends by itself when no agent is
connected and no task lives. Where systemd passes it a socket it serves that one, stays in the
foreground, and leaves the socket to start the next.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import time

from mesos_twisted.containerizer.zygote.protocol import MAX_FRAME, frame
from mesos_twisted.containerizer.zygote.python_child import libc, set_oom_score
from mesos_twisted.containerizer.zygote.python_end import Ender
from mesos_twisted.containerizer.zygote.python_host import Host, still_there
from mesos_twisted.containerizer.zygote.python_journal import Journal
from mesos_twisted.containerizer.zygote.python_requests import Requests, UsageTeller
from mesos_twisted.containerizer.zygote.python_start import Starter
from mesos_twisted.containerizer.zygote.python_tables import SPARE_FDS, Connection, Tables, Task

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
OOM_SCORE = -900
#: How long a launcher that serves may leave a PING without an answer, in seconds.
BUSY_S = 2.0
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


class Launcher:
    """The loop over connections and children."""

    def __init__(self, socket_path: str, journal_path: str, idle_s: float, given: bool) -> None:
        self.socket_path, self.idle_s, self._given = socket_path, idle_s, given
        self._friends = {0, os.geteuid()}
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.tables = Tables(Journal(journal_path), limit if limit > 0 else 1 << 30)
        self.load()
        host = Host(self.tables)
        self._starter, self._ender = Starter(self.tables), Ender(self.tables, host)
        self._usage = UsageTeller(host)
        self._requests = Requests(self.tables, self._starter, self._ender, self._usage)
        self._listening = False

    def load(self) -> None:
        """The tasks of the launcher before us, as far as its journal tells."""
        tables, (same_boot, lines) = self.tables, self.tables.journal.load()
        for words in lines:
            try:
                self._load_line(words[0], words[1], [int(w) for w in words[2:]])
            except (ValueError, IndexError):
                continue
        for task in tables.tasks.values():
            if task.state == "orphaned" and not (same_boot and still_there(task)):
                task.state, task.status = "lost", -1
        tables.compact()

    def _load_line(self, kind: bytes, name: bytes, numbers: list[int]) -> None:
        tables = self.tables
        task = tables.tasks.get(name)
        if kind == b"F" and task:
            tables.drop(task)
        elif kind == b"L":
            task = tables.tasks.setdefault(name, Task(name, "orphaned"))
            tables.set_pid(task, numbers[0])
            task.start = numbers[1]
        elif kind == b"X" and task:
            task.status, task.utime, task.stime, task.maxrss = numbers
            task.state = "lost" if task.status == -1 else "exited"
        elif kind == b"E":
            task = tables.tasks.setdefault(name, Task(name, "failed"))
            task.state, (task.status, task.stage) = "failed", numbers

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
            self._requests.request(c, data[at - size : at - 1].split(b"\0"))
        c.unread = data[at:]

    def flush(self) -> None:
        self.tables.journal.flush()  # before the answers: what the agent hears is already written
        for fd, c in list(self.tables.connections.items()):
            if c.out and not c.dead:
                try:
                    del c.out[: c.sock.send(c.out, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)]
                except BlockingIOError:
                    pass
                except OSError:
                    c.dead = True
                if c.writing != bool(c.out) and not c.dead:
                    c.writing = bool(c.out)
                    self.tables.epoll.modify(
                        fd, select.EPOLLIN | (select.EPOLLOUT if c.writing else 0)
                    )
            if c.dead:
                del self.tables.connections[fd]
                self.tables.epoll.unregister(fd)
                c.sock.close()
                self.tables.fd_freed = True

    def _listen(self, listener: socket.socket, on: bool) -> None:
        if on:
            self.tables.epoll.register(listener, select.EPOLLIN)
        else:
            self.tables.epoll.unregister(listener)
            self.tables.fd_freed = False
        self._listening = on

    def serve(self, listener: socket.socket, wake: socket.socket) -> None:
        tables = self.tables
        self._friends.add(owner(listener))
        self._listen(listener, True)
        tables.epoll.register(wake, select.EPOLLIN)
        alone_since, ticked = time.monotonic(), 0.0
        while not tables.over:
            tables.turns += 1
            wait = min(1.0, self._ender.wait_s()) if tables.destroying else 1.0
            for fd, mask in tables.epoll.poll(wait, 256):
                self._happened(fd, mask, listener, wake)
            self._usage.answer()
            if tables.destroying:
                self._starter.reap()
                self._ender.turn()
            now = time.monotonic()
            if now - ticked >= 1:
                ticked = now
                self._ender.check_orphaned()
                tables.fd_freed = True  # of the whole host's descriptors, one may be free again
                if tables.journal.torn:
                    tables.compact()
            if tables.journal.lines > 20000 + 4 * len(tables.tasks):
                tables.compact()
            self.flush()
            if tables.fd_freed and not self._listening:
                self._listen(listener, True)
            if tables.connections or tables.live or tables.destroying:
                alone_since = now
            elif now - alone_since >= self.idle_s:
                tables.over = True
        if not self._given:  # that one starts the next of us
            os.unlink(self.socket_path)

    def _happened(self, fd: int, mask: int, listener: socket.socket, wake: socket.socket) -> None:
        tables = self.tables
        if fd == listener.fileno():
            if not self.welcome(listener):
                self._listen(listener, False)  # else it would be told of for ever
        elif fd == wake.fileno():
            try:
                wake.recv(4096)
            except BlockingIOError:
                pass
            self._starter.reap()
        elif fd in tables.pipes:
            self._starter.settle(tables.pipes[fd])
        elif fd in tables.connections and mask & ~select.EPOLLOUT:
            self.feed(tables.connections[fd])

    def welcome(self, listener: socket.socket) -> bool:
        """False when no descriptor is left, so that the next must wait until one is."""
        try:
            sock, _ = listener.accept()
        except OSError as problem:
            return problem.errno not in _NO_DESCRIPTOR
        if sock.fileno() >= self.tables.fd_limit - SPARE_FDS:
            sock.close()
            return False
        size = struct.calcsize("3i")
        peer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        if struct.unpack("3i", peer)[1] not in self._friends:
            sock.close()
            return True
        sock.setblocking(False)
        self.tables.connections[sock.fileno()] = Connection(sock)
        self.tables.epoll.register(sock, select.EPOLLIN)
        return True


def guard_from_oom() -> None:
    """Where that is allowed, who remembers all statuses goes last."""
    try:
        with open("/proc/self/oom_score_adj", "rb") as source:
            before = int(source.read())
    except OSError:
        return
    if before > OOM_SCORE:
        set_oom_score(OOM_SCORE)


def given_socket() -> socket.socket | None:
    """The socket that systemd listens on for us (sd_listen_fds(3)); None when it does not."""
    pid, count = os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDS")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if pid != str(os.getpid()) or count is None:
        return None
    try:
        listener = socket.socket(fileno=3)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listens = 0
    if count != "1" or not listens or listener.family != socket.AF_UNIX:
        raise SystemExit("zygote: the service manager must pass one listening Unix socket")
    listener.set_inheritable(False)
    listener.setblocking(False)
    return listener


def owner(listener: socket.socket) -> int:
    """Whom the socket was made for, who may be another user than ours."""
    try:
        seen = os.lstat(listener.getsockname())
    except (OSError, ValueError):
        return os.geteuid()
    return seen.st_uid if stat.S_ISSOCK(seen.st_mode) else os.geteuid()


def is_served(socket_path: str) -> bool:
    """Does somebody answer? One who was just killed may hold its lock for a moment, with a socket
    that still takes connections. Of one that is busy, the connection lasts."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        problem = probe.connect_ex(socket_path)
        if problem:
            return problem == errno.EAGAIN
        probe.settimeout(BUSY_S)
        try:
            probe.sendall(frame((b"PING", b"1")))
            return bool(probe.recv(1))
        except TimeoutError:
            return True
        except OSError:
            return False


def locked(socket_path: str, given: bool) -> bool:
    """This process alone may serve the socket; False: another one does. A given socket takes
    connections also when nobody serves."""
    lock = os.open(socket_path + ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    for _ in range(200):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            pass
        if not given and is_served(socket_path):
            return False
        time.sleep(0.01)  # nothing is served yet, and who holds the lock is just going
    return False


def listen_at(socket_path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    try:
        os.unlink(socket_path)
    except FileNotFoundError:
        pass
    listener.bind(socket_path)
    listener.listen(64)
    return listener


def become_background() -> None:
    if os.fork():
        os._exit(0)  # listening: whoever started us may connect
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for target in range(3):
        os.dup2(null, target)
    if null > 2:
        os.close(null)


def main(argv: list[str]) -> int:
    if len(argv) != 4:
        print("usage: zygote.py SOCKET JOURNAL IDLE_SECONDS", file=sys.stderr)
        return 2
    socket_path, journal_path = argv[1], argv[2]
    if len(os.fsencode(socket_path)) > 107:
        print("zygote: the socket's path is longer than 107 characters", file=sys.stderr)
        return 2
    os.umask(0o077)
    listener = given_socket()
    given = listener is not None
    os.closerange(4 if given else 3, 4096)
    if not locked(socket_path, given):
        if not given:
            return 0  # another one already serves this socket
        print(f"zygote: another launcher holds {socket_path}.lock: end its tasks, or let it be",
              file=sys.stderr)  # fmt: skip
        return 1
    if listener is None:
        listener = listen_at(socket_path)
        become_background()
    os.chdir("/")
    guard_from_oom()
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # environments pass through here
    for ignored in (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    wake, woken = socket.socketpair()
    wake.setblocking(False)
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    launcher = Launcher(socket_path, journal_path, float(argv[3]), given)
    launcher.serve(listener, wake)
    return 0
