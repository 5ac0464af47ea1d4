"""Laws of identities, rules, credentials and limits, over inputs nobody chose."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mesos_twisted.errors import MalformedError, Problem
from mesos_twisted.security.core.acls import Acls, Entity, Kind, Rule, compile_rules, parse_acls
from mesos_twisted.security.core.actions import ACL_KEYS, Action
from mesos_twisted.security.core.attempts import AttemptLimiter
from mesos_twisted.security.core.credentials import parse_credentials
from mesos_twisted.security.core.principal import (
    Principal,
    Role,
    identity_from_sans,
    identity_uri,
)
from mesos_twisted.security.core.secret import Secret
from mesos_twisted.security.core.tokens import TokenKey
from mesos_twisted.security.net.http_auth import Authenticator
from mesos_twisted.security.net.identity import Side, identify

NAMES = st.sampled_from(["a", "b", "a/b", "a/c", "b/a", "ab"])
ENTITIES = st.one_of(
    st.just(Entity(Kind.ANY)),
    st.just(Entity(Kind.NONE)),
    st.frozensets(st.sampled_from(["a", "b", "a/%", "a/b/%", "b/%"]), max_size=3).map(
        lambda values: Entity(Kind.SOME, values)
    ),
)
RULES = st.lists(st.builds(Rule, ENTITIES, ENTITIES), max_size=5).map(tuple)


def literally(acls: Acls, name: str, value: str | None) -> bool:
    """Mesos's algorithm as its documentation tells it: match, then allow, first rule wins."""

    def holds(entity: Entity, asked: str | None, none: bool, roles: bool) -> bool:
        if entity.kind is Kind.NONE:
            return none
        if entity.kind is Kind.ANY:
            return True
        if asked is None:
            return False
        below = roles and any(v.endswith("/%") and asked.startswith(v[:-1]) for v in entity.values)
        return below or (asked in entity.values and not (roles and asked.endswith("/%")))

    for rule in acls.rules[Action.VIEW_ROLE]:
        if holds(rule.principals, name, True, False) and holds(rule.objects, value, True, True):
            return holds(rule.principals, name, False, False) and holds(
                rule.objects, value, False, True
            )
    return acls.permissive


@given(RULES, st.booleans(), NAMES, st.one_of(st.none(), NAMES))
def test_compiled_rules_answer_as_the_written_ones(
    rules: tuple[Rule, ...], permissive: bool, name: str, value: str | None
) -> None:
    acls = Acls(permissive, {Action.VIEW_ROLE: rules})
    compiled = compile_rules(acls, Action.VIEW_ROLE, name)
    expected = literally(acls, name, value)
    assert compiled.allows(value) is expected
    assert compiled.constant is None or compiled.constant is expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["permissive", "principals", "type", "values", "users", "credentials", "principal",
                 "secret", *ACL_KEYS]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON | st.text(max_size=40))
def test_any_document_is_read_or_refused_with_a_sentence(document: Any) -> None:
    text = json.dumps(document)
    for read in (parse_acls, lambda text: parse_credentials(text, "file")):
        try:
            read(text)
        except MalformedError as error:
            assert str(error).endswith((".", "?"))


@given(st.text(max_size=40))
def test_an_identity_is_refused_or_read_back(name: str) -> None:
    uri = identity_uri("blue", Role.AGENT, name)
    if isinstance(uri, Problem):
        assert not isinstance(identity_from_sans([f"mesos://blue/agent/{name}"]), Principal)
    else:
        found = identity_from_sans([uri], "blue")
        assert isinstance(found, Principal) and found.name == name


@given(st.text(max_size=60), st.sampled_from(["", "Basic ", "Bearer ", "basic", "Basic\t"]))
@settings(max_examples=200)
def test_no_header_crashes_or_proves(text: str, scheme: str) -> None:
    auth = Authenticator("r", now=lambda: 0.0, tokens=TokenKey(Secret(b"k" * 32)))
    assert not isinstance(auth.authenticate({"authorization": scheme + text}, None, "a"), Principal)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_certificate_reader(der: bytes) -> None:
    assert isinstance(identify(der, Side.CLIENT), Problem)


@given(st.lists(st.floats(0.0, 30.0), max_size=60))
def test_an_address_never_fails_faster_than_the_limit(pauses: list[float]) -> None:
    """Whoever waits as told fails at most burst + elapsed / interval times."""
    limiter = AttemptLimiter(burst=3, interval_s=10.0, shared_per_s=10_000)
    now, failures = 0.0, 0
    for pause in pauses:
        now += pause
        if limiter.wait_s("a", now) == 0.0:
            limiter.failed("a", now)
            failures += 1
    assert failures <= 3 + now / 10.0 + 1e-6
