"""`mesos-twisted completion SHELL`: the script that completes words in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for your shell.

    bash: source <(mesos-twisted completion bash)
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = context.find_root().command
    maker = kind(root, {}, "mesos-twisted", "_MESOS_TWISTED_COMPLETE")
    template = maker.source_template % maker.source_vars()
    click.echo(template)
