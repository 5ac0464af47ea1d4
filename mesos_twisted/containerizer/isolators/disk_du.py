"""`disk/du`: measures each sandbox now and then, and ends a container that is over its quota.

Symbolic links are never followed, a file with several names counts once, and what cannot be read
is passed over. A sandbox is measured away from the reactor; one is measured at a time, so that a
host full of containers is not swept at once.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.containerizer.core.container import (
    ContainerConfig,
    ContainerId,
    Limitation,
    Limits,
    Usage,
)
from mesos_twisted.containerizer.core.launch_plan import NOTHING, Preparation
from mesos_twisted.containerizer.core.limits import over_quota
from mesos_twisted.containerizer.isolators.base import Isolator

_log = Logger()
#: Answers with the bytes used below a directory.
Measure = Callable[[str], Deferred[int]]


def disk_usage(directory: str) -> int:
    """Bytes of disk used below `directory`, itself included; 0 when it is not there. Blocks."""
    total = 0
    seen: set[tuple[int, int]] = set()
    left = [directory]
    while left:
        path = left.pop()
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            total += os.fstat(fd).st_blocks * 512
            with os.scandir(fd) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        left.append(f"{path}/{entry.name}")
                        continue
                    if status.st_nlink > 1:
                        name = (status.st_dev, status.st_ino)
                        if name in seen:
                            continue
                        seen.add(name)
                    total += status.st_blocks * 512
        except OSError:
            continue
        finally:
            os.close(fd)
    return total


def measure_in(reactor: IReactorFromThreads, pool: ThreadPool) -> Measure:
    """A measure that runs in a thread of `pool` and answers in the reactor."""
    return lambda directory: deferToThreadPool(reactor, pool, disk_usage, directory)


@dataclass(slots=True)
class _Watched:
    directory: str
    quota: int | None
    used: int | None
    limitation: Deferred[Limitation] | None


class DiskDu(Isolator):
    """`enforce` is `--enforce_container_disk_quota`; `interval_s` the time between two sweeps."""

    name = "disk/du"

    def __init__(
        self, timers: Timers, measure: Measure, *, enforce: bool = False, interval_s: float = 15
    ) -> None:
        self._timers, self._measure = timers, measure
        self._enforce, self._interval_s = enforce, interval_s
        self._watched: dict[ContainerId, _Watched] = {}
        self._queue: deque[ContainerId] = deque()
        self._timer: Timer | None = None

    def recover(self, container_id: ContainerId, config: ContainerConfig | None) -> None:
        if config is not None:
            self._add(container_id, config)

    def prepare(self, container_id: ContainerId, config: ContainerConfig) -> Preparation:
        self._add(container_id, config)
        return NOTHING

    def _add(self, container_id: ContainerId, config: ContainerConfig) -> None:
        self._watched[container_id] = _Watched(config.cwd, config.disk_bytes, None, None)
        if self._timer is None:
            self._timer = self._timers.after(self._interval_s, self._sweep)

    def watch(self, container_id: ContainerId) -> Deferred[Limitation] | None:
        watched = self._watched.get(container_id)
        if watched is None or not self._enforce:
            return None
        if watched.limitation is None:
            watched.limitation = Deferred()
        return watched.limitation

    def update(self, container_id: ContainerId, limits: Limits) -> None:
        watched = self._watched.get(container_id)
        if watched is not None:
            watched.quota = limits.disk_bytes

    def usage(self, container_id: ContainerId, so_far: Usage) -> Usage:
        watched = self._watched.get(container_id)
        if watched is None:
            return so_far
        return replace(so_far, disk_used_bytes=watched.used, disk_limit_bytes=watched.quota)

    def cleanup(self, container_id: ContainerId) -> None:
        watched = self._watched.pop(container_id, None)
        if watched is not None and watched.limitation is not None:
            limitation, watched.limitation = watched.limitation, None
            limitation.addErrback(lambda _: None)
            limitation.cancel()
        if not self._watched and self._timer is not None and not self._queue:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        self._queue.extend(self._watched)
        self._next()

    def _next(self) -> None:
        while self._queue:
            container_id = self._queue.popleft()
            watched = self._watched.get(container_id)
            if watched is not None:
                self._measure(watched.directory).addCallbacks(
                    self._measured, self._failed, callbackArgs=(watched,)
                ).addBoth(lambda _: self._next())
                return
        if self._watched and self._timer is None:
            self._timer = self._timers.after(self._interval_s, self._sweep)

    def _measured(self, used: int, watched: _Watched) -> None:
        watched.used = used
        verdict = over_quota(used, watched.quota)
        if verdict is not None and watched.limitation is not None:
            limitation, watched.limitation = watched.limitation, None
            limitation.callback(verdict)

    def _failed(self, reason: Failure) -> None:
        _log.warn("a sandbox could not be measured: {why}", why=reason.value)
