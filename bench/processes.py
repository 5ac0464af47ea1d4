"""What the kernel says of a process: CPU time, memory, whose it is. Linux only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of CPU: its own, and of children it has waited for."""

    own: float
    children: float

    def since(self, before: Cpu) -> Cpu:
        """What was used between the two."""
        return Cpu(self.own - before.own, self.children - before.children)


def cpu(pid: int) -> Cpu:
    """CPU seconds so far (ticks of 10 ms)."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    user, system, child_user, child_system = (int(field) for field in fields[11:15])
    return Cpu((user + system) / _TICKS, (child_user + child_system) / _TICKS)


def rss_bytes(pid: int) -> int:
    """Resident memory, shared pages included."""
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def pss_bytes(pid: int) -> int:
    """Resident memory with each shared page divided among those who share it."""
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def naming(mark: str) -> list[int]:
    """Every other living process with `mark` in its command line."""
    found = []
    wanted = mark.encode()
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def command_line(pid: int) -> list[str]:
    """Its arguments; empty when it is gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode().rstrip("\0").split("\0")
    except OSError:
        return []
