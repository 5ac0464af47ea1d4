"""The handshake matrix: good certificates meet, every kind of bad one is refused."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesos_twisted.errors import Problem
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority, authority_files, revocation
from mesos_twisted.security.net.identity import IdentityCache, PeerIdentity, Side, identify
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource

HOST = "agent1.example"
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ca")
    authority.make_authority(root, "blue")
    authority.issue(root, Role.MASTER, "master1", ["127.0.0.1", HOST])
    authority.issue(root, Role.FRAMEWORK, "marathon")
    authority.issue(root, Role.OPERATOR, "revoked-one")
    revocation.revoke(root, "revoked-one")
    return root


def files(root: Path, name: str | None = None, **over: Any) -> CertificateFiles:
    cert = None if name is None else str(root / f"{name}.pem")
    key = None if name is None else str(root / f"{name}-key.pem")
    given = {"ca_bundle": str(root / "ca.pem"), "cert": cert, "key": key}
    return CertificateFiles(**{**given, "crl": str(root / "crl.pem"), **over})


def shake(
    server: ssl.SSLContext, client: ssl.SSLContext, host: str = HOST
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after a handshake over memory; raises the first side's ssl.SSLError."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(down, up, server_hostname=host),
        server.wrap_bio(up, down, server_side=True),
    )
    waiting = set(ends)
    for _ in range(12):
        for end in ends:
            if end in waiting:
                try:
                    end.do_handshake()
                    waiting.discard(end)
                except ssl.SSLWantReadError:
                    pass
        if not waiting:
            # With TLS 1.3 a client is done before the server has looked at its certificate.
            ends[1].write(b"x")
            assert ends[0].read(1) == b"x"
            return ends[1], ends[0]
    raise AssertionError("the handshake did not end")


def peer_der(end: ssl.SSLObject) -> bytes | None:
    return end.getpeercert(binary_form=True)


def test_a_good_pair_meets_with_tls_1_3_and_proves_the_framework(ca: Path) -> None:
    server, client = ContextSource(files(ca, "master1")), ContextSource(files(ca, "marathon"))
    ours, theirs = shake(server.server_context(), client.client_context())
    assert ours.version() == "TLSv1.3"
    assert ours.selected_alpn_protocol() == theirs.selected_alpn_protocol() == "http/1.1"
    assert ours.compression() is None
    der = peer_der(ours)
    assert der is not None
    found = identify(der, Side.CLIENT, "blue")
    assert isinstance(found, PeerIdentity)
    assert (found.principal.name, found.principal.role) == ("marathon", Role.FRAMEWORK)
    assert not server.is_revoked(der)
    cache = IdentityCache(Side.CLIENT, "blue")
    assert cache.identify(der) is cache.identify(bytes(bytearray(der)))
    der = peer_der(theirs)
    assert der is not None
    master = identify(der, Side.SERVER, "blue")
    assert isinstance(master, PeerIdentity)
    assert master.principal.role is Role.MASTER
    assert master.speaks_for(HOST.upper()) and not master.speaks_for("other.example")


def test_the_contexts_are_hard(ca: Path) -> None:
    source = ContextSource(files(ca, "master1"))
    server, client = source.server_context(), source.client_context()
    for context in (server, client):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_TICKET):
            assert context.options & option
        assert context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF
        assert all(
            cipher["protocol"] == "TLSv1.3" or ("ECDHE" in cipher["name"] and cipher["aead"])
            for cipher in context.get_ciphers()
        )
    assert server.num_tickets == 0 and server.verify_mode == ssl.CERT_OPTIONAL
    assert client.check_hostname and client.verify_mode == ssl.CERT_REQUIRED
    assert source.server_context() is server and source.client_context() is client
    assert source.list_not_after is not None and source.not_after is not None
    assert source.list_not_after > source.not_after


def test_the_link_protocol_is_chosen_when_offered(ca: Path) -> None:
    server, client = ContextSource(files(ca, "master1")), ContextSource(files(ca, "master1"))
    context = client.client_context(("mesos-link/1",))
    assert context is client.client_context(("mesos-link/1",))
    ours, _ = shake(server.server_context(), context)
    assert ours.selected_alpn_protocol() == "mesos-link/1"


def test_a_client_without_certificate_connects_and_proves_nothing(ca: Path) -> None:
    server = ContextSource(files(ca, "master1"))
    ours, _ = shake(server.server_context(), ContextSource(files(ca)).client_context())
    assert peer_der(ours) is None
    strict = ContextSource(files(ca, "master1"), require_client_cert=True)
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
        shake(strict.server_context(), ContextSource(files(ca)).client_context())


def test_an_address_san_is_verified_and_another_host_refused(ca: Path) -> None:
    server, client = ContextSource(files(ca, "master1")), ContextSource(files(ca))
    shake(server.server_context(), client.client_context(), "127.0.0.1")
    for host in ("127.0.0.2", "agent2.example", "master master1"):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake(server.server_context(), client.client_context(), host)


def craft(
    ca: Path,
    tmp_path: Path,
    *,
    uris: tuple[str, ...] = ("mesos://blue/framework/crafted",),
    dns: tuple[str, ...] = (),
    begins: datetime.timedelta = -DAY,
    ends: datetime.timedelta = DAY,
    usages: tuple[x509.ObjectIdentifier, ...] | None = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    common_name: str = "mesos://blue/operator/root",
    signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
    self_signed: bool = False,
) -> tuple[str, str]:
    """(certificate path, key path) of a certificate our authority would not issue."""
    key = ec.generate_private_key(ec.SECP256R1())
    ca_key = serialization.load_pem_private_key((ca / "ca-key.pem").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    issuer, signing = signer or (authority_files.load_bundle(ca)[0], ca_key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if self_signed else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [x509.DNSName(name) for name in dns]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    leaf = builder.sign(key if self_signed else signing, hashes.SHA256())
    cert_path, key_path = tmp_path / "crafted.pem", tmp_path / "crafted-key.pem"
    cert_path.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    key_path.touch(0o600)
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(cert_path), str(key_path)


def crafted_client(ca: Path, pair: tuple[str, str]) -> ssl.SSLContext:
    return ContextSource(files(ca, cert=pair[0], key=pair[1])).client_context()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"begins": -2 * DAY, "ends": -DAY}, "expired"),
        ({"begins": DAY, "ends": 2 * DAY}, "not yet valid"),
        ({"usages": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "certificate purpose"),
        ({"self_signed": True}, "self-signed certificate|unable to get"),
    ],
    ids=["expired", "future", "wrong-usage", "self-signed"],
)
def test_the_handshake_refuses_a_bad_client(
    ca: Path, tmp_path: Path, fault: dict[str, Any], words: str
) -> None:
    server = ContextSource(files(ca, "master1")).server_context()
    client = crafted_client(ca, craft(ca, tmp_path, **fault))
    with pytest.raises(ssl.SSLCertVerificationError, match=words):
        shake(server, client)


def test_another_authority_is_refused_even_with_the_same_names(ca: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    authority.make_authority(other, "blue")
    authority.issue(other, Role.OPERATOR, "ops")
    server = ContextSource(files(ca, "master1")).server_context()
    client = crafted_client(ca, (str(other / "ops.pem"), str(other / "ops-key.pem")))
    with pytest.raises(ssl.SSLCertVerificationError, match="local issuer"):
        shake(server, client)


def test_a_leaf_cannot_sign_another_leaf(ca: Path, tmp_path: Path) -> None:
    leaf = authority_files.load_certificates(ca / "marathon.pem")[0]
    key = serialization.load_pem_private_key((ca / "marathon-key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    pair = craft(ca, tmp_path, uris=("mesos://blue/operator/root",), signer=(leaf, key))
    with open(pair[0], "ab") as stream:
        stream.write((ca / "marathon.pem").read_bytes())
    server = ContextSource(files(ca, "master1")).server_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server, crafted_client(ca, pair))


def test_a_revoked_client_is_refused_and_known_as_revoked(ca: Path) -> None:
    source = ContextSource(files(ca, "master1"))
    client = ContextSource(files(ca, "revoked-one")).client_context()
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        shake(source.server_context(), client)
    certificate = authority_files.load_certificates(ca / "revoked-one.pem")[0]
    assert source.is_revoked(certificate.public_bytes(serialization.Encoding.DER))
    assert source.is_revoked(b"not a certificate")


def test_a_framework_certificate_cannot_serve(ca: Path, tmp_path: Path) -> None:
    pair = craft(ca, tmp_path, dns=(HOST,))
    server = ContextSource(files(ca, cert=pair[0], key=pair[1])).server_context()
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake(server, ContextSource(files(ca)).client_context())


def test_the_common_name_never_stands_for_the_host(ca: Path, tmp_path: Path) -> None:
    pair = craft(
        ca,
        tmp_path,
        common_name=HOST,
        usages=(ExtendedKeyUsageOID.SERVER_AUTH,),
        dns=("b.example",),
    )
    server = ContextSource(files(ca, cert=pair[0], key=pair[1])).server_context()
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)hostname mismatch"):
        shake(server, ContextSource(files(ca)).client_context())


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"uris": ()}, "missing-extension"),
        ({"uris": (), "dns": ("*.example",)}, "no-identity"),
        ({"uris": ("https://blue/operator/root",)}, "no-identity"),
        ({"uris": ("mesos://red/operator/root",)}, "other-cluster"),
        ({"uris": ("mesos://blue/operator/a", "mesos://blue/agent/b")}, "two-identities"),
        ({"usages": None}, "missing-extension"),
    ],
    ids=["no-san", "wildcard-only", "foreign-uri", "other-cluster", "two", "no-usage"],
)
def test_a_certificate_that_shakes_hands_may_still_prove_nothing(
    ca: Path, tmp_path: Path, fault: dict[str, Any], code: str
) -> None:
    server = ContextSource(files(ca, "master1")).server_context()
    ours, _ = shake(server, crafted_client(ca, craft(ca, tmp_path, **fault)))
    der = peer_der(ours)
    assert der is not None
    found = identify(der, Side.CLIENT, "blue")
    assert isinstance(found, Problem)
    assert found.code == code


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(ca: Path, version: ssl.TLSVersion) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(ca / "ca.pem")
    client.minimum_version = client.maximum_version = version
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake(ContextSource(files(ca, "master1")).server_context(), client)


@pytest.mark.parametrize(
    ("cipher", "good"),
    [("ECDHE-ECDSA-AES128-GCM-SHA256", True), ("ECDHE-ECDSA-AES128-SHA", False)],
)
def test_tls_1_2_needs_aead(ca: Path, cipher: str, good: bool) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(ca / "ca.pem")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(cipher)
    server = ContextSource(files(ca, "master1")).server_context()
    if good:
        ours, _ = shake(server, client)
        assert ours.cipher() == (cipher, "TLSv1.2", 128)
    else:
        with pytest.raises(ssl.SSLError):
            shake(server, client)
