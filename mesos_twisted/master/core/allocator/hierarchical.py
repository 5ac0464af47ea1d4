"""The default policy: offers by dominant resource fairness over the role tree, then frameworks.

An agent is looked at only when something about it changed that could make an offer possible: its
free resources, a filter, or a client that became eligible. A refusal depends on the resources alone
and holds for any part of them, so an agent that was passed over stays passed over until then, and
the offers are those that sorting all frameworks for every agent would make. Source of the rules:
Mesos's hierarchical allocator, its second stage (quota is not decided here).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache, reduce
from operator import or_

from mesos_twisted.errors import BugError
from mesos_twisted.master.core.allocator.agents import AgentState
from mesos_twisted.master.core.allocator.chance import mix
from mesos_twisted.master.core.allocator.clients import Clients
from mesos_twisted.master.core.allocator.filters import Filters, Refusals, refusal_time
from mesos_twisted.master.core.allocator.interface import (
    AgentBooks,
    AgentSpec,
    Allocation,
    AllocatorOptions,
    FrameworkSpec,
    Held,
    RoleView,
    Sorter,
)
from mesos_twisted.master.core.allocator.judgements import Judgements
from mesos_twisted.master.core.allocator.sorter import Client, RoleNode, RoleTree
from mesos_twisted.master.core.allocator.views import held_below, role_views
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.quantities import Quantities
from mesos_twisted.resources.resource import ALLOCATED, RESERVED, REVOCABLE, SHARED
from mesos_twisted.resources.roles import lineage

_SPECIAL = RESERVED | REVOCABLE | SHARED
Grants = list[tuple[Client, Resources]]

# Asking the constraints of so many clients counts as much as looking at one agent.
_JUDGED_PER_AGENT = 16


class HierarchicalAllocator:
    """See `interface.Allocator` for what every method promises."""

    strict_priority = False

    def __init__(self, options: AllocatorOptions | None = None) -> None:
        self.options = options = options or AllocatorOptions()
        self._tree = RoleTree(
            options.excluded_from_fairness,
            options.role_sorter,
            options.framework_sorter,
            self.strict_priority,
        )
        self._random = Sorter.RANDOM in (options.role_sorter, options.framework_sorter)
        self._minimum = tuple([one.amounts for one in options.min_allocatable])
        self._filters = Filters()
        self._clients = Clients(self._tree, self._filters)
        self._judgements = Judgements(self._clients)
        self._agents: dict[AgentId, AgentState] = {}
        self._of_refusals: dict[Refusals, AgentState] = {}
        self._whitelist: frozenset[str] | None = None
        self._dirty: dict[AgentState, None] = {}
        self._all_dirty = False
        self._queue: list[AgentState] = []
        self._queue_seed = 0
        self._agents_seen = 0

    @property
    def pending(self) -> bool:
        return bool(self._queue)

    # Frameworks

    def add_framework(self, framework_id: FrameworkId, spec: FrameworkSpec) -> None:
        self._clients.add_framework(framework_id, spec)
        self._all_dirty = True

    def update_framework(self, framework_id: FrameworkId, spec: FrameworkSpec) -> None:
        self._clients.update_framework(framework_id, spec)
        self._all_dirty = True

    def remove_framework(self, framework_id: FrameworkId) -> None:
        clients = self._clients.of(framework_id)
        for agent in self._agents.values():
            for held in Held:
                book = agent.book(held)
                for client in [one for one in clients if one in book]:
                    agent.take_back(held, client, book[client])
                    self._dirty[agent] = None
        self._clients.remove_framework(framework_id)

    def activate_framework(self, framework_id: FrameworkId) -> None:
        self._clients.set_active(framework_id, True)
        self._all_dirty = True

    def deactivate_framework(self, framework_id: FrameworkId) -> None:
        self._clients.set_active(framework_id, False)
        self._scrub()

    def revive(self, framework_id: FrameworkId, roles: Iterable[str] = ()) -> None:
        self._clients.set_suppressed(framework_id, roles, False)
        self._scrub()
        self._all_dirty = True

    def suppress(self, framework_id: FrameworkId, roles: Iterable[str] = ()) -> None:
        self._clients.set_suppressed(framework_id, roles, True)

    def request(self, framework_id: FrameworkId, requests: Iterable[object]) -> None:
        """Requests are ignored, as in Mesos."""

    # Agents

    def add_agent(
        self,
        agent_id: AgentId,
        spec: AgentSpec,
        used: Mapping[FrameworkId, Resources],
        active: bool = True,
    ) -> None:
        if agent_id in self._agents:
            raise BugError(f"Agent {agent_id} is added twice.")
        self._agents_seen += 1
        agent = AgentState(agent_id, self._agents_seen)
        agent.active = active
        agent.set_spec(spec, self.options.region)
        self._agents[agent_id] = agent
        self._of_refusals[agent.refusals] = agent
        self._tree.add_total(agent.total.quantities().amounts, 1)
        for framework_id, resources in used.items():
            self._note(framework_id, agent, resources)
        if used:
            agent.recount()
        self._dirty[agent] = None

    def update_agent(self, agent_id: AgentId, spec: AgentSpec, attributes_changed: bool) -> None:
        agent = self._agent(agent_id)
        if attributes_changed:
            self._filters.forget(agent.refusals)
        if spec.total != agent.total:
            self._tree.add_total(agent.total.quantities().amounts, -1)
            self._tree.add_total(spec.total.quantities().amounts, 1)
        agent.set_spec(spec, self.options.region)
        self._dirty[agent] = None

    def remove_agent(self, agent_id: AgentId) -> None:
        agent = self._agent(agent_id)
        for held in Held:
            book = agent.book(held)
            for client, resources in list(book.items()):
                amounts = agent.strike(held, client, resources)[1]
                self._clients.release(client, amounts, held)
        self._tree.add_total(agent.total.quantities().amounts, -1)
        self._filters.forget(agent.refusals)
        agent.active = False
        del self._agents[agent_id]
        del self._of_refusals[agent.refusals]
        self._dirty.pop(agent, None)

    def activate_agent(self, agent_id: AgentId) -> None:
        agent = self._agent(agent_id)
        agent.active = True
        self._dirty[agent] = None

    def deactivate_agent(self, agent_id: AgentId) -> None:
        self._agent(agent_id).active = False

    def set_whitelist(self, hostnames: frozenset[str] | None) -> None:
        if hostnames != self._whitelist:
            self._whitelist = hostnames
            self._all_dirty = True

    def set_weights(self, weights: Mapping[str, float]) -> None:
        if any(not weight > 0 for weight in weights.values()):
            raise BugError(f"A weight must be above zero: {dict(weights)!r}.")
        self._tree.set_weights(weights)

    # Resources

    def recover(
        self,
        framework_id: FrameworkId,
        agent_id: AgentId,
        resources: Resources,
        refuse_seconds: float | None,
        now: float,
        *,
        held: Held,
    ) -> None:
        agent = self._agents.get(agent_id)
        if agent is None:
            return
        for role, part in resources.allocations().items():
            client = self._holder(framework_id, role)
            if client is not None:
                taken, amounts = agent.take_back(held, client, part.unallocate())
                self._freed(client, agent, taken, refuse_seconds, now)
                self._clients.release(client, amounts, held)

    def settle(
        self,
        framework_id: FrameworkId,
        agent_id: AgentId,
        offered: Resources,
        launched: Resources,
        refuse_seconds: float | None,
        now: float,
    ) -> None:
        kept_by_role = launched.allocations()
        parts = [
            (role, part.unallocate(), kept_by_role.pop(role, NOTHING).unallocate())
            for role, part in offered.allocations().items()
        ]
        unused = [part.subtract(kept) for _, part, kept in parts]
        if kept_by_role:
            raise BugError(f"{framework_id} launches {launched!r}, but was offered {offered!r}.")
        agent = self._agents.get(agent_id)
        if agent is None:
            return
        for (role, part, kept), rest in zip(parts, unused, strict=True):
            client = self._holder(framework_id, role)
            if client is not None:
                less = agent.strike(Held.OFFERED, client, part)[1]
                more = agent.note(agent.allocated, client, kept) if kept else {}
                if rest:
                    agent.set_free(rest)
                    self._freed(client, agent, rest, refuse_seconds, now)
                self._clients.settle(client, less, more)

    def adopt(self, framework_id: FrameworkId, agent_id: AgentId, resources: Resources) -> None:
        self._adopt(framework_id, self._agent(agent_id), resources)

    def convert(
        self,
        framework_id: FrameworkId | None,
        agent_id: AgentId,
        consumed: Resources,
        converted: Resources,
        held: Held,
    ) -> None:
        agent = self._agent(agent_id)
        plain = consumed.unallocate()
        total = agent.total.subtract(plain).add(converted.unallocate())
        if framework_id is None:
            agent.free.add(agent.shared).subtract(plain)  # Raises when not wholly free.
        else:
            for role, part in consumed.allocations().items():
                client = self._held_by(framework_id, role)
                amounts = agent.strike(held, client, part.unallocate())[1]
                self._clients.release(client, amounts, held, keep=True)
            for role, part in converted.allocations().items():
                client = self._held_by(framework_id, role)
                amounts = agent.note(agent.book(held), client, part.unallocate())
                self._clients.charge(client, amounts, held, count=0)
            for role in consumed.allocations():
                self._clients.release(self._held_by(framework_id, role), {}, held)
        self._tree.add_total(agent.total.quantities().amounts, -1)
        self._tree.add_total(total.quantities().amounts, 1)
        agent.set_total(total)
        self._dirty[agent] = None

    # Offers

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

    # Questions

    def role_tree(self) -> tuple[RoleView, ...]:
        return role_views(self._tree, self._agents.values())

    def offered(self, role: str) -> Quantities:
        return held_below(self._tree, role, Held.OFFERED)

    def allocated(self, role: str) -> Quantities:
        return held_below(self._tree, role, Held.ALLOCATED)

    def books(self, agent_id: AgentId) -> AgentBooks:
        return self._agent(agent_id).books()

    def filters_of(self, framework_id: FrameworkId) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        # Most agents are refused by nobody, or by the same frameworks as the next.
        refused: Counter[int] = Counter()
        for agent in self._agents.values():
            if agent.refusals.masks:
                refused[reduce(or_, agent.refusals.masks.values())] += 1
        for client in self._clients.of(framework_id):
            counts[client.role] = sum(n for mask, n in refused.items() if mask & client.bit)
        return counts

    # Inner workings

    def _agent(self, agent_id: AgentId) -> AgentState:
        agent = self._agents.get(agent_id)
        if agent is None:
            raise BugError(f"The allocator does not know agent {agent_id}.")
        return agent

    def _holder(self, framework_id: FrameworkId, role: str) -> Client | None:
        """Who gives back; None when its books are closed already."""
        client = self._clients.get(framework_id, role)
        if client is None and framework_id in self._clients:
            raise BugError(f"Framework {framework_id} holds nothing under role '{role}'.")
        return client

    def _freed(
        self,
        client: Client,
        agent: AgentState,
        freed: Resources,
        refuse_seconds: float | None,
        now: float,
    ) -> None:
        """Look at the agent again, and set a filter if one is wanted."""
        self._dirty[agent] = None
        if refuse_seconds is not None and client.subscribed:
            duration = refusal_time(refuse_seconds, self.options.allocation_interval_s)
            if duration:
                client.filtered = True
                self._filters.add(agent.refusals, client.bit, freed, now + duration)

    def _held_by(self, framework_id: FrameworkId, role: str) -> Client:
        client = self._clients.get(framework_id, role)
        if client is None:
            raise BugError(f"Framework {framework_id} holds nothing under role '{role}'.")
        return client

    def _adopt(self, framework_id: FrameworkId, agent: AgentState, resources: Resources) -> None:
        self._note(framework_id, agent, resources)
        agent.recount()

    def _note(self, framework_id: FrameworkId, agent: AgentState, resources: Resources) -> None:
        """Into the books; what is free stays until the agent counts again."""
        for role, part in _by_role(resources):
            client = self._clients.make(framework_id, role)
            amounts = agent.note(agent.allocated, client, part)
            self._clients.charge(client, amounts, Held.ALLOCATED)

    def _scrub(self) -> None:
        self._clients.scrub(agent.refusals for agent in self._agents.values())


@lru_cache(4096)
def _by_role(resources: Resources) -> tuple[tuple[str, Resources], ...]:
    """Each role's part, allocated to nobody. The tasks of an app are alike, and agents by the
    thousand bring them back: equal resources give the same parts."""
    if any(not key.traits & ALLOCATED for key, _ in resources.items()):
        raise BugError(f"{resources!r} is not allocated to a role.")
    return tuple([(role, part.unallocate()) for role, part in resources.allocations().items()])


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
