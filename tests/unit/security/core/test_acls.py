"""The rules mean what Mesos's documentation says they mean, and nothing unread is skipped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesos_twisted.errors import MalformedError
from mesos_twisted.security.core.acls import compile_rules, parse_acls
from mesos_twisted.security.core.actions import (
    ACL_KEYS,
    OBJECT_KINDS,
    PARENT_ACL_KEYS,
    Action,
)
from mesos_twisted.security.core.authorizer import AclPolicy, Authorizer, ObjectRef
from mesos_twisted.security.core.principal import Principal, Role

ANY = {"type": "ANY"}
NONE = {"type": "NONE"}


def some(*values: str) -> dict[str, Any]:
    return {"values": list(values)}


def line(who: dict[str, Any], noun: str, what: dict[str, Any]) -> dict[str, Any]:
    return {"principals": who, noun: what}


def asks(document: dict[str, Any], action: Action, name: str, value: str | None) -> bool:
    return compile_rules(parse_acls(json.dumps(document)), action, name).allows(value)


STRICT = {"permissive": False}
FOO = some("foo")

#: (document, action, noun is in the document, [(principal, object, allowed)])
EXAMPLES: list[tuple[str, dict[str, Any], Action, list[tuple[str, str | None, bool]]]] = [
    (
        "only foo in analytics, everyone elsewhere",
        {
            "register_frameworks": [
                line(FOO, "roles", some("analytics")),
                line(NONE, "roles", some("analytics")),
            ]
        },
        Action.REGISTER_FRAMEWORK,
        [
            ("foo", "analytics", True),
            ("foo", "ads", True),
            ("bar", "analytics", False),
            ("bar", "*", True),
            ("bar", "analytics/x", True),
        ],
    ),
    (
        "foo in analytics and ads only, others anywhere",
        {
            "register_frameworks": [
                line(FOO, "roles", some("analytics", "ads")),
                line(FOO, "roles", NONE),
            ]
        },
        Action.REGISTER_FRAMEWORK,
        [("foo", "ads", True), ("foo", "*", False), ("bar", "*", True), ("foo", None, False)],
    ),
    (
        "foo in analytics and nobody anywhere else",
        {**STRICT, "register_frameworks": [line(FOO, "roles", some("analytics"))]},
        Action.REGISTER_FRAMEWORK,
        [("foo", "analytics", True), ("foo", "*", False), ("bar", "analytics", False)],
    ),
    (
        "everyone as guest or bar",
        {**STRICT, "run_tasks": [line(ANY, "users", some("guest", "bar"))]},
        Action.RUN_TASK,
        [("x", "guest", True), ("y", "bar", True), ("x", "root", False), ("x", None, False)],
    ),
    (
        "foo and bar as alice",
        {**STRICT, "run_tasks": [line(some("foo", "bar"), "users", some("alice"))]},
        Action.RUN_TASK,
        [("foo", "alice", True), ("bar", "bob", False), ("baz", "alice", False)],
    ),
    (
        "foo as guest, others as anyone",
        {"run_tasks": [line(FOO, "users", some("guest")), line(FOO, "users", NONE)]},
        Action.RUN_TASK,
        [("foo", "guest", True), ("foo", "root", False), ("bar", "root", True)],
    ),
    (
        "nobody as root",
        {"run_tasks": [line(NONE, "users", some("root"))]},
        Action.RUN_TASK,
        [("foo", "root", False), ("foo", "guest", True), ("bar", "root", False)],
    ),
    (
        "order: the refusal first wins",
        {
            "teardown_frameworks": [
                line(NONE, "framework_principals", ANY),
                line(some("admin"), "framework_principals", ANY),
            ]
        },
        Action.TEARDOWN_FRAMEWORK,
        [("admin", "foo", False), ("bar", "foo", False)],
    ),
    (
        "order: the grant first wins",
        {
            "teardown_frameworks": [
                line(some("admin"), "framework_principals", ANY),
                line(NONE, "framework_principals", ANY),
            ]
        },
        Action.TEARDOWN_FRAMEWORK,
        [("admin", "foo", True), ("bar", "bar", False)],
    ),
    (
        "foo reserves anywhere",
        {**STRICT, "reserve_resources": [line(FOO, "roles", ANY)]},
        Action.RESERVE_RESOURCES,
        [("foo", "prod", True), ("bar", "prod", False)],
    ),
    (
        "foo reserves nowhere",
        {"reserve_resources": [line(FOO, "roles", NONE)]},
        Action.RESERVE_RESOURCES,
        [("foo", "prod", False), ("bar", "prod", True)],
    ),
    (
        "unreserve own and bar's",
        {
            **STRICT,
            "unreserve_resources": [
                line(FOO, "reserver_principals", some("foo", "bar")),
                line(some("bar"), "reserver_principals", some("bar")),
            ],
        },
        Action.UNRESERVE_RESOURCES,
        [
            ("foo", "foo", True),
            ("foo", "bar", True),
            ("bar", "bar", True),
            ("bar", "foo", False),
            ("baz", "baz", False),
        ],
    ),
    (
        "ops reads every quota, foo its own",
        {
            **STRICT,
            "get_quotas": [
                line(some("ops"), "roles", ANY),
                line(FOO, "roles", some("foo-role")),
            ],
        },
        Action.GET_QUOTA,
        [("ops", "x", True), ("foo", "foo-role", True), ("foo", "x", False), ("b", "x", False)],
    ),
    (
        "endpoints",
        {
            **STRICT,
            "get_endpoints": [
                line(some("ops"), "paths", ANY),
                line(FOO, "paths", some("/logging/toggle", "/monitor/statistics")),
            ],
        },
        Action.GET_ENDPOINT,
        [
            ("ops", "/metrics/snapshot", True),
            ("foo", "/logging/toggle", True),
            ("foo", "/metrics/snapshot", False),
        ],
    ),
    (
        "roles below another",
        {
            **STRICT,
            "update_quotas": [
                line(FOO, "roles", some("a/%", "b")),
                line(some("bar"), "roles", some("%")),
            ],
        },
        Action.UPDATE_QUOTA,
        [
            ("foo", "a/x", True),
            ("foo", "a/x/y", True),
            ("foo", "a", False),
            ("foo", "ab/x", False),
            ("foo", "b", True),
            ("foo", "b/x", False),
            ("foo", None, False),
            ("bar", "x", False),
            ("bar", "%", True),
        ],
    ),
    (
        "a refusal for a subtree",
        {"view_roles": [line(NONE, "roles", some("secret/%"))]},
        Action.VIEW_ROLE,
        [("foo", "secret/x", False), ("foo", "secret", True), ("foo", "open", True)],
    ),
]


@pytest.mark.parametrize(
    ("document", "action", "questions"),
    [example[1:] for example in EXAMPLES],
    ids=[example[0] for example in EXAMPLES],
)
def test_the_documented_examples(
    document: dict[str, Any], action: Action, questions: list[tuple[str, str | None, bool]]
) -> None:
    for name, value, allowed in questions:
        assert asks(document, action, name, value) is allowed, (name, value)
        # A remembered answer is the same answer.
        rules = compile_rules(parse_acls(json.dumps(document)), action, name)
        assert rules.allows(value) is rules.allows(value) is allowed


def test_who_may_not_end_a_framework_kills_no_task_of_it() -> None:
    """Rules written for Mesos do not know of kill_tasks; where it is written, it counts alone."""

    def rules(principal: str, wanted: dict[str, list[str]]) -> list[dict[str, Any]]:
        return [{"principals": {"values": [principal]}, "framework_principals": wanted}]

    some, nobody = {"values": ["f"]}, {"type": "NONE"}
    old = {**STRICT, "teardown_frameworks": rules("bob", nobody) + rules("ann", some)}
    assert not asks(old, Action.KILL_TASK, "bob", "f")
    assert asks(old, Action.KILL_TASK, "ann", "f") and not asks(old, Action.KILL_TASK, "ann", "g")
    new = {**old, "kill_tasks": rules("bob", some)}
    assert asks(new, Action.KILL_TASK, "bob", "f") and not asks(new, Action.KILL_TASK, "bob", "g")
    assert not asks(new, Action.TEARDOWN_FRAMEWORK, "bob", "f")


def test_there_are_54_keys_and_ours_and_each_is_accepted() -> None:
    assert len(ACL_KEYS) + len(PARENT_ACL_KEYS) == 54 + len({"kill_tasks"})
    assert {action for action, _, _ in ACL_KEYS.values()} == set(Action) - {
        Action.SPEAK_AS_EXECUTOR
    }
    nouns = {key: noun for key, (_, _, noun) in ACL_KEYS.items()}
    nouns |= dict.fromkeys(PARENT_ACL_KEYS, "users")
    acls = parse_acls(json.dumps({k: [line(ANY, noun, NONE)] for k, noun in nouns.items()}))
    for action in OBJECT_KINDS:
        assert compile_rules(acls, action, "foo").constant is False
    assert set(acls.parents) == set(PARENT_ACL_KEYS.values())


def test_permissive_is_the_default_and_the_answer_without_rules() -> None:
    assert compile_rules(parse_acls("{}"), Action.RUN_TASK, "x").constant is True
    strict = parse_acls('{"permissive": false}')
    assert compile_rules(strict, Action.RUN_TASK, "x").constant is False


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("[]", "one JSON object"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"permissive": "no"}', "`permissive` must be"),
        ('{"run_task": []}', "did you mean `run_tasks`"),
        ('{"resize_volume": []}', "did you mean `resize_volumes`"),
        ('{"run_tasks": {}}', "must be a list"),
        ('{"run_tasks": [1]}', r"run_tasks\[0\] must be an object"),
        ('{"run_tasks": [{"principals": {"type": "ANY"}}]}', r"run_tasks\[0\].users is missing"),
        ('{"run_tasks": [{"principals": {}, "user": {}}]}', r"did you mean `run_tasks\[0\].users`"),
        (
            '{"run_tasks": [{"principals": {"type": "admin"}, "users": {}}]}',
            "must be SOME, ANY or NONE",
        ),
        (
            '{"run_tasks": [{"principals": {"type": []}, "users": {}}]}',
            "must be SOME, ANY or NONE",
        ),
        (
            '{"run_tasks": [{"principals": {"values": "foo"}, "users": {}}]}',
            "must be a list of strings",
        ),
        (
            '{"register_agents": [{"principals": {"type": "ANY"}, "agents": {"values": ["a"]}}]}',
            '"ANY"',
        ),
        (
            '{"get_endpoints": [{"principals": {"type": "ANY"}, "paths": {"values": ["/x"]}}]}',
            "/metrics/snapshot",
        ),
    ],
)
def test_what_would_be_skipped_is_refused_with_its_place(document: str, words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        parse_acls(document)


def test_a_framework_needs_all_its_roles_and_meets_the_default_without_any() -> None:
    document = {**STRICT, "register_frameworks": [line(FOO, "roles", some("a", "b"))]}
    judge = Authorizer(AclPolicy(parse_acls(json.dumps(document)))).judge
    foo = Principal("foo", Role.FRAMEWORK, (), "basic")
    assert judge(foo, Action.REGISTER_FRAMEWORK, ObjectRef(roles=("a", "b"))).allowed
    refused = judge(foo, Action.REGISTER_FRAMEWORK, ObjectRef(roles=("a", "c")))
    assert not refused.allowed and "role a, c" in refused.reason
    assert not judge(foo, Action.REGISTER_FRAMEWORK, ObjectRef()).allowed


def test_a_nested_launch_needs_both_the_parent_and_the_user() -> None:
    document = {
        **STRICT,
        "launch_nested_containers_as_user": [line(FOO, "users", some("alice"))],
        "launch_nested_containers_under_parent_with_user": [line(FOO, "users", some("bob"))],
    }
    judge = Authorizer(AclPolicy(parse_acls(json.dumps(document)))).judge
    foo, launch = Principal("foo", Role.OPERATOR, (), "basic"), Action.LAUNCH_NESTED_CONTAINER
    assert judge(foo, launch, ObjectRef(user="alice", parent_user="bob")).allowed
    assert judge(foo, launch, ObjectRef(has_command=False, parent_user="bob")).allowed
    assert not judge(foo, launch, ObjectRef(user="bob", parent_user="bob")).allowed
    assert not judge(foo, launch, ObjectRef(user="alice", parent_user="alice")).allowed
    assert not judge(foo, launch, ObjectRef(parent_user="bob")).allowed
