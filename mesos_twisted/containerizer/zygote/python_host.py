"""The host's processes as the Python launcher sees them, and whose each of them is."""

from __future__ import annotations

import os
import signal

from mesos_twisted.containerizer.zygote.protocol import MARKER
from mesos_twisted.containerizer.zygote.python_tables import LIVE, Tables, Task


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
        """A leader whose other threads live on is shown as a zombie as well."""
        return self.state in b"Xx" or (self.state == b"Z" and self.threads <= 1)


def process(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", 0) as source:
            return Process(pid, source.read(1024))
    except (OSError, ValueError, IndexError):
        return None


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


class Host:
    """Looks at the whole process table, or at our children."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._marker = MARKER.encode() + b"=" + tables.journal.nonce + b":"
        self._use_all = False
        self._before: dict[int, Process] = {}

    def marked(self, pid: int) -> tuple[bool, Task | None]:
        """(the environment could be read and is not empty just now, whose marker it carries)"""
        try:
            with open(f"/proc/{pid}/environ", "rb", 0) as source:
                data = source.read()
        except OSError:
            return False, None
        for entry in data.split(b"\0"):
            if entry.startswith(self._marker):
                if task := self._tables.tasks.get(entry[len(self._marker) :]):
                    return True, task
        return bool(data), None

    def owner_of_child(self, p: Process) -> tuple[bool, Task | None]:
        """(it is sure, owner) of a child of ours that leads no task: by its session while the
        number of that is surely the task's, by its marker, by the session of a task that has
        ended, unless another process leads that now."""
        task = self._tables.by_pid.get(p.session)
        if task is not None and task.state in LIVE:
            return True, task
        sure, owner = self.marked(p.pid)
        if owner is None and task is not None:
            leader = process(p.session)
            if leader is None or leader.start == task.start:
                return True, task
        return sure, owner

    def _direct(self, p: Process) -> Task | None:
        """The owner by what the process itself shows, not by its parent."""
        task = self._tables.by_pid.get(p.pid)
        if task and task.start == p.start and task.state not in ("exited", "lost"):
            return task
        if p.parent == self._tables.me:
            child = self._tables.children.get(p.pid)
            return child.owner if child and child.owner else self.owner_of_child(p)[1]
        if not self._use_all:
            return None
        task = self._tables.by_pid.get(p.session)
        if task is not None and task.state == "orphaned":
            return task  # its leader was just seen alive
        return self.marked(p.pid)[1]

    def set_scope(self) -> None:
        """Processes that are not below us matter only for the tasks of a launcher before us."""
        self._use_all = any(
            t.state == "orphaned" or (t.destroying and t.state == "lost")
            for t in self._tables.tasks.values()
        )

    def snapshot(self) -> dict[int, Process]:
        """Every process of the host, each with the task it belongs to; who was seen to belong to
        one does so without its parents too."""
        table: dict[int, Process] = {}
        for name in os.listdir("/proc"):
            if name.isdigit() and (p := process(int(name))):
                table[p.pid] = p
                was = self._before.get(p.pid)
                if was and was.owner and was.start == p.start:
                    p.owned = self._tables.tasks.get(was.owner.id) is was.owner
                    p.owner = was.owner if p.owned else None
        for p in table.values():
            path, owner, q = [], None, p
            while not q.owned and q.pid != self._tables.me:
                path.append(q)
                if owner := self._direct(q):
                    break
                ours = q.parent in (0, 1, self._tables.me)
                parent = None if ours else table.get(q.parent)
                if parent is None:
                    break
                q = parent
            else:
                owner = q.owner
            for q in path:
                q.owned, q.owner = True, owner
        self._before = table
        return table

    def children(self) -> list[int] | None:
        """Our children, in the order in which they became so; None where the kernel has no list."""
        me = self._tables.me
        try:
            with open(f"/proc/self/task/{me}/children", "rb", 0) as source:
                data = b"".join(iter(lambda: source.read(65536), b""))
        except OSError:
            return None
        return [int(word) for word in data.split()]
