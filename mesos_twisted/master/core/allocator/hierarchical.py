"""The default policy: offers by dominant resource fairness over the role tree, then frameworks.

A refusal depends on the resources alone and holds for any part of them, so an agent that was passed
over stays passed over until something about it changes (see `tracking`), and the offers are those
that sorting all frameworks for every agent would make. Source of the rules: Mesos's hierarchical
allocator, its second stage (quota is not decided here).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mesos_twisted.master.core.allocator.agents import AgentState
from mesos_twisted.master.core.allocator.chance import mix
from mesos_twisted.master.core.allocator.interface import Allocation, AllocatorOptions, Sorter
from mesos_twisted.master.core.allocator.judgements import Judgements
from mesos_twisted.master.core.allocator.nodes import Client, RoleNode
from mesos_twisted.master.core.allocator.tracking import Tracking
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.resource import RESERVED, REVOCABLE, SHARED
from mesos_twisted.resources.roles import lineage

_SPECIAL = RESERVED | REVOCABLE | SHARED
Grants = list[tuple[Client, Resources]]

# Asking the constraints of so many clients counts as much as looking at one agent.
_JUDGED_PER_AGENT = 16


class HierarchicalAllocator(Tracking):
    """See `interface.Allocator` for what every method promises."""

    def __init__(self, options: AllocatorOptions | None = None) -> None:
        super().__init__(options or AllocatorOptions())
        self._random = Sorter.RANDOM in (self.options.role_sorter, self.options.framework_sorter)
        self._minimum = tuple([one.amounts for one in self.options.min_allocatable])
        self._judgements = Judgements(self._clients)
        self._queue: list[AgentState] = []
        self._queue_seed = 0

    @property
    def pending(self) -> bool:
        return bool(self._queue)

    def allocate(self, now: float, seed: int, budget: int | None = None) -> list[Allocation]:
        for refusals in self._filters.expire(now):
            self._dirty[self._of_refusals[refusals]] = None
        self._tree.refresh()
        judgements = self._judgements
        judgements.refresh(self._agents.values())
        if not self._queue:
            self._fill_queue(seed)
        queue = self._queue
        found: list[Allocation] = []
        left = len(queue) if budget is None else min(budget, len(queue))
        while left > 0:
            left -= 1
            agent = queue.pop()
            if agent.active and (agent.free or agent.shared):
                self._offer(agent, found)
            if judgements.asked >= _JUDGED_PER_AGENT:
                if budget is not None:
                    left -= judgements.asked // _JUDGED_PER_AGENT
                judgements.asked %= _JUDGED_PER_AGENT
        return found

    def next_deadline(self, now: float) -> float | None:
        return self._filters.next_deadline(now)

    def _fill_queue(self, seed: int) -> None:
        changed: Iterable[AgentState] = self._dirty
        if self._all_dirty:
            changed = self._agents.values()
        hosts = self._whitelist
        queue = [
            agent
            for agent in changed
            if agent.active
            and (agent.free or agent.shared)
            and (hosts is None or agent.spec.hostname in hosts)
        ]
        queue.sort(key=lambda agent: mix(seed, agent.serial), reverse=True)
        self._queue, self._queue_seed = queue, seed
        self._dirty = {}
        self._all_dirty = False

    def _offer(self, agent: AgentState, found: list[Allocation]) -> None:
        """Offer what is free on one agent to whoever comes first."""
        if self._random:
            self._tree.seed = mix(self._queue_seed, agent.serial)
        clients = self._clients
        eligible = self._tree.root.mask
        spec = agent.spec
        if agent.has_gpus and self.options.filter_gpu_resources:
            eligible &= clients.gpu
        if agent.remote:
            eligible &= clients.region
        if not spec.multi_role:
            eligible &= ~clients.multi_role
        if not spec.hierarchical_role:
            eligible &= ~clients.hierarchical
        constrained = eligible & clients.constrained
        if constrained:
            eligible &= ~self._judgements.excluded(agent, constrained)
        if not eligible:
            return
        available = agent.free
        grants: Grants = []
        if agent.shared or available.traits & _SPECIAL:
            self._choose_parts(agent, available.add(agent.shared), eligible, grants)
        else:
            eligible = self._willing(agent, available, eligible)
            client = self._tree.first(eligible) if eligible else None
            if client is not None:
                grants.append((client, available))
        for client, offer in grants:
            role = client.role
            amounts = agent.note(agent.offered, client, offer)
            if offer is available:
                agent.free = NOTHING
            else:
                agent.free = agent.free.subtract(offer.non_shared())
                if offer.traits & SHARED:
                    self._dirty[agent] = None  # What is shared can be offered again next time.
            self._tree.grant(client, amounts)
            found.append(
                Allocation(client.framework_id, agent.agent_id, role, offer.allocate(role))
            )

    def _choose_parts(
        self, agent: AgentState, left: Resources, eligible: int, grants: Grants
    ) -> None:
        """Find grants when parts of an agent are for some only; orders do not move meanwhile."""
        for node in self._tree.roles(eligible):
            left = self._choose_for_role(agent, node, left, eligible, grants)
            if all(key.reservation_role is not None for key, _ in left.items()):
                break
        else:
            return
        # Only reservations are left: nobody but the roles below them can have more. Roles seen
        # already refuse again, for a part of what they refused.
        owners = {key.reservation_role or "" for key, _ in left.items()}
        for owner in sorted(owners):
            node_of_top = self._tree.nodes.get(owner)
            if node_of_top is not None and owners.isdisjoint(lineage(owner)[:-1]):
                for node in self._tree.roles(eligible, node_of_top):
                    left = self._choose_for_role(agent, node, left, eligible, grants)

    def _choose_for_role(
        self, agent: AgentState, node: RoleNode, left: Resources, eligible: int, grants: Grants
    ) -> Resources:
        willing: dict[int, tuple[Resources, int]] = {}
        usable = left.allocatable_to(node.path)
        for _, _, _, client in self._tree.clients(node):
            if not usable:
                break
            if not client.bit & eligible:
                continue
            known = willing.get(client.strip)
            if known is None:
                offer = usable.without_traits(client.strip)
                mask = node.own_mask & eligible
                known = (offer, self._willing(agent, offer, mask) if offer else 0)
                willing[client.strip] = known
            if client.bit & known[1]:
                offer = known[0]
                grants.append((client, offer))
                left = left.subtract(offer)
                usable = left.allocatable_to(node.path)
                willing = {}
        return left

    def _willing(self, agent: AgentState, offer: Resources, eligible: int) -> int:
        """Those of `eligible` that find `offer` big enough and did not refuse it."""
        amounts = offer.quantities().amounts
        own = self._clients.own_minimum & eligible
        if not _is_enough(amounts, self._minimum):
            eligible = own
        if own:
            for client in self._clients.listed(own):
                if client.minimum is not None and not _is_enough(amounts, client.minimum):
                    eligible &= ~client.bit
        if eligible and agent.refusals.masks:
            eligible &= ~agent.refusals.blocked(offer)
        return eligible


def _is_enough(amounts: Mapping[str, int], minimums: tuple[Mapping[str, int], ...]) -> bool:
    if not minimums:
        return True
    for minimum in minimums:
        for name, amount in minimum.items():
            if amounts.get(name, 0) < amount:
                break
        else:
            return True
    return False
