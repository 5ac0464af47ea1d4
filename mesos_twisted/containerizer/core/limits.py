"""POSIX limits by Mesos's names, and when a container is over its disk quota.

Decides only; the kernel is told by the launcher and disks are measured by an isolator.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable

from mesos_twisted.containerizer.core.container import Limitation, Rlimit
from mesos_twisted.errors import Problem

REASON_DISK = "REASON_CONTAINER_LIMITATION_DISK"

#: Names of `RLimitInfo.RLimit.Type`, without `RLMT_`, to the kernel's numbers.
KERNEL_NUMBERS = {
    name: getattr(resource, f"RLIMIT_{name}")
    for name in (
        "AS", "CORE", "CPU", "DATA", "FSIZE", "MEMLOCK", "MSGQUEUE", "NICE", "NOFILE", "NPROC",
        "RSS", "RTPRIO", "STACK",
    )
    if hasattr(resource, f"RLIMIT_{name}")
} | {"LOCKS": 10, "RTTIME": 15, "SIGPENDING": 11}  # fmt: skip

_MAX = 2**64 - 2


def rlimits(wanted: Iterable[tuple[str, int | None, int | None]]) -> tuple[Rlimit, ...] | Problem:
    """The limits for (type, soft, hard) triples; both amounts or neither (no limit) are given."""
    found: dict[int, Rlimit] = {}
    for kind, soft, hard in wanted:
        number = KERNEL_NUMBERS.get(kind.removeprefix("RLMT_"))
        if number is None:
            return Problem("rlimit", f"The limit {kind!r} is not known on this host.")
        if number in found:
            return Problem("rlimit", f"The limit {kind} is given twice.")
        if (soft is None) != (hard is None):
            return Problem("rlimit", f"The limit {kind} needs both soft and hard, or neither.")
        if soft is None or hard is None:
            soft = hard = -1
        elif not 0 <= soft <= hard <= _MAX:
            return Problem("rlimit", f"The limit {kind} needs 0 <= soft <= hard below 2^64.")
        found[number] = Rlimit(number, soft, hard)
    return tuple(found.values())


def over_quota(used: int, quota: int | None) -> Limitation | None:
    """The verdict on a sandbox that uses `used` bytes."""
    if quota is None or used <= quota:
        return None
    return Limitation(REASON_DISK, f"Disk usage ({human(used)}) exceeds quota ({human(quota)})")


def human(amount: int) -> str:
    """Bytes in the largest unit that says them exactly: 2MB, 1025KB, 17B."""
    for unit, size in (("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if amount and amount % size == 0:
            return f"{amount // size}{unit}"
    return f"{amount}B"
