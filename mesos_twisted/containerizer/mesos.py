"""The Mesos containerizer: runs the life of each container over a launcher and isolators.

It orders the steps told in `interfaces.py`, keeps each container's state by the table of
`core.lifecycle`, and knows neither tasks nor executors. With isolators that have nothing to wait
for, a launch is one request to the launcher, written in the same reactor turn.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.containerizer.core.container import (
    ContainerConfig,
    ContainerId,
    ContainerStatus,
    Identity,
    Launched,
    LaunchOutcome,
    Limitation,
    Limits,
    Recovered,
    Scope,
    Termination,
    Usage,
)
from mesos_twisted.containerizer.core.launch_plan import LaunchPlan, Preparation, plan
from mesos_twisted.containerizer.core.lifecycle import ContainerEvent, ContainerState, step
from mesos_twisted.containerizer.core.termination import STATUS_LOST, explain
from mesos_twisted.containerizer.interfaces import IIsolator, ILauncher
from mesos_twisted.containerizer.users import identify as identify_on_host
from mesos_twisted.containerizer.zygote_messages import Entry, LaunchRequest, Rusage
from mesos_twisted.errors import MesosError, Problem, RefusedError

_log = Logger()
_T = TypeVar("_T")
_ALIVE = ("starting", "running", "orphaned")
_LOST = "The launcher knows nothing of how this container ended"
Identify = Callable[[str | None], Identity | Problem | None]


class _Container:
    """One container: its state, how it ended, and who waits for what."""

    __slots__ = ("awaiting", "destroying", "ended", "limitation", "pid", "state")

    def __init__(self) -> None:
        self.state = ContainerState.PREPARING
        self.pid = 0
        self.ended: Termination | None = None
        self.limitation: Limitation | None = None
        self.awaiting: list[Deferred[Termination | None]] = []
        self.destroying: list[Deferred[Termination | None]] | None = None

    def step(self, event: ContainerEvent) -> bool:
        state = step(self.state, event)
        if state is None:
            return False
        self.state = state
        return True

    def end(self, termination: Termination) -> None:
        if self.ended is None:
            self.ended = termination
        waiting, self.awaiting = self.awaiting, []
        for deferred in waiting:
            deferred.callback(self.ended)


def _run(work: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
    return Deferred.fromCoroutine(work)


class MesosContainerizer:
    """`IContainerizer` over `launcher`. The launcher's `on_exit` must be this object's `exited`,
    and its `on_reconnected` this object's `reconcile`."""

    def __init__(
        self,
        launcher: ILauncher,
        isolators: Sequence[IIsolator],
        *,
        identify: Identify = identify_on_host,
    ) -> None:
        self._launcher, self._isolators = launcher, tuple(isolators)
        self._identify: Identify = lru_cache(maxsize=256)(identify)
        self._containers: dict[ContainerId, _Container] = {}
        self._strays: set[ContainerId] = set()

    # -- recovery
    def recover(
        self, known: Mapping[ContainerId, ContainerConfig | None]
    ) -> Deferred[list[Recovered]]:
        """See `IContainerizer.recover`."""
        return _run(self._recover(known))

    async def _recover(
        self, known: Mapping[ContainerId, ContainerConfig | None]
    ) -> list[Recovered]:
        await self._launcher.connect()
        entries = {ContainerId(e.container_id): e for e in await self._launcher.list_all()}
        self._strays.update(entries.keys() - known.keys())
        await self._destroy_strays()
        recovered = []
        for container_id, config in known.items():
            container = self._containers[container_id] = _Container()
            container.step(ContainerEvent.RECOVERED)
            for isolator in self._isolators:
                isolator.recover(container_id, config)
            entry = entries.get(container_id)
            container.pid = entry.pid if entry is not None else 0
            if entry is not None and entry.state in _ALIVE:
                self._watch(container_id)
            else:
                self._ended_as(container_id, entry)
            recovered.append(Recovered(container_id, container.pid, container.ended))
        return recovered

    def _ended_as(self, container_id: ContainerId, entry: Entry | None) -> None:
        if entry is not None and entry.state == "exited":
            self.exited(container_id, entry.status, entry.rusage)
        else:
            self.exited(container_id, STATUS_LOST, Rusage())

    def reconcile(self) -> Deferred[None]:
        """What happened while the launcher was not connected is known; never fails."""
        return _run(self._reconcile()).addErrback(_logged)

    async def _reconcile(self) -> None:
        before = [i for i, c in self._containers.items() if c.state is ContainerState.RUNNING]
        entries = {e.container_id: e for e in await self._launcher.list_all()}
        for container_id in before:
            entry = entries.get(container_id)
            if entry is None or entry.state not in _ALIVE:
                self._ended_as(container_id, entry)
        await self._destroy_strays()

    async def _destroy_strays(self) -> None:
        for container_id in sorted(self._strays):
            await self._launcher.destroy(container_id)
            await self._launcher.forget(container_id)
            await self._clean(container_id)
            self._strays.discard(container_id)

    # -- launch
    def launch(self, container_id: ContainerId, config: ContainerConfig) -> Deferred[LaunchOutcome]:
        """See `IContainerizer.launch`."""
        there = self._containers.get(container_id)
        if there is not None:
            return succeed(LaunchOutcome(Launched.ALREADY, there.pid))
        container = self._containers[container_id] = _Container()
        return _run(self._launch(container_id, container, config))

    async def _launch(
        self, container_id: ContainerId, container: _Container, config: ContainerConfig
    ) -> LaunchOutcome:
        try:
            request = await self._prepare(container_id, container, config)
            container.step(ContainerEvent.PREPARED)
            started = await self._launcher.launch(request)
            container.pid = started.pid
            for isolator in self._isolators:
                isolated = isolator.isolate(container_id, started.pid)
                if isolated is not None:
                    await isolated
        except MesosError as problem:
            await self._abandon(container_id, container, str(problem))
            return LaunchOutcome(None, problem=str(problem))
        if container.step(ContainerEvent.STARTED) and container.state is ContainerState.RUNNING:
            self._watch(container_id)
        return LaunchOutcome(Launched.STARTED, started.pid)

    async def _prepare(
        self, container_id: ContainerId, container: _Container, config: ContainerConfig
    ) -> LaunchRequest:
        identity = self._identify(config.user)
        if isinstance(identity, Problem):
            raise RefusedError(identity.sentence)
        preparations: list[Preparation] = []
        for isolator in self._isolators:
            made = isolator.prepare(container_id, config)
            preparations.append(await made if isinstance(made, Deferred) else made)
            if container.state is not ContainerState.PREPARING:
                raise RefusedError(f"Container {container_id} was destroyed while being prepared.")
        planned = plan(config, tuple(preparations))
        if isinstance(planned, Problem):
            raise RefusedError(planned.sentence)
        return _request(container_id, config, planned, identity)

    async def _abandon(
        self, container_id: ContainerId, container: _Container, problem: str
    ) -> None:
        """A launch that failed leaves nothing; what cannot be cleared now is cleared later."""
        try:
            if container.state is not ContainerState.PREPARING:
                await self._launcher.destroy(container_id)
                await self._launcher.forget(container_id)
            await self._clean(container_id)
        except MesosError:
            self._strays.add(container_id)
        if self._containers.get(container_id) is container:
            del self._containers[container_id]
        container.end(Termination(None, problem))
        destroying, container.destroying = container.destroying or [], None
        for deferred in destroying:
            deferred.callback(container.ended)

    def _watch(self, container_id: ContainerId) -> None:
        for isolator in self._isolators:
            limitation = isolator.watch(container_id)
            if limitation is not None:
                limitation.addCallback(self._limited, container_id).addErrback(_cancelled)

    def _limited(self, limitation: Limitation, container_id: ContainerId) -> None:
        container = self._containers.get(container_id)
        if container is not None and container.ended is None:
            container.limitation = limitation
            self.destroy(container_id).addErrback(_logged)

    # -- the end
    def exited(self, container_id: str, status: int, rusage: Rusage) -> None:
        """The launcher says that a first process ended; told twice, it counts once."""
        container = self._containers.get(ContainerId(container_id))
        if container is not None and container.ended is None:
            container.step(ContainerEvent.EXITED)
            container.end(
                explain(
                    status,
                    container.limitation,
                    user_us=rusage.user_us,
                    system_us=rusage.system_us,
                    max_rss_bytes=rusage.max_rss_bytes,
                    lost=_LOST,
                )
            )

    def wait(self, container_id: ContainerId) -> Deferred[Termination | None]:
        """See `IContainerizer.wait`."""
        container = self._containers.get(container_id)
        if container is None or container.ended is not None:
            return succeed(container.ended if container is not None else None)
        waiting: Deferred[Termination | None] = Deferred()
        container.awaiting.append(waiting)
        return waiting

    def kill(self, container_id: ContainerId, signo: int, scope: Scope) -> Deferred[bool]:
        """See `IContainerizer.kill`."""
        if container_id not in self._containers:
            return succeed(False)
        return self._launcher.signal(container_id, signo, scope).addCallback(bool)

    def destroy(self, container_id: ContainerId) -> Deferred[Termination | None]:
        """See `IContainerizer.destroy`; `UnavailableError` when the launcher is, then ask again."""
        container = self._containers.get(container_id)
        if container is None or container.state is ContainerState.DESTROYED:
            return succeed(container.ended if container is not None else None)
        waiting: Deferred[Termination | None] = Deferred()
        if container.destroying is not None:
            container.destroying.append(waiting)
            return waiting
        container.destroying = [waiting]
        preparing = container.state is ContainerState.PREPARING
        container.step(ContainerEvent.DESTROY)
        if not preparing:
            _run(self._destroy(container_id, container)).addErrback(_logged)
        return waiting

    async def _destroy(self, container_id: ContainerId, container: _Container) -> None:
        try:
            await self._launcher.destroy(container_id)
            await self._clean(container_id)
        except MesosError as problem:
            failed, container.destroying = container.destroying or [], None
            for deferred in failed:
                deferred.errback(Failure(problem))
            return
        container.step(ContainerEvent.CLEANED)
        container.end(explain(None, container.limitation))
        done, container.destroying = container.destroying or [], None
        for deferred in done:
            deferred.callback(container.ended)

    async def _clean(self, container_id: ContainerId) -> None:
        for isolator in reversed(self._isolators):
            cleaned = isolator.cleanup(container_id)
            if cleaned is not None:
                await cleaned

    def forget(self, container_id: ContainerId) -> Deferred[None]:
        """See `IContainerizer.forget`."""
        container = self._containers.get(container_id)
        if container is not None and container.state is not ContainerState.DESTROYED:
            return _run(self._end_and_forget(container_id))
        self._containers.pop(container_id, None)
        return self._launcher.forget(container_id)

    async def _end_and_forget(self, container_id: ContainerId) -> None:
        await self.destroy(container_id)
        self._containers.pop(container_id, None)
        await self._launcher.forget(container_id)

    # -- while it runs
    def update(self, container_id: ContainerId, limits: Limits) -> Deferred[None]:
        """See `IContainerizer.update`."""
        return _run(self._update(container_id, limits))

    async def _update(self, container_id: ContainerId, limits: Limits) -> None:
        if container_id in self._containers:
            for isolator in self._isolators:
                updated = isolator.update(container_id, limits)
                if updated is not None:
                    await updated

    def usage(self, container_id: ContainerId) -> Deferred[Usage]:
        """See `IContainerizer.usage`."""
        return _run(self._usage(container_id))

    async def _usage(self, container_id: ContainerId) -> Usage:
        usage = Usage()
        if container_id in self._containers:
            for isolator in self._isolators:
                filled = isolator.usage(container_id, usage)
                usage = await filled if isinstance(filled, Deferred) else filled
        return usage

    def status(self, container_id: ContainerId) -> ContainerStatus | None:
        """See `IContainerizer.status`."""
        container = self._containers.get(container_id)
        if container is None:
            return None
        return ContainerStatus(container_id, container.state, container.pid)

    def containers(self) -> list[ContainerId]:
        """See `IContainerizer.containers`."""
        return list(self._containers)


def _request(
    container_id: ContainerId,
    config: ContainerConfig,
    planned: LaunchPlan,
    identity: Identity | None,
) -> LaunchRequest:
    return LaunchRequest(
        container_id,
        planned.file,
        planned.argv,
        planned.env,
        config.cwd,
        config.stdout,
        config.stderr,
        identity,
        config.rlimits + planned.rlimits,
        config.umask,
        config.nice,
        config.no_new_privileges,
    )


def _logged(reason: Failure) -> None:
    _log.error("{problem}", problem=reason.getErrorMessage())


def _cancelled(reason: Failure) -> None:
    """A watch is cancelled when its container ends."""
