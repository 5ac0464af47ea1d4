"""One certificate, one identity, no guesses."""

from __future__ import annotations

import pytest

from mesos_twisted.errors import Problem
from mesos_twisted.security.core.principal import (
    Principal,
    Role,
    identity_from_sans,
    identity_uri,
    refuse_other_role,
)


@pytest.mark.parametrize("role", [Role.MASTER, Role.AGENT, Role.FRAMEWORK, Role.OPERATOR])
def test_what_is_written_is_read_back(role: Role) -> None:
    uri = identity_uri("blue", role, "node-1.example")
    assert isinstance(uri, str)
    found = identity_from_sans(["spiffe://elsewhere/x", uri], "blue")
    assert found == Principal("node-1.example", role, (), "certificate")


@pytest.mark.parametrize(
    ("uris", "code"),
    [
        ([], "no-identity"),
        (["https://blue/agent/a"], "no-identity"),
        (["mesos://blue/agent/a", "mesos://blue/agent/a"], "two-identities"),
        (["mesos://blue/agent/a", "MESOS://blue/operator/b"], "two-identities"),
        (["MESOS://blue/agent/a"], "malformed-identity"),
        (["mesos://blue/agent"], "malformed-identity"),
        (["mesos://blue/agent/"], "malformed-identity"),
        (["mesos://blue/agent/a/b"], "malformed-identity"),
        (["mesos://blue/agent/a?x"], "malformed-identity"),
        (["mesos://blue/agent/a%2Fb"], "malformed-identity"),
        (["mesos://blue/agent/a\n"], "malformed-identity"),
        (["mesos://blue/agent/../operator"], "malformed-identity"),
        (["mesos://blue/agent/" + "a" * 256], "malformed-identity"),
        (["mesos://blue2/agent/a"], "other-cluster"),
        (["mesos://blu/agent/a"], "other-cluster"),
        (["mesos://blue/Agent/a"], "unknown-role"),
        (["mesos://blue/agents/a"], "unknown-role"),
        (["mesos://blue/executor/a"], "unknown-role"),
    ],
)
def test_anything_else_names_nobody(uris: list[str], code: str) -> None:
    found = identity_from_sans(uris, "blue")
    assert isinstance(found, Problem)
    assert found.code == code


def test_an_identity_that_cannot_be_read_is_not_written() -> None:
    assert isinstance(identity_uri("blue", Role.EXECUTOR, "e"), Problem)
    assert isinstance(identity_uri("blue", Role.AGENT, "a/b"), Problem)
    assert isinstance(identity_uri("", Role.AGENT, "a"), Problem)


def test_a_peer_of_another_role_is_refused() -> None:
    agent = Principal("a", Role.AGENT, (), "certificate")
    assert refuse_other_role(agent, Role.AGENT) is None
    problem = refuse_other_role(agent, Role.MASTER)
    assert problem is not None and "role master" in problem.sentence
