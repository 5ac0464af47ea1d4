"""`mesos-twisted agent list|inspect|gone`: the machines of the cluster.

(`mesos-twisted agent --flags` without a verb starts the daemon.)
"""

from __future__ import annotations

from typing import Any

import click

from mesos_twisted.cli.client import Cluster, NotFoundError
from mesos_twisted.cli.context import cluster_options, output_option, with_cluster
from mesos_twisted.cli.render import show, show_document
from mesos_twisted.protocol.generated import messages as m


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


@agent.command()
@click.argument("agent_id")
@click.option("--yes", is_flag=True, help="do not ask")
@cluster_options
def gone(agent_id: str, yes: bool, **flags: str | None) -> None:
    """Say that an agent never comes back: its tasks are over, and it is refused for good.

    AGENT_ID may be that of an agent that is unreachable, or not back after a failover.
    """
    if not yes:
        click.confirm(f"End all tasks of the agent {agent_id} and refuse it for good?", abort=True)

    async def work(cluster: Cluster, reactor: Any) -> None:
        await cluster.call(
            m.MasterCall(
                type=m.MasterCallType.MARK_AGENT_GONE,
                mark_agent_gone=m.MasterCallMarkAgentGone(agent_id=m.AgentID(value=agent_id)),
            )
        )
        click.echo(f"The agent {agent_id} is marked gone.")

    with_cluster(flags, work)
