"""Ends are noticed: an agent does not take a process for running that ended a while ago (I4)."""

from __future__ import annotations

from typing import Final

from mesos_twisted.agent.core.state import Phase
from mesos_twisted.protocol.ids import ContainerId
from mesos_twisted.testing.sim.auditor_scene import AgentLife, Check, Scene

#: An agent may be so late, in seconds of its life: launchers answer slowly, ends are told late.
NOTICED_S: Final = 20


class Exits(Check):
    """See the module's head."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        #: For how many seconds each container's end was there to be noticed.
        self._late: dict[ContainerId, int] = {}

    def second(self) -> None:
        """Compares the agents' tables with the kernels'."""
        for life in self.scene.living():
            reactor = life.place.reactor
            recovered = life.state.phase is not Phase.RECOVERING
            if recovered and reactor is not None and not reactor.paused:
                if not life.agent.launcher.is_lost:
                    self._look(life)

    def _look(self, life: AgentLife) -> None:
        containers = life.state.containers
        for process in life.host.kernel.history:
            container = None
            if not process.running:
                container = containers.get(ContainerId(process.container_id))
            if container is None or container.task_id is None:
                continue
            task = life.state.task(container.framework_id, container.task_id)
            if task is None or task.ended:
                continue
            late = self._late[container.id] = self._late.get(container.id, 0) + 1
            if late > NOTICED_S:
                self.scene.violated(
                    "I4",
                    f"{life.place.name} has not noticed that the process of task "
                    f"{container.task_id} ended",
                    f"it ended at {process.ended_at} s",
                )
