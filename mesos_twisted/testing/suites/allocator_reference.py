"""A policy that sorts all roles and frameworks anew for every agent: slow, short and obvious.

It decides what `HierarchicalAllocator` and `PriorityAllocator` must decide, with the same seed.
Orders by chance are not covered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import floor

from mesos_twisted.master.core.allocator.chance import mix
from mesos_twisted.master.core.allocator.constraints import Check, Constraint, Pseudo
from mesos_twisted.master.core.allocator.filters import refusal_time
from mesos_twisted.master.core.allocator.interface import (
    AgentSpec,
    Allocation,
    AllocatorOptions,
    Capability,
    FrameworkSpec,
    Held,
)
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.quantities import NO_QUANTITIES, Quantities
from mesos_twisted.resources.resource import REFINED, REVOCABLE, SHARED
from mesos_twisted.resources.roles import is_strict_subrole, lineage

Line = tuple[FrameworkId, str]


@dataclass
class _Framework:
    spec: FrameworkSpec
    active: bool
    suppressed: set[str]


@dataclass
class _Agent:
    number: int
    spec: AgentSpec
    active: bool
    books: dict[Held, dict[Line, Resources]] = field(
        default_factory=lambda: {Held.OFFERED: {}, Held.ALLOCATED: {}}
    )

    def free(self) -> Resources:
        """What nobody holds; shared volumes are always there."""
        used = NOTHING
        for book in self.books.values():
            for held in book.values():
                used = used.add(held.non_shared())
        total = self.spec.total
        return total.non_shared().subtract_clipped(used).add(total.shared())


@dataclass
class _Filter:
    line: Line
    agent_id: AgentId
    refused: Resources
    tick: int


class ReferenceAllocator:
    """Same events, same offers; nothing is remembered but what was said."""

    def __init__(self, options: AllocatorOptions, strict_priority: bool) -> None:
        self.options = options
        self.strict = strict_priority
        self.frameworks: dict[FrameworkId, _Framework] = {}
        self.agents: dict[AgentId, _Agent] = {}
        self.filters: list[_Filter] = []
        self.weights: dict[str, float] = {}
        self.whitelist: frozenset[str] | None = None
        self.counts: dict[Line, int] = {}
        self.own_counts: dict[str, int] = {}
        self.role_counts: dict[str, int] = {}
        self.seen = 0

    # Frameworks

    def add_framework(self, framework_id: FrameworkId, spec: FrameworkSpec) -> None:
        self.frameworks[framework_id] = _Framework(spec, spec.active, set(spec.suppressed))

    def update_framework(self, framework_id: FrameworkId, spec: FrameworkSpec) -> None:
        old = self.frameworks[framework_id]
        gone = set(old.spec.roles) - set(spec.roles)
        self._drop_filters(framework_id, (old.suppressed - spec.suppressed) | gone)
        self.add_framework(framework_id, spec)
        self._prune()

    def remove_framework(self, framework_id: FrameworkId) -> None:
        self._drop_filters(framework_id, None)
        del self.frameworks[framework_id]
        for agent in self.agents.values():
            for book in agent.books.values():
                for line in [one for one in book if one[0] == framework_id]:
                    del book[line]
        self._prune()

    def activate_framework(self, framework_id: FrameworkId) -> None:
        self.frameworks[framework_id].active = True

    def deactivate_framework(self, framework_id: FrameworkId) -> None:
        self.frameworks[framework_id].active = False
        self._drop_filters(framework_id, None)

    def revive(self, framework_id: FrameworkId, roles: Iterable[str] = ()) -> None:
        framework = self.frameworks[framework_id]
        wanted = set(roles) or set(framework.spec.roles)
        framework.suppressed -= wanted
        self._drop_filters(framework_id, wanted)

    def suppress(self, framework_id: FrameworkId, roles: Iterable[str] = ()) -> None:
        framework = self.frameworks[framework_id]
        framework.suppressed |= set(roles) or set(framework.spec.roles)

    # Agents

    def add_agent(
        self,
        agent_id: AgentId,
        spec: AgentSpec,
        used: Mapping[FrameworkId, Resources],
        active: bool = True,
    ) -> None:
        self.seen += 1
        self.agents[agent_id] = _Agent(self.seen, spec, active)
        for framework_id, resources in used.items():
            self.adopt(framework_id, agent_id, resources)

    def update_agent(self, agent_id: AgentId, spec: AgentSpec, attributes_changed: bool) -> None:
        self.agents[agent_id].spec = spec
        if attributes_changed:
            self.filters = [one for one in self.filters if one.agent_id != agent_id]

    def remove_agent(self, agent_id: AgentId) -> None:
        del self.agents[agent_id]
        self.filters = [one for one in self.filters if one.agent_id != agent_id]
        self._prune()

    def activate_agent(self, agent_id: AgentId) -> None:
        self.agents[agent_id].active = True

    def deactivate_agent(self, agent_id: AgentId) -> None:
        self.agents[agent_id].active = False

    def set_whitelist(self, hostnames: frozenset[str] | None) -> None:
        self.whitelist = hostnames

    def set_weights(self, weights: Mapping[str, float]) -> None:
        self.weights.update(weights)

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
        agent = self.agents.get(agent_id)
        if agent is None:
            return
        for role, part in resources.allocations().items():
            line = (framework_id, role)
            if line not in agent.books[held]:
                continue
            plain = part.unallocate()
            self._take(agent, held, line, plain)
            seconds = 0.0
            framework = self.frameworks.get(framework_id)
            subscribed = framework is not None and role in framework.spec.roles
            if refuse_seconds is not None and subscribed:
                seconds = refusal_time(refuse_seconds, self.options.allocation_interval_s)
            if seconds:
                tick = floor((now + seconds) * 10) + 1
                self.filters.append(_Filter(line, agent_id, plain, tick))
        self._prune()

    def settle(
        self,
        framework_id: FrameworkId,
        agent_id: AgentId,
        offered: Resources,
        launched: Resources,
        refuse_seconds: float | None,
        now: float,
    ) -> None:
        agent = self.agents.get(agent_id)
        if agent is None:
            return
        for role, part in launched.allocations().items():
            plain = part.unallocate()
            line = (framework_id, role)
            self._take(agent, Held.OFFERED, line, plain)
            book = agent.books[Held.ALLOCATED]
            book[line] = book.get(line, NOTHING).add(plain)
        rest = offered.subtract(launched)
        self.recover(framework_id, agent_id, rest, refuse_seconds, now, held=Held.OFFERED)

    def adopt(self, framework_id: FrameworkId, agent_id: AgentId, resources: Resources) -> None:
        book = self.agents[agent_id].books[Held.ALLOCATED]
        for role, part in resources.allocations().items():
            line = (framework_id, role)
            book[line] = book.get(line, NOTHING).add(part.unallocate())
            self._count(line)

    # Offers

    def allocate(self, now: float, seed: int) -> list[Allocation]:
        """Look at every agent."""
        self.filters = [one for one in self.filters if one.tick > now * 10]
        found: list[Allocation] = []
        for agent_id in sorted(self.agents, key=lambda one: mix(seed, self.agents[one].number)):
            agent = self.agents[agent_id]
            hosts = self.whitelist
            if not agent.active or (hosts is not None and agent.spec.hostname not in hosts):
                continue
            grants = self._choose(agent_id, agent)
            for line, offer in grants:
                book = agent.books[Held.OFFERED]
                book[line] = book.get(line, NOTHING).add(offer)
                self._count(line)
                found.append(Allocation(line[0], agent_id, line[1], offer.allocate(line[1])))
        return found

    def _choose(self, agent_id: AgentId, agent: _Agent) -> list[tuple[Line, Resources]]:
        left = agent.free()
        grants: list[tuple[Line, Resources]] = []
        if not left:
            return grants
        held = self._held()
        for role in self._roles_in_order(held):
            for framework_id in self._frameworks_in_order(role, held):
                usable = left.allocatable_to(role)
                framework = self.frameworks[framework_id]
                offer = usable.without_traits(_hidden_from(framework.spec))
                line = (framework_id, role)
                if (
                    self._is_capable(framework.spec, role, agent)
                    and wants_agent(framework.spec, role, agent.spec)
                    and self._is_enough(framework.spec, role, offer)
                    and not self._is_filtered(line, agent_id, offer)
                ):
                    grants.append((line, offer))
                    left = left.subtract(offer)
        return grants

    def _is_capable(self, spec: FrameworkSpec, role: str, agent: _Agent) -> bool:
        can = spec.capabilities
        has_gpus = agent.spec.total.scalar("gpus") > 0
        if has_gpus and self.options.filter_gpu_resources and Capability.GPU_RESOURCES not in can:
            return False
        regions = (self.options.region, agent.spec.region)
        remote = None not in regions and regions[0] != regions[1]
        if remote and Capability.REGION_AWARE not in can:
            return False
        if Capability.MULTI_ROLE in can and not agent.spec.multi_role:
            return False
        return agent.spec.hierarchical_role or "/" not in role

    def _is_enough(self, spec: FrameworkSpec, role: str, offer: Resources) -> bool:
        minimums = self.options.min_allocatable
        if spec.min_allocatable is not None and role in spec.min_allocatable:
            minimums = spec.min_allocatable[role]
        if not offer:
            return False
        return not minimums or any(offer.quantities().contains(one) for one in minimums)

    def _is_filtered(self, line: Line, agent_id: AgentId, offer: Resources) -> bool:
        return any(
            one.line == line and one.agent_id == agent_id and one.refused.contains(offer)
            for one in self.filters
        )

    # Order

    def _roles_in_order(self, held: dict[Line, Quantities]) -> list[str]:
        roles = {role for framework in self.frameworks.values() for role in framework.spec.roles}
        nodes = {path for role in roles for path in lineage(role)}

        def below(path: str) -> Quantities:
            total = NO_QUANTITIES
            for (framework_id, role), amounts in held.items():
                inside = role == path or is_strict_subrole(role, path)
                if framework_id in self.frameworks and inside:
                    total = total.add(amounts)
            return total

        def walk(path: str) -> list[str]:
            entries: list[tuple[float, float, int, str, bool]] = []
            for child in nodes:
                if child.rpartition("/")[0] == path:
                    weight = self.weights.get(child, 1.0)
                    share = self._share(below(child))
                    count = self.role_counts.get(child, 0)
                    entries.append((*self._rank(weight, share), count, child, False))
            if path in roles:
                own = NO_QUANTITIES
                for (framework_id, role), amounts in held.items():
                    if role == path and framework_id in self.frameworks:
                        own = own.add(amounts)
                count = self.own_counts.get(path, 0)
                entries.append((*self._rank(1.0, self._share(own)), count, path + "/.", True))
            order: list[str] = []
            for _, _, _, child, is_own in sorted(entries):
                order.extend([path] if is_own else walk(child))
            return order

        return walk("")

    def _rank(self, weight: float, share: float) -> tuple[float, float]:
        return (-weight, share) if self.strict else (0.0, share / weight)

    def _frameworks_in_order(self, role: str, held: dict[Line, Quantities]) -> list[FrameworkId]:
        entries = []
        for framework_id, framework in self.frameworks.items():
            wants = role in framework.spec.roles and role not in framework.suppressed
            if framework.active and wants:
                line = (framework_id, role)
                share = self._share(held.get(line, NO_QUANTITIES))
                entries.append((share, self.counts.get(line, 0), framework_id))
        return [entry[2] for entry in sorted(entries)]

    def _share(self, held: Quantities) -> float:
        total = NO_QUANTITIES
        for agent in self.agents.values():
            total = total.add(agent.spec.total.quantities())
        counted = [n for n in total if n not in self.options.excluded_from_fairness]
        return max([held.get(name) / total.get(name) for name in counted], default=0.0)

    def _held(self) -> dict[Line, Quantities]:
        held: dict[Line, Quantities] = {}
        for agent in self.agents.values():
            for book in agent.books.values():
                for line, resources in book.items():
                    held[line] = held.get(line, NO_QUANTITIES).add(resources.quantities())
        return held

    # Inner workings

    def _take(self, agent: _Agent, held: Held, line: Line, resources: Resources) -> None:
        book = agent.books[held]
        left = book[line].subtract(resources)
        if left:
            book[line] = left
        else:
            del book[line]

    def _count(self, line: Line) -> None:
        self.counts[line] = self.counts.get(line, 0) + 1
        if line[0] in self.frameworks:
            self.own_counts[line[1]] = self.own_counts.get(line[1], 0) + 1
            for path in lineage(line[1]):
                self.role_counts[path] = self.role_counts.get(path, 0) + 1

    def _prune(self) -> None:
        """Forget how often those were served who are no longer there."""
        lines: set[Line] = set()
        for framework_id, framework in self.frameworks.items():
            lines.update((framework_id, role) for role in framework.spec.roles)
        for agent in self.agents.values():
            for book in agent.books.values():
                lines.update(book)
        roles = {role for framework_id, role in lines if framework_id in self.frameworks}
        paths = {path for role in roles for path in lineage(role)}
        self.counts = {one: n for one, n in self.counts.items() if one in lines}
        self.own_counts = {one: n for one, n in self.own_counts.items() if one in paths}
        self.role_counts = {one: n for one, n in self.role_counts.items() if one in paths}

    def _drop_filters(self, framework_id: FrameworkId, roles: set[str] | None) -> None:
        self.filters = [
            one
            for one in self.filters
            if one.line[0] != framework_id or (roles is not None and one.line[1] not in roles)
        ]


def wants_agent(framework: FrameworkSpec, role: str, agent: AgentSpec) -> bool:
    """Whether the framework's constraints for the role allow the agent."""
    constraints = (framework.constraints or {}).get(role)
    if constraints is None:
        return True
    return any(all(_holds(one, agent) for one in group) for group in constraints.groups)


def _holds(one: Constraint, agent: AgentSpec) -> bool:
    if isinstance(one.key, Pseudo):
        of_agent = {
            Pseudo.HOSTNAME: agent.hostname,
            Pseudo.REGION: agent.region,
            Pseudo.ZONE: agent.zone,
        }
        found = [] if of_agent[one.key] is None else [of_agent[one.key]]
    else:
        found = [text for name, text in agent.attributes if name == one.key]
    if one.check is Check.EXISTS:
        return bool(found) != one.negated
    if not found:
        return one.negated
    if found[0] is None:
        return True
    if one.check is Check.TEXT_EQUALS:
        return (found[0] == one.text) != one.negated
    # The suite's own patterns only: this backtracks.
    return (re.fullmatch(one.text, found[0]) is not None) != one.negated


def _hidden_from(spec: FrameworkSpec) -> int:
    hidden = 0 if Capability.SHARED_RESOURCES in spec.capabilities else SHARED
    hidden |= 0 if Capability.REVOCABLE_RESOURCES in spec.capabilities else REVOCABLE
    return hidden | (0 if Capability.RESERVATION_REFINEMENT in spec.capabilities else REFINED)
