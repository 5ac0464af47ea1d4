"""What the policy keeps of frameworks, agents and the resources they hold, and what has changed.

An agent is looked at only when something about it changed that could make an offer possible: its
free resources, a filter, or a client that became eligible. Who is offered what is not decided here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache, reduce
from operator import or_

from mesos_twisted.errors import BugError
from mesos_twisted.master.core.allocator.agents import AgentState
from mesos_twisted.master.core.allocator.clients import Clients
from mesos_twisted.master.core.allocator.filters import Filters, Refusals, refusal_time
from mesos_twisted.master.core.allocator.interface import (
    AgentBooks,
    AgentSpec,
    AllocatorOptions,
    FrameworkSpec,
    Held,
    RoleView,
)
from mesos_twisted.master.core.allocator.nodes import Client
from mesos_twisted.master.core.allocator.sorter import RoleTree
from mesos_twisted.master.core.allocator.views import held_below, role_views
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.quantities import Quantities
from mesos_twisted.resources.resource import ALLOCATED


class Tracking:
    """See `interface.Allocator` for what every method promises.

    With `strict_priority` a heavier role comes before a lighter one whatever their shares.
    """

    strict_priority = False

    def __init__(self, options: AllocatorOptions) -> None:
        self.options = options
        self._tree = RoleTree(
            options.excluded_from_fairness,
            options.role_sorter,
            options.framework_sorter,
            self.strict_priority,
        )
        self._filters = Filters()
        self._clients = Clients(self._tree, self._filters)
        self._agents: dict[AgentId, AgentState] = {}
        self._of_refusals: dict[Refusals, AgentState] = {}
        self._whitelist: frozenset[str] | None = None
        self._dirty: dict[AgentState, None] = {}
        self._all_dirty = False
        self._agents_seen = 0

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
