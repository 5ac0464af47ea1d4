"""What a host shows in the handshake: its leaf, never the root, always what a peer may lack."""

from __future__ import annotations

import datetime
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority, certificates, own_chain
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource

HOST = "localhost"


def shown(server: ContextSource, client: ContextSource) -> tuple[list[bytes], list[bytes]]:
    """The certificates (DER) that client and server showed, in that order."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client.client_context().wrap_bio(down, up, server_hostname=HOST)
    ours = server.server_context().wrap_bio(up, down, server_side=True)
    for end in (theirs, ours, theirs, ours):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    inner: list[Any] = [ours._sslobj, theirs._sslobj]  # type: ignore[attr-defined]  # public from 3.13 on
    met, other = (
        [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in end.get_unverified_chain()]
        for end in inner
    )
    return met, other


@pytest.fixture
def root(tmp_path: Path) -> Path:
    authority.make_authority(tmp_path, "blue")
    authority.issue(tmp_path, Role.MASTER, "m", [HOST])
    authority.issue(tmp_path, Role.AGENT, "a", [HOST])
    return tmp_path


def source(root: Path, name: str, bundle: str = "ca.pem") -> ContextSource:
    names = (bundle, f"{name}.pem", f"{name}-key.pem")
    return ContextSource(CertificateFiles(*[str(root / one) for one in names]))


def test_both_sides_show_their_leaf_alone(root: Path) -> None:
    from_agent, from_master = shown(source(root, "m"), source(root, "a"))
    for chain, name in ((from_agent, "a"), (from_master, "m")):
        assert chain == [ssl.PEM_cert_to_DER_cert((root / f"{name}.pem").read_text())]


def test_an_intermediate_authority_of_the_bundle_is_shown_to_peers_without_it(root: Path) -> None:
    root_cert = x509.load_pem_x509_certificate((root / "ca.pem").read_bytes())
    # The project's own root allows no authority below it, so another is made.
    moment = datetime.datetime.now(datetime.UTC)
    top_key, middle_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    top = _authority(top_key, "top", top_key, "top", moment)
    middle = _authority(middle_key, "middle", top_key, "top", moment)
    until = moment + datetime.timedelta(days=1)
    key = ec.generate_private_key(ec.SECP256R1())
    uri = "mesos://blue/agent/a"
    leaf = certificates.build_leaf(
        key.public_key(), Role.AGENT, uri, [HOST], middle, middle_key, moment, until
    )
    pem = serialization.Encoding.PEM
    everyone = top.public_bytes(pem) + root_cert.public_bytes(pem)
    (root / "b.pem").write_bytes(leaf.public_bytes(pem))
    (root / "b-key.pem").write_bytes(certificates.key_bytes(key))
    (root / "b-key.pem").chmod(0o600)
    (root / "b-bundle.pem").write_bytes(middle.public_bytes(pem) + everyone)
    (root / "m-bundle.pem").write_bytes(everyone)
    server, client = source(root, "m", "m-bundle.pem"), source(root, "b", "b-bundle.pem")
    from_agent, _ = shown(server, client)
    assert from_agent[:2] == [
        one.public_bytes(serialization.Encoding.DER) for one in (leaf, middle)
    ]


def _authority(
    key: ec.EllipticCurvePrivateKey,
    name: str,
    signer: ec.EllipticCurvePrivateKey,
    issuer: str,
    moment: datetime.datetime,
) -> x509.Certificate:
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer)]
    return (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - datetime.timedelta(days=1))
        .not_valid_after(moment + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )


def test_an_interpreter_whose_memory_is_not_known_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setattr(own_chain, "KNOWN_VERSIONS", frozenset())
    assert own_chain.show_no_authority(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) is False
    from_agent, _ = shown(source(root, "m"), source(root, "a"))
    assert len(from_agent) == 2  # OpenSSL adds the root by itself


def test_it_works_on_this_interpreter() -> None:
    assert sys.version_info[:2] in own_chain.KNOWN_VERSIONS
    assert own_chain.show_no_authority(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) is True
