"""Offer constraints as a framework gives them: what is wrong with them, or what they ask.

A Problem's sentence is what the framework reads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from mesos_twisted.errors import Problem
from mesos_twisted.master.core.allocator.constraints import (
    Check,
    Constraint,
    Pseudo,
    RoleConstraints,
)
from mesos_twisted.master.core.allocator.regexes import RegexLimits, compile_regex
from mesos_twisted.protocol.generated import messages as m

PseudoType = m.SchedulerAttributeConstraintSelectorPseudoattributeType
_PSEUDO: Final = {
    PseudoType.HOSTNAME: Pseudo.HOSTNAME,
    PseudoType.REGION: Pseudo.REGION,
    PseudoType.ZONE: Pseudo.ZONE,
}

Compiled = Mapping[str, RoleConstraints]
_NONE: Final[Compiled] = {}


def read_constraints(
    roles: Collection[str], given: m.SchedulerOfferConstraints | None, limits: RegexLimits
) -> Compiled | Problem:
    """The constraints by role, ready to be asked; `roles` are the framework's own."""
    if given is None or not given.role_constraints:
        return _NONE
    for role in given.role_constraints:
        if role not in roles:
            return _bad(
                f"Offer constraints specify `role_constraints` for a role '{role}'"
                "not contained in the set of roles"
            )
    found: dict[str, RoleConstraints] = {}
    for role, one in given.role_constraints.items():
        read = _read_role(role, one, limits)
        if isinstance(read, Problem):
            return _bad(f"Offer constraints are not valid: {read.sentence}")
        found[role] = read
    return found


def _read_role(
    role: str, given: m.SchedulerOfferConstraintsRoleConstraints, limits: RegexLimits
) -> RoleConstraints | Problem:
    if not given.groups:
        return _bad(
            "'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' "
            f"for role {role}"
        )
    groups: list[tuple[Constraint, ...]] = []
    for one in given.groups:
        if not one.attribute_constraints:
            # Mesos writes no space before "contains"; so do we.
            return _bad(
                f"'OfferConstraints::RoleConstraints::groups' for role {role}"
                "contains an empty RoleConstraints::Group"
            )
        group: list[Constraint] = []
        for constraint in one.attribute_constraints:
            read = _read_constraint(constraint, limits)
            if isinstance(read, Problem):
                return _bad(f"A role {role} has an invalid 'AttributeConstraint': {read.sentence}")
            group.append(read)
        groups.append(tuple(group))
    return RoleConstraints(tuple(groups))


def _read_constraint(
    given: m.SchedulerAttributeConstraint, limits: RegexLimits
) -> Constraint | Problem:
    key = _read_selector(given.selector)
    return key if isinstance(key, Problem) else _read_predicate(key, given.predicate, limits)


def _read_selector(given: m.SchedulerAttributeConstraintSelector) -> str | Pseudo | Problem:
    name, pseudo = given.attribute_name, given.pseudoattribute_type
    if (name is None) is (pseudo is None):
        return _bad(
            "Exactly one of 'AttributeConstraint::Selector::name' or"
            " 'AttributeConstraint::Selector::pseudoattribute_type' must be set"
        )
    if name is not None:
        return name
    known = None if pseudo is None else _PSEUDO.get(pseudo)
    return _bad("Unknown pseudoattribute type") if known is None else known


def _read_predicate(
    key: str | Pseudo, given: m.SchedulerAttributeConstraintPredicate, limits: RegexLimits
) -> Constraint | Problem:
    found: list[Constraint] = []
    if given.exists is not None:
        found.append(Constraint(key, Check.EXISTS))
    if given.not_exists is not None:
        found.append(Constraint(key, Check.EXISTS, True))
    if given.text_equals is not None:
        found.append(Constraint(key, Check.TEXT_EQUALS, False, given.text_equals.value))
    if given.text_not_equals is not None:
        found.append(Constraint(key, Check.TEXT_EQUALS, True, given.text_not_equals.value))
    for matches, negated in ((given.text_matches, False), (given.text_not_matches, True)):
        if matches is not None:
            regex = compile_regex(matches.regex, limits)
            if isinstance(regex, Problem):
                return regex
            found.append(Constraint(key, Check.TEXT_MATCHES, negated, matches.regex, regex))
    if not found:
        return _bad("Unknown predicate type")
    if len(found) > 1:
        return _bad("Exactly one member of 'AttributeConstraint::Predicate' must be set")
    return found[0]


def _bad(sentence: str) -> Problem:
    return Problem("constraints_invalid", sentence)
