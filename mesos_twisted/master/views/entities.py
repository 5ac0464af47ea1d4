"""One task, executor, offer, agent or framework as the legacy pages show it."""

from __future__ import annotations

from mesos_twisted.master.core.state import Agent, Executor, Framework, Offer, Task
from mesos_twisted.master.views import documents as d
from mesos_twisted.master.views.documents import Doc
from mesos_twisted.master.views.visible import Visible
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.convert import to_message


def task(item: Task) -> bytes:
    """A task; its fixed part is decoded for this and dropped again."""
    fixed = item.fixed()
    document: Doc = {
        "id": item.task_id,
        "name": fixed.name,
        "framework_id": item.framework_id,
        "executor_id": item.executor_id or "",
        "slave_id": item.agent_id,
        "state": item.state.value,
        "resources": d.resources(item.resources),
    }
    if fixed.limits:
        document["limits"] = {name: _number(limit.value) for name, limit in fixed.limits.items()}
    document["role"] = item.role
    document["statuses"] = [d.status(status) for status in item.statuses]
    if fixed.user is not None:
        document["user"] = fixed.user
    if fixed.labels is not None:
        document["labels"] = d.labels(fixed.labels)
    if fixed.discovery is not None:
        document["discovery"] = d.raw(fixed.discovery)
    if fixed.container is not None:
        document["container"] = d.raw(fixed.container)
    if fixed.health_check is not None:
        document["health_check"] = d.raw(fixed.health_check)
    return d.encode(document)


def executor(item: Executor) -> Doc:
    """An executor that a framework named itself."""
    info = item.info
    document: Doc = {
        "executor_id": item.executor_id,
        "name": info.name or "",
        "framework_id": item.framework_id,
        "command": d.command(info.command),
        "resources": d.resources(item.resources),
    }
    for role in item.resources.allocations():
        document["role"] = role
        break
    if info.labels is not None:
        document["labels"] = d.labels(info.labels)
    if info.type is not None:
        document["type"] = info.type.value
    document["slave_id"] = item.agent_id
    return document


def offer(item: Offer) -> Doc:
    """An open offer."""
    return {
        "id": item.offer_id,
        "framework_id": item.framework_id,
        "allocation_info": {"role": item.role},
        "slave_id": item.agent_id,
        "resources": d.resources(item.resources),
    }


def framework_summary(item: Framework) -> Doc:
    """What /state-summary begins with, and /state too."""
    return {
        "id": item.framework_id,
        "name": item.info.name,
        "used_resources": d.resources(item.total_used()),
        "offered_resources": d.resources(item.offered()),
        "capabilities": [one.type.value for one in item.info.capabilities if one.type is not None],
        "hostname": item.info.hostname or "",
        "webui_url": item.info.webui_url or "",
        "active": item.active and item.unregistered_at is None,
        "connected": item.connected and item.unregistered_at is None,
        "recovered": item.recovered,
    }


def framework_head(item: Framework) -> Doc:
    """All of a framework that comes before its tasks."""
    info = item.info
    document = framework_summary(item)
    document["user"] = info.user
    document["failover_timeout"] = info.failover_timeout
    document["checkpoint"] = info.checkpoint
    document["registered_time"] = item.registered_at
    document["unregistered_time"] = item.unregistered_at or 0.0
    if info.principal is not None:
        document["principal"] = info.principal
    document["resources"] = d.resources(item.total_used().add(item.offered()))
    if item.reregistered_at is not None and item.reregistered_at != item.registered_at:
        document["reregistered_time"] = item.reregistered_at
    if item.multi_role:
        document["roles"] = list(info.roles)
    else:
        document["role"] = info.role or "*"
    return document


def framework_tail(item: Framework, visible: Visible) -> Doc:
    """All of a framework that comes after its tasks."""
    document: Doc = {
        "offers": [offer(one) for one in item.offers.values()],
        "executors": [
            executor(one)
            for executors in item.executors.values()
            for one in executors.values()
            if visible.executor(item, one)
        ],
    }
    if item.info.labels is not None:
        document["labels"] = d.labels(item.info.labels)
    constraints = item.offer_constraints or m.SchedulerOfferConstraints()
    document["offer_constraints"] = d.raw(constraints)
    return document


def agent_info(info: m.AgentInfo) -> Doc:
    """An agent's own words: registered or recovered."""
    document: Doc = {
        "id": info.id.value if info.id is not None else "",
        "hostname": info.hostname,
        "port": info.port,
        "attributes": d.attributes(info.attributes),
    }
    if info.domain is not None:
        document["domain"] = d.raw(info.domain)
    return document


def agent(item: Agent, used: Resources, visible: Visible) -> Doc:
    """An agent with what it holds, summed by name; `used` is allocated on it."""
    document = agent_info(item.info)
    document["id"] = item.agent_id
    document["pid"] = item.pid
    document["registered_time"] = item.registered_at
    if item.reregistered_at is not None:
        document["reregistered_time"] = item.reregistered_at
    document["resources"] = d.resources(item.total)
    document["used_resources"] = d.resources(used)
    document["offered_resources"] = d.resources(item.offered())
    document["reserved_resources"] = {
        role: d.resources(held)
        for role, held in item.total.reservations().items()
        if visible.role(role)
    }
    document["unreserved_resources"] = d.resources(item.total.unreserved())
    document["active"] = item.active
    document["deactivated"] = item.deactivated
    document["version"] = item.agent_version
    document["capabilities"] = list(item.capabilities)
    if item.draining is not None:
        document["drain_info"] = d.raw(item.draining)
    if item.drain_began is not None:
        document["estimated_drain_start_time_seconds"] = float(int(item.drain_began))
    return document


def agent_full(item: Agent, used: Resources, visible: Visible) -> Doc:
    """Like `agent`, with every resource whole, as /slaves shows it."""
    document = agent(item, used, visible)
    document["reserved_resources_full"] = {
        role: _whole(held, visible)
        for role, held in item.total.reservations().items()
        if visible.role(role)
    }
    document["unreserved_resources_full"] = _whole(item.total.unreserved(), visible)
    document["used_resources_full"] = _whole(used, visible)
    document["offered_resources_full"] = _whole(item.offered(), visible)
    return document


def _whole(held: Resources, visible: Visible) -> list[object]:
    return [
        d.raw(to_message(one, refined=False, both=True)) for one in held if visible.resource(one)
    ]


def _number(value: float) -> float | str:
    return "Infinity" if value == float("inf") else value
