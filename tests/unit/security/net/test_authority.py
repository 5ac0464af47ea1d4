"""The authority's files: private from the start, consistent, and refused when they are not."""

from __future__ import annotations

import concurrent.futures
import datetime
import os
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from mesos_twisted.errors import MalformedError, MesosError, RefusedError, UnavailableError
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import (
    authority,
    authority_files,
    certificates,
    files,
    revocation,
    rotation,
)

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    root = tmp_path / "ca"
    authority.make_authority(root, "blue", now=NOW)
    return root


def leaf(root: Path, name: str) -> x509.Certificate:
    return authority_files.load_certificates(root / f"{name}.pem")[0]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_private_and_nothing_is_left_over(ca: Path) -> None:
    authority.issue(ca, Role.AGENT, "a1", ["a1.example"], now=NOW)
    assert mode(ca) == 0o700
    for path in ca.iterdir():
        private = path.name.endswith("-key.pem") or path.name == "issued.jsonl"
        assert mode(path) == (0o600 if private else 0o644), path
    assert {path.name for path in ca.iterdir()} == {
        "ca.pem", "ca-key.pem", "crl.pem", "cluster", "issued.jsonl", "a1.pem", "a1-key.pem",
    }  # fmt: skip


def test_a_private_file_is_never_wider_than_0600(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = os.fsync

    def look(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            seen.append(stat.S_IMODE(status.st_mode))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    old = os.umask(0)
    try:
        files.write_private(tmp_path / "k", b"x")
        files.create_private(tmp_path / "k2", b"x")
    finally:
        os.umask(old)
    assert seen == [0o600, 0o600]
    with pytest.raises(FileExistsError):
        files.create_private(tmp_path / "k", b"y")
    assert (tmp_path / "k").read_bytes() == b"x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k", "k2"]


def test_a_private_file_does_not_follow_a_link(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    (tmp_path / "key").symlink_to(target)
    files.write_private(tmp_path / "key", b"new")
    assert target.read_bytes() == b"old" and not (tmp_path / "key").is_symlink()


@pytest.mark.parametrize(
    ("role", "usages"),
    [
        (Role.MASTER, {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}),
        (Role.AGENT, {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}),
        (Role.FRAMEWORK, {ExtendedKeyUsageOID.CLIENT_AUTH}),
        (Role.OPERATOR, {ExtendedKeyUsageOID.CLIENT_AUTH}),
    ],
)
def test_a_leaf_says_its_role_hosts_and_usage(
    ca: Path, role: Role, usages: set[x509.ObjectIdentifier]
) -> None:
    made = authority.issue(ca, role, "n", ["h.example", "10.0.0.1", "::1"], now=NOW)
    found = leaf(ca, "n")
    uris, hosts = certificates.subject_names(found)
    assert uris == [f"mesos://blue/{role.value}/n"]
    assert hosts == ["h.example", "10.0.0.1", "::1"]
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == usages
    assert isinstance(found.public_key(), ec.EllipticCurvePublicKey)
    assert made.not_after == found.not_valid_after_utc == NOW + datetime.timedelta(days=30)
    assert found.not_valid_before_utc < NOW
    found.verify_directly_issued_by(authority_files.load_bundle(ca)[0])


def test_the_authority_signs_leaves_only_and_holds_five_years(ca: Path) -> None:
    (found,) = authority_files.load_bundle(ca)
    limits = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert limits.critical and limits.value.ca and limits.value.path_length == 0
    assert found.not_valid_after_utc == NOW + datetime.timedelta(days=5 * 365)
    late = NOW + datetime.timedelta(days=5 * 365 - 3)
    made = authority.issue(ca, Role.OPERATOR, "o", now=late)
    assert made.not_after == found.not_valid_after_utc
    with pytest.raises(RefusedError, match="expired"):
        authority.issue(ca, Role.OPERATOR, "p", now=late + datetime.timedelta(days=9))


def test_nothing_is_overwritten(ca: Path) -> None:
    key = (ca / "ca-key.pem").read_bytes()
    with pytest.raises(RefusedError, match="already holds an authority"):
        authority.make_authority(ca, "blue")
    authority.issue(ca, Role.OPERATOR, "o", now=NOW)
    with pytest.raises(RefusedError, match="use `renew`"):
        authority.issue(ca, Role.AGENT, "o", ["h"], now=NOW)
    (ca / "lost-key.pem").write_bytes(b"mine")
    with pytest.raises(RefusedError, match="move it away"):
        authority.issue(ca, Role.OPERATOR, "lost", now=NOW)
    assert (ca / "lost-key.pem").read_bytes() == b"mine"
    assert (ca / "ca-key.pem").read_bytes() == key


@pytest.mark.parametrize(
    ("name", "hosts", "days"),
    [
        ("../x", (), 1),
        ("a/b", (), 1),
        ("", (), 1),
        (".x", (), 1),
        ("ca", (), 1),
        ("crl", (), 1),
        ("x-key", (), 1),
        ("ok", ("*.example",), 1),
        ("ok", ("a b",), 1),
        ("ok", ("-a.example",), 1),
        ("ok", ("a..b",), 1),
        ("ok", ("",), 1),
        ("ok", ("é.example",), 1),
        ("ok", ("a" * 64,), 1),
        ("ok", (), 0),
    ],
)
def test_bad_names_hosts_and_days_are_refused_and_leave_nothing(
    ca: Path, name: str, hosts: tuple[str, ...], days: int
) -> None:
    before = sorted(ca.iterdir())
    with pytest.raises(MalformedError):
        authority.issue(ca, Role.OPERATOR, name, hosts, days, NOW)
    assert sorted(ca.iterdir()) == before


@pytest.mark.parametrize("role", [Role.MASTER, Role.AGENT])
def test_servers_need_a_host(ca: Path, role: Role) -> None:
    with pytest.raises(MalformedError, match="--host"):
        authority.issue(ca, role, "x", now=NOW)


def test_executors_have_no_certificates(ca: Path) -> None:
    with pytest.raises(MalformedError, match="token"):
        authority.issue(ca, Role.EXECUTOR, "x", now=NOW)


def test_renewal_keeps_who_and_the_key_and_extends(ca: Path) -> None:
    authority.issue(ca, Role.AGENT, "a", ["h.example", "10.0.0.1"], now=NOW)
    before, key = leaf(ca, "a"), (ca / "a-key.pem").read_bytes()
    made = authority.renew(ca, "a", now=NOW + datetime.timedelta(days=20))
    after = leaf(ca, "a")
    assert made.not_after == NOW + datetime.timedelta(days=50)
    assert certificates.subject_names(after) == certificates.subject_names(before)
    assert after.serial_number != before.serial_number
    assert (ca / "a-key.pem").read_bytes() == key
    authority.renew(ca, "a", now=NOW, new_key=True)
    assert (ca / "a-key.pem").read_bytes() != key and mode(ca / "a-key.pem") == 0o600


def test_revocation_takes_every_certificate_of_a_name_and_its_key(ca: Path) -> None:
    authority.issue(ca, Role.AGENT, "a", ["h"], now=NOW)
    authority.issue(ca, Role.AGENT, "ab", ["h"], now=NOW)
    first = leaf(ca, "a").serial_number
    authority.renew(ca, "a", now=NOW)
    second = leaf(ca, "a").serial_number
    assert set(revocation.revoke(ca, "a", NOW)) == {first, second}
    assert {serial for _, serial in revocation.revoked_serials(ca)} == {first, second}
    with pytest.raises(RefusedError, match="not used again"):
        authority.renew(ca, "a", now=NOW)
    authority.renew(ca, "a", now=NOW, new_key=True)
    third = leaf(ca, "a").serial_number
    revocation.revoke_serial(ca, leaf(ca, "ab").serial_number, NOW)
    revocation.refresh_crl(ca, NOW + datetime.timedelta(days=1))
    serials = {serial for _, serial in revocation.revoked_serials(ca)}
    assert serials == {first, second, leaf(ca, "ab").serial_number} and third not in serials


def test_a_list_is_signed_by_its_authority_and_outlives_leaves(ca: Path) -> None:
    authority.issue(ca, Role.OPERATOR, "o", now=NOW)
    revocation.revoke(ca, "o", NOW)
    crl = x509.load_pem_x509_crl((ca / "crl.pem").read_bytes())
    key = authority_files.load_bundle(ca)[0].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and crl.is_signature_valid(key)
    assert crl.next_update_utc == NOW + datetime.timedelta(days=365)


def test_a_rotation_goes_forward_one_step_at_a_time(ca: Path) -> None:
    authority.issue(ca, Role.OPERATOR, "o", now=NOW)
    with pytest.raises(RefusedError, match="rotate prepare"):
        rotation.switch_authority(ca)
    with pytest.raises(RefusedError, match="rotate switch"):
        rotation.retire_authority(ca)
    rotation.prepare_rotation(ca, now=NOW)
    with pytest.raises(RefusedError, match="under way"):
        rotation.prepare_rotation(ca, now=NOW)
    with pytest.raises(RefusedError, match="rotate switch"):
        rotation.retire_authority(ca)
    first, second = authority_files.load_bundle(ca)
    assert first.subject != second.subject
    rotation.switch_authority(ca)
    # What the old authority issued can still be revoked, on its own list.
    serials = revocation.revoke(ca, "o", NOW)
    assert revocation.revoked_serials(ca) == {(first.subject.public_bytes(), s) for s in serials}
    authority.renew(ca, "o", now=NOW, new_key=True)
    leaf(ca, "o").verify_directly_issued_by(second)
    rotation.retire_authority(ca, NOW)
    assert authority_files.load_bundle(ca) == [second]
    assert revocation.revoked_serials(ca) == frozenset()


def test_a_switch_that_stopped_half_way_is_finished_by_running_it_again(
    ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotation.prepare_rotation(ca, now=NOW)
    first, second = authority_files.load_bundle(ca)
    with monkeypatch.context() as patch:
        patch.setattr(rotation, "write_public", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            rotation.switch_authority(ca)
    with pytest.raises(MalformedError, match="is not the key of"):
        authority.issue(ca, Role.OPERATOR, "o", now=NOW)
    rotation.switch_authority(ca)
    assert authority_files.load_bundle(ca) == [second, first]
    # Both keys are still there: each list can be signed.
    revocation.refresh_crl(ca, NOW)


def test_two_at_once_lose_nothing(ca: Path) -> None:
    """Threads stand for two commands: each opens the directory itself, so the lock counts."""
    names = [f"o{number}" for number in range(8)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: authority.issue(ca, Role.OPERATOR, name, now=NOW), names))
        list(pool.map(lambda name: revocation.revoke(ca, name, NOW), names))
    expected = {leaf(ca, name).serial_number for name in names}
    assert {serial for _, serial in revocation.revoked_serials(ca)} == expected
    assert len((ca / "issued.jsonl").read_text().splitlines()) == len(names)


def test_missing_and_damaged_files_are_one_sentence(ca: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be opened: no such file"):
        authority.issue(tmp_path / "none", Role.OPERATOR, "o")
    authority.issue(ca, Role.OPERATOR, "o", now=NOW)
    for name in ("ca.pem", "ca-key.pem", "issued.jsonl", "crl.pem"):
        whole = (ca / name).read_bytes()
        (ca / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(MesosError) as caught:
            revocation.revoke(ca, "o", NOW)
        assert name in str(caught.value) and str(caught.value).endswith(".")
        (ca / name).write_bytes(whole)


def test_open_credential_files_are_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "creds"
    path.write_text("a b\n")
    path.chmod(0o644)
    first, _ = files.read_credentials(path).warnings
    assert "chmod 0600" in first
    path.chmod(0o600)
    assert len(files.read_credentials(path).warnings) == 1
    (tmp_path / "key").write_bytes(b"k" * 32)
    assert files.read_token_key(tmp_path / "key").executor_token("f", "e", "c")
