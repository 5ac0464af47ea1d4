"""Offer constraints: which agents they allow, and what is wrong with bad ones, in Mesos's words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mesos_twisted.errors import Problem
from mesos_twisted.master.core.allocator.constraints import facts_of
from mesos_twisted.master.core.allocator.regexes import RegexLimits, compile_regex
from mesos_twisted.master.core.validation.constraints import Compiled, read_constraints
from mesos_twisted.protocol.generated import messages as m

LIMITS = RegexLimits()
ATTRIBUTES = (("rack", "r1"), ("level", None), ("rack", "r2"))
NAMED = {"attribute_name": "rack"}
ABSENT = {"attribute_name": "nothing"}
NUMBER = {"attribute_name": "level"}
HOST = {"pseudoattribute_type": "HOSTNAME"}
REGION = {"pseudoattribute_type": "REGION"}
ZONE = {"pseudoattribute_type": "ZONE"}


def constraint(selector: dict[str, str], predicate: str, value: str = "") -> dict[str, Any]:
    key = "regex" if "matches" in predicate else "value"
    asked = {key: value} if predicate.startswith("text") else {}
    return {"selector": selector, "predicate": {predicate: asked}}


def read(
    *groups: list[dict[str, Any]], role: str = "r", limits: RegexLimits = LIMITS
) -> Compiled | Problem:
    document = {
        "role_constraints": {role: {"groups": [{"attribute_constraints": list(g)} for g in groups]}}
    }
    given = msgspec.convert(document, m.SchedulerOfferConstraints)
    return read_constraints(("r", "other"), given, limits)


def allowed(*groups: list[dict[str, Any]], region: str | None = "eu") -> bool:
    zone = None if region is None else "eu-1"
    compiled = read(*groups)
    assert not isinstance(compiled, Problem)
    return compiled["r"].allow(facts_of("h1.example", region, zone, ATTRIBUTES))


@pytest.mark.parametrize(
    ("selector", "predicate", "value", "expected"),
    [
        (NAMED, "exists", "", True),
        (ABSENT, "exists", "", False),
        (NUMBER, "exists", "", True),
        (HOST, "exists", "", True),
        (NAMED, "not_exists", "", False),
        (ABSENT, "not_exists", "", True),
        (NUMBER, "not_exists", "", False),
        (NAMED, "text_equals", "r1", True),
        (NAMED, "text_equals", "r2", False),
        (ABSENT, "text_equals", "r1", False),
        (NUMBER, "text_equals", "10", True),
        (HOST, "text_equals", "h1.example", True),
        (HOST, "text_equals", "h1", False),
        (NAMED, "text_not_equals", "r1", False),
        (NAMED, "text_not_equals", "r2", True),
        (ABSENT, "text_not_equals", "r1", True),
        (NUMBER, "text_not_equals", "10", True),
        (REGION, "text_not_equals", "us", True),
        (NAMED, "text_matches", "r[0-9]", True),
        (NAMED, "text_matches", "r", False),
        (ABSENT, "text_matches", ".*", False),
        (NUMBER, "text_matches", "x", True),
        (ZONE, "text_matches", "eu-.*", True),
        (NAMED, "text_not_matches", "r[0-9]", False),
        (NAMED, "text_not_matches", "r", True),
        (ABSENT, "text_not_matches", ".*", True),
        (NUMBER, "text_not_matches", ".*", True),
        (HOST, "text_not_matches", "h[0-9]\\.example", False),
    ],
)
def test_one_constraint(
    selector: dict[str, str], predicate: str, value: str, expected: bool
) -> None:
    """The first attribute of a name counts; what is no text passes every check of text."""
    assert allowed([constraint(selector, predicate, value)]) is expected


@pytest.mark.parametrize("selector", [REGION, ZONE])
def test_an_agent_without_a_fault_domain_has_no_region_and_no_zone(
    selector: dict[str, str],
) -> None:
    assert not allowed([constraint(selector, "exists")], region=None)
    assert allowed([constraint(selector, "text_not_equals", "x")], region=None)


def test_one_whole_group_suffices() -> None:
    """Groups are alternatives; within a group all must hold."""
    yes, no = constraint(NAMED, "exists"), constraint(NAMED, "not_exists")
    assert not allowed([yes, no])
    assert not allowed([yes, no], [no])
    assert allowed([yes, no], [yes])


def test_nothing_is_asked_without_constraints() -> None:
    """None and an empty message both mean any agent; other roles are not touched."""
    assert read_constraints(("r",), None, LIMITS) == {}
    assert read_constraints(("r",), m.SchedulerOfferConstraints(), LIMITS) == {}
    compiled = read([constraint(NAMED, "exists")])
    assert not isinstance(compiled, Problem) and set(compiled) == {"r"}


def test_the_same_constraints_are_equal() -> None:
    """So that resubscribing with them asks no agent again."""
    one = [constraint(NAMED, "text_matches", "r.")]
    assert read(one) == read(one)
    assert read(one) != read([constraint(NAMED, "text_matches", "r..")])


_ROLE = "Offer constraints are not valid: A role r has an invalid 'AttributeConstraint': "


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        (
            [],
            "Offer constraints are not valid: 'OfferConstraints::role_constraints' has an empty"
            " 'RoleConstraints::groups' for role r",
        ),
        (
            [[]],
            "Offer constraints are not valid: 'OfferConstraints::RoleConstraints::groups' for"
            " role rcontains an empty RoleConstraints::Group",
        ),
        (
            [[{"selector": {}, "predicate": {"exists": {}}}]],
            _ROLE + "Exactly one of 'AttributeConstraint::Selector::name' or"
            " 'AttributeConstraint::Selector::pseudoattribute_type' must be set",
        ),
        (
            [[constraint({"pseudoattribute_type": "UNKNOWN"}, "exists")]],
            _ROLE + "Unknown pseudoattribute type",
        ),
        ([[{"selector": NAMED, "predicate": {}}]], _ROLE + "Unknown predicate type"),
        (
            [[{"selector": NAMED, "predicate": {"exists": {}, "not_exists": {}}}]],
            _ROLE + "Exactly one member of 'AttributeConstraint::Predicate' must be set",
        ),
        (
            [[constraint(NAMED, "text_matches", "a(")]],
            _ROLE + "Failed to construct regex from pattern 'a(': missing ): a(",
        ),
        (
            [[constraint(NAMED, "text_not_matches", "(a)\\1")]],
            _ROLE + "Failed to construct regex from pattern '(a)\\1': invalid escape sequence: \\1",
        ),
        (
            [[constraint(NAMED, "text_matches", "a{1000}")]],
            _ROLE + "Failed to construct regex from pattern 'a{1000}': "
            "pattern too large - compile failed",
        ),
        (
            [[constraint(NAMED, "text_matches", "(abc|def|ghi){1,20}")]],
            _ROLE + "Regex '(abc|def|ghi){1,20}' is too complex: program size of 243 is larger"
            " than maximum of 100 allowed",
        ),
    ],
)
def test_what_is_wrong(groups: list[list[dict[str, Any]]], sentence: str) -> None:
    problem = read(*groups)
    assert isinstance(problem, Problem) and problem.sentence == sentence


def test_roles_must_be_the_frameworks_own() -> None:
    problem = read([constraint(NAMED, "exists")], role="strange")
    assert isinstance(problem, Problem)
    assert problem.sentence == (
        "Offer constraints specify `role_constraints` for a role 'strange'"
        "not contained in the set of roles"
    )


def test_an_operator_may_allow_more() -> None:
    """The limits are the operator's; each pattern is compiled once for each of them."""
    pattern = "(abc|def|ghi){1,20}"
    wide = RegexLimits(1 << 20, 1000)
    assert isinstance(compile_regex(pattern, LIMITS), Problem)
    assert not isinstance(compile_regex(pattern, wide), Problem)
    assert compile_regex(pattern, wide) is compile_regex(pattern, wide)


def test_a_pattern_that_would_backtrack_answers_at_once() -> None:
    """RE2 is linear: this would take Python's own engine years."""
    regex = compile_regex("(a+)+b", LIMITS)
    assert not isinstance(regex, Problem)
    assert regex.fullmatch("a" * 10_000) is None


def test_a_lone_surrogate_is_a_problem_and_not_a_crash() -> None:
    assert isinstance(compile_regex("\ud800", LIMITS), Problem)
