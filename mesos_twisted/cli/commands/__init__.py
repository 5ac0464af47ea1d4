"""One noun a file; each offers one click group or command named like its file."""

from __future__ import annotations

import click


def register(cli: click.Group) -> None:
    """Put every command under the entry."""
    from mesos_twisted.cli.commands.agent import agent
    from mesos_twisted.cli.commands.certs import certs
    from mesos_twisted.cli.commands.completion import completion
    from mesos_twisted.cli.commands.framework import framework
    from mesos_twisted.cli.commands.ps import ps
    from mesos_twisted.cli.commands.registry import registry
    from mesos_twisted.cli.commands.run import run
    from mesos_twisted.cli.commands.task import task

    for command in (agent, certs, completion, framework, ps, registry, run, task):
        cli.add_command(command)
