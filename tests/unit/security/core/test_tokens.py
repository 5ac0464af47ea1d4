"""A token proves what it was signed for, until it expires, under one algorithm."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from mesos_twisted.errors import MalformedError, Problem
from mesos_twisted.security.core.principal import Principal, Role
from mesos_twisted.security.core.secret import Secret
from mesos_twisted.security.core.tokens import TokenKey

RAW = b"0123456789abcdef0123456789abcdef"
KEY = TokenKey(Secret(RAW))
NOW = 1_700_000_000.0


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(claims: Any, header: Any = None, key: bytes = RAW, hash_name: str = "sha256") -> str:
    """A token made without the library under test."""
    head = b64(json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode())
    body = b64(json.dumps(claims).encode())
    signed = hmac.new(key, f"{head}.{body}".encode(), getattr(hashlib, hash_name)).digest()
    return f"{head}.{body}.{b64(signed)}"


OURS = {"fid": "f", "eid": "e", "cid": "c"}


def test_an_executor_token_proves_its_three_ids() -> None:
    for token in (KEY.executor_token("f", "e", "c"), by_hand(OURS)):
        assert KEY.verify(token, NOW) == Principal(
            "f/e", Role.EXECUTOR, (("cid", "c"), ("eid", "e"), ("fid", "f")), "jwt"
        )


def test_a_framework_token_proves_its_principal_until_it_expires() -> None:
    token = KEY.framework_token("marathon", NOW + 60)
    found = KEY.verify(token, NOW)
    assert isinstance(found, Principal)
    assert (found.name, found.role, found.source) == ("marathon", Role.FRAMEWORK, "jwt")
    late = KEY.verify(token, NOW + 91)
    assert isinstance(late, Problem) and late.code == "expired-token"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b.c",
        "...",
        "é.é.é",
        by_hand(OURS)[:-2],
        by_hand(OURS) + "x",
        by_hand(OURS, key=b"another key of thirty-two bytes.."),
        by_hand(OURS, {"alg": "none"}),
        by_hand(OURS, {"alg": "none"}).rpartition(".")[0] + ".",
        by_hand(OURS, {"alg": "HS512"}, hash_name="sha512"),
        by_hand(OURS, {"alg": "RS256"}),
        by_hand(OURS, {"alg": "HS256", "crit": ["x"]}),
        by_hand([]),
        by_hand("text"),
        by_hand({}),
        by_hand({"fid": "f", "eid": "e"}),
        by_hand({**OURS, "cid": 5}),
        by_hand({**OURS, "cid": ""}),
        by_hand({**OURS, "exp": int(NOW) - 31}),
        by_hand({**OURS, "exp": "soon"}),
        by_hand({**OURS, "exp": True}),
        by_hand({**OURS, "nbf": int(NOW) + 31}),
        by_hand({**OURS, "role": "operator", "sub": "x"}),
        by_hand({"sub": "x", "role": "framework"}),
        by_hand({"sub": "x", "role": "operator", "exp": int(NOW) + 60}),
        by_hand({"sub": "x", "role": "agent", "exp": int(NOW) + 60}),
        "x" * 9000,
        b64(b"[" * 4000) + "." + b64(b"[" * 2000) + ".x",
    ],
)
def test_anything_else_proves_nothing(token: str) -> None:
    assert isinstance(KEY.verify(token, NOW), Problem)


def test_the_key_is_long_enough_and_never_shown() -> None:
    with pytest.raises(MalformedError, match="32 bytes"):
        TokenKey(Secret(b"short"))
    assert RAW.decode() not in repr(KEY) and RAW.decode() not in f"{[KEY]}"
