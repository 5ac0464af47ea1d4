"""Every proof, good and bad, and what the answer says."""

from __future__ import annotations

import base64

import pytest

from mesos_twisted.errors import Problem
from mesos_twisted.security.core.attempts import AttemptLimiter
from mesos_twisted.security.core.credentials import (
    Credential,
    CredentialStore,
    hash_secret,
    parse_credentials,
)
from mesos_twisted.security.core.principal import Principal, Role
from mesos_twisted.security.core.secret import Secret
from mesos_twisted.security.core.tokens import TokenKey
from mesos_twisted.security.net import http_auth
from mesos_twisted.security.net.http_auth import Authenticator, Challenge
from mesos_twisted.security.net.identity import PeerIdentity

REALM = http_auth.MASTER_SCHEDULER
TOKENS = TokenKey(Secret(b"t" * 32))
CERTIFIED = PeerIdentity(Principal("marathon", Role.FRAMEWORK, (), "certificate"), 1, b"", 0.0, 2e9)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def authenticator(clock: Clock | None = None, **over: object) -> Authenticator:
    store = CredentialStore(
        [Credential("marathon", Secret(b"s3cret")), Credential("ops", Secret(b"o:ps"))], b"k" * 32
    )
    options: dict[str, object] = {
        "now": clock or Clock(),
        "store": store,
        "operators": frozenset({"ops"}),
        "tokens": TOKENS,
        "token_roles": frozenset({Role.FRAMEWORK}),
        **over,
    }
    return Authenticator(REALM, **options)  # type: ignore[arg-type]  # options are listed above


def basic(name: str, secret: str, scheme: str = "Basic") -> dict[str, str]:
    text = base64.b64encode(f"{name}:{secret}".encode()).decode()
    return {"authorization": f"{scheme} {text}"}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def refused(answer: Principal | Challenge, status: int = 401) -> Challenge:
    assert isinstance(answer, Challenge)
    assert answer.status == status
    assert answer.reason.endswith(".")
    return answer


def test_a_certificate_speaks_for_itself() -> None:
    auth = authenticator()
    assert auth.authenticate({}, CERTIFIED, "a") is CERTIFIED.principal
    assert auth.authenticate(basic("marathon", "?"), CERTIFIED, "a") is CERTIFIED.principal


@pytest.mark.parametrize(
    "headers",
    [basic("ops", "o:ps"), bearer(TOKENS.framework_token("ops", 2000)), {"authorization": ""}],
)
def test_no_header_changes_what_a_certificate_says(headers: dict[str, str]) -> None:
    assert "marathon" in refused(authenticator().authenticate(headers, CERTIFIED, "a")).reason


def test_a_certificate_that_proves_nothing_is_not_covered_up_by_a_header() -> None:
    problem = Problem("no-identity", "The certificate has no URI.")
    answer = authenticator().authenticate(basic("marathon", "s3cret"), problem, "a")
    assert refused(answer).reason == problem.sentence


def test_basic_proves_a_framework_or_a_named_operator() -> None:
    auth = authenticator()
    found = auth.authenticate(basic("marathon", "s3cret"), None, "a")
    assert found == Principal("marathon", Role.FRAMEWORK, (), "basic")
    assert auth.authenticate(basic("marathon", "s3cret", "bAsIc"), None, "a") is found
    # A secret may hold colons (RFC 7617).
    operator = auth.authenticate(basic("ops", "o:ps"), None, "a")
    assert operator == Principal("ops", Role.OPERATOR, (), "basic")


def test_no_proof_gets_the_challenges_of_the_realm() -> None:
    answer = refused(authenticator().authenticate({}, None, "a"))
    assert answer.www_authenticate == (f'Basic realm="{REALM}"', f'Bearer realm="{REALM}"')
    bare = refused(authenticator(store=None, tokens=None).authenticate({}, None, "a"))
    assert bare.www_authenticate == (f'Basic realm="{REALM}"',)
    assert bare.reason == "Authenticate with a client certificate."


@pytest.mark.parametrize(
    "headers",
    [
        basic("marathon", "wrong"),
        basic("marathon", ""),
        basic("nobody", "s3cret"),
        basic("", "s3cret"),
        {"authorization": ""},
        {"authorization": "Basic"},
        {"authorization": "Basic !!!"},
        {"authorization": "Basic bm9jb2xvbg=="},
        {"authorization": "Basic /////zp4"},
        {"authorization": "Basic é"},
        {"authorization": "Basic " + "A" * 20000},
        {"authorization": "Digest x"},
        bearer(""),
        bearer("a.b.c"),
        bearer(TOKENS.framework_token("marathon", 900)),
        bearer(TOKENS.executor_token("f", "e", "c")),
    ],
)
def test_a_wrong_proof_is_401_and_does_not_repeat_it(headers: dict[str, str]) -> None:
    answer = refused(authenticator().authenticate(headers, None, "a"))
    assert answer.www_authenticate
    assert "s3cret" not in repr(answer) and "wrong" not in answer.reason.replace("is wrong", "")


def test_tokens_prove_only_the_roles_of_the_realm() -> None:
    token = TOKENS.executor_token("f", "e", "c")
    agent = authenticator(token_roles=frozenset({Role.EXECUTOR}))
    found = agent.authenticate(bearer(token), None, "a")
    assert isinstance(found, Principal) and found.role is Role.EXECUTOR
    refused(agent.authenticate(bearer(TOKENS.framework_token("x", 2000)), None, "a"))


def test_wrong_proofs_are_slowed_and_right_ones_known_before_are_not() -> None:
    clock = Clock()
    auth = authenticator(clock, limiter=AttemptLimiter(burst=3, interval_s=10.0))
    assert isinstance(auth.authenticate(basic("marathon", "s3cret"), None, "a"), Principal)
    for _ in range(3):
        refused(auth.authenticate(basic("ops", "guess"), None, "a"))
    answer = refused(auth.authenticate(basic("ops", "o:ps"), None, "a"), 429)
    assert answer.retry_after_s == 11
    refused(auth.authenticate(bearer(TOKENS.framework_token("x", 2000)), None, "a"), 429)
    assert isinstance(auth.authenticate(basic("marathon", "s3cret"), None, "a"), Principal)
    assert isinstance(auth.authenticate(basic("ops", "o:ps"), None, "b"), Principal)
    clock.now += 10.0
    fresh = authenticator(clock, limiter=AttemptLimiter(burst=1))
    refused(fresh.authenticate(bearer("x"), None, "a"))
    refused(fresh.authenticate(bearer("x"), None, "a"), 429)


def test_hashed_credentials_work_end_to_end() -> None:
    text = f"marathon {hash_secret(b'pa ss', b'0' * 16)}"
    store = CredentialStore(parse_credentials(text, "c").entries, b"k" * 16)
    auth = authenticator(store=store)
    assert isinstance(auth.authenticate(basic("marathon", "pa ss"), None, "a"), Principal)
    refused(auth.authenticate(basic("marathon", "pass"), None, "a"))
