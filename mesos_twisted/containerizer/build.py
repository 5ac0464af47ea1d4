"""Builds the POSIX containerizer an agent's flags ask for.

The one place that knows which isolator answers to which name. It arms nothing before `recover`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.internet.interfaces import IReactorFromThreads, IReactorProcess, IReactorUNIX
from twisted.python.threadpool import ThreadPool

from mesos_twisted.clock import Timers
from mesos_twisted.containerizer.interfaces import IIsolator, ILauncher
from mesos_twisted.containerizer.isolators.base import Isolator
from mesos_twisted.containerizer.isolators.disk_du import DiskDu, Measure, measure_in
from mesos_twisted.containerizer.isolators.posix_cpu import PosixCpu
from mesos_twisted.containerizer.isolators.posix_mem import PosixMem
from mesos_twisted.containerizer.isolators.posix_rlimits import PosixRlimits
from mesos_twisted.containerizer.mesos import MesosContainerizer
from mesos_twisted.containerizer.zygote.build import command
from mesos_twisted.containerizer.zygote_client import ZygoteClient
from mesos_twisted.containerizer.zygote_messages import Rusage
from mesos_twisted.errors import Problem

ISOLATORS = DEFAULT_ISOLATION = (
    "posix/cpu",
    "posix/mem",
    "posix/rlimits",
    "disk/du",
    "filesystem/posix",
)


def unknown_isolator(names: Sequence[str]) -> Problem | None:
    """The first name that no isolator answers to; None when all are known."""
    for name in names:
        if name not in ISOLATORS:
            return Problem(
                "isolation",
                f"--isolation names {name!r}, which the posix launcher does not have; "
                f"choose from {', '.join(ISOLATORS)}.",
            )
    return None


def isolators(
    names: Sequence[str],
    launcher: ILauncher,
    timers: Timers,
    measure: Measure,
    *,
    enforce_disk_quota: bool = False,
    disk_interval_s: float = 15,
) -> tuple[IIsolator, ...] | Problem:
    """The isolators of `--isolation`, in its order; a Problem names the first unknown one."""
    makers: dict[str, Callable[[], Isolator]] = {
        "posix/cpu": lambda: PosixCpu(launcher),
        "posix/mem": lambda: PosixMem(launcher),
        "posix/rlimits": PosixRlimits,
        "disk/du": lambda: DiskDu(
            timers, measure, enforce=enforce_disk_quota, interval_s=disk_interval_s
        ),
        "filesystem/posix": Isolator,
    }
    problem = unknown_isolator(names)
    if problem is not None:
        return problem
    return tuple(makers[name]() for name in names)


def posix_containerizer(
    unix: IReactorUNIX,
    processes: IReactorProcess,
    threads: IReactorFromThreads,
    pool: ThreadPool,
    timers: Timers,
    runtime_dir: Path,
    *,
    isolation: Sequence[str] = DEFAULT_ISOLATION,
    launcher_dir: Path | None = None,
    implementation: str = "auto",
    start: bool = True,
    idle_s: int = 3600,
    enforce_disk_quota: bool = False,
    disk_interval_s: float = 15,
) -> tuple[MesosContainerizer, ZygoteClient] | Problem:
    """A containerizer and its launcher's client; `recover` connects them, `close` the client at
    stop. `unix`, `processes` and `threads` are the reactor. May run a compiler once, so call
    it before the reactor runs. Without `start` the service manager starts the launcher, and none
    is looked for. `LookupError` when `implementation` is `c` and no compiler is
    found."""
    made: list[MesosContainerizer] = []

    def exited(container_id: str, status: int, rusage: Rusage) -> None:
        made[0].exited(container_id, status, rusage)

    client = ZygoteClient(
        unix,
        processes,
        timers,
        runtime_dir,
        command(launcher_dir or runtime_dir, implementation) if start else (),
        exited,
        on_reconnected=lambda: made[0].reconcile(),
        idle_s=idle_s,
    )
    chosen = isolators(
        isolation,
        client,
        timers,
        measure_in(threads, pool),
        enforce_disk_quota=enforce_disk_quota,
        disk_interval_s=disk_interval_s,
    )
    if isinstance(chosen, Problem):
        return chosen
    made.append(MesosContainerizer(client, chosen))
    return made[0], client
