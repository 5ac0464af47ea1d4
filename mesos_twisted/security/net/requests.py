"""A key that stays on the host it was made on, and the request (PKCS #10) to certify it.

A request proves that its maker has the private key. Everything else it says is for people and for
other authorities than ours. Asking again changes nothing while what is there is good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesos_twisted.errors import MalformedError, MesosError, Problem, RefusedError
from mesos_twisted.security.core.principal import Role, identity_uri
from mesos_twisted.security.net.authority_files import key_fingerprint, load_key
from mesos_twisted.security.net.certificates import general_names, key_bytes
from mesos_twisted.security.net.files import (
    create_private,
    exposure,
    read_bytes,
    write_private,
    write_public,
)

#: A cluster's name in a request that was made without one; the signer has its own.
_ANY_CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Requested:
    """Where a key and the request for it are; `made_key` and `changed` say what was written."""

    key: Path
    csr: Path
    fingerprint: str
    made_key: bool
    changed: bool


def request(
    key_path: Path,
    csr_path: Path,
    role: Role,
    name: str,
    hosts: Sequence[str] = (),
    cluster: str | None = None,
    *,
    new_key: bool = False,
) -> Requested:
    """Afterwards there is a key (mode 0600 from its first byte) and a request for it.

    A key that is there is kept unless `new_key`; a request that asks the same for it is left as it
    is. Raises RefusedError for a key that others can read.
    """
    uri = identity_uri(cluster or _ANY_CLUSTER, role, name)
    if isinstance(uri, Problem):
        raise MalformedError(uri.sentence)
    kept = not new_key and (key_path.exists() or key_path.is_symlink())
    if kept:
        warning = exposure(key_path, "private key")
        if warning is not None:
            raise RefusedError(f"{warning} It may be known: make another with --new-key.")
        key = load_key(key_path)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{role.value} {name}"[:64])])
    names = general_names(uri if cluster else None, hosts)
    if not kept:
        key_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (write_private if new_key else create_private)(key_path, key_bytes(key))
    fingerprint = key_fingerprint(key.public_key())
    if kept and _asks_the_same(csr_path, fingerprint, subject, names):
        return Requested(key_path, csr_path, fingerprint, made_key=False, changed=False)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    csr = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    write_public(csr_path, csr)
    return Requested(key_path, csr_path, fingerprint, made_key=not kept, changed=True)


def _asks_the_same(
    path: Path, fingerprint: str, subject: x509.Name, names: Sequence[x509.GeneralName]
) -> bool:
    """False too for a request that cannot be read: another is written in its place."""
    try:
        content = read_bytes(path, "request")
        if key_fingerprint(public_of_request(content, str(path))) != fingerprint:
            return False
        held = x509.load_pem_x509_csr(content)
        sans = list(held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        sans = []
    except (MesosError, ValueError):
        return False
    return sans == list(names) and held.subject == subject


def public_of_request(content: bytes, what: str) -> ec.EllipticCurvePublicKey:
    """The public key of a request, whose maker has proved to have the private one.

    Raises MalformedError for what is no request, or for a key of another kind than P-256, and
    RefusedError when the proof fails.
    """
    try:
        csr = x509.load_pem_x509_csr(content)
        public = csr.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise MalformedError(f"{what} is not a PEM certificate request.") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise MalformedError(f"The key of {what} is not an elliptic curve key on P-256.")
    try:
        proved = csr.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        proved = False
    if not proved:
        raise RefusedError(
            f"{what} does not prove that its maker has the private key; make it anew with "
            "`certs request`."
        )
    return public
