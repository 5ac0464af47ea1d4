"""The weights page and GET_WEIGHTS."""

from __future__ import annotations

import msgspec

from mesos_twisted.master.core.state import MasterState
from mesos_twisted.master.views import documents as d
from mesos_twisted.master.views.visible import Visible
from mesos_twisted.protocol.generated import messages as m


def messages(state: MasterState, visible: Visible) -> tuple[m.WeightInfo, ...]:
    """The weights that were set, by role."""
    return tuple(
        m.WeightInfo(role=role, weight=weight)
        for role, weight in sorted(state.weights.items())
        if visible.role(role)
    )


def page(state: MasterState, visible: Visible) -> bytes:
    """The document of /weights."""
    return d.encode([{"role": one.role, "weight": one.weight} for one in messages(state, visible)])


class Weight(msgspec.Struct, frozen=True):
    """One entry of what PUT /weights takes."""

    role: str
    weight: float

    def message(self) -> m.WeightInfo:
        """The same as a message."""
        return m.WeightInfo(role=self.role, weight=self.weight)
