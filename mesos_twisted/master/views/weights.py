"""The weights page and GET_WEIGHTS."""

from __future__ import annotations

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
