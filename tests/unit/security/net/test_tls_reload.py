"""TLS contexts read anew from their files: renewed, revoked, rotated, damaged."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority, revocation, rotation
from mesos_twisted.security.net.identity import PeerIdentity, Side, identify
from mesos_twisted.security.net.tls import ContextSource
from tests.unit.security.net.test_tls import HOST, files, peer_der, shake


@pytest.fixture
def own(tmp_path: Path) -> Path:
    authority.make_authority(tmp_path, "blue")
    authority.issue(tmp_path, Role.MASTER, "m", [HOST])
    authority.issue(tmp_path, Role.FRAMEWORK, "f")
    return tmp_path


def test_reload_takes_a_renewed_leaf_and_a_revocation(own: Path) -> None:
    source, client = ContextSource(files(own, "m")), ContextSource(files(own, "f"))
    ours, theirs = shake(source.server_context(), client.client_context())
    before, end = source.server_context(), source.not_after
    authority.renew(own, "m", days=60)
    revocation.revoke(own, "f")
    assert source.server_context() is before
    assert source.reload() is None
    assert source.server_context() is not before
    assert end is not None and source.not_after is not None and source.not_after > end
    # The old connection still carries bytes; we are told that it must be cut.
    theirs.write(b"y")
    assert ours.read(1) == b"y"
    der = peer_der(ours)
    assert der is not None and source.is_revoked(der)
    found = identify(der, Side.CLIENT)
    assert isinstance(found, PeerIdentity)
    assert source.is_revoked_serial(found.issuer, found.serial)
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        shake(source.server_context(), client.client_context())


def _garble(name: str) -> Callable[[Path], None]:
    def harm(root: Path) -> None:
        (root / name).write_text("not PEM")

    return harm


def _other_key(root: Path) -> None:
    (root / "m-key.pem").write_bytes((root / "f-key.pem").read_bytes())


def _no_list(root: Path) -> None:
    other = root / "other"
    authority.make_authority(other, "blue")
    with open(root / "ca.pem", "ab") as stream:
        stream.write((other / "ca.pem").read_bytes())


def _foreign_list(root: Path) -> None:
    other = root / "other"
    authority.make_authority(other, "blue")
    (root / "crl.pem").write_bytes((other / "crl.pem").read_bytes())


def _leaf_as_authority(root: Path) -> None:
    with open(root / "ca.pem", "ab") as stream:
        stream.write((root / "f.pem").read_bytes())


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_garble("m.pem"), "m.pem is not a PEM certificate"),
        (_garble("m-key.pem"), "m-key.pem is not usable"),
        (_garble("ca.pem"), "ca.pem is not a PEM certificate"),
        (_garble("crl.pem"), "crl.pem has no list of the authority"),
        (_other_key, "does not belong to the certificate"),
        (_no_list, "has no list of the authority"),
        (_foreign_list, "no authority of the bundle signed"),
        (_leaf_as_authority, "is no authority"),
        (lambda root: (root / "crl.pem").unlink(), "cannot be read: no such file"),
        (lambda root: os.chmod(root / "m-key.pem", 0o644), "open to every user"),
    ],
)
def test_a_bad_file_keeps_the_old_contexts_and_says_which(
    own: Path, harm: Callable[[Path], None], words: str
) -> None:
    source, client = ContextSource(files(own, "m")), ContextSource(files(own, "f"))
    before = source.server_context()
    harm(own)
    problem = source.reload()
    assert problem is not None and words in problem.sentence
    assert str(own) in problem.sentence and problem.sentence.endswith("stay as they were.")
    assert source.server_context() is before
    shake(before, client.client_context())
    with pytest.raises((MalformedError, UnavailableError)):
        ContextSource(files(own, "m"))


def test_an_encrypted_key_fails_with_a_sentence_and_asks_nobody(own: Path) -> None:
    key = serialization.load_pem_private_key((own / "m-key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    (own / "m-key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"horse"),
        )
    )
    with pytest.raises(MalformedError, match="not usable"):
        ContextSource(files(own, "m"))


def test_a_server_needs_a_certificate(own: Path) -> None:
    with pytest.raises(MalformedError, match="needs a certificate"):
        ContextSource(files(own)).server_context()
    with pytest.raises(MalformedError, match="set together"):
        ContextSource(files(own, cert=str(own / "m.pem")))


def test_a_rotation_never_breaks_a_deployed_pair(own: Path) -> None:
    """Old and new leaves meet at every step, and the retired authority's leaves end."""
    source, client = ContextSource(files(own, "m")), ContextSource(files(own, "f"))
    old_f = (own / "f.pem").read_bytes()

    def both() -> None:
        assert source.reload() is None and client.reload() is None
        shake(source.server_context(), client.client_context())

    rotation.prepare_rotation(own)
    both()
    rotation.switch_authority(own)
    both()
    authority.renew(own, "m")
    both()
    authority.renew(own, "f")
    both()
    rotation.retire_authority(own)
    both()
    assert not (own / "old-ca-key.pem").exists()
    (own / "f.pem").write_bytes(old_f)
    assert client.reload() is None
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(source.server_context(), client.client_context())
