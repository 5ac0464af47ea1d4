"""From one signing authority to the next, in three steps: prepare, switch, retire.

Between them the bundle is deployed and every leaf renewed; a step out of order is refused.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from mesos_twisted.errors import RefusedError
from mesos_twisted.security.net.authority import CA_DAYS
from mesos_twisted.security.net.authority_files import (
    cluster_of,
    exclusive,
    load_bundle,
    load_key,
    moment_of,
)
from mesos_twisted.security.net.certificates import (
    build_authority,
    build_crl,
    key_bytes,
    pem,
    public_bytes,
)
from mesos_twisted.security.net.files import read_bytes, write_private, write_public
from mesos_twisted.security.net.revocation import write_crls


@exclusive
def prepare_rotation(
    directory: Path | str, days: int = CA_DAYS, now: datetime.datetime | None = None
) -> Path:
    """Afterwards the bundle trusts a second authority that signs nothing yet: deploy the bundle."""
    root = Path(directory)
    moment = moment_of(now)
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


@exclusive
def switch_authority(directory: Path | str) -> None:
    """Afterwards the second authority signs and the first is only trusted: renew every leaf."""
    root = Path(directory)
    bundle = load_bundle(root)
    if len(bundle) != 2 or not (root / "next-ca-key.pem").exists():
        raise RefusedError("No rotation is prepared; run `rotate prepare` and deploy first.")
    signing = load_key(root / "ca-key.pem")
    if public_bytes(signing.public_key()) == public_bytes(bundle[0].public_key()):
        # Not so when an earlier run stopped half way: the old key is safe already.
        write_private(root / "old-ca-key.pem", key_bytes(signing))
    write_private(root / "ca-key.pem", read_bytes(root / "next-ca-key.pem", "authority key"))
    write_public(root / "ca.pem", pem(bundle[1]) + pem(bundle[0]))
    os.unlink(root / "next-ca-key.pem")


@exclusive
def retire_authority(directory: Path | str, now: datetime.datetime | None = None) -> Path:
    """Afterwards only the authority that signs is trusted, and the old one's key is gone."""
    root = Path(directory)
    bundle = load_bundle(root)
    if len(bundle) != 2 or not (root / "old-ca-key.pem").exists():
        raise RefusedError("There is no old authority to retire; run `rotate switch` first.")
    write_public(root / "ca.pem", pem(bundle[0]))
    os.unlink(root / "old-ca-key.pem")
    write_crls(root, moment_of(now), {})
    return root / "ca.pem"
