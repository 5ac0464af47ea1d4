"""The directory of an authority: which files it has, and how they are read and written.

Layout: `ca.pem` (the trust bundle, first the authority that signs now), `ca-key.pem`, `crl.pem` (a
list for each authority of the bundle), `cluster`, `issued.jsonl` (what was issued), `<name>.pem`
and `<name>-key.pem`. During a rotation `next-ca-key.pem` or `old-ca-key.pem` stands beside them.
Keys are mode 0600 from their first byte, and are never printed.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesos_twisted.errors import MalformedError
from mesos_twisted.security.core.principal import is_segment
from mesos_twisted.security.net.certificates import public_bytes
from mesos_twisted.security.net.files import locked, read_bytes, write_private

_RESERVED: Final = frozenset({"ca", "crl", "cluster", "next-ca", "old-ca"})

P = ParamSpec("P")
T = TypeVar("T")


def exclusive(
    work: Callable[Concatenate[Path | str, P], T],
) -> Callable[Concatenate[Path | str, P], T]:
    """Two commands on one directory take turns, so neither loses what the other wrote."""

    @functools.wraps(work)
    def taking_turns(directory: Path | str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with locked(Path(directory)):
            return work(directory, *args, **kwargs)

    return taking_turns


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


def authority_keys(root: Path) -> dict[bytes, ec.EllipticCurvePrivateKey]:
    """The keys that are here, by their public half."""
    names = ("ca-key.pem", "next-ca-key.pem", "old-ca-key.pem")
    keys = [load_key(root / name) for name in names if (root / name).exists()]
    return {public_bytes(key.public_key()): key for key in keys}


def record(root: Path, name: str, leaf: x509.Certificate) -> None:
    """Remember what was issued, so that revoking a name takes all its live certificates."""
    line = json.dumps(
        {
            "name": name,
            "serial": f"{leaf.serial_number:x}",
            "issuer": leaf.issuer.public_bytes().hex(),
            "not_after": leaf.not_valid_after_utc.isoformat(),
            "key": key_fingerprint(leaf.public_key()),
        }
    )
    path = root / "issued.jsonl"
    held = read_bytes(path, "record of certificates") if path.exists() else b""
    write_private(path, held + line.encode() + b"\n")


def key_fingerprint(key: object) -> str:
    """Names a public key: SHA-256 over its DER form, hexadecimal."""
    return hashlib.sha256(public_bytes(key)).hexdigest()


def recorded_keys(root: Path) -> dict[tuple[bytes, int], str]:
    """The key digest of each (issuer, serial) issued here; older records have none."""
    return {
        (bytes.fromhex(entry["issuer"]), int(entry["serial"], 16)): entry["key"]
        for entry in _entries(root)
        if "key" in entry
    }


def recorded(root: Path) -> list[tuple[str, int, bytes]]:
    """(name, serial, issuer) of every certificate issued here."""
    return [
        (entry["name"], int(entry["serial"], 16), bytes.fromhex(entry["issuer"]))
        for entry in _entries(root)
    ]


def _entries(root: Path) -> list[dict[str, str]]:
    path = root / "issued.jsonl"
    if not path.exists():
        return []
    try:
        entries: list[dict[str, str]] = [
            json.loads(line) for line in read_bytes(path, "record").splitlines()
        ]
        for entry in entries:
            int(entry["serial"], 16), bytes.fromhex(entry["issuer"]), entry["name"]
    except (ValueError, KeyError, TypeError):
        raise MalformedError(f"{path} is damaged; restore it from a backup.") from None
    return entries


def leaf_paths(root: Path, name: str) -> tuple[Path, Path]:
    """Where a name's certificate and key are. Raises MalformedError for a name that cannot be."""
    if not is_segment(name) or name in _RESERVED or name.endswith("-key"):
        raise MalformedError(
            f"The name '{name}' is not usable: letters, digits and '._@+:-', not ending in '-key', "
            "and not a name the authority uses itself."
        )
    return root / f"{name}.pem", root / f"{name}-key.pem"


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key of a PEM file. Raises UnavailableError or MalformedError."""
    try:
        key = serialization.load_pem_private_key(read_bytes(path, "private key"), None)
    except (ValueError, TypeError):
        raise MalformedError(f"{path} is not an unencrypted PEM private key.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise MalformedError(f"{path} is not an elliptic curve key.")
    return key


def moment_of(now: datetime.datetime | None) -> datetime.datetime:
    """`now` in whole seconds; when None, that of the clock."""
    moment = datetime.datetime.now(datetime.UTC) if now is None else now
    return moment.replace(microsecond=0)
