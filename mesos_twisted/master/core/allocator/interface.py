"""What the master may ask of a placement policy, and the values both sides pass.

The conversation: the master says what changed (frameworks, agents, roles, returned resources), the
policy only notes it; then `allocate` hands out offers. Everything on an agent is at any time either
offered, allocated or free, and the policy keeps these books. Times are seconds of one monotonic
clock; randomness is a seed. A policy knows no tasks, no offers' ids and no connections.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from mesos_twisted.master.core.allocator.constraints import Attributes, RoleConstraints
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.quantities import NO_QUANTITIES, Quantities

DEFAULT_REFUSE_S: Final = 5.0
LONGEST_REFUSE_S: Final = 365 * 86_400.0


class Capability(enum.Enum):
    """Framework capabilities that decide what may be offered; spelled as on the wire."""

    MULTI_ROLE = "MULTI_ROLE"
    GPU_RESOURCES = "GPU_RESOURCES"
    REVOCABLE_RESOURCES = "REVOCABLE_RESOURCES"
    SHARED_RESOURCES = "SHARED_RESOURCES"
    RESERVATION_REFINEMENT = "RESERVATION_REFINEMENT"
    REGION_AWARE = "REGION_AWARE"


class Held(enum.Enum):
    """How a framework holds resources: in an open offer, or for tasks, executors, operations."""

    OFFERED = "offered"
    ALLOCATED = "allocated"


class Sorter(enum.Enum):
    """How siblings are put in order: by dominant share, or by chance according to weight."""

    DRF = "drf"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class AllocatorOptions:
    """The flags of a policy.

    `min_allocatable`: an offer must contain at least one of these; empty means anything goes.
    `region` is the master's own; agents of another region go to REGION_AWARE frameworks only.
    `excluded_from_fairness` names scalars that do not count in shares.
    """

    allocation_interval_s: float = 1.0
    role_sorter: Sorter = Sorter.DRF
    framework_sorter: Sorter = Sorter.DRF
    min_allocatable: tuple[Quantities, ...] = (Quantities({"cpus": 10}), Quantities({"mem": 32000}))
    filter_gpu_resources: bool = True
    excluded_from_fairness: frozenset[str] = frozenset()
    region: str | None = None


@dataclass(frozen=True, slots=True)
class FrameworkSpec:
    """What a policy must know of a framework.

    `min_allocatable` replaces the option of that name for single roles; a role with `constraints`
    is offered only agents that they allow.
    """

    roles: tuple[str, ...]
    suppressed: frozenset[str] = frozenset()
    capabilities: frozenset[Capability] = frozenset()
    min_allocatable: Mapping[str, tuple[Quantities, ...]] | None = None
    active: bool = True
    constraints: Mapping[str, RoleConstraints] | None = None


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """What a policy must know of an agent; `total` is not allocated to any role."""

    hostname: str
    total: Resources
    region: str | None = None
    multi_role: bool = True
    hierarchical_role: bool = True
    zone: str | None = None
    attributes: Attributes = ()


@dataclass(slots=True)
class Allocation:
    """Resources of one agent for one role of one framework, to be sent as one offer.

    `resources` carry the role as their allocation role. Never change one.
    """

    framework_id: FrameworkId
    agent_id: AgentId
    role: str
    resources: Resources


@dataclass(frozen=True, slots=True)
class RoleView:
    """One role for the API: `frameworks` are those subscribed to it or holding something of it.

    `offered`, `allocated` and `share` include the roles below; `reserved` is what agents have
    reserved to it or below, in use or not.
    """

    role: str
    weight: float
    frameworks: tuple[FrameworkId, ...] = ()
    offered: Quantities = NO_QUANTITIES
    allocated: Quantities = NO_QUANTITIES
    reserved: Quantities = NO_QUANTITIES
    share: float = 0.0
    children: tuple[RoleView, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class AgentBooks:
    """One agent's books: `total` = `free` + offered + allocated unless the agent shrank.

    `offered` and `allocated` map (framework, role) to resources with that allocation role.
    """

    total: Resources
    free: Resources
    offered: Mapping[tuple[FrameworkId, str], Resources]
    allocated: Mapping[tuple[FrameworkId, str], Resources]


class Allocator(Protocol):
    """A placement policy.

    Unless said otherwise resources passed in carry their allocation role, and naming an unknown
    framework or agent raises BugError. Taking back more than is held raises BugError.
    """

    @property
    def pending(self) -> bool:
        """Whether the last `allocate` stopped at its budget, so that it should be called again."""
        ...

    def add_framework(self, framework_id: FrameworkId, spec: FrameworkSpec) -> None:
        """Know a framework; what agents reported it to use is now its own."""
        ...

    def update_framework(self, framework_id: FrameworkId, spec: FrameworkSpec) -> None:
        """Replace the spec; roles that stop being suppressed lose their filters."""
        ...

    def remove_framework(self, framework_id: FrameworkId) -> None:
        """Forget a framework; all it held is free."""
        ...

    def activate_framework(self, framework_id: FrameworkId) -> None:
        """Offer to it again."""
        ...

    def deactivate_framework(self, framework_id: FrameworkId) -> None:
        """Offer nothing to it; its filters are gone, what it holds it keeps."""
        ...

    def add_agent(
        self,
        agent_id: AgentId,
        spec: AgentSpec,
        used: Mapping[FrameworkId, Resources],
        active: bool = True,
    ) -> None:
        """Know an agent; `used` is allocated at once, for frameworks yet unknown as well."""
        ...

    def update_agent(self, agent_id: AgentId, spec: AgentSpec, attributes_changed: bool) -> None:
        """Replace the spec; changed attributes drop the filters on that agent."""
        ...

    def remove_agent(self, agent_id: AgentId) -> None:
        """Forget an agent and all that is held there; returning that later does nothing."""
        ...

    def activate_agent(self, agent_id: AgentId) -> None:
        """Offer its resources again."""
        ...

    def deactivate_agent(self, agent_id: AgentId) -> None:
        """Offer nothing of it; what is held there stays held."""
        ...

    def set_whitelist(self, hostnames: frozenset[str] | None) -> None:
        """Offer only agents on these hosts; None means any."""
        ...

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Set the weights of these roles (others keep theirs; 1.0 is the default)."""
        ...

    def request(self, framework_id: FrameworkId, requests: Iterable[object]) -> None:
        """Note what a framework would like; a policy may ignore it."""
        ...

    def revive(self, framework_id: FrameworkId, roles: Iterable[str] = ()) -> None:
        """Offer to these roles (none named: all) again, their filters gone."""
        ...

    def suppress(self, framework_id: FrameworkId, roles: Iterable[str] = ()) -> None:
        """Offer nothing to these roles (none named: all) until revived; filters stay."""
        ...

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
        """Make resources free again: of a declined or rescinded offer (`Held.OFFERED`) or of what
        ended (`Held.ALLOCATED`). `refuse_seconds` None installs no filter. An unknown framework or
        agent is no error: its books are closed already."""
        ...

    def settle(
        self,
        framework_id: FrameworkId,
        agent_id: AgentId,
        offered: Resources,
        launched: Resources,
        refuse_seconds: float | None,
        now: float,
    ) -> None:
        """Turn `launched`, a part of `offered`, into allocated; the rest is free, with a filter."""
        ...

    def adopt(self, framework_id: FrameworkId, agent_id: AgentId, resources: Resources) -> None:
        """Allocate what is found in use, without an offer; the framework may be unknown yet."""
        ...

    def convert(
        self,
        framework_id: FrameworkId | None,
        agent_id: AgentId,
        consumed: Resources,
        converted: Resources,
        held: Held,
    ) -> None:
        """Replace `consumed` by `converted` on the agent, where `framework_id` holds it; with None
        both are unallocated and `consumed` must be free."""
        ...

    def allocate(self, now: float, seed: int, budget: int | None = None) -> list[Allocation]:
        """Offer what can be offered, looking only at agents where something changed.

        At most `budget` agents are looked at; `pending` says whether some are left. `seed` decides
        the order of agents. Filters that expired by `now` no longer hold.
        """
        ...

    def next_deadline(self, now: float) -> float | None:
        """When the next filter expires, not before `now`; None when there is none."""
        ...

    def role_tree(self) -> tuple[RoleView, ...]:
        """The roles that have frameworks, reservations or a weight; outermost first, by name."""
        ...

    def offered(self, role: str) -> Quantities:
        """What is offered to `role` and below."""
        ...

    def allocated(self, role: str) -> Quantities:
        """What is allocated to `role` and below."""
        ...

    def books(self, agent_id: AgentId) -> AgentBooks:
        """The books of one agent."""
        ...

    def filters_of(self, framework_id: FrameworkId) -> Mapping[str, int]:
        """How many agents each role of the framework now refuses, at least in part."""
        ...
