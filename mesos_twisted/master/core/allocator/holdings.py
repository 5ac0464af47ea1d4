"""Who is under which role, and what each client and role holds; a change marks orders stale.

Knows no order, no agents and no filters. Sets of clients are integers with one bit each, so that
thousands are excluded in one operation.
"""

from __future__ import annotations

from collections.abc import Mapping

from mesos_twisted.master.core.allocator.nodes import Client, RoleNode
from mesos_twisted.resources.roles import lineage


class Holdings:
    """All roles that have clients, with the sums of what is held; amounts are thousandths."""

    def __init__(self) -> None:
        self._serial = 0
        self.weights: dict[str, float] = {}
        self.totals: dict[str, int] = {}
        self._all_stale = True
        self._stale: list[RoleNode] = []
        self.root = RoleNode("", None, 0, 1.0)
        self.nodes: dict[str, RoleNode] = {}
        self.by_slot: list[Client | None] = []

    def next_serial(self) -> int:
        """A number nobody else has."""
        self._serial += 1
        return self._serial

    def add_total(self, amounts: Mapping[str, int], sign: int) -> None:
        """Count an agent in (`sign` 1) or out (-1)."""
        totals = self.totals
        for name, amount in amounts.items():
            totals[name] = totals.get(name, 0) + sign * amount
        self._all_stale = True

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Weigh these roles anew."""
        self.weights.update(weights)
        for path, weight in weights.items():
            node = self.nodes.get(path)
            if node is not None:
                node.weight = weight
        self._all_stale = True

    def attach(self, client: Client) -> None:
        """Put `client` under its role with all it holds."""
        node = self._node(client.role)
        client.node = node
        node.clients[client.framework_id] = client
        if client.held:
            self._spread(node, client.held, 1)

    def detach(self, client: Client) -> None:
        """Take `client` out with all it holds; roles left empty vanish."""
        self.set_active(client, False)
        node = client.node
        if node is None:
            return
        if client.held:
            self._spread(node, client.held, -1)
        client.node = None
        del node.clients[client.framework_id]
        while node.parent is not None and not node.clients and not node.children:
            del node.parent.children[node.path]
            del self.nodes[node.path]
            # It stands in its own entries: without them it goes as soon as nobody looks.
            node.order, node.own_order = [], []
            del node.entry, node.own_entry
            node = node.parent

    def set_active(self, client: Client, active: bool) -> None:
        """Let `client` take part, or not."""
        client.active = active
        node = client.node
        if node is None or bool(node.own_mask & client.bit) is active:
            return
        if active:
            node.own_mask |= client.bit
        else:
            node.own_mask &= ~client.bit
        self._mark(node)
        above: RoleNode | None = node
        while above is not None:
            if active:
                above.mask |= client.bit
            else:
                above.mask &= ~client.bit
            above = above.parent

    def set_slot(self, client: Client, slot: int) -> None:
        """Give `client` another bit."""
        active = client.active
        self.set_active(client, False)
        client.slot = slot
        client.bit = 1 << slot
        self.set_active(client, active)

    def charge(self, client: Client, amounts: Mapping[str, int], count: int) -> None:
        """`client` holds `amounts` more, in `count` grants; its place is found again later."""
        add_amounts(client.held, amounts, 1)
        client.count += count
        node = client.node
        if node is not None:
            node.own_count += count
            above: RoleNode | None = node
            while above is not None:
                above.count += count
                above = above.parent
            self._spread(node, amounts, 1)

    def release(self, client: Client, amounts: Mapping[str, int]) -> None:
        """`client` holds `amounts` less; its place is found again later."""
        add_amounts(client.held, amounts, -1)
        if client.node is not None:
            self._spread(client.node, amounts, -1)

    # Inner workings

    def _node(self, role: str) -> RoleNode:
        found = self.nodes.get(role)
        if found is not None:
            return found
        above = self.root
        for path in lineage(role):
            child = above.children.get(path)
            if child is None:
                child = RoleNode(path, above, self.next_serial(), self.weights.get(path, 1.0))
                above.children[path] = child
                self.nodes[path] = child
                self._mark(child)
            above = child
        return above

    def _mark(self, node: RoleNode | None) -> None:
        while node is not None:
            if not node.stale:
                node.stale = True
                self._stale.append(node)
            node = node.parent

    def _spread(self, node: RoleNode, amounts: Mapping[str, int], sign: int) -> None:
        add_amounts(node.own_held, amounts, sign)
        above: RoleNode | None = node
        while above is not None:
            add_amounts(above.held, amounts, sign)
            above = above.parent
        self._mark(node)


def add_amounts(sums: dict[str, int], amounts: Mapping[str, int], sign: int) -> None:
    """Add `amounts` to `sums` (`sign` 1), or take them away (-1)."""
    get = sums.get
    for name, amount in amounts.items():
        sums[name] = get(name, 0) + sign * amount
