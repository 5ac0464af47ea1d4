"""`certs request`, `sign` and `issue`, run again and again as Ansible does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mesos_twisted.cli.commands.certs import certs

AGENT = ("--role", "agent", "--name", "a1", "--host", "a1.example")


def run(*words: str, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(certs, words, input=stdin)
    assert "PRIVATE" not in result.output
    return result


def facts(*words: str, stdin: bytes | None = None) -> dict[str, object]:
    result = run(*words, "--output", "json", stdin=stdin)
    assert result.exit_code == 0, result.output
    told: dict[str, object] = json.loads(result.stdout)
    return told


@pytest.fixture
def ca(tmp_path: Path) -> str:
    root = str(tmp_path / "ca")
    assert run("init", "--dir", root, "--cluster", "blue").exit_code == 0
    return root


def test_from_a_hosts_key_to_its_certificate_and_again(ca: str, tmp_path: Path) -> None:
    host = str(tmp_path / "host")
    key = str(tmp_path / "host/agent-key.pem")
    words = ("request", "--dir", host, "--key", key, *AGENT)
    first, again = facts(*words), facts(*words)
    assert (first["changed"], first["made_key"]) == (True, True)
    assert (again["changed"], again["key_sha256"]) == (False, first["key_sha256"])
    assert "Kept the key" in run(*words).output
    signing = ("sign", "--dir", ca, *AGENT, "--if-needed", "10")
    csr = Path(str(first["csr"])).read_bytes()
    signed = facts(*signing, "--csr", str(first["csr"]))
    left = facts(*signing, "--csr", "-", stdin=csr)
    assert (signed["changed"], left["changed"]) == (True, False)
    assert left["serial"] == signed["serial"]
    told = run(*signing, "--csr", str(first["csr"]))
    assert told.exit_code == 0 and told.output.startswith("Left ")
    forced = run("sign", "--dir", ca, *AGENT, "--csr", str(first["csr"]))
    assert "because it was asked for" in forced.output


def test_issue_if_needed(ca: str) -> None:
    words = ("issue", "--dir", ca, "--role", "operator", "--name", "o", "--if-needed", "3")
    assert [facts(*words)["changed"] for _ in range(2)] == [True, False]
    assert run("issue", "--dir", ca, "--role", "operator", "--name", "o").exit_code == 1


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("request", "--role", "agent", "--name", "../x"), 1, "letters, digits"),
        (("request", "--role", "agent", "--name", "x", "--host", "*.x"), 1, "wildcards"),
        (("sign", "--csr", "nowhere.csr", *AGENT), 3, "no request"),
        (("sign", "--csr", "-", *AGENT), 1, "not a PEM certificate request"),
        (("sign", "--csr", "-", *AGENT, "--if-needed", "30"), 2, "must be less than --days"),
        (("sign", "--csr", "-", "--role", "agent", "--name", "x"), 1, "PEM"),
    ],
)
def test_failures_are_one_sentence_and_a_code(
    ca: str, words: tuple[str, ...], code: int, sentence: str
) -> None:
    result = run(words[0], "--dir", ca, *words[1:], stdin=b"")
    assert result.exit_code == code and sentence in result.stderr, result.output


def test_without_an_authority_nothing_is_signed(tmp_path: Path) -> None:
    result = run("sign", "--dir", str(tmp_path), "--csr", "-", *AGENT, stdin=b"")
    assert result.exit_code == 3 and "certs init" in result.stderr
