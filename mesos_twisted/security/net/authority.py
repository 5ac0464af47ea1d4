"""The cluster's own certificate authority: a directory of PEM files and what may happen to it.

Layout: `ca.pem` (the trust bundle, first the authority that signs now), `ca-key.pem`, `crl.pem` (a
list for each authority of the bundle), `cluster`, `issued.jsonl` (what was issued), `<name>.pem`
and `<name>-key.pem`. During a rotation `next-ca-key.pem` or `old-ca-key.pem` stands beside them.
Keys are mode 0600 from their first byte, and are never printed. This module refuses to know who
deploys the files.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesos_twisted.errors import MalformedError, Problem, RefusedError, UnavailableError
from mesos_twisted.security.core.principal import (
    Role,
    identity_from_sans,
    identity_uri,
    is_segment,
)
from mesos_twisted.security.net.certificates import (
    CRL_MARK,
    build_authority,
    build_crl,
    build_leaf,
    key_bytes,
    pem,
    public_bytes,
)
from mesos_twisted.security.net.files import (
    create_private,
    locked,
    read_bytes,
    write_private,
    write_public,
)

CA_DAYS: Final = 5 * 365
LEAF_DAYS: Final = 30
_RESERVED: Final = frozenset({"ca", "crl", "cluster", "next-ca", "old-ca"})


P = ParamSpec("P")
T = TypeVar("T")


def _exclusive(
    work: Callable[Concatenate[Path | str, P], T],
) -> Callable[Concatenate[Path | str, P], T]:
    """Two commands on one directory take turns, so neither loses what the other wrote."""

    @functools.wraps(work)
    def taking_turns(directory: Path | str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with locked(Path(directory)):
            return work(directory, *args, **kwargs)

    return taking_turns


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
    moment = _now(now)
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


@_exclusive
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
    cert, key_path = _paths(root, name)
    if cert.exists():
        raise RefusedError(f"{cert} exists already; use `renew` to replace it.")
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _sign_leaf(root, key.public_key(), role, name, hosts, days, _now(now))
    try:
        create_private(key_path, key_bytes(key))
    except FileExistsError:
        raise RefusedError(f"{key_path} exists already; move it away first.") from None
    write_public(cert, pem(leaf))
    return Issued(cert, key_path, leaf.not_valid_after_utc)


@_exclusive
def renew(
    directory: Path | str,
    name: str,
    days: int = LEAF_DAYS,
    now: datetime.datetime | None = None,
    *,
    new_key: bool = False,
) -> Issued:
    """Afterwards `<name>.pem` holds for `days` more, with the same role, names and key.

    With the same key one rename swaps the certificate, so no reader can see an unmatched pair.
    """
    root = Path(directory)
    cert, key_path = _paths(root, name)
    old = load_certificates(cert)[0]
    uris, hosts = subject_names(old)
    role = _role_of(root, cert, name, uris)
    if not new_key and (old.issuer.public_bytes(), old.serial_number) in revoked_serials(root):
        raise RefusedError(
            f"The certificate of '{name}' is revoked, so its key is not used again; "
            "renew it with a new key (`--new-key`)."
        )
    key = ec.generate_private_key(ec.SECP256R1()) if new_key else _load_key(key_path)
    leaf = _sign_leaf(root, key.public_key(), role, name, hosts, days, _now(now))
    if new_key:
        write_private(key_path, key_bytes(key))
    write_public(cert, pem(leaf))
    return Issued(cert, key_path, leaf.not_valid_after_utc)


@_exclusive
def revoke(
    directory: Path | str, name: str, now: datetime.datetime | None = None
) -> tuple[int, ...]:
    """Afterwards every certificate ever issued for this name is on the list; gives the serials.

    All of them, because a renewed certificate shares its key with those before it.
    """
    root = Path(directory)
    certificate = load_certificates(_paths(root, name)[0])[0]
    trusted = {authority.subject.public_bytes() for authority in load_bundle(root)}
    if certificate.issuer.public_bytes() not in trusted:
        raise RefusedError(f"The certificate of '{name}' was issued by another authority.")
    added: dict[bytes, set[int]] = {certificate.issuer.public_bytes(): {certificate.serial_number}}
    for known, serial, issuer in _recorded(root):
        if known == name and issuer in trusted:
            added.setdefault(issuer, set()).add(serial)
    _write_crls(root, _now(now), added)
    return tuple(sorted(serial for serials in added.values() for serial in serials))


@_exclusive
def revoke_serial(directory: Path | str, serial: int, now: datetime.datetime | None = None) -> None:
    """Afterwards this one serial is on the list of the authority that issued it.

    A serial that is not in the record is taken for one of the authority that signs now.
    """
    root = Path(directory)
    issuer = load_bundle(root)[0].subject.public_bytes()
    for _, known, its_issuer in _recorded(root):
        if known == serial:
            issuer = its_issuer
    _write_crls(root, _now(now), {issuer: {serial}})


@_exclusive
def refresh_crl(directory: Path | str, now: datetime.datetime | None = None) -> Path:
    """Afterwards `crl.pem` says the same and is good for another `CRL_DAYS`; gives its path."""
    root = Path(directory)
    _write_crls(root, _now(now), {})
    return root / "crl.pem"


@_exclusive
def prepare_rotation(
    directory: Path | str, days: int = CA_DAYS, now: datetime.datetime | None = None
) -> Path:
    """Afterwards the bundle trusts a second authority that signs nothing yet: deploy the bundle."""
    root = Path(directory)
    moment = _now(now)
    bundle = load_bundle(root)
    if len(bundle) > 1:
        raise RefusedError("A rotation is under way; finish it with `rotate switch` and `retire`.")
    key = ec.generate_private_key(ec.SECP256R1())
    authority = build_authority(key, cluster_of(root), moment, days)
    write_private(root / "next-ca-key.pem", key_bytes(key))
    crls = read_bytes(root / "crl.pem", "revocation list")
    # The list first: a bundle with an authority that has no list would be refused by its readers.
    # A list of an authority not yet trusted would be too, so both are meant to be deployed at once.
    write_public(root / "crl.pem", crls + build_crl(authority, key, (), moment))
    write_public(root / "ca.pem", pem(bundle[0]) + pem(authority))
    return root / "ca.pem"


@_exclusive
def switch_authority(directory: Path | str) -> None:
    """Afterwards the second authority signs and the first is only trusted: renew every leaf."""
    root = Path(directory)
    bundle = load_bundle(root)
    if len(bundle) != 2 or not (root / "next-ca-key.pem").exists():
        raise RefusedError("No rotation is prepared; run `rotate prepare` and deploy first.")
    signing = _load_key(root / "ca-key.pem")
    if public_bytes(signing.public_key()) == public_bytes(bundle[0].public_key()):
        # Not so when an earlier run stopped half way: the old key is safe already.
        write_private(root / "old-ca-key.pem", key_bytes(signing))
    write_private(root / "ca-key.pem", read_bytes(root / "next-ca-key.pem", "authority key"))
    write_public(root / "ca.pem", pem(bundle[1]) + pem(bundle[0]))
    os.unlink(root / "next-ca-key.pem")


@_exclusive
def retire_authority(directory: Path | str, now: datetime.datetime | None = None) -> Path:
    """Afterwards only the authority that signs is trusted, and the old one's key is gone."""
    root = Path(directory)
    bundle = load_bundle(root)
    if len(bundle) != 2 or not (root / "old-ca-key.pem").exists():
        raise RefusedError("There is no old authority to retire; run `rotate switch` first.")
    write_public(root / "ca.pem", pem(bundle[0]))
    os.unlink(root / "old-ca-key.pem")
    _write_crls(root, _now(now), {})
    return root / "ca.pem"


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Every certificate of a PEM file, one or more. Raises UnavailableError or MalformedError."""
    try:
        return x509.load_pem_x509_certificates(read_bytes(path, "certificate"))
    except ValueError:
        raise MalformedError(f"{path} is not a PEM certificate.") from None


def load_bundle(root: Path) -> list[x509.Certificate]:
    """The authorities of `ca.pem`, the signing one first."""
    return load_certificates(root / "ca.pem")


def cluster_of(root: Path) -> str:
    """The cluster this authority belongs to."""
    return read_bytes(root / "cluster", "cluster name file").decode("utf-8", "replace").strip()


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


def revoked_serials(root: Path) -> frozenset[tuple[bytes, int]]:
    """Every (issuer name in DER, serial) on the lists of `crl.pem`."""
    return frozenset(
        (crl.issuer.public_bytes(), entry.serial_number)
        for crl in _load_crls(root)
        for entry in crl
    )


def _write_crls(
    root: Path, moment: datetime.datetime, added: Mapping[bytes, Iterable[int]]
) -> None:
    """Each authority's list anew, with what it held and what is added."""
    lists = {crl.issuer.public_bytes(): crl for crl in _load_crls(root)}
    keys = _authority_keys(root)
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


def _authority_keys(root: Path) -> dict[bytes, ec.EllipticCurvePrivateKey]:
    names = ("ca-key.pem", "next-ca-key.pem", "old-ca-key.pem")
    keys = [_load_key(root / name) for name in names if (root / name).exists()]
    return {public_bytes(key.public_key()): key for key in keys}


def _load_crls(root: Path) -> list[x509.CertificateRevocationList]:
    path = root / "crl.pem"
    try:
        return [
            x509.load_pem_x509_crl(CRL_MARK + piece)
            for piece in read_bytes(path, "revocation list").split(CRL_MARK)[1:]
        ]
    except ValueError:
        raise MalformedError(f"{path} is not a PEM revocation list.") from None


def _sign_leaf(
    root: Path,
    public: ec.EllipticCurvePublicKey,
    role: Role,
    name: str,
    hosts: Sequence[str],
    days: int,
    moment: datetime.datetime,
) -> x509.Certificate:
    """A leaf signed by the first authority of the bundle, and written into the record of leaves."""
    uri = identity_uri(cluster_of(root), role, name)
    if isinstance(uri, Problem):
        raise MalformedError(uri.sentence)
    if days < 1:
        raise MalformedError("A certificate must hold for one day or more.")
    authority = load_bundle(root)[0]
    key = _load_key(root / "ca-key.pem")
    if public_bytes(authority.public_key()) != public_bytes(key.public_key()):
        raise MalformedError(f"{root / 'ca-key.pem'} is not the key of {root / 'ca.pem'}.")
    until = min(moment + datetime.timedelta(days=days), authority.not_valid_after_utc)
    if until <= moment:
        raise RefusedError("The authority has expired; rotate it before issuing certificates.")
    leaf = build_leaf(public, role, uri, hosts, authority, key, moment, until)
    _record(root, name, leaf)
    return leaf


def _record(root: Path, name: str, leaf: x509.Certificate) -> None:
    """Remember what was issued, so that revoking a name takes all its live certificates."""
    line = json.dumps(
        {
            "name": name,
            "serial": f"{leaf.serial_number:x}",
            "issuer": leaf.issuer.public_bytes().hex(),
            "not_after": leaf.not_valid_after_utc.isoformat(),
        }
    )
    path = root / "issued.jsonl"
    held = read_bytes(path, "record of certificates") if path.exists() else b""
    write_private(path, held + line.encode() + b"\n")


def _recorded(root: Path) -> list[tuple[str, int, bytes]]:
    """(name, serial, issuer) of every certificate issued here."""
    path = root / "issued.jsonl"
    if not path.exists():
        return []
    try:
        lines = [json.loads(line) for line in read_bytes(path, "record").splitlines()]
        return [(e["name"], int(e["serial"], 16), bytes.fromhex(e["issuer"])) for e in lines]
    except (ValueError, KeyError, TypeError):
        raise MalformedError(f"{path} is damaged; restore it from a backup.") from None


def _role_of(root: Path, path: Path, name: str, uris: Sequence[str]) -> Role:
    found = identity_from_sans(uris, cluster_of(root))
    if isinstance(found, Problem) or found.role is None or found.name != name:
        raise MalformedError(f"{path} was not issued here for '{name}'; use `issue`.")
    return found.role


def _paths(root: Path, name: str) -> tuple[Path, Path]:
    if not is_segment(name) or name in _RESERVED or name.endswith("-key"):
        raise MalformedError(
            f"The name '{name}' is not usable: letters, digits and '._@+:-', not ending in '-key', "
            "and not a name the authority uses itself."
        )
    return root / f"{name}.pem", root / f"{name}-key.pem"


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(read_bytes(path, "private key"), None)
    except (ValueError, TypeError):
        raise MalformedError(f"{path} is not an unencrypted PEM private key.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise MalformedError(f"{path} is not an elliptic curve key.")
    return key


def _now(now: datetime.datetime | None) -> datetime.datetime:
    moment = datetime.datetime.now(datetime.UTC) if now is None else now
    return moment.replace(microsecond=0)
