"""What an agent asks of a containerizer, a containerizer of a launcher and of its isolators.

One launch, in order: every isolator's `prepare` (in the order configured; none is undone by
another), the launcher's `launch`, every isolator's `isolate`, then `watch`. One end, in order:
the launcher's `destroy` until no process is left, every isolator's `cleanup` in reverse order,
the launcher's `forget`. All ids are container ids; ids nobody knows are said to be so here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from mesos_twisted.containerizer.core.container import (
    ContainerConfig,
    ContainerId,
    ContainerStatus,
    LaunchOutcome,
    Limitation,
    Limits,
    Recovered,
    Scope,
    Termination,
    Usage,
)
from mesos_twisted.containerizer.core.launch_plan import Preparation
from mesos_twisted.containerizer.zygote_messages import Entry, LaunchRequest, Started, TreeUsage


class IContainerizer(Protocol):
    """Runs containers and tells how they end. Every method may be called again safely."""

    def recover(
        self, known: Mapping[ContainerId, ContainerConfig | None]
    ) -> Deferred[list[Recovered]]:
        """Called once, before anything else. Fires with what is left of `known`, in that order;
        a configuration, where the agent still has it, serves the isolators. What nothing is known
        of has a termination with status None. Containers of ours that are not in `known` are
        destroyed first, so that no orphan stays."""

    def launch(self, container_id: ContainerId, config: ContainerConfig) -> Deferred[LaunchOutcome]:
        """Fires once the first process runs, or with a `problem`; then nothing is left and the
        id is free. A known id fires `ALREADY` and starts nothing."""

    def wait(self, container_id: ContainerId) -> Deferred[Termination | None]:
        """Fires when the first process has ended, or the container was destroyed, with how; what
        else is in the container may still live until `destroy`. None for an unknown id."""

    def kill(self, container_id: ContainerId, signo: int, scope: Scope) -> Deferred[bool]:
        """Fires with whether anything was there to take the signal."""

    def destroy(self, container_id: ContainerId) -> Deferred[Termination | None]:
        """Fires when no process and no isolation of the container is left; None for unknown ids.
        The termination stays readable by `wait` until `forget`."""

    def forget(self, container_id: ContainerId) -> Deferred[None]:
        """The agent has made the end durable: nothing of the container is remembered, also not
        over restarts. A container that was not destroyed is destroyed first."""

    def update(self, container_id: ContainerId, limits: Limits) -> Deferred[None]:
        """The container is held to `limits` from now on; unknown ids are passed over."""

    def usage(self, container_id: ContainerId) -> Deferred[Usage]:
        """Fires with what the live processes use; empty for an unknown id."""

    def status(self, container_id: ContainerId) -> ContainerStatus | None:
        """Where the container stands; None for an unknown id."""

    def containers(self) -> list[ContainerId]:
        """Every id not yet forgotten."""


class ILauncher(Protocol):
    """Starts and reaps processes, and remembers over agent restarts; see `zygote_client`."""

    def connect(self) -> Deferred[None]:
        """The launcher answers from now on."""

    def launch(self, request: LaunchRequest) -> Deferred[Started]:
        """Idempotent by container id."""

    def signal(self, container_id: str, signo: int, scope: Scope) -> Deferred[int]:
        """0 when nothing was there."""

    def destroy(self, container_id: str) -> Deferred[None]:
        """No process is left; also for unknown ids."""

    def forget(self, container_id: str) -> Deferred[None]:
        """Also for unknown ids."""

    def usage(self, container_id: str) -> Deferred[TreeUsage]:
        """Zeroes for unknown ids."""

    def list_all(self) -> Deferred[list[Entry]]:
        """Everything remembered."""


class IIsolator(Protocol):
    """One concern of a container. `cleanup` is called for every `prepare` and may come after a
    failed or missing `prepare`, or twice; `update` and `usage` never come before `prepare` or
    `recover`. A method that has nothing to wait for returns None, so that a launch with such
    isolators costs one round trip to the launcher."""

    name: str

    def recover(self, container_id: ContainerId, config: ContainerConfig | None) -> None:
        """The container runs already, from before a restart."""

    def prepare(
        self, container_id: ContainerId, config: ContainerConfig
    ) -> Preparation | Deferred[Preparation]:
        """What the launch needs. A `MesosError` raised or fired refuses the launch."""

    def isolate(self, container_id: ContainerId, pid: int) -> Deferred[None] | None:
        """The first process exists."""

    def watch(self, container_id: ContainerId) -> Deferred[Limitation] | None:
        """Fires at most once, when the container must end; None when that cannot be.
        `cleanup` cancels it."""

    def update(self, container_id: ContainerId, limits: Limits) -> Deferred[None] | None:
        """The container is held to `limits`; idempotent."""

    def usage(self, container_id: ContainerId, so_far: Usage) -> Usage | Deferred[Usage]:
        """`so_far` with this isolator's figures filled in."""

    def cleanup(self, container_id: ContainerId) -> Deferred[None] | None:
        """Nothing of this isolator is left; idempotent, also for unknown ids."""
