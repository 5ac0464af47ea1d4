"""The command line's entry: every command, and an exit code for what none of them caught."""

from __future__ import annotations

import sys

import click

from mesos_twisted import __version__
from mesos_twisted.cli.commands import register
from mesos_twisted.cli.context import tell
from mesos_twisted.errors import MesosError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mesos-twisted")
def cli() -> None:
    """A cluster of machines that many frameworks share, wire-compatible with Apache Mesos.

    Daemons: master, agent, connect. On one machine: local, demo. Each has its own --help.
    """


def main() -> None:
    """Run the command line."""
    register(cli)
    try:
        cli(prog_name="mesos-twisted")
    except MesosError as error:
        sys.exit(tell(error))
