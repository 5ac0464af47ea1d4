"""What one principal may see: questions to the authorizer, put in the views' words.

A principal who may see everything is known beforehand (`everything`), so that shared, cached
fragments can be used for it without asking about any object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mesos_twisted.master.core.state import Executor, Framework, Task
from mesos_twisted.resources.resource import Resource
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import (
    NOTHING,
    Always,
    Approver,
    Authorizer,
    ObjectRef,
)
from mesos_twisted.security.core.principal import Principal


class Visible:
    """The approvers of one principal for one request."""

    __slots__ = ("_executors", "_flags", "_frameworks", "_roles", "_tasks", "everything")

    def __init__(self, ask: Callable[[Action], Approver]) -> None:
        """`ask` gives the approver of the principal for an action."""
        self._frameworks = ask(Action.VIEW_FRAMEWORK)
        self._tasks = ask(Action.VIEW_TASK)
        self._executors = ask(Action.VIEW_EXECUTOR)
        self._roles = ask(Action.VIEW_ROLE)
        self._flags = ask(Action.VIEW_FLAGS)
        #: Frameworks, tasks, executors and roles: all of them.
        self.everything = all(
            approver.constant is True
            for approver in (self._frameworks, self._tasks, self._executors, self._roles)
        )

    def framework(self, item: Framework) -> bool:
        """May it be shown at all?"""
        constant = self._frameworks.constant
        return self._frameworks.approves(_of(item)) if constant is None else constant

    def task(self, owner: Framework, item: Task) -> bool:
        """May this task of a visible framework be shown?"""
        constant = self._tasks.constant
        if constant is not None:
            return constant
        user = item.fixed().user or owner.info.user
        return self._tasks.approves(_of(owner, user))

    def executor(self, owner: Framework, item: Executor) -> bool:
        """May this executor of a visible framework be shown?"""
        constant = self._executors.constant
        if constant is not None:
            return constant
        command = item.info.command
        user = command.user if command is not None and command.user else owner.info.user
        return self._executors.approves(_of(owner, user))

    def role(self, name: str) -> bool:
        """May this role be shown?"""
        constant = self._roles.constant
        return self._roles.approves(ObjectRef(roles=(name,))) if constant is None else constant

    def resource(self, item: Resource) -> bool:
        """May a resource be shown, by the role it is reserved for?"""
        return not item.reservations or self.role(item.reservations[-1].role)

    def flags(self) -> bool:
        """May the flags be shown?"""
        return self._flags.approves(NOTHING)


def visible_to(authorizer: Authorizer, principal: Principal) -> Visible:
    """What this principal may see."""
    return Visible(lambda action: authorizer.approver(principal, action))


#: For whoever may see everything, and when nobody must authenticate.
EVERYTHING: Final = Visible(lambda action: Always(True))


def _of(item: Framework, user: str | None = None) -> ObjectRef:
    return ObjectRef(
        principal=item.info.principal or item.principal,
        user=user or item.info.user,
        roles=item.roles,
        framework_id=item.framework_id,
    )
