"""What the `certs` commands share: their options, and how a failure ends one of them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from mesos_twisted.errors import MesosError
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net.authority import LEAF_DAYS

T = TypeVar("T")

ROLES = [role.value for role in Role if role is not Role.EXECUTOR]

directory_option = click.option(
    "--dir",
    "directory",
    default="certs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The authority's directory.",
)
days_option = click.option(
    "--days",
    default=LEAF_DAYS,
    show_default=True,
    type=click.IntRange(1, 3650),
    help="Days the certificate holds.",
)


def attempt(work: Callable[[], T]) -> T:
    """The work's result; an expected failure ends the command with its sentence and code 1."""
    try:
        return work()
    except MesosError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {(error.strerror or 'failed').lower()}.")


def fail(sentence: str, code: int = 1) -> NoReturn:
    """The command ends with this sentence and exit code."""
    click.echo(sentence, err=True)
    raise click.exceptions.Exit(code)


def need_authority(directory: Path) -> None:
    """The command ends with code 3 when the directory holds no authority."""
    if not (directory / "ca.pem").is_file():
        fail(f"{directory} holds no authority; run `mesos-twisted certs init` first.", 3)


def day_of(moment: datetime.datetime) -> str:
    """For people, to the minute."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")
