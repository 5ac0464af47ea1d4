"""Revoked certificates: the list of each authority of a directory, and what is put on it.

Every list is signed anew with each change; who deploys it is not known here.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography import x509

from mesos_twisted.errors import MalformedError, RefusedError, UnavailableError
from mesos_twisted.security.net.authority_files import (
    authority_keys,
    exclusive,
    leaf_paths,
    load_bundle,
    load_certificates,
    moment_of,
    recorded,
)
from mesos_twisted.security.net.certificates import CRL_MARK, build_crl, public_bytes
from mesos_twisted.security.net.files import read_bytes, write_public


@exclusive
def revoke(
    directory: Path | str, name: str, now: datetime.datetime | None = None
) -> tuple[int, ...]:
    """Afterwards every certificate ever issued for this name is on the list; gives the serials.

    All of them, because a renewed certificate shares its key with those before it.
    """
    root = Path(directory)
    certificate = load_certificates(leaf_paths(root, name)[0])[0]
    trusted = {authority.subject.public_bytes() for authority in load_bundle(root)}
    if certificate.issuer.public_bytes() not in trusted:
        raise RefusedError(f"The certificate of '{name}' was issued by another authority.")
    added: dict[bytes, set[int]] = {certificate.issuer.public_bytes(): {certificate.serial_number}}
    for known, serial, issuer in recorded(root):
        if known == name and issuer in trusted:
            added.setdefault(issuer, set()).add(serial)
    write_crls(root, moment_of(now), added)
    return tuple(sorted(serial for serials in added.values() for serial in serials))


@exclusive
def revoke_serial(directory: Path | str, serial: int, now: datetime.datetime | None = None) -> None:
    """Afterwards this one serial is on the list of the authority that issued it.

    A serial that is not in the record is taken for one of the authority that signs now.
    """
    root = Path(directory)
    issuer = load_bundle(root)[0].subject.public_bytes()
    for _, known, its_issuer in recorded(root):
        if known == serial:
            issuer = its_issuer
    write_crls(root, moment_of(now), {issuer: {serial}})


@exclusive
def refresh_crl(directory: Path | str, now: datetime.datetime | None = None) -> Path:
    """Afterwards `crl.pem` says the same and is good for another `CRL_DAYS`; gives its path."""
    root = Path(directory)
    write_crls(root, moment_of(now), {})
    return root / "crl.pem"


def revoked_serials(root: Path) -> frozenset[tuple[bytes, int]]:
    """Every (issuer name in DER, serial) on the lists of `crl.pem`."""
    return frozenset(
        (crl.issuer.public_bytes(), entry.serial_number)
        for crl in _load_crls(root)
        for entry in crl
    )


def write_crls(root: Path, moment: datetime.datetime, added: Mapping[bytes, Iterable[int]]) -> None:
    """Each authority's list anew, with what it held and what is added."""
    lists = {crl.issuer.public_bytes(): crl for crl in _load_crls(root)}
    keys = authority_keys(root)
    content = b""
    for authority in load_bundle(root):
        issuer = authority.subject.public_bytes()
        held = lists.get(issuer)
        entries = {} if held is None else {e.serial_number: e.revocation_date_utc for e in held}
        for serial in added.get(issuer, ()):
            entries.setdefault(serial, moment)
        key = keys.get(public_bytes(authority.public_key()))
        if key is None:
            raise UnavailableError(
                f"{root} has no key of the authority '{authority.subject.rfc4514_string()}'."
            )
        content += build_crl(authority, key, tuple(entries.items()), moment)
    write_public(root / "crl.pem", content)


def _load_crls(root: Path) -> list[x509.CertificateRevocationList]:
    path = root / "crl.pem"
    try:
        return [
            x509.load_pem_x509_crl(CRL_MARK + piece)
            for piece in read_bytes(path, "revocation list").split(CRL_MARK)[1:]
        ]
    except ValueError:
        raise MalformedError(f"{path} is not a PEM revocation list.") from None
