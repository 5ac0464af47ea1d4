"""The roles page and GET_ROLES."""

from __future__ import annotations

from collections.abc import Iterator

from mesos_twisted.master.core.allocator.interface import RoleView
from mesos_twisted.master.core.published import resource_messages
from mesos_twisted.master.core.state import MasterState
from mesos_twisted.master.views import documents as d
from mesos_twisted.master.views.visible import Visible
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.quantities import NO_QUANTITIES, Quantities
from mesos_twisted.resources.resource import Resource


def every_role(state: MasterState) -> Iterator[RoleView]:
    """Each known role, outer ones before inner ones."""
    waiting = list(reversed(state.allocator.role_tree()))
    while waiting:
        view = waiting.pop()
        yield view
        waiting.extend(reversed(view.children))


def page(state: MasterState, visible: Visible) -> bytes:
    """The document of /roles."""
    rows = []
    for view in every_role(state):
        if not visible.role(view.role):
            continue
        rows.append(
            {
                "name": view.role,
                "weight": view.weight,
                "quota": {
                    "role": view.role,
                    "guarantee": {},
                    "limit": {},
                    "consumed": d.quantities(consumed(state, view)),
                },
                "resources": d.quantities(view.allocated.add(view.offered)),
                "allocated": d.quantities(view.allocated),
                "offered": d.quantities(view.offered),
                "reserved": d.quantities(view.reserved),
                "frameworks": list(view.frameworks),
            }
        )
    return d.encode({"roles": rows})


def consumed(state: MasterState, view: RoleView) -> Quantities:
    """What counts against a quota: all that is reserved, and what is used unreserved."""
    if not view.reserved:
        return view.allocated
    total = NO_QUANTITIES
    inner = view.role + "/"
    for framework in state.frameworks.values():
        for held in framework.used.values():
            for role, part in held.allocations().items():
                if role == view.role or role.startswith(inner):
                    total = total.add(part.unreserved().quantities())
    return total.add(view.reserved)


def messages(state: MasterState, visible: Visible) -> tuple[m.Role, ...]:
    """The list of GET_ROLES."""
    return tuple(
        m.Role(
            name=view.role,
            weight=view.weight,
            frameworks=tuple(m.FrameworkID(value=one) for one in view.frameworks),
            resources=_scalars(view.allocated.add(view.offered)),
        )
        for view in every_role(state)
        if visible.role(view.role)
    )


def _scalars(amounts: Quantities) -> tuple[m.Resource, ...]:
    held = Resources.of(Resource(name, amount) for name, amount in sorted(amounts.items()))
    return tuple(
        m.Resource(name=one.name, type=one.type, scalar=one.scalar)
        for one in resource_messages(held)
    )
