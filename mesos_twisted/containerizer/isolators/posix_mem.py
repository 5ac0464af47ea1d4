"""`posix/mem`: tells resident memory of a container's processes; holds nobody back."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred

from mesos_twisted.containerizer.core.container import ContainerConfig, ContainerId, Limits, Usage
from mesos_twisted.containerizer.core.launch_plan import NOTHING, Preparation
from mesos_twisted.containerizer.interfaces import ILauncher
from mesos_twisted.containerizer.isolators.base import Isolator
from mesos_twisted.containerizer.zygote_messages import TreeUsage


class PosixMem(Isolator):
    """Figures come from the launcher, which sees every process of the tree."""

    name = "posix/mem"

    def __init__(self, launcher: ILauncher) -> None:
        self._launcher = launcher
        self._limits: dict[ContainerId, int] = {}

    def recover(self, container_id: ContainerId, config: ContainerConfig | None) -> None:
        if config is not None:
            self._limits[container_id] = config.mem_bytes

    def prepare(self, container_id: ContainerId, config: ContainerConfig) -> Preparation:
        self._limits[container_id] = config.mem_bytes
        return NOTHING

    def update(self, container_id: ContainerId, limits: Limits) -> None:
        self._limits[container_id] = limits.mem_bytes

    def usage(self, container_id: ContainerId, so_far: Usage) -> Deferred[Usage]:
        def filled(tree: TreeUsage) -> Usage:
            return replace(
                so_far,
                mem_rss_bytes=tree.rss_bytes,
                mem_limit_bytes=self._limits.get(container_id),
            )

        return self._launcher.usage(container_id).addCallback(filled)

    def cleanup(self, container_id: ContainerId) -> None:
        self._limits.pop(container_id, None)
