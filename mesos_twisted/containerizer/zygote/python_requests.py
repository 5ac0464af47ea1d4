"""Requests to the Python launcher, one by one; `protocol.py` says what each means."""

from __future__ import annotations

import os
import re

from mesos_twisted.containerizer.zygote.protocol import VERSION
from mesos_twisted.containerizer.zygote.python_end import Ender
from mesos_twisted.containerizer.zygote.python_host import Host
from mesos_twisted.containerizer.zygote.python_start import Starter
from mesos_twisted.containerizer.zygote.python_tables import (
    LIVE,
    STAGES,
    Connection,
    Tables,
    Task,
)

_GOOD_ID = re.compile(rb"[A-Za-z0-9._-]{1,255}\Z")
_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGESIZE")


def number(word: bytes) -> int:
    """As C's strtol for what fits in an int; 0 for all else."""
    return int(word) if re.fullmatch(rb"-?[0-9]{1,9}", word) else 0


class UsageTeller:
    """What the processes of each task use now."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._wants: list[tuple[Connection, bytes, Task | None]] = []

    def want(self, connection: Connection, seq: bytes, task: Task | None) -> None:
        self._wants.append((connection, seq, task))

    def answer(self) -> None:
        """Every wish is answered by one look at the host."""
        if not self._wants:
            return
        self._host.set_scope()
        sums: dict[Task | None, list[int]] = {task: [0] * 5 for _, _, task in self._wants if task}
        for p in self._host.snapshot().values():
            total = sums.get(p.owner)
            if total is not None and not p.gone():
                figures = (p.cpu_user, p.cpu_system, p.rss, 1, p.threads)
                total[:] = [a + b for a, b in zip(total, figures, strict=True)]
        for connection, seq, task in self._wants:
            user, system, rss, count, threads = sums.get(task) or [0] * 5
            us = 1000000 // _TICKS
            name = task.id if task else b""
            connection.answer(
                b"USAGE", seq, name, user * us, system * us, rss * _PAGE, count, threads
            )
        self._wants.clear()


class Requests:
    """Hands each request to the part that serves it."""

    def __init__(self, tables: Tables, starter: Starter, ender: Ender, usage: UsageTeller) -> None:
        self._tables, self._starter, self._ender, self._usage = tables, starter, ender, usage

    def request(self, c: Connection, f: list[bytes]) -> None:
        kind, seq, name = f[0], (f[1:2] or [b"0"])[0], (f[2:3] or [b""])[0]
        if kind == b"LAUNCH" and len(f) >= 15 and _GOOD_ID.match(name):
            if 1 <= number(f[14]) <= len(f) - 15:
                self._starter.launch(c, seq, f)
            else:
                c.answer(b"REFUSED", seq, b"LAUNCH has no argument vector")
        elif kind == b"HELLO":
            c.answer(b"HELLO", seq, VERSION, self._tables.me, b"python")
        elif kind == b"PING":
            c.answer(b"PONG", seq)
        elif kind == b"LIST":
            for t in self._tables.tasks.values():
                stage = STAGES[t.stage].encode() if t.state == "failed" else b""
                if not t.ghost:
                    c.answer(b"ENTRY", seq, t.id, t.state.encode(), t.pid, t.start, t.status,
                             stage, t.utime, t.stime, t.maxrss)  # fmt: skip
            c.answer(b"LISTED", seq)
        elif kind == b"STATS":
            c.answer(b"STATS", seq, *self._stats())
        elif kind == b"SHUTDOWN":
            if self._tables.live and name != b"force":
                c.answer(b"REFUSED", seq, b"%d tasks are still running" % self._tables.live)
            else:
                c.answer(b"BYE", seq)
                self._tables.over = True
        elif not _GOOD_ID.match(name):
            c.answer(b"REFUSED", seq, b"the request is unknown, or its container id is not valid")
        else:
            self.request_about(c, kind, seq, name, f)

    def _stats(self) -> list[bytes | int]:
        t = self._tables
        figures = {
            b"launches": t.launches,
            b"failures": t.failures,
            b"live": t.live,
            b"known": len(t.tasks),
            b"destroying": len(t.destroying),
            b"journal_lines": t.journal.lines,
            b"journal_errors": t.journal.errors,
            b"passes": t.passes,
            b"turns": t.turns,
        }
        return [word for pair in figures.items() for word in pair]

    def request_about(
        self, c: Connection, kind: bytes, seq: bytes, name: bytes, f: list[bytes]
    ) -> None:
        task = self._tables.tasks.get(name)
        if kind == b"SIGNAL" and len(f) >= 5:
            count = self._ender.signal_task(task, number(f[3]), f[4]) if task else 0
            c.answer(b"SIGNALLED", seq, name, count)
        elif kind == b"DESTROY":
            if task is None:
                task = self._tables.tasks[name] = Task(name, "lost")
                task.ghost = True
            self._ender.begin(task, c, seq)
        elif kind == b"FORGET":
            if task and (task.state in LIVE or task.state == "orphaned"):
                c.answer(b"REFUSED", seq, b"the container " + name + b" still runs")
                return
            if task and not task.ghost:
                self._tables.journal.note(b"F", name)
                self._tables.drop(task)
            c.answer(b"FORGOTTEN", seq, name)
        elif kind == b"USAGE":
            self._usage.want(c, seq, task)
        else:
            c.answer(b"REFUSED", seq, b"the request is unknown or incomplete")
