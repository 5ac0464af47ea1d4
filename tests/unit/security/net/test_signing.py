"""Keys made on their hosts: what a request proves, and what is left alone."""

from __future__ import annotations

import datetime
import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from mesos_twisted.errors import MalformedError, RefusedError
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority, authority_files, revocation, rotation, signing
from mesos_twisted.security.net.certificates import public_bytes, subject_names
from mesos_twisted.security.net.requests import Requested, request

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
HOSTS = ["a1.example", "10.0.0.1"]


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    root = tmp_path / "ca"
    authority.make_authority(root, "blue", now=NOW)
    return root


@pytest.fixture
def host(tmp_path: Path) -> Path:
    return tmp_path / "host"


def ask(
    host: Path, role: Role = Role.AGENT, name: str = "a1", *, new_key: bool = False
) -> Requested:
    return request(host / "k.pem", host / "k.csr", role, name, HOSTS, new_key=new_key)


def sign(
    ca: Path, made: Requested, within: int | None = 10, days: int = 30, **kw: object
) -> signing.Signed:
    now = kw.pop("now", NOW)
    hosts = kw.pop("hosts", HOSTS)
    assert isinstance(now, datetime.datetime) and isinstance(hosts, list) and not kw
    return signing.sign(
        ca, made.csr.read_bytes(), Role.AGENT, "a1", hosts, days, now, if_needed_days=within
    )


def leaf(path: Path) -> x509.Certificate:
    return authority_files.load_certificates(path)[0]


def test_a_key_is_private_and_stays_where_it_was_made(ca: Path, host: Path) -> None:
    made = ask(host)
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    assert b"PRIVATE" not in made.csr.read_bytes()
    signed = sign(ca, made)
    assert signed.changed and signed.reason == "there was none"
    assert not (ca / "a1-key.pem").exists()
    key = authority_files.load_key(made.key)
    assert public_bytes(leaf(signed.cert).public_key()) == public_bytes(key.public_key())


def test_only_the_public_key_is_taken_from_a_request(ca: Path, host: Path) -> None:
    wishes = request(
        host / "k.pem", host / "k.csr", Role.OPERATOR, "root", ["evil.example"], "blue"
    )
    asked = x509.load_pem_x509_csr(wishes.csr.read_bytes())
    assert "root" in asked.subject.rfc4514_string()
    got = leaf(sign(ca, wishes).cert)
    assert subject_names(got) == (["mesos://blue/agent/a1"], HOSTS)
    assert got.subject.rfc4514_string() == "CN=agent a1"


def test_a_request_for_the_same_changes_nothing(host: Path) -> None:
    first = ask(host)
    before = (first.key.read_bytes(), first.csr.read_bytes())
    again = ask(host)
    assert not again.changed and (again.key.read_bytes(), again.csr.read_bytes()) == before
    named = ask(host, name="a2")
    assert named.changed and not named.made_key and named.fingerprint == first.fingerprint
    named.csr.write_bytes(b"torn")
    assert ask(host, name="a2").changed
    renewed = ask(host, name="a2", new_key=True)
    assert renewed.made_key and renewed.fingerprint != first.fingerprint


def test_a_key_that_others_could_read_is_not_used(host: Path) -> None:
    ask(host).key.chmod(0o644)
    with pytest.raises(RefusedError, match="--new-key"):
        ask(host)
    assert stat.S_IMODE(ask(host, new_key=True).key.stat().st_mode) == 0o600


def test_a_request_without_proof_is_refused(ca: Path, host: Path) -> None:
    theirs = x509.load_pem_x509_csr(ask(host).csr.read_bytes())
    der = bytearray(theirs.public_bytes(serialization.Encoding.DER))
    other = public_bytes(ec.generate_private_key(ec.SECP256R1()).public_key())
    at = bytes(der).index(public_bytes(theirs.public_key()))
    der[at : at + len(other)] = other
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(RefusedError, match="does not prove"):
        signing.sign(ca, forged, Role.AGENT, "a1", HOSTS, now=NOW)
    assert not (ca / "a1.pem").exists()


def test_what_is_no_request_of_ours_is_refused(ca: Path) -> None:
    keys = (
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    for key in keys:
        csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        content = csr.public_bytes(serialization.Encoding.PEM)
        with pytest.raises(MalformedError, match="P-256"):
            signing.sign(ca, content, Role.AGENT, "a1", HOSTS, now=NOW)
    with pytest.raises(MalformedError, match="not a PEM certificate request"):
        signing.sign(ca, b"nothing", Role.AGENT, "a1", HOSTS, now=NOW)


def test_a_good_certificate_is_left_alone_and_says_so(ca: Path, host: Path) -> None:
    made = ask(host)
    first = sign(ca, made)
    again = sign(ca, made, now=NOW + datetime.timedelta(days=19), hosts=HOSTS[::-1])
    assert not again.changed and again.serial == first.serial
    assert "2030-01-31" in again.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("late", "less than 10 days"),
        ("hosts", "the hosts are others"),
        ("key", "the key is another one"),
        ("authority", "another authority signs now"),
        ("asked", "it was asked for"),
    ],
)
def test_what_is_not_good_any_more_is_signed_anew(
    ca: Path, host: Path, change: str, reason: str
) -> None:
    first = sign(ca, ask(host))
    now, hosts, within = NOW, list(HOSTS), 10
    if change == "late":
        now += datetime.timedelta(days=21)
    if change == "hosts":
        hosts = ["a1.example"]
    if change == "authority":
        rotation.prepare_rotation(ca, now=NOW)
        rotation.switch_authority(ca)
    made = ask(host, new_key=change == "key")
    again = sign(ca, made, None if change == "asked" else within, now=now, hosts=hosts)
    assert again.changed and reason in again.reason and again.serial != first.serial
    assert sorted(subject_names(leaf(again.cert))[1]) == sorted(hosts)
    assert not sign(ca, made, now=now, hosts=hosts).changed


def test_near_the_end_of_the_authority_nothing_is_signed_over_and_over(
    tmp_path: Path, host: Path
) -> None:
    short = tmp_path / "short"
    authority.make_authority(short, "blue", days=5, now=NOW)
    made = ask(host)
    assert sign(short, made).changed and not sign(short, made).changed


def test_a_name_keeps_its_role(ca: Path, host: Path) -> None:
    sign(ca, ask(host))
    with pytest.raises(RefusedError, match="one role in a cluster"):
        signing.sign(ca, (host / "k.csr").read_bytes(), Role.MASTER, "a1", HOSTS, now=NOW)


def test_a_revoked_key_is_not_certified_again_however_often_it_was_renewed(
    ca: Path, host: Path
) -> None:
    made = ask(host)
    first = sign(ca, made)
    sign(ca, made, None)
    revocation.revoke_serial(ca, first.serial, now=NOW)
    with pytest.raises(RefusedError, match="revoked"):
        sign(ca, made)
    assert sign(ca, ask(host, new_key=True)).changed


def test_a_key_that_is_kept_here_is_not_replaced(ca: Path, host: Path) -> None:
    authority.issue(ca, Role.AGENT, "a1", HOSTS, now=NOW)
    with pytest.raises(RefusedError, match="kept here"):
        sign(ca, ask(host))


def test_a_signed_certificate_is_renewed_without_its_key(ca: Path, host: Path) -> None:
    made = ask(host)
    sign(ca, made)
    authority.renew(ca, "a1", now=NOW + datetime.timedelta(days=5))
    assert authority_files.key_fingerprint(leaf(ca / "a1.pem").public_key()) == made.fingerprint
    with pytest.raises(RefusedError, match="made on its host"):
        authority.renew(ca, "a1", new_key=True, now=NOW)


def test_issuing_again_changes_nothing_while_it_is_good(ca: Path) -> None:
    def keep(days_later: int = 0) -> signing.Signed:
        now = NOW + datetime.timedelta(days=days_later)
        return signing.keep_issued(ca, Role.OPERATOR, "alice", (), 30, now, if_needed_days=10)

    first = keep()
    key = (ca / "alice-key.pem").read_bytes()
    assert first.changed and not keep(19).changed and keep(21).changed
    assert (ca / "alice-key.pem").read_bytes() == key


def test_a_failed_issue_leaves_no_key(ca: Path) -> None:
    with pytest.raises(MalformedError, match="needs a --host"):
        signing.keep_issued(ca, Role.AGENT, "a1", if_needed_days=1, now=NOW)
    assert not (ca / "a1-key.pem").exists()


def test_a_record_of_before_keys_were_in_it_still_serves(ca: Path, host: Path) -> None:
    made = ask(host)
    signed = sign(ca, made)
    path = ca / "issued.jsonl"
    entry = json.loads(path.read_text())
    del entry["key"]
    path.write_text(json.dumps(entry) + "\n")
    revocation.revoke(ca, "a1", now=NOW)
    with pytest.raises(RefusedError, match="revoked"):
        sign(ca, made)
    assert signed.cert.exists()
