"""`mesos-twisted agent list|inspect`: the machines of the cluster.

(`mesos-twisted agent --flags` without a verb starts the daemon.)
"""

from __future__ import annotations

from typing import Any

import click

from mesos_twisted.cli.client import Cluster, NotFoundError
from mesos_twisted.cli.context import cluster_options, output_option, with_cluster
from mesos_twisted.cli.render import show, show_document


@click.group()
def agent() -> None:
    """The machines of the cluster (without a verb: run the agent daemon)."""


@agent.command("list")
@cluster_options
@output_option
def list_agents(output: str, **flags: str | None) -> None:
    """Every agent, its resources and what of them is used."""

    async def work(cluster: Cluster, reactor: Any) -> None:
        agents = (await cluster.state())["slaves"]
        rows = [
            (
                one["id"],
                one["hostname"],
                "active" if one["active"] else "inactive",
                _share(one, "cpus"),
                _share(one, "mem"),
                _share(one, "disk"),
                " ".join(f"{k}={v}" for k, v in one["attributes"].items()),
            )
            for one in agents
        ]
        heads = ("AGENT", "HOST", "STATE", "CPUS", "MEM", "DISK", "ATTRIBUTES")
        show(output, agents, heads, rows)

    with_cluster(flags, work)


def _share(agent: dict[str, Any], name: str) -> str:
    return f"{agent['used_resources'][name]:g}/{agent['resources'][name]:g}"


@agent.command()
@click.argument("agent_id")
@cluster_options
def inspect(agent_id: str, **flags: str | None) -> None:
    """All that the master knows of one agent, as JSON."""

    async def work(cluster: Cluster, reactor: Any) -> None:
        for one in (await cluster.state())["slaves"]:
            if one["id"] == agent_id or one["hostname"] == agent_id:
                show_document(one)
                return
        raise NotFoundError(f"No agent '{agent_id}' is registered")

    with_cluster(flags, work)
