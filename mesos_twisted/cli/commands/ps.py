"""`mesos-twisted ps`: the live tasks of the cluster, one a line."""

from __future__ import annotations

from typing import Any

import click

from mesos_twisted.cli.client import Cluster
from mesos_twisted.cli.commands.task import show_tasks
from mesos_twisted.cli.context import cluster_options, output_option, with_cluster


@click.command()
@click.option("--all", "ended", is_flag=True, help="show ended tasks too")
@cluster_options
@output_option
def ps(ended: bool, output: str, **flags: str | None) -> None:
    """The tasks of the cluster."""

    async def work(cluster: Cluster, reactor: Any) -> None:
        await show_tasks(cluster, ended, output)

    with_cluster(flags, work)
