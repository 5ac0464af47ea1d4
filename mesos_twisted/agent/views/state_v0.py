"""The document of `/state` (and `/slave(1)/state`), key by key as Mesos's agents write it."""

from __future__ import annotations

from collections.abc import Iterable

from mesos_twisted.agent.core.ending import to_task
from mesos_twisted.agent.core.state import (
    AgentState,
    CompletedExecutor,
    Executor,
    Framework,
)
from mesos_twisted.agent.views.facts import Facts
from mesos_twisted.agent.views.v0_pieces import (
    JsonObject,
    attributes,
    known,
    labels,
    queued_task,
    role_of,
    task,
    totals,
)
from mesos_twisted.agent.views.visible import Visible
from mesos_twisted.protocol.codec_json import to_plain
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.convert import to_message


def document(
    state: AgentState, facts: Facts, visible: Visible, master_hostname: str | None
) -> JsonObject:
    """Everything the principal may see, ready for a JSON writer."""
    policy, info = state.policy, state.info
    total = known(info.resources)
    used = allocated(state)
    out: JsonObject = {
        "version": facts.version,
        "build_date": facts.build_date,
        "build_time": facts.build_time,
        "build_user": facts.build_user,
        "start_time": facts.start_time,
        "id": state.agent_id or "",
        "pid": policy.pid,
        "hostname": info.hostname,
        "capabilities": list(policy.capabilities),
    }
    if info.domain is not None:
        out["domain"] = to_plain(info.domain)
    if state.drain is not None:
        out["drain_config"] = to_plain(state.drain)
        out["estimated_drain_start_time_seconds"] = int(state.drain_began)
    out["resources"] = totals(total)
    reserved, unreserved = by_role(total)
    out["reserved_resources"] = {
        role: totals(held) for role, held in reserved.items() if visible.role(role)
    }
    out["unreserved_resources"] = totals(unreserved)
    out["reserved_resources_full"] = {
        role: full(held) for role, held in reserved.items() if visible.role(role)
    }
    out["unreserved_resources_full"] = full(unreserved)
    reserved, unreserved = by_role(used)
    out["reserved_resources_allocated"] = {
        role: totals(held) for role, held in reserved.items() if visible.role(role)
    }
    out["unreserved_resources_allocated"] = totals(unreserved)
    out["resource_providers"] = []
    out["attributes"] = attributes(info.attributes)
    if master_hostname is not None:
        out["master_hostname"] = master_hostname
    if visible.flags():
        if facts.external_log_file is not None:
            out["external_log_file"] = facts.external_log_file
        out["flags"] = dict(facts.flags)
    out["frameworks"] = _frameworks(state, state.frameworks.values(), visible)
    out["completed_frameworks"] = _frameworks(state, state.completed_frameworks.values(), visible)
    return out


def allocated(state: AgentState) -> Resources:
    """What everything here uses."""
    used = NOTHING
    for framework in state.frameworks.values():
        for executor in framework.executors.values():
            used = used + executor_resources(executor)
    return used


def executor_resources(executor: Executor) -> Resources:
    """The executor's own and its live tasks' resources."""
    used = known(executor.info.resources)
    for one in executor.live:
        used = used + known(one.info.resources)
    return used


def by_role(resources: Resources) -> tuple[dict[str, Resources], Resources]:
    """Reserved resources by role, and the unreserved ones."""
    reserved: dict[str, list[m.Resource]] = {}
    free: list[m.Resource] = []
    for one in resources:
        message = to_message(one, refined=True)
        if one.reservations:
            reserved.setdefault(one.reservations[-1].role, []).append(message)
        else:
            free.append(message)
    return {role: known(held) for role, held in reserved.items()}, known(free)


def full(resources: Resources) -> list[JsonObject]:
    """Every resource as an object, in both formats at once as Mesos's endpoints do."""
    return [to_plain(to_message(one, refined=True, both=True)) for one in resources]


def _frameworks(
    state: AgentState, frameworks: Iterable[Framework], visible: Visible
) -> list[JsonObject]:
    return [_framework(state, one, visible) for one in frameworks if visible.framework(one.info)]


def _framework(state: AgentState, framework: Framework, visible: Visible) -> JsonObject:
    info = framework.info
    out: JsonObject = {
        "id": framework.id,
        "name": info.name,
        "user": info.user,
        "failover_timeout": info.failover_timeout,
        "checkpoint": info.checkpoint,
        "hostname": info.hostname or "",
    }
    if info.principal is not None:
        out["principal"] = info.principal
    if framework.capable(m.FrameworkInfoCapabilityType.MULTI_ROLE):
        out["roles"] = list(info.roles)
    else:
        out["role"] = info.role or "*"
    out["executors"] = [
        _executor(state, one, framework, visible)
        for one in framework.executors.values()
        if visible.executor(one.info, info)
    ]
    out["completed_executors"] = [
        _completed(one, framework, visible, state.policy.work_dir)
        for one in framework.completed
        if visible.executor(one.info, info)
    ]
    return out


def _executor(
    state: AgentState, executor: Executor, framework: Framework, visible: Visible
) -> JsonObject:
    out = _executor_head(
        executor.id, executor.container_id, executor.directory, executor.info, state.policy.work_dir
    )
    out["resources"] = totals(executor_resources(executor))
    _executor_tail(out, executor.info)
    launched: list[JsonObject] = []
    queued: list[JsonObject] = []
    ended: list[JsonObject] = []
    for one in executor.tasks.values():
        if not visible.task(task_user(one.info), framework.info):
            continue
        if one.queued:
            queued.append(queued_task(one.info))
        else:
            (ended if one.ended else launched).append(task(to_task(state, executor, one)))
    done = [task(t) for t in executor.completed_tasks if visible.task(t.user, framework.info)]
    out["tasks"] = launched
    out["queued_tasks"] = queued
    out["completed_tasks"] = done + ended
    return out


def _completed(
    executor: CompletedExecutor, framework: Framework, visible: Visible, work_dir: str
) -> JsonObject:
    out = _executor_head(
        executor.id, executor.container_id, executor.directory, executor.info, work_dir
    )
    out["resources"] = totals(known(executor.info.resources))
    _executor_tail(out, executor.info)
    out["tasks"] = []
    out["queued_tasks"] = []
    out["completed_tasks"] = [
        task(t) for t in executor.tasks if visible.task(t.user, framework.info)
    ]
    return out


def _executor_head(
    executor_id: str,
    container_id: str,
    directory: str,
    info: m.ExecutorInfo,
    work_dir: str,
) -> JsonObject:
    return {
        "id": executor_id,
        "name": info.name or "",
        "source": info.source or "",
        "container": container_id,
        "directory": f"{work_dir}/{directory}",
    }


def _executor_tail(out: JsonObject, info: m.ExecutorInfo) -> None:
    if info.resources:
        out["role"] = role_of(info.resources)
    if info.labels is not None:
        out["labels"] = labels(info.labels)
    if info.type is not None:
        out["type"] = info.type.value


def task_user(info: m.TaskInfo) -> str | None:
    """The user a task names itself."""
    command = info.command or (None if info.executor is None else info.executor.command)
    return None if command is None else command.user
