"""The gauges of the master, from one look at its state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from operator import attrgetter

from mesos_twisted.master.core.state import MasterState
from mesos_twisted.metrics.names import ACTIVE_STATES, RESOURCE_KINDS, framework_counters
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.resource import REVOCABLE
from mesos_twisted.resources.values import to_float

#: Frameworks times agents up to which filters are counted: each pair is looked at.
_FILTERS_ASKED = 50_000
_STATE = attrgetter("state._value_")


def gauges(state: MasterState, now: float) -> Mapping[str, float]:
    """Every gauge that the state answers, by name."""
    found: dict[str, float] = {
        "master/elected": 1.0 if state.elected_at is not None else 0.0,
        "master/uptime_secs": max(0.0, now - state.started_at),
        "master/outstanding_offers": float(len(state.offers)),
        "master/operator_event_stream_subscribers": float(state.operator_subscribers),
        "master/event_queue_dispatches": 0.0,
        "master/event_queue_http_requests": 0.0,
        "master/event_queue_messages": 0.0,
        "allocator/event_queue_dispatches": 0.0,
        "allocator/mesos/event_queue_dispatches": 0.0,
    }
    _frameworks(state, found)
    _agents(state, found)
    _tasks(state, found)
    _resources(state, found)
    _roles(state, found)
    return found


def _frameworks(state: MasterState, found: dict[str, float]) -> None:
    frameworks = state.frameworks.values()
    active = sum(one.active for one in frameworks)
    connected = sum(one.connected for one in frameworks)
    found["master/frameworks_active"] = float(active)
    found["master/frameworks_inactive"] = float(len(state.frameworks) - active)
    found["master/frameworks_connected"] = float(connected)
    found["master/frameworks_disconnected"] = float(len(state.frameworks) - connected)
    for one in frameworks:
        if one.metrics:
            # What was not counted yet is shown as 0; the counters themselves come after these.
            found.update(dict.fromkeys(framework_counters(one.metrics), 0.0))
            found[one.metrics + "subscribed"] = 1.0 if one.connected else 0.0
            for role in one.roles:
                suppressed = 1.0 if role in one.suppressed else 0.0
                found[f"{one.metrics}roles/{role}/suppressed"] = suppressed


def _agents(state: MasterState, found: dict[str, float]) -> None:
    agents = state.agents.values()
    active = sum(one.active for one in agents)
    connected = sum(one.connected for one in agents)
    found["master/slaves_active"] = float(active)
    found["master/slaves_inactive"] = float(len(state.agents) - active)
    found["master/slaves_connected"] = float(connected)
    found["master/slaves_disconnected"] = float(len(state.agents) - connected)
    found["master/slaves_unreachable"] = float(len(state.unreachable))


def _tasks(state: MasterState, found: dict[str, float]) -> None:
    totals: Counter[str] = Counter()
    for framework in state.frameworks.values():
        counted = Counter(map(_STATE, framework.tasks.values()))
        counted["TASK_UNREACHABLE"] += len(framework.unreachable)
        totals.update(counted)
        if framework.metrics:
            for word in (*ACTIVE_STATES, "unknown"):
                count = counted[f"TASK_{word.upper()}"]
                found[f"{framework.metrics}tasks/active/task_{word}"] = float(count)
    for word in ACTIVE_STATES:
        found[f"master/tasks_{word}"] = float(totals[f"TASK_{word.upper()}"])


def _resources(state: MasterState, found: dict[str, float]) -> None:
    total: dict[tuple[str, bool], int] = {}
    used: dict[tuple[str, bool], int] = {}
    offered: dict[tuple[str, bool], int] = {}
    for agent in state.agents.values():
        _count(agent.total, total)
    if any(revocable for _, revocable in total):
        for framework in state.frameworks.values():
            for agent_id, held in framework.used.items():
                if agent_id in state.agents:
                    _count(held, used)
        for offer in state.offers.values():
            _count(offer.resources, offered)
    else:
        # The roles have the sums already, whatever the number of tasks.
        for view in state.allocator.role_tree():
            for amounts, into in ((view.allocated, used), (view.offered, offered)):
                for name, amount in amounts.items():
                    into[name, False] = into.get((name, False), 0) + amount
    for kind in RESOURCE_KINDS:
        for revocable, form in ((False, ""), (True, "_revocable")):
            whole = to_float(total.get((kind, revocable), 0))
            part = to_float(used.get((kind, revocable), 0))
            found[f"master/{kind}{form}_total"] = whole
            found[f"master/{kind}{form}_used"] = part
            found[f"master/{kind}{form}_percent"] = part / whole if whole else 0.0
        if kind != "gpus":
            taken = sum(table.get((kind, r), 0) for table in (used, offered) for r in (False, True))
            whole = to_float(sum(total.get((kind, r), 0) for r in (False, True)))
            found[f"allocator/mesos/resources/{kind}/offered_or_allocated"] = to_float(taken)
            found[f"allocator/mesos/resources/{kind}/total"] = whole


def _roles(state: MasterState, found: dict[str, float]) -> None:
    waiting = list(state.allocator.role_tree())
    while waiting:
        view = waiting.pop()
        waiting.extend(view.children)
        found[f"allocator/mesos/roles/{view.role}/shares/dominant"] = view.share
        for name, amount in view.allocated.items():
            key = f"allocator/mesos/quota/roles/{view.role}/resources/{name}/consumed"
            found[key] = to_float(amount)
    filters: Counter[str] = Counter()
    if len(state.frameworks) * len(state.agents) <= _FILTERS_ASKED:
        for framework in state.frameworks.values():
            filters.update(state.allocator.filters_of(framework.framework_id))
    for role, count in filters.items():
        found[f"allocator/mesos/offer_filters/roles/{role}/active"] = float(count)


def _count(held: Resources, into: dict[tuple[str, bool], int]) -> None:
    if not held.traits & REVOCABLE:
        # Nearly all there is; the sums of a Resources are kept with it.
        for name, amount in held.quantities().items():
            into[name, False] = into.get((name, False), 0) + amount
        return
    for revocable, part in ((False, held.non_revocable()), (True, held.revocable())):
        for name, amount in part.quantities().items():
            into[name, revocable] = into.get((name, revocable), 0) + amount
