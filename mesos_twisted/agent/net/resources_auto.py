"""What this host offers when the operator does not say: cpus, mem, disk, ports.

Only what `--resources` leaves out is found out, by Mesos's rules: a gigabyte of memory and five of
disk are kept back, or half of it on a small host.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from mesos_twisted.protocol.generated import messages as m

_MIB = 1 << 20
_GIB = 1 << 30
PORTS = (31000, 32000)


def detected(work_dir: str) -> tuple[m.Resource, ...]:
    """The four resources of this host. Raises OSError."""
    return resources_of(
        os.cpu_count() or 1,
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        _disk_bytes(work_dir),
    )


def resources_of(cpus: int, mem_bytes: int, disk_bytes: int) -> tuple[m.Resource, ...]:
    """What is offered of such a host."""
    mem = mem_bytes - _GIB if mem_bytes >= 2 * _GIB else mem_bytes // 2
    disk = disk_bytes - 5 * _GIB if disk_bytes >= 10 * _GIB else disk_bytes // 2
    return (
        _scalar("cpus", cpus),
        _scalar("mem", mem // _MIB),
        _scalar("disk", disk // _MIB),
        m.Resource(
            name="ports",
            type=m.ValueType.RANGES,
            ranges=m.ValueRanges(range=(m.ValueRange(begin=PORTS[0], end=PORTS[1]),)),
        ),
    )


def completed(given: Iterable[m.Resource], work_dir: str) -> tuple[m.Resource, ...]:
    """The given resources, and the detected ones whose names are not among them."""
    known = tuple(given)
    names = {resource.name for resource in known}
    return known + tuple(r for r in detected(work_dir) if r.name not in names)


def _scalar(name: str, value: float) -> m.Resource:
    return m.Resource(name=name, type=m.ValueType.SCALAR, scalar=m.ValueScalar(value=float(value)))


def _disk_bytes(work_dir: str) -> int:
    status = os.statvfs(work_dir)
    return status.f_blocks * status.f_frsize
