"""`certs request`, `certs sign` and `certs issue`: how a key comes to its certificate.

Each is made to be run again: what is still good is left alone, and `--output json` has `changed`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from mesos_twisted.cli.commands.shared import (
    ROLES,
    attempt,
    day_of,
    days_option,
    directory_option,
    fail,
    need_authority,
)
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority, requests, signing
from mesos_twisted.security.net.authority_files import load_certificates
from mesos_twisted.security.net.files import read_bytes

_role = click.option("--role", required=True, type=click.Choice(ROLES), help="What the holder is.")
_name = click.option("--name", required=True, help="The holder's principal.")
_host = click.option(
    "--host", "hosts", multiple=True, help="A DNS name or IP address; may be repeated."
)
_if_needed = click.option(
    "--if-needed",
    "if_needed",
    metavar="DAYS",
    type=click.IntRange(0, 3649),
    help="Leave a certificate alone that holds for DAYS more, with the same key, hosts and "
    "authority.",
)
_output = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.command()
@click.option(
    "--dir",
    "directory",
    default="certs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the key and the request are.",
)
@click.option(
    "--key",
    "key_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The key's file.  [default: NAME-key.pem in --dir]",
)
@click.option(
    "--csr",
    "csr_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The request's file.  [default: NAME.csr in --dir]",
)
@_role
@_name
@_host
@click.option("--cluster", help="For an authority of others, which signs what is asked.")
@click.option("--new-key", is_flag=True, help="Replace a key that is there.")
@_output
def request(
    directory: Path,
    key_path: Path | None,
    csr_path: Path | None,
    role: str,
    name: str,
    hosts: tuple[str, ...],
    cluster: str | None,
    new_key: bool,
    output: str,
) -> None:
    """On a host: make a key, which stays there, and the request to sign it elsewhere."""
    key = key_path or directory / f"{name}-key.pem"
    csr = csr_path or directory / f"{name}.csr"
    made = attempt(
        lambda: requests.request(key, csr, Role(role), name, hosts, cluster, new_key=new_key)
    )
    if output == "json":
        facts = {
            "changed": made.changed,
            "made_key": made.made_key,
            "key": str(made.key),
            "csr": str(made.csr),
            "key_sha256": made.fingerprint,
        }
        click.echo(json.dumps(facts))
    elif made.changed:
        click.echo(
            f"{'Made' if made.made_key else 'Kept'} the key {made.key}, wrote its request "
            f"{made.csr}; sign it where the authority is, with `certs sign`."
        )
    else:
        click.echo(f"Kept the key {made.key} and its request {made.csr}.")


@click.command()
@directory_option
@click.option(
    "--csr",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True),
    help="The request; - reads it from standard input.",
)
@_role
@_name
@_host
@days_option
@_if_needed
@_output
def sign(
    directory: Path,
    csr: str,
    role: str,
    name: str,
    hosts: tuple[str, ...],
    days: int,
    if_needed: int | None,
    output: str,
) -> None:
    """Certify the key of a request; everything else in it is ignored."""
    need_authority(directory)
    _check_days(days, if_needed)
    if csr != "-" and not Path(csr).is_file():
        fail(f"There is no request {csr}.", 3)
    content = sys.stdin.buffer.read() if csr == "-" else attempt(lambda: read_bytes(csr, "request"))
    what = "The request on standard input" if csr == "-" else f"The request {csr}"
    made = attempt(
        lambda: signing.sign(
            directory, content, Role(role), name, hosts, days, if_needed_days=if_needed, what=what
        )
    )
    _tell(made, output)


@click.command()
@directory_option
@_role
@_name
@_host
@days_option
@_if_needed
@_output
def issue(
    directory: Path,
    role: str,
    name: str,
    hosts: tuple[str, ...],
    days: int,
    if_needed: int | None,
    output: str,
) -> None:
    """Issue a certificate and its key, which is made here."""
    need_authority(directory)
    _check_days(days, if_needed)
    if if_needed is None:
        made = attempt(lambda: _first(directory, Role(role), name, hosts, days))
    else:
        within = if_needed
        made = attempt(
            lambda: signing.keep_issued(
                directory, Role(role), name, hosts, days, if_needed_days=within
            )
        )
    _tell(made, output)


def _first(
    directory: Path, role: Role, name: str, hosts: tuple[str, ...], days: int
) -> signing.Signed:
    """A certificate for a name that has none; RefusedError otherwise."""
    made = authority.issue(directory, role, name, hosts, days)
    serial = load_certificates(made.cert)[0].serial_number
    return signing.Signed(made.cert, made.not_after, serial, changed=True, reason="there was none")


def _check_days(days: int, if_needed: int | None) -> None:
    if if_needed is not None and if_needed >= days:
        raise click.UsageError(
            f"--if-needed {if_needed} must be less than --days {days}, or every run signs anew."
        )


def _tell(made: signing.Signed, output: str) -> None:
    if output == "json":
        facts = {
            "changed": made.changed,
            "reason": made.reason,
            "cert": str(made.cert),
            "not_after": made.not_after.isoformat(),
            "serial": f"{made.serial:x}",
        }
        click.echo(json.dumps(facts))
    elif made.changed:
        click.echo(
            f"Signed {made.cert}, valid until {day_of(made.not_after)}, because {made.reason}."
        )
    else:
        click.echo(f"Left {made.cert} as it is: {made.reason}.")
