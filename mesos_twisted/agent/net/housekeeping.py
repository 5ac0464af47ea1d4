"""The slow work on disk: deleting sandboxes, rotating their output, measuring the disk.

Done in the reactor's thread pool, one job of a kind at a time, so that a large tree holds nobody
up. What to delete and when is the core's affair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
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
        self._deleting: str | None = None
        self._spared: list[tuple[str, Deferred[None]]] = []
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
        if self._deleting is None:
            self._delete_next()

    def spare(self, directory: str) -> Deferred[None]:
        """Fires once nothing that holds `directory` is being deleted; what waits for its turn and
        holds it is not deleted at all."""
        for path in [path for path in self._doomed if _holds(path, directory)]:
            self._doomed.remove(path)
            self._handle(ev.PathDeleted(path, False, self._now()))
        if self._deleting is None or not _holds(self._deleting, directory):
            return succeed(None)
        free: Deferred[None] = Deferred()
        self._spared.append((self._deleting, free))
        return free

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
            return
        self._deleting = path = self._doomed.popleft()
        job = self._elsewhere(_quietly, sandbox.delete, self._work_dir, path)
        job.addCallbacks(self._deleted, self._not_deleted, (path,), {}, (path,), {})

    def _deleted(self, problem: str | None, path: str) -> None:
        if problem is None:
            self._count("gc/path_removals_succeeded", 1)
            self.log.info("Deleted {path}", path=path)
        else:
            self._count("gc/path_removals_failed", 1)
            self.log.warn("Cannot delete {path}: {problem}", path=path, problem=problem)
        self._ended(path, problem is None)

    def _not_deleted(self, failure: Failure, path: str) -> None:
        self._count("gc/path_removals_failed", 1)
        self.log.failure("Deleting {path} failed", failure, path=path)
        self._ended(path, False)

    def _ended(self, path: str, gone: bool) -> None:
        self._deleting = None
        waiting = [free for spared, free in self._spared if spared == path]
        self._spared = [item for item in self._spared if item[0] != path]
        if not self._stopped:
            # A stopped agent reads the row again at its next start, and finds nothing to delete.
            self._handle(ev.PathDeleted(path, gone, self._now()))
        self._delete_next()
        for free in waiting:
            free.callback(None)

    def _rotate(self) -> None:
        if self._rotating or self._stopped or not self._outputs:
            return
        self._rotating = True
        job = self._elsewhere(_rotate_all, self._work_dir, list(self._outputs.values()))
        job.addErrback(lambda failure: self.log.failure("Rotating output failed", failure))
        job.addCallback(self._rotated)

    def _rotated(self, result: object) -> None:
        self._rotating = False


def _holds(outer: str, directory: str) -> bool:
    return directory == outer or directory.startswith(outer + "/")


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
