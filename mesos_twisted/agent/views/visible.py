"""What one principal may see of an agent: asked once per request, then per object."""

from __future__ import annotations

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import NOTHING, Authorizer, ObjectRef
from mesos_twisted.security.core.principal import Principal


class Visible:
    """Questions with the principal's answers; one per request."""

    __slots__ = ("_containers", "_executors", "_flags", "_frameworks", "_roles", "_tasks")

    def __init__(self, authorizer: Authorizer, principal: Principal) -> None:
        self._frameworks = authorizer.approver(principal, Action.VIEW_FRAMEWORK)
        self._executors = authorizer.approver(principal, Action.VIEW_EXECUTOR)
        self._tasks = authorizer.approver(principal, Action.VIEW_TASK)
        self._containers = authorizer.approver(principal, Action.VIEW_CONTAINER)
        self._roles = authorizer.approver(principal, Action.VIEW_ROLE)
        self._flags = authorizer.approver(principal, Action.VIEW_FLAGS)

    def framework(self, info: m.FrameworkInfo) -> bool:
        """May the framework be seen?"""
        return self._frameworks.approves(framework_ref(info))

    def executor(self, executor: m.ExecutorInfo, info: m.FrameworkInfo) -> bool:
        """May the executor be seen?"""
        if self._executors.constant is not None:
            return self._executors.constant
        return self._executors.approves(executor_ref(executor, info))

    def container(self, executor: m.ExecutorInfo, info: m.FrameworkInfo) -> bool:
        """May the executor's containers be seen?"""
        if self._containers.constant is not None:
            return self._containers.constant
        return self._containers.approves(executor_ref(executor, info))

    def task(self, user: str | None, info: m.FrameworkInfo) -> bool:
        """May a task with this user of its own be seen?"""
        if self._tasks.constant is not None:
            return self._tasks.constant
        return self._tasks.approves(framework_ref(info, user))

    def role(self, role: str) -> bool:
        """May the role be seen?"""
        return self._roles.approves(ObjectRef(roles=(role,)))

    def flags(self) -> bool:
        """May the flags be seen?"""
        return self._flags.approves(NOTHING)


def framework_ref(info: m.FrameworkInfo, user: str | None = None) -> ObjectRef:
    """What rules on a framework, or on a task of it with a user of its own, look at."""
    return ObjectRef(
        principal=info.principal,
        user=user or info.user,
        roles=info.roles or ((info.role,) if info.role else ()),
        framework_id=None if info.id is None else info.id.value,
    )


def executor_ref(executor: m.ExecutorInfo, info: m.FrameworkInfo) -> ObjectRef:
    """What rules on an executor look at."""
    user = executor.command.user if executor.command is not None else None
    return ObjectRef(
        principal=info.principal,
        user=user or info.user,
        framework_id=None if info.id is None else info.id.value,
        executor_id=executor.executor_id.value,
    )
