"""Performs the core's effects about containers and brings their outcomes back as events.

    PrepareSandbox   directories, then URIs       -> SandboxReady | SandboxFailed
    LaunchContainer  the containerizer's launch   -> ContainerLaunched | ContainerLaunchFailed
    (its end)        destroy what is left         -> ContainerTerminated, exactly once
    DestroyContainer destroy, wherever it stands  -> ContainerTerminated
    UpdateContainer, SignalContainer, ForgetContainer -> nothing

While a sandbox is being prepared the containerizer knows nothing of the container; a destroy then
ends the fetching. The launcher may be away for a moment: what matters is tried again.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.agent.core import effects as fx
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core.environment import TOKEN_MARKER
from mesos_twisted.agent.net.sandbox import Sandboxes
from mesos_twisted.agent.net.users import User, resolve_user
from mesos_twisted.clock import Timers
from mesos_twisted.containerizer.core import container as cz
from mesos_twisted.containerizer.core.limits import rlimits
from mesos_twisted.containerizer.interfaces import IContainerizer
from mesos_twisted.errors import MesosError, Problem
from mesos_twisted.files.walk import OutsideError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId

#: How long before an unavailable launcher is asked again.
AGAIN_S = 1.0


class FetchPort(Protocol):
    """What brings a container's URIs into its sandbox; see `fetcher.Fetcher`."""

    def fetch(
        self, container_id: str, directory: str, command: m.CommandInfo, user: User | None
    ) -> Awaitable[str | None]:
        """None, or the sentence that says what went wrong."""

    def cancel(self, container_id: str) -> None:
        """End what is being fetched for it."""


class SandboxPort(Protocol):
    """Makes sandboxes' directories; see `sandbox.Sandboxes`."""

    def make(
        self, directory: str, user: User | None, subdirectories: tuple[str, ...] = (), /
    ) -> None:
        """Raises OSError or `OutsideError`."""

    def close(self) -> None:
        """Nothing is kept open."""


class AgentContainers:
    """The containers' edge. `token(container_id)` makes an executor's token."""

    log = Logger()

    def __init__(
        self,
        work_dir: str,
        containerizer: IContainerizer,
        fetcher: FetchPort,
        timers: Timers,
        *,
        handle: Callable[[ev.Event], None],
        now: Callable[[], float],
        token: Callable[[ContainerId], str],
        spare: Callable[[str], Deferred[None]],
        sandbox_opened: Callable[[ContainerId, str, Mapping[str, str]], None],
        sandbox_closed: Callable[[ContainerId], None],
        sandboxes: SandboxPort | None = None,
    ) -> None:
        """`spare(directory)` keeps the collector off; `sandbox_opened` and `sandbox_closed` tell
        whoever watches the sandbox's output."""
        self._work_dir = work_dir
        self._sandboxes: SandboxPort = sandboxes or Sandboxes(work_dir)
        self._containerizer = containerizer
        self._fetcher = fetcher
        self._timers = timers
        self._handle = handle
        self._now = now
        self._token = token
        self._spare = spare
        self._sandbox_opened = sandbox_opened
        self._sandbox_closed = sandbox_closed
        #: Being prepared: whether a destroy was asked for meanwhile.
        self._preparing: dict[ContainerId, bool] = {}
        #: Launched or launching, with an end that has still to be told.
        self._live: set[ContainerId] = set()
        #: Ending: somebody destroys them already.
        self._ending: set[ContainerId] = set()
        self._stopped = False

    def perform(
        self,
        effect: fx.PrepareSandbox
        | fx.LaunchContainer
        | fx.UpdateContainer
        | fx.SignalContainer
        | fx.DestroyContainer
        | fx.ForgetContainer,
    ) -> None:
        """Begin; the outcome is an event."""
        match effect:
            case fx.PrepareSandbox():
                self._preparing[effect.container_id] = False
                self._spawn(self._prepare(effect), effect.container_id)
            case fx.LaunchContainer():
                self._live.add(effect.container_id)
                self._spawn(self._launch(effect), effect.container_id)
            case fx.UpdateContainer():
                self._spawn(self._update(effect), effect.container_id)
            case fx.SignalContainer():
                self._spawn(self._signal(effect), effect.container_id)
            case fx.DestroyContainer(container_id):
                self._destroy(container_id)
            case fx.ForgetContainer(container_id):
                self._sandbox_closed(container_id)
                self._forget(container_id)

    def adopt(self, container_id: ContainerId) -> None:
        """A container that recovery found running: its end will be told."""
        self._live.add(container_id)
        self._spawn(self._watch(container_id), container_id)

    def stop(self) -> None:
        """Nothing more is told; containers go on."""
        self._stopped = True
        self._sandboxes.close()
        for container_id in tuple(self._preparing):
            self._fetcher.cancel(container_id)

    def _spawn(self, work: Any, container_id: ContainerId) -> None:
        Deferred.fromCoroutine(work).addErrback(self._bug, container_id)

    def _bug(self, failure: Failure, container_id: ContainerId) -> None:
        self.log.failure(
            "The work on container {container_id} failed", failure, container_id=container_id
        )

    def _tell(self, event: ev.Event) -> None:
        if not self._stopped:
            self._handle(event)

    async def _prepare(self, effect: fx.PrepareSandbox) -> None:
        container_id = effect.container_id
        problem = await self._make(effect)
        destroyed = self._preparing.pop(container_id, False)
        now = self._now()
        if destroyed:
            self._tell(ev.ContainerTerminated(container_id, None, now))
        elif problem is not None:
            self._tell(ev.SandboxFailed(container_id, problem, now))
        else:
            self._tell(ev.SandboxReady(container_id, now))

    async def _make(self, effect: fx.PrepareSandbox) -> str | None:
        user = resolve_user(effect.user)
        if isinstance(user, Problem):
            return user.sentence
        await self._spare(effect.directory)
        if self._preparing.get(effect.container_id):
            return "It was destroyed before its sandbox was made"
        try:
            self._sandboxes.make(effect.directory, user, effect.subdirectories)
        except OutsideError as error:
            return f"The sandbox {effect.directory} cannot be made: {error}"
        except OSError as error:
            return f"The sandbox {effect.directory} cannot be made: {error.strerror}"
        directory = os.path.join(self._work_dir, effect.directory)
        return await self._fetcher.fetch(effect.container_id, directory, effect.command, user)

    async def _launch(self, effect: fx.LaunchContainer) -> None:
        container_id = effect.container_id
        config = self._config(effect)
        if isinstance(config, Problem):
            self._failed(container_id, config.sentence)
            return
        try:
            outcome = await self._containerizer.launch(cz.ContainerId(container_id), config)
        except MesosError as error:
            # Nobody knows what became of it: make sure that nothing did.
            await self._until_destroyed(container_id)
            self._failed(container_id, str(error))
            return
        if not outcome.running:
            self._failed(container_id, outcome.problem or "No containerizer accepts the container")
            return
        self._sandbox_opened(container_id, effect.directory, dict(effect.env))
        self._tell(ev.ContainerLaunched(container_id, outcome.pid, self._now()))
        await self._watch(container_id)

    def _failed(self, container_id: ContainerId, sentence: str) -> None:
        # One that is being destroyed has its end told by whoever destroys it.
        if container_id in self._live and container_id not in self._ending:
            self._live.discard(container_id)
            self._tell(ev.ContainerLaunchFailed(container_id, sentence, self._now()))

    def _config(self, effect: fx.LaunchContainer) -> cz.ContainerConfig | Problem:
        limits = rlimits(
            (one.type.value if one.type is not None else "", one.soft, one.hard)
            for one in (effect.rlimits.rlimits if effect.rlimits is not None else ())
        )
        if isinstance(limits, Problem):
            return limits
        env = effect.env
        if any(value == TOKEN_MARKER for _, value in env):
            token = self._token(effect.container_id)
            env = tuple((name, token if value == TOKEN_MARKER else value) for name, value in env)
        return cz.ContainerConfig(
            argv=effect.argv,
            file=effect.program,
            env=env,
            cwd=os.path.join(self._work_dir, effect.directory),
            user=effect.user,
            stdout="stdout",
            stderr="stderr",
            rlimits=limits,
            cpus_milli=effect.cpus_milli,
            mem_bytes=effect.mem_bytes,
            disk_bytes=effect.disk_bytes,
        )

    async def _watch(self, container_id: ContainerId) -> None:
        """The first process has ended, what it left is destroyed, and that is told."""
        while not self._stopped:
            try:
                await self._containerizer.wait(cz.ContainerId(container_id))
                break
            except MesosError as error:
                self.log.warn(
                    "Waiting for container {container_id} failed: {reason}",
                    container_id=container_id,
                    reason=str(error),
                )
                await self._pause()
        if container_id in self._live and container_id not in self._ending:
            await self._end(container_id)

    def _destroy(self, container_id: ContainerId) -> None:
        if container_id in self._preparing:
            self._preparing[container_id] = True
            self._fetcher.cancel(container_id)
        elif container_id not in self._ending:
            self._live.add(container_id)
            self._spawn(self._end(container_id), container_id)

    async def _end(self, container_id: ContainerId) -> None:
        self._ending.add(container_id)
        termination = await self._until_destroyed(container_id)
        self._ending.discard(container_id)
        if container_id not in self._live:
            return
        self._live.discard(container_id)
        limitation = None
        if termination is not None and termination.reason is not None:
            limitation = (termination.reason, termination.message)
        status = None if termination is None else termination.status
        self._tell(ev.ContainerTerminated(container_id, status, self._now(), limitation))

    async def _until_destroyed(self, container_id: ContainerId) -> cz.Termination | None:
        while not self._stopped:
            try:
                return await self._containerizer.destroy(cz.ContainerId(container_id))
            except MesosError as error:
                self.log.warn(
                    "Destroying container {container_id} failed: {reason}",
                    container_id=container_id,
                    reason=str(error),
                )
                await self._pause()
        return None

    async def _update(self, effect: fx.UpdateContainer) -> None:
        limits = cz.Limits(effect.cpus_milli, effect.mem_bytes, effect.disk_bytes)
        try:
            await self._containerizer.update(cz.ContainerId(effect.container_id), limits)
        except MesosError as error:
            self.log.warn(
                "The limits of container {container_id} were not changed: {reason}",
                container_id=effect.container_id,
                reason=str(error),
            )

    async def _signal(self, effect: fx.SignalContainer) -> None:
        try:
            await self._containerizer.kill(
                cz.ContainerId(effect.container_id), effect.signo, cz.Scope(effect.scope)
            )
        except MesosError as error:
            # The core escalates when the signal has no effect.
            self.log.warn(
                "Container {container_id} was not signalled: {reason}",
                container_id=effect.container_id,
                reason=str(error),
            )

    def _forget(self, container_id: ContainerId) -> None:
        def not_forgotten(failure: Failure) -> None:
            failure.trap(MesosError)
            # Recovery forgets it then.
            self.log.info(
                "Container {container_id} is not forgotten yet: {reason}",
                container_id=container_id,
                reason=failure.getErrorMessage(),
            )

        forgotten = self._containerizer.forget(cz.ContainerId(container_id))
        forgotten.addErrback(not_forgotten).addErrback(self._bug, container_id)

    def _pause(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._timers.after(AGAIN_S, done.callback, None)
        return done


async def statistics(
    containerizer: IContainerizer, container_ids: list[ContainerId], now: float
) -> dict[ContainerId, m.ResourceStatistics]:
    """What each container uses now; one that cannot be measured is left out."""
    asked = [(one, containerizer.usage(cz.ContainerId(one))) for one in container_ids]
    found: dict[ContainerId, m.ResourceStatistics] = {}
    for container_id, deferred in asked:
        try:
            found[container_id] = to_statistics(await deferred, now)
        except MesosError:
            # It ended meanwhile, or the launcher is away: its row has no figures.
            continue
    return found


def to_statistics(usage: cz.Usage, now: float) -> m.ResourceStatistics:
    """The v1 message of a usage."""

    def seconds(microseconds: int | None) -> float | None:
        return None if microseconds is None else microseconds / 1e6

    limit = None if usage.cpus_limit_milli is None else usage.cpus_limit_milli / 1000
    return m.ResourceStatistics(
        timestamp=now,
        cpus_user_time_secs=seconds(usage.cpus_user_us),
        cpus_system_time_secs=seconds(usage.cpus_system_us),
        cpus_soft_limit=limit,
        mem_limit_bytes=usage.mem_limit_bytes,
        mem_soft_limit_bytes=usage.mem_limit_bytes,
        mem_rss_bytes=usage.mem_rss_bytes,
        disk_limit_bytes=usage.disk_limit_bytes,
        disk_used_bytes=usage.disk_used_bytes,
    )
