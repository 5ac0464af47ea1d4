"""May this FrameworkInfo be used, and may it replace the one that is known?

A Problem's sentence is what the framework reads. Who may use a role is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from mesos_twisted.errors import Problem
from mesos_twisted.master.core.state import Framework, MasterState
from mesos_twisted.master.core.validation.constraints import read_constraints
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId, check_id
from mesos_twisted.resources.roles import ANY_ROLE, check_role
from mesos_twisted.resources.values import SCALAR_LIMIT

#: The longest time a 64-bit count of nanoseconds holds, in seconds.
LONGEST_TIMEOUT_S = (2**63 - 1) / 1e9
MULTI_ROLE = m.FrameworkInfoCapabilityType.MULTI_ROLE


def has_capability(info: m.FrameworkInfo, kind: m.FrameworkInfoCapabilityType) -> bool:
    """Does the framework declare it?"""
    return any(one.type is kind for one in info.capabilities)


def roles_of(info: m.FrameworkInfo) -> tuple[str, ...]:
    """The roles the framework subscribes to."""
    return info.roles if has_capability(info, MULTI_ROLE) else (info.role or ANY_ROLE,)


def check_framework(state: MasterState, info: m.FrameworkInfo) -> Problem | None:
    """Why a framework may not subscribe with this info, or None."""
    return (
        check_info(info)
        or _check_whitelist(state, info)
        or _check_user(state, info)
        or _check_not_removed(state, info)
    )


def check_info(info: m.FrameworkInfo) -> Problem | None:
    """What is wrong with the info itself, or None."""
    return _check_roles(info) or _check_id(info) or _check_filters(info) or _check_timeout(info)


def usable_info(info: m.FrameworkInfo) -> m.FrameworkInfo | None:
    """What can be used of an info that was accepted once, by rules that may have changed since:
    what today's rules refuse is left out. None without an id that can be used."""
    if info.id is None or not info.id.value or _check_id(info) is not None:
        return None
    if check_info(info) is None:
        return info
    multiple = has_capability(info, MULTI_ROLE)
    roles = dict.fromkeys(role for role in info.roles if _role_problem(role) is None)
    role = info.role if info.role is None or _role_problem(info.role) is None else None
    return msgspec.structs.replace(
        info,
        roles=tuple(roles) if multiple else (),
        role=None if multiple else role,
        offer_filters=info.offer_filters if _check_filters(info) is None else {},
        failover_timeout=info.failover_timeout if _check_timeout(info) is None else 0.0,
    )


def is_nameless(info: m.FrameworkInfo) -> bool:
    """Does it stand for a framework of which an agent has lost all but the id?"""
    return not info.user and not info.name and info.principal is None


def check_suppressed(roles: Collection[str], suppressed: Collection[str]) -> Problem | None:
    """Suppressed roles must be among the framework's own."""
    strange = sorted(set(suppressed) - set(roles))
    if strange:
        return _bad(f"Suppressed roles {_listed(strange)} are not contained in the set of roles")
    return None


def check_wishes(
    state: MasterState,
    roles: Collection[str],
    suppressed: Collection[str],
    constraints: m.SchedulerOfferConstraints | None,
) -> Problem | None:
    """Why a framework may not say of these roles which offers it wants, or None."""
    problem = check_suppressed(roles, suppressed)
    if problem is not None:
        return problem
    read = read_constraints(roles, constraints, state.policy.regex_limits)
    return read if isinstance(read, Problem) else None


def check_same_principal(old: m.FrameworkInfo, new: m.FrameworkInfo) -> Problem | None:
    """The principal of a framework never changes."""
    if old.principal != new.principal:
        return _bad("Changing framework's principal is not allowed.")
    return None


def check_update(
    state: MasterState, framework: Framework, update: m.SchedulerCallUpdateFramework
) -> Problem | None:
    """Why UPDATE_FRAMEWORK may not be applied (code: the HTTP status), or None."""
    new, old = update.framework_info, framework.info
    if new.principal is None and old.principal is not None:
        new = msgspec.structs.replace(new, principal=old.principal)
    problem = check_framework(state, new)
    if problem is not None:
        return Problem("400", f"Supplied FrameworkInfo is not valid: {problem.sentence}")
    problem = (
        check_same_principal(old, new)
        or _check_unchanged("user", old.user, new.user)
        or _check_unchanged("checkpoint", str(old.checkpoint).lower(), str(new.checkpoint).lower())
    )
    if problem is not None:
        return Problem("400", f"FrameworkInfo update is not valid: {problem.sentence}")
    problem = check_wishes(state, roles_of(new), update.suppressed_roles, update.offer_constraints)
    if problem is not None:
        return Problem("400", f"'UpdateFramework' call is not valid: {problem.sentence}")
    return None


def _check_roles(info: m.FrameworkInfo) -> Problem | None:
    if not has_capability(info, MULTI_ROLE):
        if info.roles:
            return _bad(
                "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
            )
        problem = _role_problem(info.role or ANY_ROLE)
        if problem is not None:
            return _bad(f"'FrameworkInfo.role' is not a valid role: {problem}")
        return None
    if info.role is not None:
        return _bad("'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable")
    if len(set(info.roles)) != len(info.roles):
        twice = sorted({role for role in info.roles if info.roles.count(role) > 1})
        return _bad(f"'FrameworkInfo.roles' contains duplicate items: {_listed(twice)}")
    for role in info.roles:
        problem = _role_problem(role)
        if problem is not None:
            return _bad(f"'FrameworkInfo.roles' contains invalid role: {problem}")
    return None


def _role_problem(role: str) -> str | None:
    if role.startswith("/"):
        return f"Role '{role}' cannot start with a slash"
    problem = check_role(role)
    return None if problem is None else problem.sentence


def _check_id(info: m.FrameworkInfo) -> Problem | None:
    return check_id(info.id.value) if info.id is not None and info.id.value else None


def _check_filters(info: m.FrameworkInfo) -> Problem | None:
    for role, filters in info.offer_filters.items():
        minimum = filters.min_allocatable_resources
        for one in () if minimum is None else minimum.quantities:
            for name, scalar in one.quantities.items():
                if not 0 <= scalar.value <= SCALAR_LIMIT:
                    return _bad(
                        f"'FrameworkInfo.offer_filters' of role '{role}' has the amount"
                        f" {scalar.value!r} for '{name}'; give a number that is not negative."
                    )
    return None


def _check_timeout(info: m.FrameworkInfo) -> Problem | None:
    if not abs(info.failover_timeout) <= LONGEST_TIMEOUT_S:
        return _bad(
            f"The framework failover_timeout ({info.failover_timeout!r}) is invalid;"
            f" give seconds, at most {LONGEST_TIMEOUT_S:.0f}."
        )
    return None


def _check_whitelist(state: MasterState, info: m.FrameworkInfo) -> Problem | None:
    allowed = state.policy.roles
    if allowed is None:
        return None
    strange = sorted(role for role in roles_of(info) if role != ANY_ROLE and role not in allowed)
    if strange:
        return _bad(f"Roles {_listed(strange)} are not present in the master's --roles")
    return None


def _check_user(state: MasterState, info: m.FrameworkInfo) -> Problem | None:
    if info.user == "root" and not state.policy.root_submissions:
        return _bad("User 'root' is not allowed to run frameworks without --root_submissions set")
    return None


def _check_not_removed(state: MasterState, info: m.FrameworkInfo) -> Problem | None:
    if info.id is not None and FrameworkId(info.id.value) in state.completed:
        return _bad("Framework has been removed")
    return None


def _check_unchanged(field: str, old: str, new: str) -> Problem | None:
    if old != new:
        return _bad(
            f"Updating 'FrameworkInfo.{field}' is unsupported;"
            f" attempted to update from '{old}' to '{new}'"
        )
    return None


def _listed(names: Collection[str]) -> str:
    return "{ " + ", ".join(names) + " }"


def _bad(sentence: str) -> Problem:
    return Problem("framework_invalid", sentence)
