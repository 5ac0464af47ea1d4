"""Secrets are read in both forms, checked in constant time, and never shown."""

from __future__ import annotations

import ast
import json
import logging
import pickle
from pathlib import Path

import pytest

import mesos_twisted.security
from mesos_twisted.errors import MalformedError
from mesos_twisted.security.core import credentials as module
from mesos_twisted.security.core.credentials import (
    Credential,
    Credentials,
    CredentialStore,
    Hashed,
    hash_secret,
    parse_credentials,
)
from mesos_twisted.security.core.secret import Secret

CANARY = "tr0ub4dor"
KEY = b"k" * 32


def stored(secret: str) -> Credentials:
    document = {"credentials": [{"principal": "marathon", "secret": secret}]}
    return parse_credentials(json.dumps(document), "creds.json")


def hashed(secret: str = CANARY) -> str:
    return hash_secret(secret.encode(), b"s" * 16)


@pytest.mark.parametrize("text", [CANARY, hashed()], ids=["plain", "hashed"])
def test_the_right_secret_and_only_it_is_good(text: str) -> None:
    store = CredentialStore(stored(text).entries, KEY)
    assert not store.is_remembered("marathon", CANARY.encode())
    assert store.verify("marathon", CANARY.encode())
    assert store.is_remembered("marathon", CANARY.encode())
    assert store.verify("marathon", CANARY.encode())
    for name, secret in (
        ("marathon", b""),
        ("marathon", b"tr0ub4do"),
        ("marathon", text.encode() + b"x"),
        ("maratho", b"n" + CANARY.encode()),
        ("nobody", CANARY.encode()),
        ("marathon", b"x" * 5000),
    ):
        assert not store.verify(name, secret)
        assert not store.is_remembered(name, secret)


def test_the_hash_itself_is_not_a_secret_that_opens() -> None:
    assert not CredentialStore(stored(hashed()).entries, KEY).verify("marathon", hashed().encode())


def test_a_good_check_is_dear_once_and_an_unknown_name_costs_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries = stored(hashed()).entries
    work: list[int] = []
    real = module._scrypt

    def counted(secret: bytes, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
        work.append(log2_n)
        return real(secret, salt, log2_n, r, p)

    monkeypatch.setattr(module, "_scrypt", counted)
    store = CredentialStore(entries, KEY)
    for _ in range(5):
        assert store.verify("marathon", CANARY.encode())
    assert len(work) == 1
    assert not store.verify("nobody", b"x")
    assert len(work) == 2


def test_memory_is_bounded() -> None:
    entries = [Credential(f"p{i}", Secret(b"s")) for i in range(10)]
    store = CredentialStore(entries, KEY, memory=4)
    assert all(store.verify(f"p{i}", b"s") for i in range(10))
    assert sum(store.is_remembered(f"p{i}", b"s") for i in range(10)) == 4


def test_the_old_text_form_and_a_single_credential_are_read() -> None:
    text = parse_credentials("# ours\nmarathon one\n\nchronos\ttwo\n", "creds")
    assert [entry.principal for entry in text.entries] == ["marathon", "chronos"]
    store = CredentialStore(text.entries, KEY)
    assert store.verify("chronos", b"two") and not store.verify("chronos", b"one")
    single = parse_credentials(b'{"principal": "a", "secret": "b"}', "cred")
    assert [entry.principal for entry in single.entries] == ["a"]
    assert parse_credentials("", "empty").entries == ()


def test_a_plain_secret_gets_a_warning_and_a_hashed_one_none() -> None:
    (warning,) = stored(CANARY).warnings
    assert "principal 'marathon'" in warning and "hash-secret" in warning
    assert CANARY not in warning
    assert stored(hashed()).warnings == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'{{"credentials": [{{"principal": "a", "secret": "{CANARY}"]}}', "not valid JSON"),
        (f'{{"credentials": "{CANARY}"}}', "must hold"),
        (f'{{"credentials": ["{CANARY}"]}}', "must be an object"),
        (f'{{"credentials": [{{"principal": 1, "secret": "{CANARY}"}}]}}', "both strings"),
        (f"a {CANARY} c", "line 1 must be"),
        (f"a {CANARY}\na {CANARY}", "a second time"),
        (f"a:b {CANARY}", "colon"),
        (f"a scrypt$14$8$1${CANARY}", "not of the form"),
        (f"a scrypt$30$8$1${'c2FsdA=='}$c2FsdA==", "log2 n"),
        ('{"principal": "a", "secret": ""}', "not empty"),
        (b"a \xff\xfe" + CANARY.encode(), "not UTF-8"),
    ],
)
def test_a_bad_file_is_refused_without_repeating_a_secret(text: str | bytes, words: str) -> None:
    with pytest.raises(MalformedError, match=words) as caught:
        parse_credentials(text, "creds")
    assert CANARY not in str(caught.value) and str(caught.value).startswith("creds")
    assert CANARY not in repr(caught.value.__cause__)


def test_secrets_never_show(caplog: pytest.LogCaptureFixture) -> None:
    plain, dear = stored(CANARY), stored(hashed())
    digest = dear.entries[0].secret
    assert isinstance(digest, Hashed)
    store = CredentialStore(plain.entries, KEY)
    for thing in (plain, dear, plain.entries[0].secret, digest, store):
        shown = f"{thing} {thing!r} {[thing]}"
        assert CANARY not in shown and repr(digest.digest.reveal()) not in shown
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("x").warning("%s %r", plain, plain.entries[0].secret)
    assert CANARY not in caplog.text
    with pytest.raises(TypeError):
        pickle.dumps(Secret(b"x"))
    with pytest.raises(TypeError):
        hash(Secret(b"x"))
    assert Secret(b"x") == Secret(b"x") != Secret(b"y")


SECRET_WORDS = ("secret", "digest", "signature", "token", "hmac", "password")


def test_no_secret_is_compared_with_an_operator() -> None:
    """An `==` beside a secret-sounding operand would leak by its time; compare_digest does not."""
    root = Path(mesos_twisted.security.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Compare):
                continue
            if not any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                continue
            for side in (node.left, *node.comparators):
                if isinstance(side, ast.Call) and ast.unparse(side.func) == "len":
                    continue
                text = ast.unparse(side).lower()
                assert not any(word in text for word in SECRET_WORDS), f"{path}:{node.lineno}"
