"""The role tree with its shares, always in order: who is next, by dominant resource fairness.

Each role is a node; each framework subscribed to a role is a client of that node. Siblings are
ordered by dominant share over weight, then by how often they were given something, then by name, as
in Mesos's sorters. Orders are sorted lists that one grant repairs in logarithmic time; anything
that changes many shares only marks them stale, and `refresh` sorts once. Sets of clients are
integers with one bit each, so that thousands are excluded in one operation.

Knows no agents and no filters.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping

from mesos_twisted.master.core.allocator.chance import lot
from mesos_twisted.master.core.allocator.holdings import Holdings, add_amounts
from mesos_twisted.master.core.allocator.interface import Sorter
from mesos_twisted.master.core.allocator.nodes import Client, ClientEntry, RoleEntry, RoleNode

# So many entries are tried in order before it is judged whether to list the eligible ones instead.
_PROBES = 4


class RoleTree(Holdings):
    """All roles that have clients, in order.

    With `strict_priority` a heavier sibling comes before a lighter one whatever their shares.
    """

    def __init__(
        self,
        excluded: frozenset[str] = frozenset(),
        role_sorter: Sorter = Sorter.DRF,
        framework_sorter: Sorter = Sorter.DRF,
        strict_priority: bool = False,
    ) -> None:
        super().__init__()
        self._excluded = excluded
        self._random_roles = role_sorter is Sorter.RANDOM
        self._random_clients = framework_sorter is Sorter.RANDOM
        self._strict = strict_priority
        self._divisors: list[tuple[str, int]] = []
        self.seed = 0

    # Changes

    def grant(self, client: Client, amounts: Mapping[str, int]) -> None:
        """`client` holds `amounts` more, in one grant; all orders hold at once."""
        node = client.node
        assert node is not None
        add_amounts(client.held, amounts, 1)
        client.count += 1
        order = node.own_order
        del order[bisect_left(order, client.entry)]
        client.entry = (self._share(client.held), client.count, client.framework_id, client)
        insort(order, client.entry)
        add_amounts(node.own_held, amounts, 1)
        node.own_count += 1
        if node.children:
            places = node.order
            del places[bisect_left(places, node.own_entry)]
            node.own_entry = self._own_entry(node)
            insort(places, node.own_entry)
        while node.parent is not None:
            parent = node.parent
            add_amounts(node.held, amounts, 1)
            node.count += 1
            places = parent.order
            if len(places) > 1:
                del places[bisect_left(places, node.entry)]
                node.entry = self._entry(node)
                insort(places, node.entry)
            else:
                node.entry = self._entry(node)
                places[0] = node.entry
            node = parent
        add_amounts(node.held, amounts, 1)

    def refresh(self) -> None:
        """Sort what is stale; nothing is afterwards."""
        if self._all_stale:
            out = self._excluded
            self._divisors = [(n, t) for n, t in self.totals.items() if t > 0 and n not in out]
            stale: list[RoleNode] = [self.root, *self.nodes.values()]
            self._all_stale = False
        elif self._stale:
            known = self.nodes
            stale = [n for n in self._stale if n is self.root or known.get(n.path) is n]
        else:
            return
        self._stale = []
        for node in stale:
            node.stale = False
            node.entry = self._entry(node)
            node.own_entry = self._own_entry(node)
            share = self._share
            clients: list[ClientEntry] = []
            for client in node.clients.values():
                if client.active:
                    client.entry = (
                        share(client.held),
                        client.count,
                        client.framework_id,
                        client,
                    )
                    clients.append(client.entry)
            clients.sort()
            node.own_order = clients
        for node in stale:
            places = [child.entry for child in node.children.values() if child.mask]
            if node.own_mask:
                places.append(node.own_entry)
            places.sort()
            node.order = places

    # Questions

    def first(self, eligible: int) -> Client | None:
        """The first client in order whose bit is in `eligible`."""
        node = self.root
        while True:
            wanted = node.mask & eligible
            if not wanted:
                return None
            place = self._first_place(node, wanted)
            if place is node:
                return self._first_client(node, node.own_mask & eligible)
            node = place

    def roles(self, eligible: int, node: RoleNode | None = None) -> Iterator[RoleNode]:
        """The nodes with own clients in `eligible`, in order, at `node` (default: all) or below."""
        node = self.root if node is None else node
        for entry in self._places(node):
            child = entry[4]
            if child is node:
                if node.own_mask & eligible:
                    yield node
            elif child.mask & eligible:
                yield from self.roles(eligible, child)

    def clients(self, node: RoleNode) -> list[ClientEntry]:
        """The active clients of one role, in order; not to be changed."""
        if not self._random_clients:
            return node.own_order
        seed = self.seed
        return sorted(
            [(lot(seed, one[3].serial, 1.0), 0, one[2], one[3]) for one in node.own_order]
        )

    def share(self, node: RoleNode) -> float:
        """The dominant share of a role and all below it, not weighted."""
        return self._share(node.held)

    def _places(self, node: RoleNode) -> list[RoleEntry]:
        if not self._random_roles:
            return node.order
        seed = self.seed
        return sorted(
            [
                (0.0, lot(seed, 2 * one[4].serial, 1.0), 0, one[3], one[4])
                if one[4] is node
                else (0.0, lot(seed, 2 * one[4].serial + 1, one[4].weight), 0, one[3], one[4])
                for one in node.order
            ]
        )

    def _first_place(self, node: RoleNode, wanted: int) -> RoleNode:
        if len(node.order) == 1:
            return node.order[0][4]
        places = self._places(node)
        tried = 0
        for entry in places:
            place = entry[4]
            if (node.own_mask if place is node else place.mask) & wanted:
                return place
            tried += 1
            if tried == _PROBES and self._should_list(len(places), wanted):
                break
        assert not self._random_roles
        return min([_entry_towards(node, client) for client in self._listed(wanted)])[4]

    def _first_client(self, node: RoleNode, wanted: int) -> Client | None:
        order = self.clients(node)
        tried = 0
        for entry in order:
            if entry[3].bit & wanted:
                return entry[3]
            tried += 1
            if tried == _PROBES and self._should_list(len(order), wanted):
                break
        return min([client.entry for client in self._listed(wanted)])[3]

    def _should_list(self, places: int, wanted: int) -> bool:
        if self._random_roles or self._random_clients:
            return False
        return 2 * wanted.bit_count() < places

    def _listed(self, mask: int) -> Iterator[Client]:
        bits = bin(mask)[:1:-1]
        by_slot = self.by_slot
        at = bits.find("1")
        while at >= 0:
            client = by_slot[at]
            if client is not None:
                yield client
            at = bits.find("1", at + 1)

    # Inner workings

    def _share(self, held: Mapping[str, int]) -> float:
        share = 0.0
        get = held.get
        for name, total in self._divisors:
            part = get(name, 0) / total
            if part > share:
                share = part
        return share

    def _entry(self, node: RoleNode) -> RoleEntry:
        if self._strict:
            return (-node.weight, self._share(node.held), node.count, node.path, node)
        return (0.0, self._share(node.held) / node.weight, node.count, node.path, node)

    def _own_entry(self, node: RoleNode) -> RoleEntry:
        # The role's own clients compete with the roles below it with weight 1, as in Mesos.
        rank = -1.0 if self._strict else 0.0
        return (rank, self._share(node.own_held), node.own_count, node.path + "/.", node)


def _entry_towards(node: RoleNode, client: Client) -> RoleEntry:
    """The entry in `node.order` under which `client` is found."""
    place = client.node
    if place is node:
        return node.own_entry
    while place is not None and place.parent is not node:
        place = place.parent
    assert place is not None
    return place.entry
