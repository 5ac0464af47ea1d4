"""An isolator that does nothing: the ground the others change one thing of."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from mesos_twisted.containerizer.core.container import (
    ContainerConfig,
    ContainerId,
    Limitation,
    Limits,
    Usage,
)
from mesos_twisted.containerizer.core.launch_plan import NOTHING, Preparation


class Isolator:
    """Answers each question of `IIsolator` with nothing to do."""

    name = "none"

    def recover(self, container_id: ContainerId, config: ContainerConfig | None) -> None:
        return None

    def prepare(
        self, container_id: ContainerId, config: ContainerConfig
    ) -> Preparation | Deferred[Preparation]:
        return NOTHING

    def isolate(self, container_id: ContainerId, pid: int) -> Deferred[None] | None:
        return None

    def watch(self, container_id: ContainerId) -> Deferred[Limitation] | None:
        return None

    def update(self, container_id: ContainerId, limits: Limits) -> Deferred[None] | None:
        return None

    def usage(self, container_id: ContainerId, so_far: Usage) -> Usage | Deferred[Usage]:
        return so_far

    def cleanup(self, container_id: ContainerId) -> Deferred[None] | None:
        return None
