"""What this host offers when the operator does not say: cpus, mem, disk, ports.

Only what `--resources` leaves out is found out, by Mesos's rules: a gigabyte of memory and five of
disk are kept back, or half of it on a small host.
"""

from __future__ import annotations

import os

from mesos_twisted.errors import MalformedError, Problem, UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.convert import to_messages
from mesos_twisted.resources.parse import parse_resources

_MIB = 1 << 20
_GIB = 1 << 30
PORTS = "[31000-32000]"


def detected(cpus: int, mem_bytes: int, disk_bytes: int) -> dict[str, str]:
    """Name to amount of what a host of this size offers."""
    mem = mem_bytes - _GIB if mem_bytes >= 2 * _GIB else mem_bytes // 2
    disk = disk_bytes - 5 * _GIB if disk_bytes >= 10 * _GIB else disk_bytes // 2
    return {
        "cpus": str(cpus),
        "mem": str(mem // _MIB),
        "disk": str(disk // _MIB),
        "ports": PORTS,
    }


def of_this_host(work_dir: str) -> dict[str, str]:
    """The same of the host we run on. Raises UnavailableError."""
    try:
        status = os.statvfs(work_dir)
    except OSError as error:
        raise UnavailableError(f"The disk of {work_dir} cannot be measured: {error}") from None
    return detected(
        os.cpu_count() or 1,
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        status.f_blocks * status.f_frsize,
    )


def given_resources(text: str | None, default_role: str) -> Resources:
    """Those of `--resources`. Raises MalformedError for text that cannot be read."""
    given = parse_resources(text, default_role) if text else NOTHING
    if isinstance(given, Problem):
        raise MalformedError(f"Bad value for --resources: {given.sentence}")
    return given


def completed(text: str | None, default_role: str, work_dir: str) -> tuple[m.Resource, ...]:
    """The resources of `--resources`, and those of the host whose names it does not give.

    Raises MalformedError for text that cannot be read.
    """
    given = given_resources(text, default_role)
    names = {one.name for one in given}
    # A given amount of zero is left out of the sum, and still means "none of it".
    names |= {part.partition(":")[0].partition("(")[0].strip() for part in (text or "").split(";")}
    found = [f"{n}:{amount}" for n, amount in of_this_host(work_dir).items() if n not in names]
    rest = parse_resources(";".join(found), default_role) if found else NOTHING
    if isinstance(rest, Problem):
        raise MalformedError(f"The host's own resources cannot be offered: {rest.sentence}")
    # The shorter `role` form is for resources that need no other: MULTI_ROLE masters read both.
    return to_messages(given + rest, refined=True)
