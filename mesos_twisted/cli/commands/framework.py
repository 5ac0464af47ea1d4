"""`mesos-twisted framework list|inspect|teardown`: who shares the cluster."""

from __future__ import annotations

from typing import Any

import click

from mesos_twisted.cli.client import Cluster, NotFoundError
from mesos_twisted.cli.context import cluster_options, output_option, with_cluster
from mesos_twisted.cli.render import show, show_document
from mesos_twisted.protocol.generated import messages as m


@click.group()
def framework() -> None:
    """The frameworks that share the cluster."""


@framework.command("list")
@click.option("--all", "completed", is_flag=True, help="show completed frameworks too")
@cluster_options
@output_option
def list_frameworks(completed: bool, output: str, **flags: str | None) -> None:
    """Every framework and how much it uses."""

    async def work(cluster: Cluster, reactor: Any) -> None:
        state = await cluster.state()
        found = list(state["frameworks"]) + (state["completed_frameworks"] if completed else [])
        rows = [
            (
                one["id"],
                one["name"],
                one["user"],
                "active" if one["active"] else "inactive",
                len(one["tasks"]),
                f"{one['used_resources']['cpus']:g}",
                f"{one['used_resources']['mem']:g}",
            )
            for one in found
        ]
        heads = ("FRAMEWORK", "NAME", "USER", "STATE", "TASKS", "CPUS", "MEM")
        show(output, found, heads, rows)

    with_cluster(flags, work)


@framework.command()
@click.argument("framework_id")
@cluster_options
def inspect(framework_id: str, **flags: str | None) -> None:
    """All that the master knows of one framework, as JSON."""

    async def work(cluster: Cluster, reactor: Any) -> None:
        state = await cluster.state()
        for one in (*state["frameworks"], *state["completed_frameworks"]):
            if framework_id in (one["id"], one["name"]):
                show_document(one)
                return
        raise NotFoundError(f"No framework '{framework_id}' is known to the master")

    with_cluster(flags, work)


@framework.command()
@click.argument("framework_id")
@cluster_options
def teardown(framework_id: str, **flags: str | None) -> None:
    """End a framework and all its tasks, for good."""

    async def work(cluster: Cluster, reactor: Any) -> None:
        state = await cluster.state()
        if all(one["id"] != framework_id for one in state["frameworks"]):
            raise NotFoundError(f"No framework '{framework_id}' is registered")
        await cluster.call(
            m.MasterCall(
                type=m.MasterCallType.TEARDOWN,
                teardown=m.MasterCallTeardown(framework_id=m.FrameworkID(value=framework_id)),
            )
        )
        click.echo(f"The framework {framework_id} is torn down.")

    with_cluster(flags, work)
