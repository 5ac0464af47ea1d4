"""`mesos-twisted task list|inspect|logs|kill`: one task, from its state to its output."""

from __future__ import annotations

import sys
from typing import Any

import click
from twisted.internet.defer import Deferred

from mesos_twisted.cli.client import Cluster, sandbox
from mesos_twisted.cli.context import cluster_options, output_option, with_cluster
from mesos_twisted.cli.render import show, show_document
from mesos_twisted.clock import Timers
from mesos_twisted.errors import RefusedError, UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import is_terminal

FOLLOW_S = 0.5
#: How long output is followed with no master to say whether the task has ended.
LEADERLESS_S = 60.0


@click.group()
def task() -> None:
    """The tasks of the cluster."""


@task.command("list")
@click.option("--all", "ended", is_flag=True, help="show ended tasks too")
@cluster_options
@output_option
def list_tasks(ended: bool, output: str, **flags: str | None) -> None:
    """Every task (ended ones with --all)."""

    async def work(cluster: Cluster, reactor: Any) -> None:
        await show_tasks(cluster, ended, output)

    with_cluster(flags, work)


async def show_tasks(cluster: Cluster, ended: bool, output: str) -> None:
    """Print the cluster's tasks."""
    tasks = await cluster.tasks()
    if not ended:
        tasks = [one for one in tasks if not is_terminal(m.TaskState(one["state"]))]
    rows = [
        (
            one["id"],
            one["name"],
            one["state"].removeprefix("TASK_"),
            one["framework_id"],
            one["slave_id"],
            f"{one['resources']['cpus']:g}",
            f"{one['resources']['mem']:g}",
        )
        for one in tasks
    ]
    show(output, tasks, ("TASK", "NAME", "STATE", "FRAMEWORK", "AGENT", "CPUS", "MEM"), rows)


@task.command()
@click.argument("task_id")
@cluster_options
def inspect(task_id: str, **flags: str | None) -> None:
    """All that the master knows of one task, as JSON."""

    async def work(cluster: Cluster, reactor: Any) -> None:
        show_document(await cluster.task(task_id))

    with_cluster(flags, work)


@task.command()
@click.argument("task_id")
@click.argument("stream", type=click.Choice(["stdout", "stderr"]), default="stdout")
@click.option("-f", "--follow", is_flag=True, help="wait for more until the task ends")
@cluster_options
def logs(task_id: str, stream: str, follow: bool, **flags: str | None) -> None:
    """A task's output: stdout unless told; -f follows it to the end."""

    async def work(cluster: Cluster, reactor: Any) -> None:
        found = await cluster.task(task_id)
        url = await cluster.agent_url(found["slave_id"])
        path = f"{sandbox(found['framework_id'], found['id'], found['executor_id'])}/{stream}"
        timers, offset = Timers(reactor), 0
        heard_at = timers.seconds()
        while True:
            # The state is asked before the last read, so that nothing written before is missed.
            ended = not follow or is_terminal(m.TaskState(found["state"]))
            data = await cluster.read(url, path, offset)
            if data:
                offset += len(data)
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
                continue
            if ended:
                return
            await pause(timers, FOLLOW_S)
            try:
                found = await cluster.task(found["id"])
                heard_at = timers.seconds()
            except UnavailableError:
                # Masters change; the agent, which has the output, goes on meanwhile.
                if timers.seconds() - heard_at > LEADERLESS_S:
                    raise

    with_cluster(flags, work)


async def pause(timers: Timers, seconds: float) -> None:
    """Let some time pass."""
    waited: Deferred[None] = Deferred()
    timers.after(seconds, waited.callback, None)
    await waited


@task.command()
@click.argument("task_id")
@cluster_options
def kill(task_id: str, **flags: str | None) -> None:
    """End a task; its framework hears TASK_KILLED and may start another.

    `framework teardown` ends a framework with all its tasks.
    """

    async def work(cluster: Cluster, reactor: Any) -> None:
        found = await cluster.task(task_id)
        if is_terminal(m.TaskState(found["state"])):
            raise RefusedError(f"The task {found['id']} has ended already: {found['state']}")
        await cluster.kill_task(found["framework_id"], found["id"])
        click.echo(f"The task {found['id']} is being killed.")

    with_cluster(flags, work)
