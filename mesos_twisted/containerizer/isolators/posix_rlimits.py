"""`posix/rlimits`: checks the limits a container asks for; the launcher sets them before exec."""

from __future__ import annotations

from mesos_twisted.containerizer.core.container import ContainerConfig, ContainerId
from mesos_twisted.containerizer.core.launch_plan import NOTHING, Preparation
from mesos_twisted.containerizer.isolators.base import Isolator
from mesos_twisted.errors import RefusedError


class PosixRlimits(Isolator):
    """Without this isolator a container that asks for limits is refused by the containerizer."""

    name = "posix/rlimits"

    def prepare(self, container_id: ContainerId, config: ContainerConfig) -> Preparation:
        for limit in config.rlimits:
            if limit.hard != -1 and not 0 <= limit.soft <= limit.hard:
                raise RefusedError(
                    f"The resource limit {limit.resource} of container {container_id} is wrong: "
                    f"soft {limit.soft} must lie between 0 and hard {limit.hard}."
                )
        return NOTHING
