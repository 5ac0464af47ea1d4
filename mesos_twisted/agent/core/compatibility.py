"""May a restarted agent with these flags still be the agent that it was?

`equal`: the total and the attributes must be the same. `additive`: they may grow. Otherwise tasks
could hold what the agent no longer has. Source: compatibility.cpp, agent-recovery.md.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mesos_twisted.errors import Problem
from mesos_twisted.protocol.generated import messages as m

_Amounts = dict[object, tuple[int, list[tuple[int, int]], set[str]]]


def check(policy: str, before: m.AgentInfo, now: m.AgentInfo) -> Problem | None:
    """Why the agent may not go on under its old id, or None."""
    if before.domain != now.domain and before.domain is not None:
        return _problem("domain", policy)
    old, new = _amounts(before.resources), _amounts(now.resources)
    if policy != "additive":
        if before.hostname != now.hostname or before.port != now.port:
            return _problem("hostname or port", policy)
        if old != new:
            return _problem("resources", policy)
        if sorted(map(repr, before.attributes)) != sorted(map(repr, now.attributes)):
            return _problem("attributes", policy)
        return None
    for key, (milli, ranges, items) in old.items():
        have = new.get(key, (0, [], set()))
        if have[0] < milli or not _covers(have[1], ranges) or not items <= have[2]:
            return _problem("resources", policy)
    if not set(map(repr, before.attributes)) <= set(map(repr, now.attributes)):
        return _problem("attributes", policy)
    return None


def _problem(what: str, policy: str) -> Problem:
    return Problem(
        "incompatible",
        f"The agent's {what} changed since it was admitted, which "
        f"reconfiguration_policy={policy} does not allow: restore the old {what}, or remove the "
        "checkpoint below work_dir/meta to start as a new agent (its tasks are then lost)",
    )


def _amounts(resources: Iterable[m.Resource]) -> _Amounts:
    out: _Amounts = {}
    for resource in resources:
        bare = msgspec.structs.replace(resource, scalar=None, ranges=None, set=None)
        milli, ranges, items = out.get(repr(bare), (0, [], set()))
        if resource.scalar is not None:
            milli += round(resource.scalar.value * 1000)
        if resource.ranges is not None:
            ranges = sorted([*ranges, *((r.begin, r.end) for r in resource.ranges.range)])
        if resource.set is not None:
            items = items | set(resource.set.item)
        out[repr(bare)] = (milli, ranges, items)
    return out


def _covers(have: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> bool:
    merged: list[tuple[int, int]] = []
    for begin, end in have:
        if merged and begin <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return all(any(b <= begin and end <= e for b, e in merged) for begin, end in wanted)
