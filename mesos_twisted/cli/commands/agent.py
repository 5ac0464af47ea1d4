"""`mesos-twisted agent list|inspect|drain|deactivate|reactivate|gone`: the cluster's machines.

(`mesos-twisted agent --flags` without a verb starts the daemon.)
"""

from __future__ import annotations

from typing import Any

import click

from mesos_twisted.cli.client import Cluster, NotFoundError
from mesos_twisted.cli.context import cluster_options, output_option, with_cluster
from mesos_twisted.cli.drain import Waiting, find_agent
from mesos_twisted.cli.render import clean, show, show_document
from mesos_twisted.clock import Timers
from mesos_twisted.errors import RefusedError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.units import parse_duration

Kind = m.MasterCallType


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
                _state(one),
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


def _state(agent: dict[str, Any]) -> str:
    drain = agent.get("drain_info")
    if drain is not None:
        return str(drain["state"]).lower()
    if agent.get("deactivated"):
        return "deactivated"
    return "active" if agent["active"] else "inactive"


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


@agent.command()
@click.argument("agent_name", metavar="AGENT")
@click.option(
    "--max-grace-period",
    metavar="DURATION",
    help="no task has longer to end, like 5mins (default: each its own time)",
)
@click.option("--mark-gone", is_flag=True, help="mark the agent gone when nothing is left on it")
@click.option("--wait", is_flag=True, help="tell of each task, until the agent is drained")
@click.option("--yes", is_flag=True, help="do not ask before --mark-gone")
@cluster_options
def drain(
    agent_name: str,
    max_grace_period: str | None,
    mark_gone: bool,
    wait: bool,
    yes: bool,
    **flags: str | None,
) -> None:
    """End every task of an agent, each by its kill policy, and offer it to nobody any more.

    AGENT is an agent's id, or its host's name. It stays drained, over restarts of its host and of
    masters, until `agent reactivate`. One that is away is drained when it is back.
    """
    grace = None
    if max_grace_period is not None:
        nanoseconds = round(parse_duration(max_grace_period) * 1e9)
        seconds, nanos = divmod(nanoseconds, 1_000_000_000)
        grace = m.Duration(seconds=seconds, nanos=nanos)
    if mark_gone and not yes:
        question = f"Refuse the agent {agent_name} for good when its tasks have ended?"
        click.confirm(question, abort=True)

    async def work(cluster: Cluster, reactor: Any) -> None:
        agent_id = find_agent(await cluster.state(), agent_name)
        asked = m.MasterCallDrainAgent(
            agent_id=m.AgentID(value=agent_id), max_grace_period=grace, mark_gone=mark_gone
        )
        call = m.MasterCall(type=Kind.DRAIN_AGENT, drain_agent=asked)
        await cluster.call(call)
        click.echo(f"The agent {agent_id} is being drained.")
        if wait:
            await Waiting(
                cluster, Timers(reactor), agent_id, call, lambda line: click.echo(clean(line))
            ).wait()

    with_cluster(flags, work)


@agent.command()
@click.argument("agent_name", metavar="AGENT")
@cluster_options
def deactivate(agent_name: str, **flags: str | None) -> None:
    """Offer nothing of an agent any more; its tasks go on. Until `agent reactivate`.

    AGENT is an agent's id, or its host's name.
    """

    async def work(cluster: Cluster, reactor: Any) -> None:
        agent_id = find_agent(await cluster.state(), agent_name)
        asked = m.MasterCallDeactivateAgent(agent_id=m.AgentID(value=agent_id))
        await cluster.call(m.MasterCall(type=Kind.DEACTIVATE_AGENT, deactivate_agent=asked))
        click.echo(f"The agent {agent_id} is deactivated.")

    with_cluster(flags, work)


@agent.command()
@click.argument("agent_name", metavar="AGENT")
@cluster_options
def reactivate(agent_name: str, **flags: str | None) -> None:
    """Offer a deactivated or drained agent again.

    AGENT is an agent's id, or its host's name. One that is still being drained cannot be.
    """

    async def work(cluster: Cluster, reactor: Any) -> None:
        agent_id = find_agent(await cluster.state(), agent_name)
        asked = m.MasterCallReactivateAgent(agent_id=m.AgentID(value=agent_id))
        try:
            await cluster.call(m.MasterCall(type=Kind.REACTIVATE_AGENT, reactivate_agent=asked))
        except RefusedError as error:
            if "removed while processing" not in str(error):
                raise
            click.echo(f"The agent {agent_id} is not registered now; it is in use when it is back.")
            return
        click.echo(f"The agent {agent_id} is in use again.")

    with_cluster(flags, work)
