"""`mesos-twisted certs`: the cluster's certificates, from authority to revocation.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 not found. No key is ever printed.
"""

from __future__ import annotations

import datetime
import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mesos_twisted.errors import MesosError
from mesos_twisted.security.core.credentials import hash_secret
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import (
    authority,
    authority_files,
    certificates,
    revocation,
    rotation,
)
from mesos_twisted.security.net.certificates import CRL_DAYS

T = TypeVar("T")

_ROLES = [role.value for role in Role if role is not Role.EXECUTOR]

_directory = click.option(
    "--dir",
    "directory",
    default="certs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The authority's directory.",
)
_days = click.option(
    "--days",
    default=authority.LEAF_DAYS,
    show_default=True,
    type=click.IntRange(1, 3650),
    help="Days the certificate holds.",
)


@click.group()
def certs() -> None:
    """Make, renew, inspect and revoke the cluster's certificates."""


@certs.command()
@_directory
@click.option("--cluster", required=True, help="The cluster's name; it stands in every identity.")
@click.option("--days", default=authority.CA_DAYS, show_default=True, type=click.IntRange(1, 7300))
def init(directory: Path, cluster: str, days: int) -> None:
    """Make a new authority."""
    bundle = _try(lambda: authority.make_authority(directory, cluster, days))
    click.echo(f"Made the authority of cluster '{cluster}': trust {bundle}, guard {directory}.")


@certs.command()
@_directory
@click.option("--role", required=True, type=click.Choice(_ROLES), help="What the holder is.")
@click.option("--name", required=True, help="The holder's principal.")
@click.option("--host", "hosts", multiple=True, help="A DNS name or IP address; may be repeated.")
@_days
def issue(directory: Path, role: str, name: str, hosts: tuple[str, ...], days: int) -> None:
    """Issue a certificate and its key."""
    _need_authority(directory)
    made = _try(lambda: authority.issue(directory, Role(role), name, hosts, days))
    click.echo(f"Issued {made.cert}, key {made.key}, valid until {_day(made.not_after)}.")


@certs.command()
@_directory
@click.argument("name")
@_days
@click.option("--new-key", is_flag=True, help="Make a new key as well.")
def renew(directory: Path, name: str, days: int, new_key: bool) -> None:
    """Renew the certificate of NAME, with the same role and hosts."""
    _need_certificate(directory, name)
    made = _try(lambda: authority.renew(directory, name, days, new_key=new_key))
    click.echo(f"Renewed {made.cert}, valid until {_day(made.not_after)}.")


@certs.command()
@_directory
@click.argument("names", nargs=-1)
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def inspect(directory: Path, names: tuple[str, ...], output: str) -> None:
    """Show certificates: all of the directory, or those of NAMES (a name or a PEM file)."""
    if names:
        paths = [_need_certificate(directory, name) for name in names]
    else:
        _need_authority(directory)
        paths = sorted(
            path
            for path in directory.glob("*.pem")
            if not path.name.endswith("-key.pem") and path.name != "crl.pem"
        )
    revoked = _try(lambda: _revoked(directory))
    rows = _try(lambda: [row for path in paths for row in _describe(path, revoked)])
    click.echo(json.dumps(rows, indent=2) if output == "json" else _table(rows))


@certs.command()
@_directory
@click.argument("name", required=False)
@click.option("--serial", help="Revoke this serial (hexadecimal) instead of a name.")
def revoke(directory: Path, name: str | None, serial: str | None) -> None:
    """Revoke every certificate of NAME, or one serial, and write the list."""
    if (name is None) == (serial is None):
        raise click.UsageError("Give either NAME or --serial.")
    _need_authority(directory)
    if serial is not None:
        try:
            number = int(serial.replace(":", ""), 16)
        except ValueError:
            raise click.UsageError(f"'{serial}' is not a hexadecimal serial.") from None
        _try(lambda: revocation.revoke_serial(directory, number))
        click.echo(f"Revoked serial {number:x}; deploy {directory / 'crl.pem'} and reload.")
    elif name is not None:
        holder = name
        _need_certificate(directory, holder)
        serials = _try(lambda: revocation.revoke(directory, holder))
        count = f"{len(serials)} certificate{'s' if len(serials) > 1 else ''}"
        click.echo(
            f"Revoked {count} of '{holder}'; deploy {directory / 'crl.pem'} and reload the daemons."
        )


@certs.command()
@_directory
def crl(directory: Path) -> None:
    """Sign the revocation list again, so that it stays valid."""
    _need_authority(directory)
    path = _try(lambda: revocation.refresh_crl(directory))
    click.echo(f"Signed {path}; it is valid for {CRL_DAYS} days.")


@certs.command()
@_directory
@click.argument("step", type=click.Choice(["prepare", "switch", "retire"]))
def rotate(directory: Path, step: str) -> None:
    """Replace the authority in three steps, each deployed to every host before the next."""
    _need_authority(directory)
    if step == "prepare":
        path = _try(lambda: rotation.prepare_rotation(directory))
        click.echo(f"{path} now trusts a second authority; deploy it with crl.pem, then `switch`.")
    elif step == "switch":
        _try(lambda: rotation.switch_authority(directory))
        click.echo("The second authority signs now; renew and deploy every leaf, then `retire`.")
    else:
        path = _try(lambda: rotation.retire_authority(directory))
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
        _fail("The secret is empty; nothing was hashed.")
    hashed = hash_secret(secret.encode(), secrets.token_bytes(16))
    click.echo(json.dumps({"principal": principal, "secret": hashed}))


def _try(work: Callable[[], T]) -> T:
    """The work's result; an expected failure ends the command with its sentence and code 1."""
    try:
        return work()
    except MesosError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {(error.strerror or 'failed').lower()}.")


def _fail(sentence: str, code: int = 1) -> NoReturn:
    click.echo(sentence, err=True)
    raise click.exceptions.Exit(code)


def _need_authority(directory: Path) -> None:
    if not (directory / "ca.pem").is_file():
        _fail(f"{directory} holds no authority; run `mesos-twisted certs init` first.", 3)


def _need_certificate(directory: Path, name: str) -> Path:
    """The PEM file of a name, or the file itself when `name` is a path."""
    path = Path(name) if name.endswith(".pem") else directory / f"{name}.pem"
    if not path.is_file():
        _fail(f"There is no certificate {path}.", 3)
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


def _day(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
