"""`mesos-twisted certs`: the cluster's certificates, from authority to revocation.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not found. No key is ever printed.
"""

from __future__ import annotations

import datetime
import json
import secrets
import sys
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mesos_twisted.cli.commands import requests
from mesos_twisted.cli.commands.shared import (
    attempt,
    day_of,
    days_option,
    directory_option,
    fail,
    need_authority,
)
from mesos_twisted.security.core.credentials import hash_secret
from mesos_twisted.security.net import (
    authority,
    authority_files,
    certificates,
    revocation,
    rotation,
)
from mesos_twisted.security.net.certificates import CRL_DAYS


@click.group()
def certs() -> None:
    """Make, renew, inspect and revoke the cluster's certificates."""


@certs.command()
@directory_option
@click.option("--cluster", required=True, help="The cluster's name; it stands in every identity.")
@click.option("--days", default=authority.CA_DAYS, show_default=True, type=click.IntRange(1, 7300))
def init(directory: Path, cluster: str, days: int) -> None:
    """Make a new authority."""
    bundle = attempt(lambda: authority.make_authority(directory, cluster, days))
    click.echo(f"Made the authority of cluster '{cluster}': trust {bundle}, guard {directory}.")


certs.add_command(requests.request)
certs.add_command(requests.sign)
certs.add_command(requests.issue)


@certs.command()
@directory_option
@click.argument("name")
@days_option
@click.option("--new-key", is_flag=True, help="Make a new key as well.")
def renew(directory: Path, name: str, days: int, new_key: bool) -> None:
    """Renew the certificate of NAME, with the same role and hosts."""
    _need_certificate(directory, name)
    made = attempt(lambda: authority.renew(directory, name, days, new_key=new_key))
    click.echo(f"Renewed {made.cert}, valid until {day_of(made.not_after)}.")


@certs.command()
@directory_option
@click.argument("names", nargs=-1)
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def inspect(directory: Path, names: tuple[str, ...], output: str) -> None:
    """Show certificates: all of the directory, or those of NAMES (a name or a PEM file)."""
    if names:
        paths = [_need_certificate(directory, name) for name in names]
    else:
        need_authority(directory)
        paths = sorted(
            path
            for path in directory.glob("*.pem")
            if not path.name.endswith("-key.pem") and path.name != "crl.pem"
        )
    revoked = attempt(lambda: _revoked(directory))
    rows = attempt(lambda: [row for path in paths for row in _describe(path, revoked)])
    click.echo(json.dumps(rows, indent=2) if output == "json" else _table(rows))


@certs.command()
@directory_option
@click.argument("name", required=False)
@click.option("--serial", help="Revoke this serial (hexadecimal) instead of a name.")
def revoke(directory: Path, name: str | None, serial: str | None) -> None:
    """Revoke every certificate of NAME, or one serial, and write the list."""
    if (name is None) == (serial is None):
        raise click.UsageError("Give either NAME or --serial.")
    need_authority(directory)
    if serial is not None:
        try:
            number = int(serial.replace(":", ""), 16)
        except ValueError:
            raise click.UsageError(f"'{serial}' is not a hexadecimal serial.") from None
        attempt(lambda: revocation.revoke_serial(directory, number))
        click.echo(f"Revoked serial {number:x}; deploy {directory / 'crl.pem'} and reload.")
    elif name is not None:
        holder = name
        _need_certificate(directory, holder)
        serials = attempt(lambda: revocation.revoke(directory, holder))
        count = f"{len(serials)} certificate{'s' if len(serials) > 1 else ''}"
        click.echo(
            f"Revoked {count} of '{holder}'; deploy {directory / 'crl.pem'} and reload the daemons."
        )


@certs.command()
@directory_option
def crl(directory: Path) -> None:
    """Sign the revocation list again, so that it stays valid."""
    need_authority(directory)
    path = attempt(lambda: revocation.refresh_crl(directory))
    click.echo(f"Signed {path}; it is valid for {CRL_DAYS} days.")


@certs.command()
@directory_option
@click.argument("step", type=click.Choice(["prepare", "switch", "retire"]))
def rotate(directory: Path, step: str) -> None:
    """Replace the authority in three steps, each deployed to every host before the next."""
    need_authority(directory)
    if step == "prepare":
        path = attempt(lambda: rotation.prepare_rotation(directory))
        click.echo(f"{path} now trusts a second authority; deploy it with crl.pem, then `switch`.")
    elif step == "switch":
        attempt(lambda: rotation.switch_authority(directory))
        click.echo("The second authority signs now; renew and deploy every leaf, then `retire`.")
    else:
        path = attempt(lambda: rotation.retire_authority(directory))
        click.echo(f"The old authority is retired; deploy {path} with crl.pem.")


@certs.command("hash-secret")
@click.argument("principal")
def hash_secret_command(principal: str) -> None:
    """Print the credential file's entry for PRINCIPAL.

    The secret is asked for, or read from standard input.
    """
    if sys.stdin.isatty():
        secret = click.prompt("Secret", hide_input=True, confirmation_prompt=True)
    else:
        secret = sys.stdin.readline().rstrip("\n")
    if not secret:
        fail("The secret is empty; nothing was hashed.")
    hashed = hash_secret(secret.encode(), secrets.token_bytes(16))
    click.echo(json.dumps({"principal": principal, "secret": hashed}))


def _need_certificate(directory: Path, name: str) -> Path:
    """The PEM file of a name, or the file itself when `name` is a path."""
    path = Path(name) if name.endswith(".pem") else directory / f"{name}.pem"
    if not path.is_file():
        fail(f"There is no certificate {path}.", 3)
    return path


def _revoked(directory: Path) -> frozenset[tuple[bytes, int]]:
    if not (directory / "crl.pem").is_file():
        return frozenset()
    return revocation.revoked_serials(directory)


def _describe(
    path: Path, revoked: frozenset[tuple[bytes, int]]
) -> list[dict[str, str | list[str]]]:
    return [
        _row(path, certificate, revoked) for certificate in authority_files.load_certificates(path)
    ]


def _row(
    path: Path, certificate: x509.Certificate, revoked: frozenset[tuple[bytes, int]]
) -> dict[str, str | list[str]]:
    uris, hosts = certificates.subject_names(certificate)
    now = datetime.datetime.now(datetime.UTC)
    state = "valid"
    if (certificate.issuer.public_bytes(), certificate.serial_number) in revoked:
        state = "revoked"
    elif certificate.not_valid_after_utc <= now:
        state = "expired"
    elif certificate.not_valid_before_utc > now:
        state = "not yet valid"
    return {
        "file": path.name,
        "identity": uris[0] if uris else certificate.subject.rfc4514_string(),
        "hosts": hosts,
        "state": state,
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "serial": f"{certificate.serial_number:x}",
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _table(rows: list[dict[str, str | list[str]]]) -> str:
    heads = ["file", "identity", "hosts", "state", "not_after"]
    cells = [heads, *([_cell(row[head]) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _cell(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ",".join(value) or "-"
