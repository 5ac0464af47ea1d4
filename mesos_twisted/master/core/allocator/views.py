"""Answers about roles, for the API: computed when asked, from the role tree and the agents."""

from __future__ import annotations

from collections.abc import Iterable

from mesos_twisted.master.core.allocator.agents import AgentState
from mesos_twisted.master.core.allocator.interface import Held, RoleView
from mesos_twisted.master.core.allocator.sorter import RoleTree
from mesos_twisted.resources.quantities import NO_QUANTITIES, Quantities
from mesos_twisted.resources.resource import RESERVED
from mesos_twisted.resources.roles import ANY_ROLE, lineage


def held_below(tree: RoleTree, role: str, held: Held) -> Quantities:
    """What clients of `role` and below hold in that way."""
    node = tree.nodes.get(role)
    if node is None:
        return NO_QUANTITIES
    allocated: dict[str, int] = {}
    nodes = [node]
    while nodes:
        one = nodes.pop()
        nodes.extend(one.children.values())
        for client in one.clients.values():
            for name, amount in client.allocated.items():
                allocated[name] = allocated.get(name, 0) + amount
    if held is Held.ALLOCATED:
        return Quantities(allocated)
    return Quantities({name: amount - allocated.get(name, 0) for name, amount in node.held.items()})


def role_views(tree: RoleTree, agents: Iterable[AgentState]) -> tuple[RoleView, ...]:
    """The outermost roles by name, each with those below it."""
    reserved: dict[str, Quantities] = {}
    for agent in agents:
        if not agent.total.traits & RESERVED:
            continue
        for owner, resources in agent.total.reservations().items():
            for role in lineage(owner):
                known = reserved.get(role, NO_QUANTITIES)
                reserved[role] = known.add(resources.quantities())
    roles: set[str] = set(tree.nodes)
    for role in (*tree.weights, *reserved):
        roles.update(lineage(role))
    below: dict[str, list[str]] = {}
    for role in roles:
        below.setdefault(role.rpartition("/")[0], []).append(role)

    def view(role: str) -> RoleView:
        node = tree.nodes.get(role)
        return RoleView(
            role,
            tree.weights.get(role, 1.0),
            () if node is None else tuple(sorted(node.clients)),
            held_below(tree, role, Held.OFFERED),
            held_below(tree, role, Held.ALLOCATED),
            reserved.get(role, NO_QUANTITIES),
            0.0 if node is None else tree.share(node),
            tuple(view(child) for child in sorted(below.get(role, ()))),
        )

    return tuple(view(role) for role in sorted(below.get("", ()), key=lambda r: (r != ANY_ROLE, r)))
