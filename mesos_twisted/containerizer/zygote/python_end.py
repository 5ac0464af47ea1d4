"""The Python launcher's ending of tasks with all their processes.

Each of them is below this launcher, which is the reaper of whatever loses its parent. So nobody of
the task is left at an instant at which no child of ours can be of the task: each is the leader of
another task, or known to be another's. The kernel's list of our children gives such an instant,
since only we take rows from it and new ones come last. A process that forks and leaves is therefore
seen sooner or later, however fast it is, and is stopped when seen. For tasks of a launcher before
this one there is no such list: two looks in a row at the whole host must find nobody.
"""

from __future__ import annotations

import os
import signal
import time

from mesos_twisted.containerizer.zygote.python_host import (
    Host,
    Process,
    process,
    send_to,
    still_there,
)
from mesos_twisted.containerizer.zygote.python_tables import LIVE, Child, Connection, Tables, Task

STOP_ROUNDS = 20  # looks at the host in one pass; the next pass goes on where this one left
CHASE = 64  # looks at our children in one turn
DOUBTS = 20  # looks at a child whose environment is empty, as it is during an exec


class Ender:
    """Stops, kills, and says when nobody is left."""

    def __init__(self, tables: Tables, host: Host) -> None:
        self._tables, self._host = tables, host
        self._stopped: set[tuple[int, int]] = set()
        self._rounds = self._quiet = self._tries = 0
        self._next_pass = 0.0

    def begin(self, task: Task, connection: Connection, seq: bytes) -> None:
        task.destroying, task.empties, task.destroyer = True, 0, (connection, seq)
        self._tables.destroying[task.id] = task
        self._quiet = self._tries = 0
        self._next_pass = 0.0
        self._tables.drop_children(None)

    def wait_s(self) -> float:
        """How long the next turn may be put off."""
        return max(0.0, self._next_pass - time.monotonic())

    def turn(self) -> None:
        """One step; who else waits is served between two."""
        began, left, fresh, listed = time.monotonic(), True, True, True
        for _ in range(CHASE):
            if not (left and fresh and listed):
                break
            left, fresh, listed = self._left_below()
        if not left:
            self._finish_below()
        if not self._tables.destroying:
            self._rounds = 0
            self._stopped.clear()
        elif began >= self._next_pass:
            done = self._pass_on(listed)
            self._next_pass = now = time.monotonic()
            if done:  # the killed need the processor as well
                self._tries += 1
                self._next_pass += now - began + (0.005 if self._tries < 100 else 0.2)

    # -- who is left
    def _finish(self, task: Task) -> None:
        task.destroying = False
        del self._tables.destroying[task.id]
        if task.ghost:
            self._tables.drop(task)
        if task.destroyer:
            connection, seq = task.destroyer
            connection.answer(b"DESTROYED", seq, task.id)

    def _finish_below(self) -> None:
        for task in list(self._tables.destroying.values()):
            if task.state in ("exited", "failed"):
                self._finish(task)

    def _left_below(self) -> tuple[bool, bool, bool]:
        """(a child may be of a task being destroyed, one is new, the kernel has a list)"""
        children = self._host.children()
        if children is None:
            return True, False, False
        known = len(self._tables.children)
        left = [pid for pid in children if not self._explained(pid)]
        return bool(left), len(self._tables.children) > known, True

    def _explained(self, pid: int) -> bool:
        """It cannot be of a task being destroyed. One that is is stopped at once."""
        if self._tables.is_leader(pid):
            return True
        known = self._tables.children.get(pid)
        if known is not None and not known.unclear:
            return not (known.owner and known.owner.destroying)
        p = process(pid)
        if p is None or p.gone():
            return True  # what it left is in the list behind it
        sure, owner = self._host.owner_of_child(p)
        looks = known.unclear if known else 0
        if owner is None and not sure and looks < DOUBTS:
            self._tables.children[pid] = Child(None, looks + 1)
            return False
        self._tables.children[pid] = Child(owner)
        if owner is None or not owner.destroying:
            return True
        os.kill(pid, signal.SIGSTOP)  # not waited for, so the number is still its own
        return False

    # -- looks at the whole host
    def _pass_on(self, listed: bool) -> bool:
        """One look; True once all that were found are killed. All are stopped before the first is
        killed, so that each is known by its parent."""
        if not self._rounds:
            self._host.set_scope()
            self.check_orphaned()
            self._stopped.clear()
            self._tables.passes += 1
            for task in self._tables.destroying.values():
                if task.state in LIVE:
                    try:
                        os.killpg(task.pid, signal.SIGSTOP)  # one group at one instant
                    except OSError:
                        pass
        table = self._host.snapshot()
        members = [p for p in table.values() if p.owner and p.owner.destroying and not p.gone()]
        fresh = [p for p in members if (p.pid, p.start) not in self._stopped]
        for p in fresh:
            send_to(p, signal.SIGSTOP)
        self._stopped.update((p.pid, p.start) for p in fresh)
        self._rounds += 1
        if fresh and self._rounds < STOP_ROUNDS:
            return False
        self._rounds = 0
        self._kill(table, members)
        self._quiet = 0 if members else self._quiet + 1
        for task in list(self._tables.destroying.values()):
            task.empties = 0 if task.members else task.empties + 1
            if task.state == "lost" and task.empties >= 2:
                self._finish(task)
        if not listed and self._quiet >= 3:
            self._finish_below()  # a kernel without the list
        return True

    def _kill(self, table: dict[int, Process], members: list[Process]) -> None:
        for p in table.values():
            if p.parent == self._tables.me and p.owner and p.owner.pid != p.pid and not p.gone():
                self._tables.children[p.pid] = Child(p.owner)
        for task in self._tables.destroying.values():
            task.members = 0
        for p in members:
            if p.owner is not None:
                p.owner.members += 1
            send_to(p, signal.SIGKILL)

    def check_orphaned(self) -> None:
        """Tasks of a launcher before us: their end can be seen, their status cannot."""
        for task in self._tables.tasks.values():
            if task.state == "orphaned" and not still_there(task):
                task.state, task.status = "lost", -1
                self._tables.note_task(task)
                self._tables.tell_exit(task)

    def signal_task(self, task: Task, number: int, scope: bytes) -> int:
        if scope == b"tree" or task.state == "orphaned":
            self._host.set_scope()
            return sum(
                send_to(p, number)
                for p in self._host.snapshot().values()
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
