"""The cluster's own certificate authority: makes it, issues its certificates and renews them.

It lives in a directory (see `authority_files`); what else may happen to it is in `revocation` and
`rotation`. This module refuses to know who deploys the files.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mesos_twisted.errors import MalformedError, Problem, RefusedError
from mesos_twisted.security.core.principal import Role, identity_from_sans, identity_uri, is_segment
from mesos_twisted.security.net.authority_files import (
    cluster_of,
    exclusive,
    leaf_paths,
    load_bundle,
    load_certificates,
    load_key,
    moment_of,
    record,
)
from mesos_twisted.security.net.certificates import (
    build_authority,
    build_crl,
    build_leaf,
    key_bytes,
    pem,
    public_bytes,
    subject_names,
)
from mesos_twisted.security.net.files import create_private, write_private, write_public
from mesos_twisted.security.net.revocation import revoked_serials

CA_DAYS: Final = 5 * 365
LEAF_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Issued:
    """Where a certificate and its key are, and until when it holds."""

    cert: Path
    key: Path
    not_after: datetime.datetime


def make_authority(
    directory: Path | str, cluster: str, days: int = CA_DAYS, now: datetime.datetime | None = None
) -> Path:
    """Afterwards the directory (mode 0700 if made here) holds a new authority; gives `ca.pem`.

    Raises RefusedError when one is there already.
    """
    if not is_segment(cluster):
        raise MalformedError(
            f"The cluster name '{cluster}' is not usable: letters, digits and '._@+:-' only."
        )
    root = Path(directory)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    moment = moment_of(now)
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        create_private(root / "ca-key.pem", key_bytes(key))
    except FileExistsError:
        raise RefusedError(f"{root} already holds an authority; it was left as it is.") from None
    authority = build_authority(key, cluster, moment, days)
    write_public(root / "cluster", cluster.encode() + b"\n")
    write_public(root / "crl.pem", build_crl(authority, key, (), moment))
    write_public(root / "ca.pem", pem(authority))
    return root / "ca.pem"


@exclusive
def issue(
    directory: Path | str,
    role: Role,
    name: str,
    hosts: Sequence[str] = (),
    days: int = LEAF_DAYS,
    now: datetime.datetime | None = None,
) -> Issued:
    """Afterwards `<name>.pem` and `<name>-key.pem` hold a new certificate and key of this role.

    `hosts` are DNS names or IP addresses. Raises RefusedError when the name is taken.
    """
    root = Path(directory)
    cert, key_path = leaf_paths(root, name)
    if cert.exists():
        raise RefusedError(f"{cert} exists already; use `renew` to replace it.")
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = sign_leaf(root, key.public_key(), role, name, hosts, days, moment_of(now))
    try:
        create_private(key_path, key_bytes(key))
    except FileExistsError:
        raise RefusedError(f"{key_path} exists already; move it away first.") from None
    write_public(cert, pem(leaf))
    return Issued(cert, key_path, leaf.not_valid_after_utc)


@exclusive
def renew(
    directory: Path | str,
    name: str,
    days: int = LEAF_DAYS,
    now: datetime.datetime | None = None,
    *,
    new_key: bool = False,
) -> Issued:
    """Afterwards `<name>.pem` holds for `days` more, with the same role, names and key.

    With the same key one rename swaps the certificate, so no reader can see an unmatched pair, and
    the key itself is not needed: it may be on its host only.
    """
    root = Path(directory)
    cert, key_path = leaf_paths(root, name)
    old = load_certificates(cert)[0]
    uris, hosts = subject_names(old)
    role = _role_of(root, cert, name, uris)
    if not new_key and (old.issuer.public_bytes(), old.serial_number) in revoked_serials(root):
        raise RefusedError(
            f"The certificate of '{name}' is revoked, so its key is not used again; "
            "renew it with a new key (`--new-key`)."
        )
    key = ec.generate_private_key(ec.SECP256R1()) if new_key else None
    if key is not None and not key_path.exists():
        raise RefusedError(
            f"The key of '{name}' was made on its host; make a new one there with `certs request "
            "--new-key` and sign that."
        )
    held = load_key(key_path) if key is None and key_path.exists() else key
    public = public_of(old, str(cert)) if held is None else held.public_key()
    leaf = sign_leaf(root, public, role, name, hosts, days, moment_of(now))
    if key is not None:
        write_private(key_path, key_bytes(key))
    write_public(cert, pem(leaf))
    return Issued(cert, key_path, leaf.not_valid_after_utc)


def public_of(certificate: x509.Certificate, what: str) -> ec.EllipticCurvePublicKey:
    """The key a certificate speaks for. Raises MalformedError for another kind than ours."""
    public = certificate.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise MalformedError(f"The key of {what} is not an elliptic curve key.")
    return public


def sign_leaf(
    root: Path,
    public: ec.EllipticCurvePublicKey,
    role: Role,
    name: str,
    hosts: Sequence[str],
    days: int,
    moment: datetime.datetime,
) -> x509.Certificate:
    """A leaf signed by the first authority of the bundle, and written into the record of leaves.

    For whoever holds the directory's lock.
    """
    uri = identity_uri(cluster_of(root), role, name)
    if isinstance(uri, Problem):
        raise MalformedError(uri.sentence)
    if days < 1:
        raise MalformedError("A certificate must hold for one day or more.")
    authority = load_bundle(root)[0]
    key = load_key(root / "ca-key.pem")
    if public_bytes(authority.public_key()) != public_bytes(key.public_key()):
        raise MalformedError(f"{root / 'ca-key.pem'} is not the key of {root / 'ca.pem'}.")
    until = min(moment + datetime.timedelta(days=days), authority.not_valid_after_utc)
    if until <= moment:
        raise RefusedError("The authority has expired; rotate it before issuing certificates.")
    leaf = build_leaf(public, role, uri, hosts, authority, key, moment, until)
    record(root, name, leaf)
    return leaf


def _role_of(root: Path, path: Path, name: str, uris: Sequence[str]) -> Role:
    found = identity_from_sans(uris, cluster_of(root))
    if isinstance(found, Problem) or found.role is None or found.name != name:
        raise MalformedError(f"{path} was not issued here for '{name}'; use `issue`.")
    return found.role
