"""Short ways to write the values a framework needs: resources, a command task, a framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mesos_twisted.protocol.generated import messages as m


def scalar(name: str, value: float, role: str | None = None) -> m.Resource:
    """A scalar resource: `scalar("cpus", 0.5)`."""
    return m.Resource(
        name=name,
        type=m.ValueType.SCALAR,
        scalar=m.ValueScalar(value=value),
        allocation_info=m.ResourceAllocationInfo(role=role) if role else None,
    )


def ranges(name: str, *pairs: tuple[int, int], role: str | None = None) -> m.Resource:
    """A ranges resource with inclusive pairs: `ranges("ports", (31000, 31001))`."""
    return m.Resource(
        name=name,
        type=m.ValueType.RANGES,
        ranges=m.ValueRanges(range=tuple(m.ValueRange(begin=a, end=b) for a, b in pairs)),
        allocation_info=m.ResourceAllocationInfo(role=role) if role else None,
    )


def amount(resources: Iterable[m.Resource], name: str) -> float:
    """How much of a scalar there is in all."""
    return sum(r.scalar.value for r in resources if r.name == name and r.scalar is not None)


def framework_info(
    name: str,
    user: str,
    *,
    roles: Iterable[str] = ("*",),
    failover_timeout_s: float = 0.0,
    checkpoint: bool = True,
    principal: str | None = None,
    capabilities: Iterable[m.FrameworkInfoCapabilityType] = (),
) -> m.FrameworkInfo:
    """A framework with the capabilities a modern scheduler wants: multi-role, partition-aware."""
    kinds = m.FrameworkInfoCapabilityType
    wanted = (kinds.MULTI_ROLE, kinds.PARTITION_AWARE, kinds.RESERVATION_REFINEMENT, *capabilities)
    return m.FrameworkInfo(
        user=user,
        name=name,
        roles=tuple(roles),
        failover_timeout=failover_timeout_s,
        checkpoint=checkpoint,
        principal=principal,
        capabilities=tuple(m.FrameworkInfoCapability(type=kind) for kind in wanted),
    )


def command_task(
    task_id: str,
    offer: m.Offer,
    command: str | Iterable[str],
    *,
    cpus: float = 0.1,
    mem_mb: float = 32,
    name: str | None = None,
    env: Mapping[str, str] | None = None,
    uris: Iterable[str] = (),
) -> m.TaskInfo:
    """A task that runs a shell command (a text) or a program with arguments (a list)."""
    role = offer.allocation_info.role if offer.allocation_info else None
    environment = m.Environment(
        variables=tuple(
            m.EnvironmentVariable(name=key, value=value) for key, value in (env or {}).items()
        )
    )
    fetched = tuple(m.CommandInfoURI(value=uri) for uri in uris)
    if isinstance(command, str):
        info = m.CommandInfo(value=command, environment=environment, uris=fetched)
    else:
        argv = tuple(command)
        info = m.CommandInfo(
            shell=False, value=argv[0], arguments=argv, environment=environment, uris=fetched
        )
    return m.TaskInfo(
        name=name or task_id,
        task_id=m.TaskID(value=task_id),
        agent_id=offer.agent_id,
        resources=(scalar("cpus", cpus, role), scalar("mem", mem_mb, role)),
        command=info,
    )
