"""May this principal do this to that? One question, one verdict, by default no.

First the role gate (`actions.ROLE_GATE`), then an executor's own rule, then a policy: the built-in
one (each principal its own) or an operator's ACLs. `approver` answers the same question for many
objects; its `constant` tells, before any object is looked at, that all or none pass.
This module refuses to know how the principal was proved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from mesos_twisted.security.core.acls import Acls, CompiledRules, compile_rules
from mesos_twisted.security.core.actions import (
    EXECUTOR_ACTIONS,
    OBJECT_KINDS,
    ROLE_GATE,
    Action,
    ObjectKind,
)
from mesos_twisted.security.core.principal import Principal, Role

#: Approvers kept; they are few (live principals x actions), so overflow just starts afresh.
_MEMORY: Final = 8192


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """What is acted on, as far as any rule can care. Unset fields mean "not said".

    `principal`: of the framework, or who reserved or created. `user`: the task's or command's, else
    the framework's. `parent_user`: of the container a nested one starts in. `has_command`: false
    for a nested launch that runs the image's own entry point.
    """

    principal: str | None = None
    user: str | None = None
    roles: tuple[str, ...] = ()
    path: str | None = None
    parent_user: str | None = None
    has_command: bool = True
    framework_id: str | None = None
    executor_id: str | None = None
    root_container_id: str | None = None


#: For actions whose object is implied: drain, log level, maintenance, flags.
NOTHING: Final = ObjectRef()

#: What GET_ENDPOINT is asked about for metrics, whichever page or call shows them.
METRICS: Final = ObjectRef(path="/metrics/snapshot")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer; a refusal carries one sentence for the asker."""

    allowed: bool
    reason: str = ""


ALLOWED: Final = Verdict(True)


class Approver(Protocol):
    """One principal and one action, to be asked about many objects."""

    @property
    def constant(self) -> bool | None:
        """The answer for every object, or None when each must be asked about."""

    def approves(self, obj: ObjectRef) -> bool:
        """May the action be done to this object?"""


class Policy(Protocol):
    """Decides what lies within the role gate."""

    def approver(self, principal: Principal, action: Action) -> Approver:
        """The approver for a principal whose role may do this action at all."""


class Always:
    """An approver that does not look."""

    __slots__ = ("constant",)

    def __init__(self, answer: bool) -> None:
        self.constant: bool | None = answer

    def approves(self, obj: ObjectRef) -> bool:
        return self.constant is True


_EVERYTHING: Final = Always(True)
_NOTHING: Final = Always(False)


class Each:
    """An approver that asks a predicate about each object."""

    __slots__ = ("approves", "constant")

    def __init__(self, approves: Callable[[ObjectRef], bool]) -> None:
        self.approves = approves
        self.constant: bool | None = None


class Authorizer:
    """The single place where a call is judged."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._approvers: dict[tuple[Principal, Action], Approver] = {}

    def judge(self, principal: Principal, action: Action, obj: ObjectRef = NOTHING) -> Verdict:
        """The verdict on one action on one object."""
        if self.approver(principal, action).approves(obj):
            return ALLOWED
        return Verdict(False, _refusal(principal, action, obj))

    def approver(self, principal: Principal, action: Action) -> Approver:
        """The approver of this principal for this action, compiled once and kept."""
        key = (principal, action)
        known = self._approvers.get(key)
        if known is None:
            known = self._compile(principal, action)
            if len(self._approvers) >= _MEMORY:
                self._approvers.clear()
            self._approvers[key] = known
        return known

    def _compile(self, principal: Principal, action: Action) -> Approver:
        role = principal.role
        if role is None or action not in ROLE_GATE[role]:
            return _NOTHING
        if role is Role.EXECUTOR:
            return _executor_approver(principal, action)
        if not principal.name:
            return _NOTHING
        return self._policy.approver(principal, action)


def _executor_approver(principal: Principal, action: Action) -> Approver:
    """An executor acts only on itself: its own ids, or containers below its own."""
    cid, fid, eid = principal.claim("cid"), principal.claim("fid"), principal.claim("eid")
    if not cid or action not in EXECUTOR_ACTIONS:
        return _NOTHING
    if action is not Action.SPEAK_AS_EXECUTOR:
        return Each(lambda obj: obj.root_container_id == cid)
    if not fid or not eid:
        return _NOTHING
    return Each(
        lambda obj: (
            obj.root_container_id == cid and obj.framework_id == fid and obj.executor_id == eid
        )
    )


class OwnThings:
    """The policy when no ACLs are given: operators everything, frameworks what is their own.

    `daemon_user` is the one user the agents switch from; a framework may run tasks as it and as
    any user that is not root. None forbids root without exception.
    """

    def __init__(self, daemon_user: str | None = None) -> None:
        self._daemon_user = daemon_user

    def approver(self, principal: Principal, action: Action) -> Approver:
        if principal.role is Role.OPERATOR or principal.role is Role.AGENT:
            return _EVERYTHING
        name = principal.name
        if action in _NEW_THINGS:
            # What does not exist yet has no other owner.
            return Each(lambda obj: not obj.principal or obj.principal == name)
        if action is Action.RUN_TASK:
            return Each(
                lambda obj: (
                    (not obj.principal or obj.principal == name) and self._may_run_as(obj.user)
                )
            )
        if action in _LAUNCHES:
            return Each(
                lambda obj: (
                    obj.principal == name
                    and self._may_run_as(obj.user if obj.user is not None else obj.parent_user)
                )
            )
        if action in _OWNED:
            return Each(lambda obj: obj.principal == name)
        return _NOTHING

    def _may_run_as(self, user: str | None) -> bool:
        if not user:
            return self._daemon_user is not None
        return user == self._daemon_user or not is_root(user)


_NEW_THINGS: Final = frozenset(
    {
        Action.REGISTER_FRAMEWORK,
        Action.RESERVE_RESOURCES,
        Action.CREATE_VOLUME,
        Action.CREATE_BLOCK_DISK,
        Action.CREATE_MOUNT_DISK,
    }
)
_LAUNCHES: Final = frozenset(
    {Action.LAUNCH_NESTED_CONTAINER, Action.LAUNCH_NESTED_CONTAINER_SESSION}
)
_OWNED: Final = frozenset(
    {
        Action.TEARDOWN_FRAMEWORK,
        Action.UNRESERVE_RESOURCES,
        Action.DESTROY_VOLUME,
        Action.RESIZE_VOLUME,
        Action.DESTROY_BLOCK_DISK,
        Action.DESTROY_MOUNT_DISK,
        Action.DESTROY_RAW_DISK,
        Action.VIEW_FRAMEWORK,
        Action.VIEW_TASK,
        Action.VIEW_EXECUTOR,
        Action.VIEW_CONTAINER,
        Action.ACCESS_SANDBOX,
        Action.KILL_NESTED_CONTAINER,
        Action.WAIT_NESTED_CONTAINER,
        Action.REMOVE_NESTED_CONTAINER,
        Action.ATTACH_CONTAINER_INPUT,
        Action.ATTACH_CONTAINER_OUTPUT,
    }
)


def is_root(user: str) -> bool:
    """Is this root, by name or by any spelling of uid 0?"""
    return user == "root" or (user != "" and not user.strip("0"))


class AclPolicy:
    """An operator's ACLs, with Mesos's meaning."""

    def __init__(self, acls: Acls) -> None:
        self._acls = acls

    def approver(self, principal: Principal, action: Action) -> Approver:
        kind = OBJECT_KINDS.get(action)
        if kind is None:
            return _NOTHING
        rules = compile_rules(self._acls, action, principal.name)
        if action in _LAUNCHES:
            parent = compile_rules(self._acls, action, principal.name, parent=True)
            return _nested_approver(rules, parent)
        if action is Action.REGISTER_FRAMEWORK:
            return Each(_all_roles(rules, self._acls.permissive))
        if rules.constant is not None:
            return _EVERYTHING if rules.constant else _NOTHING
        return Each(_questions(kind, rules))


def _nested_approver(child: CompiledRules, parent: CompiledRules) -> Approver:
    if child.constant is True and parent.constant is True:
        return _EVERYTHING
    if parent.constant is False:
        return _NOTHING
    return Each(
        lambda obj: (
            parent.allows(obj.parent_user) and (not obj.has_command or child.allows(obj.user))
        )
    )


def _all_roles(rules: CompiledRules, permissive: bool) -> Callable[[ObjectRef], bool]:
    """Every role asked for must be allowed; a framework without roles meets the default."""

    def approves(obj: ObjectRef) -> bool:
        return all(map(rules.allows, obj.roles)) if obj.roles else permissive

    return approves


def _questions(kind: ObjectKind, rules: CompiledRules) -> Callable[[ObjectRef], bool]:
    allows = rules.allows
    if kind is ObjectKind.ROLES:
        # Several roles, or none said, are all or nothing.
        return lambda obj: all(map(allows, obj.roles)) if obj.roles else allows(None)
    if kind is ObjectKind.USERS:
        return lambda obj: allows(obj.user)
    if kind is ObjectKind.PRINCIPALS:
        # An owner that was never recorded is the empty name, as Mesos reads an unset field.
        return lambda obj: allows(obj.principal or "")
    if kind is ObjectKind.PATHS:
        return lambda obj: allows(obj.path)
    return lambda obj: allows(None)


def _refusal(principal: Principal, action: Action, obj: ObjectRef) -> str:
    if principal.role is None:
        return f"Authenticate first: nobody may {action.value} anonymously."
    if action not in ROLE_GATE[principal.role]:
        return f"{_capital(principal)} may not {action.value}: the role does not include it."
    told = [
        text
        for text, value in (
            (f"of principal '{obj.principal}'", obj.principal),
            (f"as user '{obj.user}'", obj.user),
            (f"in role {', '.join(obj.roles)}", obj.roles),
            (f"at {obj.path}", obj.path),
        )
        if value
    ]
    return f"{_capital(principal)} may not {action.value}{''.join(' ' + t for t in told)}."


def _capital(principal: Principal) -> str:
    text = str(principal)
    return text[:1].upper() + text[1:]
