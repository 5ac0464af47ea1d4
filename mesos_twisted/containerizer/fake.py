"""A containerizer in memory: the real one over a launcher that only pretends.

Containers end when a test says so. Commands named in `missing` cannot be started. It passes the
same suite as the containerizer over real processes, and needs no reactor.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail, succeed

from mesos_twisted.containerizer.core.container import Scope
from mesos_twisted.containerizer.interfaces import IIsolator
from mesos_twisted.containerizer.isolators.posix_cpu import PosixCpu
from mesos_twisted.containerizer.isolators.posix_mem import PosixMem
from mesos_twisted.containerizer.mesos import MesosContainerizer
from mesos_twisted.containerizer.zygote_messages import (
    Entry,
    ExitListener,
    LaunchFailedError,
    LaunchRequest,
    Rusage,
    Started,
    TreeUsage,
)


class FakeLauncher:
    """`ILauncher` whose processes are entries of a table. Share one between two containerizers
    to see what a restarted agent sees."""

    def __init__(self, missing: Sequence[str] = ("/nonexistent",)) -> None:
        self.on_exit: ExitListener = lambda *_: None
        self.requests: dict[str, LaunchRequest] = {}
        self.signals: list[tuple[str, int, Scope]] = []
        self.missing = set(missing)
        self.entries: dict[str, Entry] = {}
        self._next_pid = 1000

    def connect(self) -> Deferred[None]:
        return succeed(None)

    def launch(self, request: LaunchRequest) -> Deferred[Started]:
        there = self.entries.get(request.container_id)
        if there is None:
            if request.file in self.missing:
                failed = LaunchFailedError(request.container_id, errno.ENOENT, "exec")
                return fail(failed)
            self._next_pid += 1
            there = Entry(
                request.container_id, "running", self._next_pid, self._next_pid, 0, "", Rusage()
            )
            self.entries[request.container_id] = there
            self.requests[request.container_id] = request
        return succeed(Started(there.container_id, there.pid, there.start_ticks))

    def exit(self, container_id: str, status: int) -> None:
        """The first process ends with this wait status."""
        there = self.entries[container_id]
        if there.state == "running":
            self.entries[container_id] = Entry(
                there.container_id, "exited", there.pid, there.start_ticks, status, "", Rusage()
            )
            self.on_exit(container_id, status, Rusage())

    def signal(self, container_id: str, signo: int, scope: Scope) -> Deferred[int]:
        there = self.entries.get(container_id)
        if there is None or there.state != "running":
            return succeed(0)
        self.signals.append((container_id, signo, scope))
        if signo in (9, 15):
            self.exit(container_id, signo)
        return succeed(1)

    def destroy(self, container_id: str) -> Deferred[None]:
        if container_id in self.entries:
            self.exit(container_id, 9)
        return succeed(None)

    def forget(self, container_id: str) -> Deferred[None]:
        self.entries.pop(container_id, None)
        self.requests.pop(container_id, None)
        return succeed(None)

    def usage(self, container_id: str) -> Deferred[TreeUsage]:
        there = self.entries.get(container_id)
        running = there is not None and there.state == "running"
        return succeed(TreeUsage(0, 0, 4096, 1, 1) if running else TreeUsage(0, 0, 0, 0, 0))

    def list_all(self) -> Deferred[list[Entry]]:
        return succeed(list(self.entries.values()))


class FakeContainerizer(MesosContainerizer):
    """`IContainerizer` without processes."""

    def __init__(
        self,
        launcher: FakeLauncher | None = None,
        isolators: Sequence[IIsolator] | None = None,
        *,
        identify: Callable[[str | None], None] = lambda user: None,
    ) -> None:
        self.launcher = launcher or FakeLauncher()
        if isolators is None:
            isolators = (PosixCpu(self.launcher), PosixMem(self.launcher))
        super().__init__(self.launcher, isolators, identify=identify)
        self.launcher.on_exit = self.exited

    def exit(self, container_id: str, status: int = 0) -> None:
        """The container's first process ends with this wait status (0, or `code << 8`)."""
        self.launcher.exit(container_id, status)
