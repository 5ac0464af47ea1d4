"""Who a peer's certificate says it is: DER bytes to a principal, once per certificate.

The handshake has already checked the chain, the dates and the revocation list. This module reads
SAN URIs, extended key usage, dates and serial, and refuses the common name.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mesos_twisted.errors import Problem
from mesos_twisted.security.core.principal import (
    Principal,
    Role,
    identity_from_sans,
    refuse_other_role,
)

_MEMORY = 65536


class Side(enum.Enum):
    """Which end of a connection the peer is."""

    CLIENT = "clientAuth"
    SERVER = "serverAuth"


_USAGE = {
    Side.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
    Side.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
}


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """What one certificate proves. `not_after` is in epoch seconds; `issuer` is the DER name."""

    principal: Principal
    serial: int
    issuer: bytes
    not_before: float
    not_after: float
    hosts: tuple[str, ...] = ()

    def speaks_for(self, host: str) -> bool:
        """Is this host name or address one of the certificate's, letter case aside?"""
        wanted = host.rstrip(".").lower()
        return any(own.lower() == wanted for own in self.hosts)


def read_certificate(der: bytes) -> x509.Certificate | Problem:
    """The certificate in these bytes, or a Problem."""
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return Problem("malformed-certificate", "The peer's certificate cannot be read.")


def identify(der: bytes, side: Side, cluster: str | None = None) -> PeerIdentity | Problem:
    """The identity in a peer's certificate, or why it proves none."""
    certificate = read_certificate(der)
    if isinstance(certificate, Problem):
        return certificate
    try:
        extensions = certificate.extensions
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        missing = "extended key usage" if "Usage" in str(error) else "SAN"
        return Problem("missing-extension", f"The peer's certificate has no {missing} extension.")
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return Problem("malformed-certificate", "The peer's certificate has malformed extensions.")
    if _USAGE[side] not in usages:
        return Problem(
            "wrong-usage", f"The peer's certificate is not meant for {side.value}; issue another."
        )
    principal = identity_from_sans(
        names.get_values_for_type(x509.UniformResourceIdentifier), cluster
    )
    if isinstance(principal, Problem):
        return principal
    hosts = (
        *names.get_values_for_type(x509.DNSName),
        *map(str, names.get_values_for_type(x509.IPAddress)),
    )
    return PeerIdentity(
        principal,
        certificate.serial_number,
        certificate.issuer.public_bytes(),
        _epoch(certificate.not_valid_before_utc),
        _epoch(certificate.not_valid_after_utc),
        hosts,
    )


def only(role: Role, cluster: str | None = None) -> Callable[[bytes | None], Problem | None]:
    """Looks at servers' certificates: None for one of this role (and cluster), else a Problem."""
    identities = IdentityCache(Side.SERVER, cluster)

    def vet(der: bytes | None) -> Problem | None:
        if der is None:
            return Problem("no-certificate", "The peer showed no certificate.")
        found = identities.identify(der)
        return found if isinstance(found, Problem) else refuse_other_role(found.principal, role)

    return vet


class IdentityCache:
    """`identify` for one side and cluster, remembering every certificate it has read."""

    def __init__(self, side: Side, cluster: str | None = None) -> None:
        self._side = side
        self._cluster = cluster
        self._known: dict[bytes, PeerIdentity | Problem] = {}

    def identify(self, der: bytes) -> PeerIdentity | Problem:
        """The identity in a peer's certificate; the second look at the same bytes is free."""
        known = self._known.get(der)
        if known is None:
            known = identify(der, self._side, self._cluster)
            if len(self._known) >= _MEMORY:
                self._known.clear()
            self._known[der] = known
        return known


def _epoch(moment: datetime.datetime) -> float:
    return moment.timestamp()
