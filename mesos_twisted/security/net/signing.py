"""Certificates for keys made elsewhere, and certificates that are made only when one is needed.

Of a request only the public key is taken, once it is proved: role, name, hosts and days are the
signer's to decide, so a host cannot ask itself into another role.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from mesos_twisted.errors import MalformedError, Problem, RefusedError
from mesos_twisted.security.core.principal import Role, identity_uri
from mesos_twisted.security.net.authority import LEAF_DAYS, public_of, sign_leaf
from mesos_twisted.security.net.authority_files import (
    cluster_of,
    exclusive,
    key_fingerprint,
    leaf_paths,
    load_bundle,
    load_certificates,
    load_key,
    moment_of,
    recorded_keys,
)
from mesos_twisted.security.net.certificates import (
    host_names,
    key_bytes,
    pem,
    public_bytes,
    subject_names,
)
from mesos_twisted.security.net.files import create_private, write_public
from mesos_twisted.security.net.requests import public_of_request
from mesos_twisted.security.net.revocation import revoked_serials


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and until when it holds; `reason` says why it was made, or why it was not."""

    cert: Path
    not_after: datetime.datetime
    serial: int
    changed: bool
    reason: str


@exclusive
def sign(
    directory: Path | str,
    csr: bytes,
    role: Role,
    name: str,
    hosts: Sequence[str] = (),
    days: int = LEAF_DAYS,
    now: datetime.datetime | None = None,
    *,
    if_needed_days: int | None = None,
    what: str = "The request",
) -> Signed:
    """Afterwards `<name>.pem` certifies the request's key in this role.

    With `if_needed_days` a certificate that says the same of the same key, by the authority that
    signs now, and holds for so many days more, is left as it is. Raises RefusedError when the name
    is another role's, when its key is kept here, or when the key was revoked.
    """
    root = Path(directory)
    cert, key_path = leaf_paths(root, name)
    public = public_of_request(csr, what)
    if key_path.exists() and key_fingerprint(load_key(key_path).public_key()) != key_fingerprint(
        public
    ):
        raise RefusedError(
            f"The key of '{name}' is kept here, in {key_path}, and {what} is for another; "
            "move that file away first."
        )
    return _ensure(root, cert, public, role, name, hosts, days, moment_of(now), if_needed_days)


@exclusive
def keep_issued(
    directory: Path | str,
    role: Role,
    name: str,
    hosts: Sequence[str] = (),
    days: int = LEAF_DAYS,
    now: datetime.datetime | None = None,
    *,
    if_needed_days: int,
) -> Signed:
    """Afterwards `<name>.pem` certifies the key that is kept here, made if there is none.

    What is left as it is, and what is refused, is as with `sign`.
    """
    root = Path(directory)
    cert, key_path = leaf_paths(root, name)
    moment = moment_of(now)
    if not key_path.exists():
        if cert.exists():
            raise RefusedError(
                f"The key of '{name}' was made on its host; use `certs sign` with its request."
            )
        key = ec.generate_private_key(ec.SECP256R1())
        create_private(key_path, key_bytes(key))
        try:
            return _ensure(
                root, cert, key.public_key(), role, name, hosts, days, moment, if_needed_days
            )
        finally:
            if not cert.exists():
                key_path.unlink()
    public = load_key(key_path).public_key()
    return _ensure(root, cert, public, role, name, hosts, days, moment, if_needed_days)


def _ensure(
    root: Path,
    cert: Path,
    public: ec.EllipticCurvePublicKey,
    role: Role,
    name: str,
    hosts: Sequence[str],
    days: int,
    moment: datetime.datetime,
    if_needed_days: int | None,
) -> Signed:
    uri = identity_uri(cluster_of(root), role, name)
    if isinstance(uri, Problem):
        raise MalformedError(uri.sentence)
    old = load_certificates(cert)[0] if cert.exists() else None
    _refuse_revoked(root, old, public, name)
    reason = "there was none"
    if old is not None:
        uris, held = subject_names(old)
        if uris != [uri]:
            raise RefusedError(
                f"{cert} is of {', '.join(uris) or 'somebody without a name'}, not of {uri}: a "
                "name has one role in a cluster, so give this one another name."
            )
        reason = _why_anew(root, old, public, frozenset(held), hosts, moment, if_needed_days)
        if not reason:
            until = old.not_valid_after_utc
            left = f"it holds until {until:%Y-%m-%d %H:%M UTC}, and nothing has changed"
            return Signed(cert, until, old.serial_number, changed=False, reason=left)
    leaf = sign_leaf(root, public, role, name, hosts, days, moment)
    write_public(cert, pem(leaf))
    return Signed(cert, leaf.not_valid_after_utc, leaf.serial_number, changed=True, reason=reason)


def _refuse_revoked(
    root: Path, old: x509.Certificate | None, public: ec.EllipticCurvePublicKey, name: str
) -> None:
    """A revoked certificate's key may be known to others, so it is not certified again."""
    fingerprint, revoked = key_fingerprint(public), revoked_serials(root)
    keys = recorded_keys(root)
    if old is not None:
        keys[(old.issuer.public_bytes(), old.serial_number)] = key_fingerprint(
            public_of(old, f"the certificate of '{name}'")
        )
    if any(keys.get(entry) == fingerprint for entry in revoked):
        raise RefusedError(
            f"The key of '{name}' is that of a revoked certificate and is not used again; make "
            "another with `certs request --new-key`."
        )


def _why_anew(
    root: Path,
    old: x509.Certificate,
    public: ec.EllipticCurvePublicKey,
    held: frozenset[str],
    hosts: Sequence[str],
    moment: datetime.datetime,
    if_needed_days: int | None,
) -> str:
    """Why `old` does not do, empty when it does."""
    if if_needed_days is None:
        return "it was asked for"
    authority = load_bundle(root)[0]
    if public_bytes(old.public_key()) != public_bytes(public):
        return "the key is another one"
    if held != host_names(hosts):
        return "the hosts are others"
    try:
        old.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return "another authority signs now"
    # An authority that ends soon cannot sign for longer.
    wanted = moment + datetime.timedelta(days=if_needed_days)
    if old.not_valid_after_utc < min(wanted, authority.not_valid_after_utc):
        return f"it holds for less than {if_needed_days} days"
    return ""
