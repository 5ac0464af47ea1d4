"""Containers and what they use: `/containers`, `/monitor/statistics` and GET_CONTAINERS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mesos_twisted.agent.core.state import AgentState, Container, Executor, Framework
from mesos_twisted.agent.views.v0_pieces import JsonObject
from mesos_twisted.agent.views.visible import Visible
from mesos_twisted.protocol.codec_json import to_plain
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId


@dataclass(frozen=True, slots=True)
class Shown:
    """A container with whose it is."""

    container: Container
    executor: Executor
    framework: Framework


def shown(state: AgentState, visible: Visible, nested: bool = False) -> Iterator[Shown]:
    """The containers the principal may see; those inside another only when `nested`."""
    for container in state.containers.values():
        if container.parent is not None and not nested:
            continue
        framework = state.frameworks.get(container.framework_id)
        executor = None if framework is None else framework.executors.get(container.executor_id)
        if framework is None or executor is None:
            continue
        if visible.container(executor.info, framework.info):
            yield Shown(container, executor, framework)


def status_of(container: Container) -> m.ContainerStatus:
    """Its id and first process."""
    return m.ContainerStatus(container_id=container_id(container), executor_pid=container.pid)


def container_id(container: Container) -> m.ContainerID:
    """The id, below its parent's when it has one."""
    parent = None if container.parent is None else m.ContainerID(value=container.parent)
    return m.ContainerID(value=container.id, parent=parent)


def to_v1(
    one: Shown, usage: Mapping[ContainerId, m.ResourceStatistics]
) -> m.AgentResponseGetContainersContainer:
    """One row of GET_CONTAINERS."""
    return m.AgentResponseGetContainersContainer(
        framework_id=m.FrameworkID(value=one.framework.id),
        executor_id=m.ExecutorID(value=one.executor.id),
        executor_name=one.executor.info.name,
        container_id=container_id(one.container),
        container_status=status_of(one.container),
        resource_statistics=usage.get(one.container.id),
    )


def to_v0(
    one: Shown, usage: Mapping[ContainerId, m.ResourceStatistics], with_status: bool
) -> JsonObject:
    """One row of `/containers` (with its id and status) or of `/monitor/statistics`."""
    out: JsonObject = {}
    if with_status:
        out["container_id"] = one.container.id
    out["executor_id"] = one.executor.id
    out["executor_name"] = one.executor.info.name or ""
    out["framework_id"] = one.framework.id
    out["source"] = one.executor.info.source or ""
    statistics = usage.get(one.container.id)
    if statistics is not None:
        out["statistics"] = dict(sorted(to_plain(statistics).items()))
    if with_status:
        out["status"] = to_plain(status_of(one.container))
    return out
