"""The slow work on disk: deleting sandboxes, rotating their output, measuring the disk.

Done in the reactor's thread pool, one job of a kind at a time, so that a large tree holds nobody
up. What to delete and when is the core's affair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.net import rotation, sandbox
from mesos_twisted.clock import Timers
from mesos_twisted.files.walk import OutsideError
from mesos_twisted.protocol.ids import ContainerId

#: Runs a blocking function elsewhere.
Elsewhere = Callable[..., Deferred[Any]]
ROTATE_S = 5.0


class Housekeeping:
    """`elsewhere(function, *args)` runs it in a thread and fires in the reactor."""

    log = Logger()

    def __init__(
        self,
        work_dir: str,
        timers: Timers,
        elsewhere: Elsewhere,
        limits: rotation.Limits,
        *,
        handle: Callable[[ev.Event], None],
        now: Callable[[], float],
        count: Callable[[str, int], None],
        disk_interval_s: float,
    ) -> None:
        self._work_dir = work_dir
        self._timers = timers
        self._elsewhere = elsewhere
        self._limits = limits
        self._handle = handle
        self._now = now
        self._count = count
        self._disk_interval_s = disk_interval_s
        self._doomed: deque[str] = deque()
        self._deleting = False
        self._rotating = False
        self._outputs: dict[ContainerId, tuple[str, dict[str, rotation.Limits]]] = {}
        self._stopped = False
        self.disk_used = 0.0

    def start(self) -> None:
        """The disk is measured now and at each interval, and outputs are rotated."""
        self._timers.every(self._disk_interval_s, self.measure)
        self._timers.every(ROTATE_S, self._rotate)
        self.measure()

    def stop(self) -> None:
        """No new job begins."""
        self._stopped = True
        self._doomed.clear()

    def measure(self) -> None:
        """Tell the core how full the disk is."""
        try:
            self.disk_used = sandbox.disk_used(self._work_dir)
        except OSError as error:
            self.log.warn("The disk cannot be measured: {reason}", reason=error.strerror)
            return
        self._handle(ev.DiskMeasured(self.disk_used, self._now()))

    def delete(self, path: str) -> None:
        """The directory (relative to the work directory) goes, after those asked for before."""
        self._doomed.append(path)
        if not self._deleting:
            self._delete_next()

    def watch(self, container_id: ContainerId, directory: str, env: Mapping[str, str]) -> None:
        """Rotate this sandbox's output; `env` may hold limits of the task's own."""
        own = {
            stream: rotation.limits_for(stream, env, self._limits) for stream in rotation.STREAMS
        }
        self._outputs[container_id] = (directory, own)

    def unwatch(self, container_id: ContainerId) -> None:
        """The container is over; unknown ones are fine."""
        self._outputs.pop(container_id, None)

    def _delete_next(self) -> None:
        if self._stopped or not self._doomed:
            self._deleting = False
            return
        self._deleting = True
        path = self._doomed.popleft()
        job = self._elsewhere(_quietly, sandbox.delete, self._work_dir, path)
        job.addCallbacks(self._deleted, self._not_deleted, (path,), {}, (path,), {})

    def _deleted(self, problem: str | None, path: str) -> None:
        if problem is None:
            self._count("gc/path_removals_succeeded", 1)
            self.log.info("Deleted {path}", path=path)
        else:
            self._count("gc/path_removals_failed", 1)
            self.log.warn("Cannot delete {path}: {problem}", path=path, problem=problem)
        self._delete_next()

    def _not_deleted(self, failure: Failure, path: str) -> None:
        self._count("gc/path_removals_failed", 1)
        self.log.failure("Deleting {path} failed", failure, path=path)
        self._delete_next()

    def _rotate(self) -> None:
        if self._rotating or self._stopped or not self._outputs:
            return
        self._rotating = True
        job = self._elsewhere(_rotate_all, self._work_dir, list(self._outputs.values()))
        job.addErrback(lambda failure: self.log.failure("Rotating output failed", failure))
        job.addCallback(self._rotated)

    def _rotated(self, result: object) -> None:
        self._rotating = False


def _quietly(function: Callable[[str, str], None], work_dir: str, path: str) -> str | None:
    """What went wrong, or None; in the worker thread."""
    try:
        function(work_dir, path)
    except OutsideError as error:
        return str(error)
    except OSError as error:
        return f"{error.strerror} ({error.filename})"
    return None


def _rotate_all(work_dir: str, outputs: list[tuple[str, dict[str, rotation.Limits]]]) -> None:
    for directory, limits in outputs:
        rotation.rotate(work_dir, directory, limits)
