"""The `certs` commands: what they print, what they exit with, and that no key is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mesos_twisted.cli.commands.certs import certs
from mesos_twisted.security.core.credentials import CredentialStore, parse_credentials


def run(root: Path, *words: str, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(certs, [*words, "--dir", str(root)], input=stdin)
    assert "PRIVATE" not in result.output
    return result


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    root = tmp_path / "ca"
    result = run(root, "init", "--cluster", "blue")
    assert result.exit_code == 0 and "cluster 'blue'" in result.output
    return root


def test_a_certificate_from_issue_to_revocation(ca: Path) -> None:
    words = ("issue", "--role", "agent", "--name", "a1", "--host", "a1.example", "--host", "::1")
    assert run(ca, *words).exit_code == 0
    assert run(ca, "renew", "a1", "--days", "7").exit_code == 0
    assert run(ca, "crl").exit_code == 0
    rows = json.loads(run(ca, "inspect", "--output", "json").output)
    assert [(r["file"], r["state"]) for r in rows] == [("a1.pem", "valid"), ("ca.pem", "valid")]
    assert rows[0]["identity"] == "mesos://blue/agent/a1"
    assert rows[0]["hosts"] == ["a1.example", "::1"]
    revoked = run(ca, "revoke", "a1")
    assert revoked.exit_code == 0 and "2 certificates of 'a1'" in revoked.output
    table = run(ca, "inspect", "a1", str(ca / "ca.pem")).output
    assert "revoked" in table and "a1.example,::1" in table and len(table.splitlines()) == 3
    again = run(ca, "renew", "a1")
    assert again.exit_code == 1 and "--new-key" in again.stderr
    assert run(ca, "renew", "a1", "--new-key").exit_code == 0


def test_a_rotation(ca: Path) -> None:
    for step in ("prepare", "switch", "retire"):
        assert run(ca, "rotate", step).exit_code == 0
    assert run(ca, "rotate", "retire").exit_code == 1


def test_one_serial_can_be_revoked(ca: Path) -> None:
    assert run(ca, "issue", "--role", "operator", "--name", "o").exit_code == 0
    (row,) = json.loads(run(ca, "inspect", "o", "--output", "json").output)
    assert run(ca, "revoke", "--serial", row["serial"]).exit_code == 0
    (row,) = json.loads(run(ca, "inspect", "o", "--output", "json").output)
    assert row["state"] == "revoked"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("init", "--cluster", "blue"), 1, "already holds an authority"),
        (("init", "--cluster", "a b"), 1, "not usable"),
        (("init",), 2, "--cluster"),
        (("issue", "--role", "executor", "--name", "x"), 2, "--role"),
        (("issue", "--role", "agent", "--name", "x"), 1, "needs a --host"),
        (("issue", "--role", "operator", "--name", "../x"), 1, "not usable"),
        (("issue", "--role", "operator", "--name", "x", "--days", "0"), 2, "--days"),
        (("renew", "ghost"), 3, "no certificate"),
        (("inspect", "ghost"), 3, "no certificate"),
        (("revoke", "ghost"), 3, "no certificate"),
        (("revoke",), 2, "either NAME or --serial"),
        (("revoke", "a", "--serial", "1"), 2, "either NAME or --serial"),
        (("revoke", "--serial", "xyz"), 2, "hexadecimal"),
        (("rotate", "switch"), 1, "rotate prepare"),
    ],
)
def test_failures_are_one_sentence_and_a_code(
    ca: Path, words: tuple[str, ...], code: int, sentence: str
) -> None:
    result = run(ca, *words)
    assert result.exit_code == code
    assert sentence in result.stderr and result.stdout == ""


@pytest.mark.parametrize("words", [("crl",), ("inspect",), ("rotate", "prepare")])
def test_without_an_authority_nothing_is_found(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = run(tmp_path, *words)
    assert result.exit_code == 3 and "certs init" in result.stderr


def test_a_hashed_secret_goes_into_a_credential_file() -> None:
    result = CliRunner().invoke(certs, ["hash-secret", "marathon"], input="open sesame\n")
    assert result.exit_code == 0 and "sesame" not in result.output
    credentials = parse_credentials(f'{{"credentials": [{result.output}]}}', "c")
    assert credentials.warnings == ()
    assert CredentialStore(credentials.entries, b"k" * 16).verify("marathon", b"open sesame")
    assert CliRunner().invoke(certs, ["hash-secret", "m"], input="\n").exit_code == 1
