"""The one step that asks the authorizer about every object in a scheduler's call.

The core gets the refusals and applies them as it acts: HTTP has answered 202 by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mesos_twisted.errors import Problem
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import Authorizer, ObjectRef
from mesos_twisted.security.core.principal import Principal

Kind = m.OfferOperationType
NO_REFUSALS: Final[Mapping[str, Problem]] = {}


def may_register(
    authorizer: Authorizer, principal: Principal, info: m.FrameworkInfo, roles: tuple[str, ...]
) -> Problem | None:
    """Why this principal may not subscribe (or update) a framework in these roles, or None."""
    obj = ObjectRef(principal=info.principal, user=info.user, roles=roles)
    verdict = authorizer.judge(principal, Action.REGISTER_FRAMEWORK, obj)
    return None if verdict.allowed else Problem("unauthorized", verdict.reason)


def operation_key(index: int) -> str:
    """The key of an ACCEPT's operation that is no launch, by its place in the list."""
    return f"operation:{index}"


def refusals(
    authorizer: Authorizer, principal: Principal, info: m.FrameworkInfo, call: m.SchedulerCallAccept
) -> Mapping[str, Problem]:
    """Task id (or `operation_key`) to why it may not be; empty when all may."""
    found: dict[str, Problem] = {}
    run = authorizer.approver(principal, Action.RUN_TASK)
    for index, operation in enumerate(call.operations):
        kind = operation.type
        if kind is Kind.LAUNCH or kind is Kind.LAUNCH_GROUP:
            if run.constant is True:
                continue
            for task in _tasks(operation):
                obj = ObjectRef(info.principal, _user(task, operation, info), roles=_roles(info))
                if not run.approves(obj):
                    verdict = authorizer.judge(principal, Action.RUN_TASK, obj)
                    found[task.task_id.value] = Problem("unauthorized", verdict.reason)
        elif kind is not None:
            rule = _RULES.get(kind)
            if rule is None:
                continue
            action, objects = rule
            for obj in objects(operation):
                verdict = authorizer.judge(principal, action, obj)
                if not verdict.allowed:
                    found[operation_key(index)] = Problem("unauthorized", verdict.reason)
                    break
    return found or NO_REFUSALS


def _tasks(operation: m.OfferOperation) -> Iterator[m.TaskInfo]:
    if operation.launch is not None:
        yield from operation.launch.task_infos
    if operation.launch_group is not None:
        yield from operation.launch_group.task_group.tasks


def _user(task: m.TaskInfo, operation: m.OfferOperation, info: m.FrameworkInfo) -> str:
    """The user a task runs as: its command's, its executor's, else the framework's."""
    executor = task.executor
    if operation.launch_group is not None:
        executor = operation.launch_group.executor
    for command in (task.command, None if executor is None else executor.command):
        if command is not None and command.user:
            return command.user
    return info.user


def _roles(info: m.FrameworkInfo) -> tuple[str, ...]:
    return info.roles or ((info.role,) if info.role else ())


def _role_of(resource: m.Resource) -> str:
    if resource.reservations:
        return resource.reservations[-1].role or "*"
    return resource.role or "*"


def _by_role(resources: tuple[m.Resource, ...]) -> Iterator[ObjectRef]:
    for resource in resources:
        yield ObjectRef(principal=_reserver(resource), roles=(_role_of(resource),))


def _reserver(resource: m.Resource) -> str | None:
    if resource.reservations:
        return resource.reservations[-1].principal
    return None if resource.reservation is None else resource.reservation.principal


def _creator(resource: m.Resource) -> str | None:
    disk = resource.disk
    if disk is None or disk.persistence is None:
        return None
    return disk.persistence.principal


def _volumes(resources: tuple[m.Resource, ...]) -> Iterator[ObjectRef]:
    for resource in resources:
        yield ObjectRef(principal=_creator(resource), roles=(_role_of(resource),))


def _of(operation: m.OfferOperation) -> Iterator[ObjectRef]:
    if operation.reserve is not None:
        yield from _by_role(operation.reserve.resources)
    if operation.unreserve is not None:
        yield from _by_role(operation.unreserve.resources)
    if operation.create is not None:
        yield from _volumes(operation.create.volumes)
    if operation.destroy is not None:
        yield from _volumes(operation.destroy.volumes)
    if operation.grow_volume is not None:
        yield from _volumes((operation.grow_volume.volume,))
    if operation.shrink_volume is not None:
        yield from _volumes((operation.shrink_volume.volume,))
    if operation.create_disk is not None:
        yield from _by_role((operation.create_disk.source,))
    if operation.destroy_disk is not None:
        yield from _by_role((operation.destroy_disk.source,))


_RULES: Final[dict[Kind, tuple[Action, Callable[[m.OfferOperation], Iterator[ObjectRef]]]]] = {
    Kind.RESERVE: (Action.RESERVE_RESOURCES, _of),
    Kind.UNRESERVE: (Action.UNRESERVE_RESOURCES, _of),
    Kind.CREATE: (Action.CREATE_VOLUME, _of),
    Kind.DESTROY: (Action.DESTROY_VOLUME, _of),
    Kind.GROW_VOLUME: (Action.RESIZE_VOLUME, _of),
    Kind.SHRINK_VOLUME: (Action.RESIZE_VOLUME, _of),
    Kind.CREATE_DISK: (Action.CREATE_MOUNT_DISK, _of),
    Kind.DESTROY_DISK: (Action.DESTROY_MOUNT_DISK, _of),
}
