"""Resources that are given twice, filters that hold too short or too much, wishes that crash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mesos_twisted.errors import BugError, Problem
from mesos_twisted.master.core import launching
from mesos_twisted.master.core.allocator import tracking
from mesos_twisted.master.core.allocator.filters import refusal_time
from mesos_twisted.master.core.allocator.interface import AgentSpec
from mesos_twisted.master.core.allocator.tracking import Tracking
from mesos_twisted.master.core.state import Executor
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.testing.sim.zoo.planted import PlantedBug, swap

AREA = "allocation"

_plan_group = launching._plan_group
_add_agent = Tracking.add_agent
_refusal_time = refusal_time
_suppress = Tracking.suppress
_remove_framework = Tracking.remove_framework
_settle = Tracking.settle


def _executor_for_nothing(
    ledger: launching.Ledger, group: m.OfferOperationLaunchGroup
) -> tuple[Executor, list[Resources], Resources] | Problem:
    """A group needs what its tasks need."""
    planned = _plan_group(ledger, group)
    if isinstance(planned, Problem):
        return planned
    executor, held, _ = planned
    needed = NOTHING
    for resources in held:
        needed = needed.add(resources)
    return executor, held, needed


def _comes_back_free(
    self: Tracking,
    agent_id: AgentId,
    spec: AgentSpec,
    used: Mapping[FrameworkId, Resources],
    active: bool = True,
) -> None:
    """All of an agent that is added is free."""
    _add_agent(self, agent_id, spec, {}, active)


def _as_asked(refuse_seconds: float, allocation_interval_s: float) -> float:
    """A refusal holds as long as was asked, though no allocation may come in that time."""
    return _refusal_time(refuse_seconds, 0.0)


def _revive_all(self: Tracking, framework_id: FrameworkId, roles: Iterable[str] = ()) -> None:
    """A framework that revives one role wants everything."""
    self._clients.set_suppressed(framework_id, roles, False)
    for client in self._clients.of(framework_id):
        self._clients._drop_filters(client)
    self._scrub()
    self._all_dirty = True


def _suppress_once(self: Tracking, framework_id: FrameworkId, roles: Iterable[str] = ()) -> None:
    """A role that is suppressed was not suppressed."""
    roles = tuple(roles)
    framework = self._clients._known(framework_id)
    if framework.suppressed.intersection(roles or framework.spec.roles):
        raise BugError(f"Framework {framework_id} is not in the sorter.")
    _suppress(self, framework_id, roles)


def _remove_unsuppressed(self: Tracking, framework_id: FrameworkId) -> None:
    """A framework that is removed takes part in the sorting."""
    if self._clients._known(framework_id).suppressed:
        raise BugError(f"Framework {framework_id} is not in the sorter.")
    _remove_framework(self, framework_id)


def _refuses_all(
    self: Tracking,
    framework_id: FrameworkId,
    agent_id: AgentId,
    offered: Resources,
    launched: Resources,
    refuse_seconds: float | None,
    now: float,
) -> None:
    """Who takes a part of an offer refuses as much as was offered."""
    _settle(self, framework_id, agent_id, offered, launched, refuse_seconds, now)
    agent = self._agents.get(agent_id)
    if agent is None or refuse_seconds is None:
        return
    for role, part in offered.allocations().items():
        client = self._holder(framework_id, role)
        if client is not None:
            self._freed(client, agent, part.unallocate(), refuse_seconds, now)


BUGS = (
    PlantedBug(
        "executor-not-counted",
        AREA,
        "the executor's own resources are not taken from what is free",
        swap((launching, "_plan_group", _executor_for_nothing)),
        (1718,),
    ),
    PlantedBug(
        "returning-agent-is-free",
        AREA,
        "what the tasks of a returning agent use is offered to others",
        swap((Tracking, "add_agent", _comes_back_free)),
        (2919, 7402),
    ),
    PlantedBug(
        "filter-ends-before-the-next-allocation",
        AREA,
        "a filter shorter than the interval of allocations is over before it did anything",
        swap((tracking, "refusal_time", _as_asked)),
        (4302,),
    ),
    PlantedBug(
        "revive-clears-other-roles",
        AREA,
        "reviving one role drops the filters of the framework's other roles",
        swap((Tracking, "revive", _revive_all)),
        (9856,),
    ),
    PlantedBug(
        "filter-on-more-than-was-left",
        AREA,
        "a framework that takes a part of an offer is not offered that part again either",
        swap((Tracking, "settle", _refuses_all)),
        (9616,),
    ),
    PlantedBug(
        "suppressed-twice",
        AREA,
        "suppressing a role that is suppressed already ends the master",
        swap((Tracking, "suppress", _suppress_once)),
        (9870,),
    ),
    PlantedBug(
        "removed-while-suppressed",
        AREA,
        "removing a framework that had suppressed its offers ends the master",
        swap((Tracking, "remove_framework", _remove_unsuppressed)),
        (7566, 9786),
    ),
)
