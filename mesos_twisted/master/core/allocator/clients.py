"""Which frameworks there are, under which roles, and what sets of them share a property.

Keeps one `Client` for each framework and role that is subscribed or holds something. Frameworks not
known yet (an agent reported their tasks first) have clients outside the role tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mesos_twisted.errors import BugError
from mesos_twisted.master.core.allocator.filters import Filters, Refusals
from mesos_twisted.master.core.allocator.holdings import add_amounts
from mesos_twisted.master.core.allocator.interface import Capability, FrameworkSpec, Held
from mesos_twisted.master.core.allocator.nodes import Client
from mesos_twisted.master.core.allocator.sorter import RoleTree
from mesos_twisted.protocol.ids import FrameworkId
from mesos_twisted.resources.resource import REFINED, REVOCABLE, SHARED


class FrameworkState:
    """One framework; `suppressed` are roles that want no offers now."""

    __slots__ = ("active", "spec", "suppressed")

    def __init__(self, spec: FrameworkSpec) -> None:
        self.spec = spec
        self.active = spec.active
        self.suppressed = set(spec.suppressed)


class Clients:
    """All clients. The attributes that are integers are sets of clients, one bit each."""

    def __init__(self, tree: RoleTree, filters: Filters) -> None:
        self._tree = tree
        self._filters = filters
        self._frameworks: dict[FrameworkId, FrameworkState] = {}
        self._clients: dict[FrameworkId, dict[str, Client]] = {}
        self.by_slot = tree.by_slot
        self._spare: list[int] = []
        self._dead = 0
        self.gpu = 0
        self.region = 0
        self.multi_role = 0
        self.hierarchical = 0
        self.own_minimum = 0
        self.constrained = 0
        self.by_host = 0
        self._stale = 0

    def __contains__(self, framework_id: FrameworkId) -> bool:
        return framework_id in self._frameworks

    def get(self, framework_id: FrameworkId, role: str) -> Client | None:
        """The client of a framework under a role."""
        found = self._clients.get(framework_id)
        return None if found is None else found.get(role)

    def of(self, framework_id: FrameworkId) -> list[Client]:
        """All clients of a framework."""
        return list(self._clients.get(framework_id, {}).values())

    def listed(self, mask: int) -> Iterator[Client]:
        """The clients of a set."""
        while mask:
            low = mask & -mask
            client = self.by_slot[low.bit_length() - 1]
            if client is not None:
                yield client
            mask ^= low

    def make(self, framework_id: FrameworkId, role: str) -> Client:
        """The client of a framework under a role, made if there is none."""
        client = self.get(framework_id, role)
        if client is None:
            client = Client(framework_id, role, self._tree.next_serial())
            self._give_slot(client)
            self._clients.setdefault(framework_id, {})[role] = client
            framework = self._frameworks.get(framework_id)
            if framework is not None:
                self._tree.attach(client)
                self._equip(client, framework)
        return client

    def add_framework(self, framework_id: FrameworkId, spec: FrameworkSpec) -> None:
        """Know a framework and make its clients."""
        if framework_id in self._frameworks:
            raise BugError(f"Framework {framework_id} is added twice.")
        framework = self._frameworks[framework_id] = FrameworkState(spec)
        for client in self.of(framework_id):
            self._tree.attach(client)
        for role in spec.roles:
            self.make(framework_id, role)
        for client in self.of(framework_id):
            self._equip(client, framework)

    def update_framework(self, framework_id: FrameworkId, spec: FrameworkSpec) -> None:
        """Replace a framework's spec."""
        framework = self._known(framework_id)
        revived = framework.suppressed - spec.suppressed
        framework.spec = spec
        framework.active = spec.active
        framework.suppressed = set(spec.suppressed)
        for role in spec.roles:
            self.make(framework_id, role)
        for client in self.of(framework_id):
            if client.role in revived or client.role not in spec.roles:
                self._drop_filters(client)
            self._equip(client, framework)
            self._drop_if_idle(client)

    def remove_framework(self, framework_id: FrameworkId) -> None:
        """Forget a framework and its clients, which hold nothing any more."""
        self._known(framework_id)
        for client in self.of(framework_id):
            self._remove(client)
        self._frameworks.pop(framework_id)
        self._clients.pop(framework_id, None)

    def set_active(self, framework_id: FrameworkId, active: bool) -> None:
        """Let a framework take part, or not; then its filters go too."""
        framework = self._known(framework_id)
        framework.active = active
        for client in self.of(framework_id):
            self._equip(client, framework)
            if not active:
                self._drop_filters(client)

    def set_suppressed(
        self, framework_id: FrameworkId, roles: Iterable[str], suppressed: bool
    ) -> None:
        """Suppress or revive some roles of a framework (none named: all)."""
        framework = self._known(framework_id)
        for role in tuple(roles) or framework.spec.roles:
            client = self.get(framework_id, role)
            if client is None or role not in framework.spec.roles:
                continue
            if suppressed:
                framework.suppressed.add(role)
            else:
                framework.suppressed.discard(role)
                self._drop_filters(client)
            self._equip(client, framework)

    def charge(
        self, client: Client, amounts: Mapping[str, int], held: Held, count: int = 1
    ) -> None:
        """Count what a client holds without having been offered it, in `count` grants."""
        self._tree.charge(client, amounts, count)
        if held is Held.ALLOCATED:
            add_amounts(client.allocated, amounts, 1)

    def release(
        self, client: Client, amounts: Mapping[str, int], held: Held, keep: bool = False
    ) -> None:
        """Count what a client no longer holds; one that is neither subscribed nor holding goes."""
        self._tree.release(client, amounts)
        if held is Held.ALLOCATED:
            add_amounts(client.allocated, amounts, -1)
        if not keep:
            self._drop_if_idle(client)

    def settle(
        self, client: Client, offered: Mapping[str, int], allocated: Mapping[str, int]
    ) -> None:
        """Count `offered` as given back and `allocated` as held instead."""
        given = dict(offered)
        for name, amount in allocated.items():
            given[name] = given.get(name, 0) - amount
        self._tree.release(client, given)
        add_amounts(client.allocated, allocated, 1)
        self._drop_if_idle(client)

    def scrub(self, refusals: Iterable[Refusals]) -> None:
        """Reuse the slots of dropped filters once they are many."""
        if self._dead.bit_count() > 64 + len(self.by_slot) // 2:
            self._filters.scrub(self._dead, refusals)
            self._spare.extend(at for at in range(self._dead.bit_length()) if self._dead >> at & 1)
            self._dead = 0

    def take_stale(self) -> int:
        """The clients whose constraints are not those that agents know of; asked once a change."""
        stale, self._stale = self._stale, 0
        return stale

    def _known(self, framework_id: FrameworkId) -> FrameworkState:
        framework = self._frameworks.get(framework_id)
        if framework is None:
            raise BugError(f"The allocator does not know framework {framework_id}.")
        return framework

    def _equip(self, client: Client, framework: FrameworkState) -> None:
        """Bring a client's own fields and its bit in every set up to date."""
        spec = framework.spec
        client.subscribed = client.role in spec.roles
        can = spec.capabilities
        client.strip = (
            (0 if Capability.SHARED_RESOURCES in can else SHARED)
            | (0 if Capability.REVOCABLE_RESOURCES in can else REVOCABLE)
            | (0 if Capability.RESERVATION_REFINEMENT in can else REFINED)
        )
        own = None if spec.min_allocatable is None else spec.min_allocatable.get(client.role)
        client.minimum = None if own is None else tuple([one.amounts for one in own])
        wanted_agents = None if spec.constraints is None else spec.constraints.get(client.role)
        if wanted_agents != client.constraints:
            self._stale |= client.bit
            client.constraints = wanted_agents
        self._clear_bits(client)
        bit = client.bit
        self.gpu |= bit if Capability.GPU_RESOURCES in can else 0
        self.region |= bit if Capability.REGION_AWARE in can else 0
        self.multi_role |= bit if Capability.MULTI_ROLE in can else 0
        self.hierarchical |= bit if "/" in client.role else 0
        self.own_minimum |= bit if own is not None else 0
        if client.constraints is not None:
            self.constrained |= bit
            self.by_host |= bit if client.constraints.by_host else 0
        wanted = client.subscribed and client.role not in framework.suppressed
        self._tree.set_active(client, framework.active and wanted)

    def _clear_bits(self, client: Client) -> None:
        keep = ~client.bit
        self.gpu &= keep
        self.region &= keep
        self.multi_role &= keep
        self.hierarchical &= keep
        self.own_minimum &= keep
        self.constrained &= keep
        self.by_host &= keep

    def _give_slot(self, client: Client) -> None:
        if self._spare:
            slot = self._spare.pop()
            self.by_slot[slot] = client
        else:
            slot = len(self.by_slot)
            self.by_slot.append(client)
        self._tree.set_slot(client, slot)

    def _free_slot(self, client: Client) -> None:
        self._clear_bits(client)
        self.by_slot[client.slot] = None
        if client.constraints is not None:
            self._stale |= client.bit
        if client.filtered:
            self._dead |= client.bit
            client.filtered = False
        else:
            self._spare.append(client.slot)

    def _drop_filters(self, client: Client) -> None:
        """Let a client's filters point to nobody by giving it another bit."""
        if client.filtered:
            self._free_slot(client)
            self._give_slot(client)
            framework = self._frameworks.get(client.framework_id)
            if framework is not None:
                self._equip(client, framework)

    def _drop_if_idle(self, client: Client) -> None:
        if not client.subscribed and not client.entries:
            self._remove(client)

    def _remove(self, client: Client) -> None:
        self._tree.detach(client)
        self._free_slot(client)
        mine = self._clients.get(client.framework_id)
        if mine is not None and mine.pop(client.role, None) is not None and not mine:
            del self._clients[client.framework_id]
        # A client stands in its own entry: without it, it goes as soon as nobody looks.
        del client.entry
