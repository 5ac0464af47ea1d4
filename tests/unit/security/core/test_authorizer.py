"""Every role against every action: the gate first, then each principal its own."""

from __future__ import annotations

import json

import pytest

from mesos_twisted.security.core.acls import parse_acls
from mesos_twisted.security.core.actions import EXECUTOR_ACTIONS, ROLE_GATE, Action
from mesos_twisted.security.core.authorizer import (
    ALLOWED,
    AclPolicy,
    Authorizer,
    ObjectRef,
    OwnThings,
    Policy,
    is_root,
)
from mesos_twisted.security.core.principal import ANONYMOUS, Principal, Role

EXECUTOR = Principal("f/e", Role.EXECUTOR, (("cid", "c"), ("eid", "e"), ("fid", "f")), "jwt")
PARTIES = {
    "master": Principal("m", Role.MASTER, (), "certificate"),
    "agent": Principal("a", Role.AGENT, (), "certificate"),
    "framework": Principal("p", Role.FRAMEWORK, (), "certificate"),
    "operator": Principal("o", Role.OPERATOR, (), "certificate"),
    "executor": EXECUTOR,
    "nobody": ANONYMOUS,
    "roleless": Principal("x", None, (), "basic"),
    "nameless": Principal("", Role.OPERATOR, (), "basic"),
}
#: Everything about it is the framework principal's own, and the executor's.
OWN = ObjectRef(
    principal="p",
    user="alice",
    roles=("r",),
    path="/metrics/snapshot",
    parent_user="alice",
    framework_id="f",
    executor_id="e",
    root_container_id="c",
)
OTHER = ObjectRef(
    principal="q",
    user="alice",
    roles=("r",),
    parent_user="alice",
    framework_id="f2",
    executor_id="e",
    root_container_id="c2",
)

#: What a framework may do under the built-in policy, on its own things.
FRAMEWORK_OWN = ROLE_GATE[Role.FRAMEWORK] - {
    Action.GET_QUOTA,
    Action.VIEW_ROLE,
    Action.GET_ENDPOINT,
}
BUILT_IN: dict[str, frozenset[Action]] = {
    "master": frozenset(),
    "agent": frozenset({Action.REGISTER_AGENT}),
    "framework": FRAMEWORK_OWN,
    "operator": frozenset(Action) - {Action.REGISTER_AGENT, Action.SPEAK_AS_EXECUTOR},
    "executor": EXECUTOR_ACTIONS,
    "nobody": frozenset(),
    "roleless": frozenset(),
    "nameless": frozenset(),
}

PERMISSIVE = AclPolicy(parse_acls("{}"))
#: With rules that grant everything, only the gate is left.
GATE: dict[str, frozenset[Action]] = {**BUILT_IN, "framework": ROLE_GATE[Role.FRAMEWORK]}


@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("action", Action, ids=lambda action: action.name)
def test_every_party_and_every_action(party: str, action: Action) -> None:
    built_in, permissive = Authorizer(OwnThings()), Authorizer(PERMISSIVE)
    verdict = built_in.judge(PARTIES[party], action, OWN)
    assert verdict.allowed is (action in BUILT_IN[party])
    assert permissive.judge(PARTIES[party], action, OWN).allowed is (action in GATE[party])
    assert (verdict is ALLOWED) is verdict.allowed
    assert verdict.allowed or (verdict.reason.endswith(".") and action.value in verdict.reason)


@pytest.mark.parametrize("action", Action, ids=lambda action: action.name)
def test_nobody_but_operators_reaches_across_principals(action: Action) -> None:
    authorizer = Authorizer(OwnThings())
    assert not authorizer.judge(PARTIES["framework"], action, OTHER).allowed
    assert not authorizer.judge(EXECUTOR, action, OTHER).allowed


@pytest.mark.parametrize("action", [a for a in Action if a in ROLE_GATE[Role.FRAMEWORK]])
def test_names_match_whole_never_by_prefix(action: Action) -> None:
    authorizer = Authorizer(OwnThings())
    for name in ("p2", "P", "pp", "p "):
        other = ObjectRef(principal=name, user="alice", parent_user="alice")
        assert not authorizer.judge(PARTIES["framework"], action, other).allowed


@pytest.mark.parametrize("policy", [OwnThings("root"), PERMISSIVE], ids=["built-in", "acls"])
def test_an_agent_cannot_act_as_a_framework_nor_the_other_way(policy: Policy) -> None:
    authorizer = Authorizer(policy)
    agent = Principal("p", Role.AGENT, (), "certificate")
    for action in (Action.REGISTER_FRAMEWORK, Action.RUN_TASK, Action.VIEW_TASK):
        verdict = authorizer.judge(agent, action, OWN)
        assert not verdict.allowed
        assert verdict.reason.startswith("Principal 'p' (agent) may not")
    for party in ("framework", "operator", "master", "executor"):
        assert not authorizer.judge(PARTIES[party], Action.REGISTER_AGENT).allowed


@pytest.mark.parametrize(
    ("daemon_user", "user", "allowed"),
    [
        (None, "alice", True),
        (None, "root", False),
        (None, "0", False),
        (None, "000", False),
        (None, "", False),
        (None, None, False),
        ("mesos", "mesos", True),
        ("mesos", "root", False),
        ("mesos", None, True),
        ("root", "root", True),
        ("root", "0", False),
    ],
)
def test_tasks_run_as_root_only_where_the_daemons_do(
    daemon_user: str | None, user: str | None, allowed: bool
) -> None:
    authorizer = Authorizer(OwnThings(daemon_user))
    framework = PARTIES["framework"]
    own = ObjectRef(principal="p", user=user, parent_user=user)
    assert authorizer.judge(framework, Action.RUN_TASK, own).allowed is allowed
    launch = authorizer.judge(framework, Action.LAUNCH_NESTED_CONTAINER, own)
    assert launch.allowed is allowed


def test_root_is_root_however_written() -> None:
    assert all(map(is_root, ("root", "0", "00")))
    assert not any(map(is_root, ("roo", "10", "", "root2", "1000")))


def test_a_list_is_not_looked_at_when_one_answer_fits_all() -> None:
    own = Authorizer(OwnThings())
    assert own.approver(PARTIES["operator"], Action.VIEW_TASK).constant is True
    assert own.approver(PARTIES["agent"], Action.VIEW_TASK).constant is False
    framework = own.approver(PARTIES["framework"], Action.VIEW_TASK)
    assert framework.constant is None
    assert [framework.approves(o) for o in (OWN, OTHER)] == [True, False]
    assert own.approver(PARTIES["framework"], Action.VIEW_TASK) is framework
    acls = Authorizer(PERMISSIVE)
    assert acls.approver(PARTIES["framework"], Action.VIEW_TASK).constant is True


def test_with_rules_operators_are_bound_too() -> None:
    document = {
        "teardown_frameworks": [
            {"principals": {"type": "NONE"}, "framework_principals": {"type": "ANY"}}
        ]
    }
    authorizer = Authorizer(AclPolicy(parse_acls(json.dumps(document))))
    verdict = authorizer.judge(PARTIES["operator"], Action.TEARDOWN_FRAMEWORK, OWN)
    assert not verdict.allowed
    assert verdict.reason == (
        "Principal 'o' (operator) may not tear down a framework of principal 'p' as user 'alice' "
        "in role r at /metrics/snapshot."
    )


def test_an_executor_speaks_only_with_all_three_claims() -> None:
    authorizer = Authorizer(OwnThings())
    for missing in ("cid", "fid", "eid"):
        claims = tuple(pair for pair in EXECUTOR.claims if pair[0] != missing)
        partial = Principal("f/e", Role.EXECUTOR, claims, "jwt")
        assert not authorizer.judge(partial, Action.SPEAK_AS_EXECUTOR, OWN).allowed
    empty = Principal("f/e", Role.EXECUTOR, (("cid", ""),), "jwt")
    assert not authorizer.judge(
        empty, Action.KILL_NESTED_CONTAINER, ObjectRef(root_container_id="")
    ).allowed
