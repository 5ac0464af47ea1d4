"""The X.509 documents themselves: an authority, a leaf of each role, a revocation list.

Every document is ECDSA P-256 with SHA-256. This module decides their extensions and refuses to
know directories, records and who may ask; keys and moments are arguments.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from mesos_twisted.errors import MalformedError
from mesos_twisted.security.core.principal import Role

#: A list outlives the longest leaf's renewal by far, so a forgotten timer does not stop a cluster.
CRL_DAYS: Final = 365
#: How far back validity begins, for hosts whose clocks are behind.
BACKDATE: Final = datetime.timedelta(minutes=5)

CRL_MARK: Final = b"-----BEGIN X509 CRL-----"

_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?\Z")

_USAGES: Final[dict[Role, tuple[ObjectIdentifier, ...]]] = {
    Role.MASTER: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    Role.AGENT: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    Role.FRAMEWORK: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    Role.OPERATOR: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    # Its servers are each other's clients.
    Role.ZOOKEEPER: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
}


def build_leaf(
    public: ec.EllipticCurvePublicKey,
    role: Role,
    uri: str,
    hosts: Sequence[str],
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    moment: datetime.datetime,
    until: datetime.datetime,
) -> x509.Certificate:
    """A certificate of this role, valid from just before `moment` to `until`.

    Raises MalformedError for a host that is no host, or a server without one.
    """
    usages = _USAGES[role]
    if ExtendedKeyUsageOID.SERVER_AUTH in usages and not hosts:
        raise MalformedError(
            f"A certificate of role {role.value} is shown to clients and needs a --host."
        )
    name = uri.rpartition("/")[2]
    # A Name holds at most 64 characters and is for people only; the SAN is what is believed.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{role.value} {name}"[:64])])
    sans = general_names(uri, hosts)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - BACKDATE)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(sans), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )


def build_authority(
    key: ec.EllipticCurvePrivateKey, cluster: str, moment: datetime.datetime, days: int
) -> x509.Certificate:
    serial = x509.random_serial_number()
    # Two authorities of one cluster need two names: revocation lists are found by name.
    title = f"mesos {cluster[:40]} authority {serial & 0xFFFFFFFF:08x}"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(moment - BACKDATE)
        .not_valid_after(moment + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def build_crl(
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    entries: Sequence[tuple[int, datetime.datetime]],
    moment: datetime.datetime,
) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(moment - BACKDATE)
        .next_update(moment + datetime.timedelta(days=CRL_DAYS))
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        # Numbers only have to grow.
        .add_extension(x509.CRLNumber(int(moment.timestamp() * 1000)), critical=False)
    )
    for serial, date in entries:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date).build()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not _HOST.match(text) or len(text) > 253:
        raise MalformedError(
            f"'{text}' is neither a host name nor an IP address; wildcards are not issued."
        )
    return x509.DNSName(text.rstrip("."))


def general_names(uri: str | None, hosts: Sequence[str]) -> list[x509.GeneralName]:
    """The SANs of an identity and its hosts. Raises MalformedError for what is no host."""
    uris = [] if uri is None else [x509.UniformResourceIdentifier(uri)]
    return [*uris, *map(_host, hosts)]


def host_names(hosts: Sequence[str]) -> frozenset[str]:
    """The hosts as `subject_names` gives them. Raises MalformedError for what is no host."""
    return frozenset(str(_host(text).value) for text in hosts)


def key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_bytes(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise MalformedError("The authority's key is not an elliptic curve key.")
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def subject_names(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """(URIs, host names and addresses) among the certificate's SANs."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    hosts = [
        *names.get_values_for_type(x509.DNSName),
        *map(str, names.get_values_for_type(x509.IPAddress)),
    ]
    return list(names.get_values_for_type(x509.UniformResourceIdentifier)), hosts
