"""Certificates of simulated clusters: real ones in DER, the same bytes in every process.

Keys, serials and dates follow from names. Nobody here proves that he has a key: see `tls`.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from dataclasses import dataclass
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesos_twisted.errors import BugError, Problem
from mesos_twisted.security.core.principal import Role, identity_uri
from mesos_twisted.testing.sim.net import EPOCH

_SERVERS: Final = (Role.MASTER, Role.AGENT)


@dataclass(frozen=True, slots=True)
class SimCertificate:
    """A certificate and nothing else: here nobody proves that he has the key."""

    der: bytes
    serial: int
    not_after: float


class SimAuthority:
    """Signs certificates, and takes them back. Two of one name and cluster are the same."""

    def __init__(self, cluster: str, name: str = "authority") -> None:
        self.cluster = cluster
        self._name = f"sim {cluster} {name}"
        #: Serials; contexts know them after their `reload`.
        self.revoked: dict[int, None] = {}

    def issue(
        self,
        role: Role,
        name: str,
        *hosts: str,
        not_before: float = EPOCH - 300.0,
        not_after: float = EPOCH + 365 * 86400.0,
        generation: int = 0,
    ) -> SimCertificate:
        """A certificate; dates in epoch seconds. Another `generation` has another serial."""
        uri = identity_uri(self.cluster, role, name)
        if isinstance(uri, Problem):
            raise BugError(uri.sentence)
        return _issue(self._name, role, uri, hosts, not_before, not_after, generation)

    def revoke(self, certificate: SimCertificate) -> None:
        """Whoever reloads accepts it no more."""
        self.revoked[certificate.serial] = None

    def signed(self, der: bytes) -> bool:
        """Whether it is one of ours."""
        return _signed(self._name, der)


@cache
def _key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


@cache
def _issue(
    authority: str,
    role: Role,
    uri: str,
    hosts: tuple[str, ...],
    not_before: float,
    not_after: float,
    generation: int,
) -> SimCertificate:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if role in _SERVERS:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    text = f"{authority}/{uri}/{hosts}/{generation}"
    serial = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big") >> 1 | 1 << 126
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(uri.rpartition("/")[2]))
        .issuer_name(_name(authority))
        .public_key(_key(text).public_key())
        .serial_number(serial)
        .not_valid_before(_moment(not_before))
        .not_valid_after(_moment(not_after))
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(_key(authority), None)
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    return SimCertificate(der, serial, not_after)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


@cache
def _signed(authority: str, der: bytes) -> bool:
    try:
        certificate = x509.load_der_x509_certificate(der)
        signature, signed = certificate.signature, certificate.tbs_certificate_bytes
        _key(authority).public_key().verify(signature, signed)
    except Exception:
        # Not a certificate, or not with our signature.
        return False
    return True
