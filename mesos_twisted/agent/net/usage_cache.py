"""What containers use, measured for whoever asks, at most so often.

Reading usage walks `/proc`; many askers within a moment share one measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mesos_twisted.agent.net.containers import statistics
from mesos_twisted.containerizer.interfaces import IContainerizer
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId

#: Mesos answers /monitor/statistics twice a second at most.
FRESH_S = 0.5


class UsageCache:
    """Usage by container; `now` in epoch seconds."""

    def __init__(self, containerizer: IContainerizer, now: Callable[[], float]) -> None:
        self._containerizer = containerizer
        self._now = now
        self._known: dict[ContainerId, m.ResourceStatistics] = {}

    async def of(
        self, container_ids: Iterable[ContainerId]
    ) -> Mapping[ContainerId, m.ResourceStatistics]:
        """The usage of these containers, none older than half a second."""
        wanted = list(container_ids)
        now = self._now()
        stale = [one for one in wanted if not self._fresh(one, now)]
        if stale:
            self._known.update(await statistics(self._containerizer, stale, now))
        found = {one: self._known[one] for one in wanted if one in self._known}
        # What nobody asked for was measured for containers that may be gone.
        self._known = found
        return found

    def _fresh(self, container_id: ContainerId, now: float) -> bool:
        known = self._known.get(container_id)
        return known is not None and now - known.timestamp < FRESH_S
