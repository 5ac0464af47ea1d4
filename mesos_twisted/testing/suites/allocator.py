"""The suite every placement policy must pass, as one Hypothesis machine.

Frameworks and agents come, go and change; offers are declined, accepted in part, rescinded; time
passes. After every step the books balance, and every offer is one its framework may have. With
`matches_reference` the offers are also those of `ReferenceAllocator`.

    class TestMine(allocator_machine(MyAllocator).TestCase): ...
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mesos_twisted.master.core.allocator.filters import refusal_time
from mesos_twisted.master.core.allocator.interface import (
    AgentSpec,
    Allocation,
    Allocator,
    AllocatorOptions,
    Capability,
    FrameworkSpec,
    Held,
)
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.quantities import Quantities
from mesos_twisted.resources.resource import REFINED, REVOCABLE, SHARED
from mesos_twisted.testing.suites.allocator_reference import ReferenceAllocator, wants_agent
from mesos_twisted.testing.suites.allocator_samples import (
    ROLES,
    agents,
    frameworks,
    picks,
    refusals,
)


def allocator_machine(
    make: Callable[[AllocatorOptions], Allocator],
    options: AllocatorOptions | None = None,
    matches_reference: bool = False,
    strict_priority: bool = False,
) -> type[AllocatorMachine]:
    """The machine for the policies that `make` makes."""

    class Machine(AllocatorMachine):
        def __init__(self) -> None:
            super().__init__(make, options or AllocatorOptions(region="here"))
            if matches_reference:
                self.reference = ReferenceAllocator(self.options, strict_priority)

    Machine.__name__ = f"{getattr(make, '__name__', 'Allocator')}Machine"
    return Machine


class AllocatorMachine(RuleBasedStateMachine):
    """What a master could say to a policy, and what must then be true."""

    def __init__(
        self, make: Callable[[AllocatorOptions], Allocator], options: AllocatorOptions
    ) -> None:
        super().__init__()
        self.options = options
        self.allocator = make(options)
        self.reference: ReferenceAllocator | None = None
        self.now = 100.0
        self.made = 0
        self.frameworks: dict[FrameworkId, FrameworkSpec] = {}
        self.inactive: set[FrameworkId] = set()
        self.suppressed: set[tuple[FrameworkId, str]] = set()
        self.agents: dict[AgentId, AgentSpec] = {}
        self.asleep: set[AgentId] = set()
        self.whitelist: frozenset[str] | None = None
        self.offers: list[Allocation] = []
        self.running: list[Allocation] = []
        self.refused: list[tuple[FrameworkId, str, AgentId, Resources, float]] = []

    def tell(self, name: str, *args: object, **named: object) -> None:
        """Say the same to the policy and to the reference."""
        getattr(self.allocator, name)(*args, **named)
        if self.reference is not None:
            getattr(self.reference, name)(*args, **named)

    @initialize(
        specs=st.lists(agents, min_size=1, max_size=4),
        subscribed=st.lists(frameworks, min_size=1, max_size=4),
    )
    def begin(self, specs: list[AgentSpec], subscribed: list[FrameworkSpec]) -> None:
        for spec in specs:
            self.add_agent(spec, 0, False)
        for framework in subscribed:
            self.add_framework(framework)

    # Frameworks

    @rule(spec=frameworks)
    def add_framework(self, spec: FrameworkSpec) -> None:
        self.made += 1
        framework_id = FrameworkId(f"F{self.made % 7}-{self.made}")
        self.frameworks[framework_id] = spec
        if not spec.active:
            self.inactive.add(framework_id)
        self.tell("add_framework", framework_id, spec)

    @precondition(lambda self: self.frameworks)
    @rule(pick=picks, spec=frameworks)
    def update_framework(self, pick: int, spec: FrameworkSpec) -> None:
        framework_id = self._framework(pick)
        self.frameworks[framework_id] = spec
        self.inactive.discard(framework_id)
        if not spec.active:
            self.inactive.add(framework_id)
        revived = {one for one in self.suppressed if one[0] == framework_id}
        self.suppressed -= revived
        self._forget_refusals(lambda one: one[0] == framework_id and ((one[0], one[1]) in revived))
        self._forget_refusals(lambda one: one[0] == framework_id and one[1] not in spec.roles)
        self.tell("update_framework", framework_id, spec)

    @precondition(lambda self: self.frameworks)
    @rule(pick=picks)
    def remove_framework(self, pick: int) -> None:
        framework_id = self._framework(pick)
        del self.frameworks[framework_id]
        self.inactive.discard(framework_id)
        self.suppressed = {one for one in self.suppressed if one[0] != framework_id}
        self.offers = [one for one in self.offers if one.framework_id != framework_id]
        self.running = [one for one in self.running if one.framework_id != framework_id]
        self._forget_refusals(lambda one: one[0] == framework_id)
        self.tell("remove_framework", framework_id)

    @precondition(lambda self: self.frameworks)
    @rule(pick=picks, active=st.booleans())
    def set_framework_active(self, pick: int, active: bool) -> None:
        framework_id = self._framework(pick)
        if active:
            self.inactive.discard(framework_id)
            self.tell("activate_framework", framework_id)
        else:
            self.inactive.add(framework_id)
            self._forget_refusals(lambda one: one[0] == framework_id)
            self.tell("deactivate_framework", framework_id)

    @precondition(lambda self: self.frameworks)
    @rule(pick=picks, all_roles=st.booleans(), revive=st.booleans())
    def suppress_or_revive(self, pick: int, all_roles: bool, revive: bool) -> None:
        framework_id = self._framework(pick)
        subscribed = self.frameworks[framework_id].roles
        if not subscribed:
            return
        roles = () if all_roles else (subscribed[pick % len(subscribed)],)
        lines = {(framework_id, role) for role in roles or subscribed}
        if revive:
            self.suppressed -= lines
            self._forget_refusals(lambda one: (one[0], one[1]) in lines)
        else:
            self.suppressed |= lines
        self.tell("revive" if revive else "suppress", framework_id, roles)

    # Agents

    @rule(spec=agents, pick=picks, used=st.booleans())
    def add_agent(self, spec: AgentSpec, pick: int, used: bool) -> None:
        self.made += 1
        agent_id = AgentId(f"S{self.made}")
        self.agents[agent_id] = spec
        held: dict[FrameworkId, Resources] = {}
        part = spec.total.unreserved().filter(lambda key: key.name == "cpus")
        if used and part:
            known = sorted(self.frameworks)
            framework_id = known[pick % len(known)] if known and pick % 3 else FrameworkId("F-late")
            role = ROLES[pick % len(ROLES)]
            held[framework_id] = part.allocate(role)
            self.running.append(Allocation(framework_id, agent_id, role, held[framework_id]))
        self.tell("add_agent", agent_id, spec, held)

    @precondition(lambda self: "F-late" not in self.frameworks)
    @rule(spec=frameworks)
    def add_framework_with_running_tasks(self, spec: FrameworkSpec) -> None:
        self.frameworks[FrameworkId("F-late")] = spec
        if not spec.active:
            self.inactive.add(FrameworkId("F-late"))
        self.tell("add_framework", FrameworkId("F-late"), spec)

    @precondition(lambda self: self.agents)
    @rule(pick=picks, spec=agents, attributes_changed=st.booleans())
    def update_agent(self, pick: int, spec: AgentSpec, attributes_changed: bool) -> None:
        agent_id = self._agent(pick)
        self.agents[agent_id] = spec
        if attributes_changed:
            self._forget_refusals(lambda one: one[2] == agent_id)
        self.tell("update_agent", agent_id, spec, attributes_changed)

    @precondition(lambda self: self.agents)
    @rule(pick=picks)
    def remove_agent(self, pick: int) -> None:
        agent_id = self._agent(pick)
        del self.agents[agent_id]
        self.asleep.discard(agent_id)
        gone = [one for one in self.offers + self.running if one.agent_id == agent_id]
        self.offers = [one for one in self.offers if one.agent_id != agent_id]
        self.running = [one for one in self.running if one.agent_id != agent_id]
        self._forget_refusals(lambda one: one[2] == agent_id)
        self.tell("remove_agent", agent_id)
        for one in gone:  # The master may still give it back.
            self._recover(one, one.resources, Held.OFFERED, 5.0)

    @precondition(lambda self: self.agents)
    @rule(pick=picks, active=st.booleans())
    def set_agent_active(self, pick: int, active: bool) -> None:
        agent_id = self._agent(pick)
        (self.asleep.discard if active else self.asleep.add)(agent_id)
        self.tell("activate_agent" if active else "deactivate_agent", agent_id)

    @rule(hosts=st.sampled_from([None, None, frozenset({"h0"}), frozenset()]))
    def set_whitelist(self, hosts: frozenset[str] | None) -> None:
        self.whitelist = hosts
        self.tell("set_whitelist", hosts)

    @rule(role=st.sampled_from(ROLES), weight=st.sampled_from([0.5, 1.0, 2.0, 5.0]))
    def set_weight(self, role: str, weight: float) -> None:
        self.tell("set_weights", {role: weight})

    # Offers

    @precondition(lambda self: self.offers)
    @rule(pick=picks, refuse_seconds=refusals)
    def decline(self, pick: int, refuse_seconds: float | None) -> None:
        offer = self.offers.pop(pick % len(self.offers))
        self._recover(offer, offer.resources, Held.OFFERED, refuse_seconds)

    @precondition(lambda self: self.offers)
    @rule(
        pick=picks,
        names=st.sampled_from([("cpus",), ("mem", "ports"), ("cpus", "mem")]),
        refuse_seconds=refusals,
    )
    def accept(self, pick: int, names: tuple[str, ...], refuse_seconds: float | None) -> None:
        offer = self.offers.pop(pick % len(self.offers))
        launched = offer.resources.filter(lambda key: key.name in names)
        rest = offer.resources.subtract(launched)
        self.tell(
            "settle",
            offer.framework_id,
            offer.agent_id,
            offer.resources,
            launched,
            refuse_seconds,
            self.now,
        )
        self._note_refusal(offer, rest, refuse_seconds)
        if launched:
            self.running.append(
                Allocation(offer.framework_id, offer.agent_id, offer.role, launched)
            )

    @precondition(lambda self: self.offers)
    @rule(refuse_seconds=refusals, keep=picks)
    def decline_most(self, refuse_seconds: float | None, keep: int) -> None:
        for at in range(len(self.offers) - 1, -1, -1):
            if at != keep % 3:
                self.decline(at, refuse_seconds)

    @rule(seed=st.integers(0, 2**32))
    def allocate_soon(self, seed: int) -> None:
        self.allocate(1.0, seed, None)

    @rule(seed=st.integers(0, 2**32))
    def allocate_again(self, seed: int) -> None:
        self.allocate(0.0, seed, None)

    @precondition(lambda self: self.running)
    @rule(pick=picks)
    def finish(self, pick: int) -> None:
        task = self.running.pop(pick % len(self.running))
        self._recover(task, task.resources, Held.ALLOCATED, None)

    @rule(
        seconds=st.sampled_from([0.0, 0.25, 1.0, 5.0, 5.25]),
        seed=st.integers(0, 2**32),
        budget=st.sampled_from([None, None, 1, 2]),
    )
    def allocate(self, seconds: float, seed: int, budget: int | None) -> None:
        self.now += seconds
        before = {agent_id: self.allocator.books(agent_id).free for agent_id in self.agents}
        found = self.allocator.allocate(self.now, seed, budget)
        while self.allocator.pending:
            found += self.allocator.allocate(self.now, seed, budget)
        for offer in found:
            self._check(offer, before)
        self.offers += found
        if self.reference is not None:
            expected = self.reference.allocate(self.now, seed)
            assert _as_set(found) == _as_set(expected)

    # What always holds

    @invariant()
    def books_balance(self) -> None:
        for agent_id, spec in self.agents.items():
            books = self.allocator.books(agent_id)
            used = NOTHING
            for held, lines in ((books.offered, self.offers), (books.allocated, self.running)):
                expected: dict[tuple[FrameworkId, str], Resources] = {}
                for one in lines:
                    if one.agent_id == agent_id:
                        line = (one.framework_id, one.role)
                        expected[line] = expected.get(line, NOTHING).add(one.resources)
                assert held == expected
                for resources in held.values():
                    used = used.add(resources.unallocate().non_shared())
            assert books.total == spec.total
            everything = spec.total.non_shared()
            free = books.free.non_shared()
            if everything.contains(used):
                assert free.add(used) == everything
            else:
                assert free == everything.subtract_clipped(used)

    @invariant()
    def role_sums_are_right(self) -> None:
        for held, lines in (("offered", self.offers), ("allocated", self.running)):
            book: dict[tuple[FrameworkId, str, AgentId], Resources] = {}
            for one in lines:
                line = (one.framework_id, one.role, one.agent_id)
                book[line] = book.get(line, NOTHING).add(one.resources)
            for top in ("a", "d"):
                total = Quantities()
                for (framework_id, role, _), resources in book.items():
                    inside = role == top or role.startswith(top + "/")
                    if inside and framework_id in self.frameworks:
                        total = total.add(resources.quantities())
                assert getattr(self.allocator, held)(top) == total

    # Inner workings

    def _check(self, offer: Allocation, before: dict[AgentId, Resources]) -> None:
        spec = self.frameworks[offer.framework_id]
        agent = self.agents[offer.agent_id]
        plain = offer.resources.unallocate()
        assert offer.resources and set(offer.resources.allocations()) == {offer.role}
        assert before[offer.agent_id].contains(plain), "offered what was not free"
        before[offer.agent_id] = before[offer.agent_id].subtract(plain)
        assert offer.role in spec.roles and offer.framework_id not in self.inactive
        assert (offer.framework_id, offer.role) not in self.suppressed
        assert offer.agent_id not in self.asleep
        assert self.whitelist is None or agent.hostname in self.whitelist
        assert plain.allocatable_to(offer.role) == plain
        can = spec.capabilities
        assert Capability.REVOCABLE_RESOURCES in can or not plain.traits & REVOCABLE
        assert Capability.SHARED_RESOURCES in can or not plain.traits & SHARED
        assert Capability.RESERVATION_REFINEMENT in can or not plain.traits & REFINED
        assert Capability.GPU_RESOURCES in can or not agent.total.scalar("gpus")
        assert Capability.REGION_AWARE in can or agent.region != "there"
        assert agent.multi_role or Capability.MULTI_ROLE not in can
        assert agent.hierarchical_role or "/" not in offer.role
        assert wants_agent(spec, offer.role, agent)
        minimums = self.options.min_allocatable
        if spec.min_allocatable is not None:
            minimums = spec.min_allocatable.get(offer.role, minimums)
        assert not minimums or any(plain.quantities().contains(one) for one in minimums)
        for framework_id, role, agent_id, refused, until in self.refused:
            if (framework_id, role, agent_id) == (offer.framework_id, offer.role, offer.agent_id):
                assert self.now > until or not refused.contains(plain), "offered what was refused"

    def _recover(
        self, one: Allocation, resources: Resources, held: Held, seconds: float | None
    ) -> None:
        self.tell(
            "recover", one.framework_id, one.agent_id, resources, seconds, self.now, held=held
        )
        self._note_refusal(one, resources, seconds)

    def _note_refusal(self, one: Allocation, rest: Resources, seconds: float | None) -> None:
        known = one.framework_id in self.frameworks and one.agent_id in self.agents
        subscribed = known and one.role in self.frameworks[one.framework_id].roles
        if seconds is not None and rest and subscribed:
            time = refusal_time(seconds, self.options.allocation_interval_s)
            if time:
                line = (one.framework_id, one.role, one.agent_id)
                self.refused.append((*line, rest.unallocate(), self.now + time))

    def _forget_refusals(
        self, gone: Callable[[tuple[FrameworkId, str, AgentId, Resources, float]], bool]
    ) -> None:
        self.refused = [one for one in self.refused if not gone(one)]

    def _framework(self, pick: int) -> FrameworkId:
        return sorted(self.frameworks)[pick % len(self.frameworks)]

    def _agent(self, pick: int) -> AgentId:
        return sorted(self.agents)[pick % len(self.agents)]


def _as_set(found: list[Allocation]) -> set[tuple[str, str, str, Resources]]:
    return {(one.framework_id, one.agent_id, one.role, one.resources) for one in found}
