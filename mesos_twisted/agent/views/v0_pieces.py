"""Resources, tasks and statuses as the old `/state` documents spell them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mesos_twisted.errors import Problem
from mesos_twisted.protocol.codec_json import to_plain
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.convert import from_messages
from mesos_twisted.resources.values import Ranges, to_float

JsonObject = dict[str, Any]


def known(messages: Iterable[m.Resource]) -> Resources:
    """The sum; what cannot be understood counts as nothing (it was refused when it came)."""
    found = from_messages(messages)
    return NOTHING if isinstance(found, Problem) else found


def totals(resources: Resources) -> JsonObject:
    """One number or text a name; the four usual names are always there."""
    out: JsonObject = {"disk": 0.0, "mem": 0.0, "gpus": 0.0, "cpus": 0.0}
    scalars: dict[str, int] = {}
    ranges: dict[str, Ranges] = {}
    sets: dict[str, set[str]] = {}
    for one in resources:
        name = one.name + "_revocable" if one.revocable else one.name
        value = one.value
        if isinstance(value, int):
            scalars[name] = scalars.get(name, 0) + value
        elif isinstance(value, Ranges):
            before = ranges.get(name)
            ranges[name] = value if before is None else before.add(value)
        else:
            sets.setdefault(name, set()).update(value)
    for name, amount in scalars.items():
        out[name] = to_float(amount)
    for name, spans in ranges.items():
        out[name] = "[" + ", ".join(f"{b}-{e}" for b, e in spans.pairs) + "]"
    for name, items in sets.items():
        out[name] = "{" + ", ".join(sorted(items)) + "}"
    return out


def role_of(messages: Iterable[m.Resource]) -> str:
    """The role the resources are allocated to."""
    for one in messages:
        if one.allocation_info is not None and one.allocation_info.role:
            return one.allocation_info.role
    return "*"


def labels(value: m.Labels) -> list[JsonObject]:
    """Labels as a list of pairs."""
    return [to_plain(one) for one in value.labels]


def status(value: m.TaskStatus) -> JsonObject:
    """One status of a task."""
    out: JsonObject = {"state": value.state.value, "timestamp": value.timestamp}
    if value.labels is not None:
        out["labels"] = labels(value.labels)
    if value.container_status is not None:
        plain = to_plain(value.container_status)
        out["container_status"] = {
            key: plain[key]
            for key in ("container_id", "network_infos", "cgroup_info")
            if key in plain
        }
    if value.healthy is not None:
        out["healthy"] = value.healthy
    return out


def task(value: m.Task) -> JsonObject:
    """A launched or completed task."""
    out: JsonObject = {
        "id": value.task_id.value,
        "name": value.name,
        "framework_id": value.framework_id.value,
        "executor_id": "" if value.executor_id is None else value.executor_id.value,
        "slave_id": value.agent_id.value,
        "state": value.state.value,
        "resources": totals(known(value.resources)),
    }
    if value.limits:
        out["limits"] = {name: amount.value for name, amount in value.limits.items()}
    out["role"] = role_of(value.resources)
    out["statuses"] = [status(one) for one in value.statuses]
    if value.user is not None:
        out["user"] = value.user
    if value.labels is not None:
        out["labels"] = labels(value.labels)
    if value.discovery is not None:
        out["discovery"] = to_plain(value.discovery)
    if value.container is not None:
        out["container"] = to_plain(value.container)
    if value.health_check is not None:
        out["health_check"] = to_plain(value.health_check)
    return out


def queued_task(value: m.TaskInfo) -> JsonObject:
    """A task its executor was not given yet."""
    out: JsonObject = {
        "id": value.task_id.value,
        "name": value.name,
        "slave_id": value.agent_id.value,
        "resources": totals(known(value.resources)),
        "role": role_of(value.resources),
        "data": "",
    }
    if value.labels is not None:
        out["labels"] = labels(value.labels)
    return out


def attributes(values: Iterable[m.Attribute]) -> JsonObject:
    """Attributes by name."""
    out: JsonObject = {}
    for one in values:
        if one.scalar is not None:
            out[one.name] = one.scalar.value
        elif one.text is not None:
            out[one.name] = one.text.value
        elif one.ranges is not None:
            out[one.name] = "[" + ", ".join(f"{r.begin}-{r.end}" for r in one.ranges.range) + "]"
    return out
