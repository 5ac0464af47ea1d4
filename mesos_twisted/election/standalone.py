"""The sole master: it leads from the start and nobody else ever will."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from mesos_twisted.protocol.generated import messages as m


class StandaloneElector:
    """Passes as an `Elector` where there is nothing to elect."""

    def start(
        self, candidate: m.MasterInfo, changed: Callable[[m.MasterInfo | None, bool], None]
    ) -> None:
        """The candidate leads before this returns."""
        changed(candidate, True)

    def stop(self) -> Deferred[None]:
        """There is nobody to tell."""
        return succeed(None)
