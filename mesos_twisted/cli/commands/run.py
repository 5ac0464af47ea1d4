"""`mesos-twisted run`: one command (or a task group) on the cluster, its output here.

The command is a framework of its own: it subscribes, takes the first offer that fits, follows the
task's output and exits with the task's status. Ctrl-C kills the task.
"""

from __future__ import annotations

import getpass
import math
from typing import Any, BinaryIO

import click
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.python.failure import Failure

from mesos_twisted.cli.client import Cluster
from mesos_twisted.cli.context import cluster_options, with_cluster
from mesos_twisted.cli.job import Job, Wanted, read_group
from mesos_twisted.cli.output import Output
from mesos_twisted.cli.render import clean
from mesos_twisted.clock import Timers
from mesos_twisted.errors import MesosError
from mesos_twisted.sdk.scheduler import SchedulerDriver
from mesos_twisted.sdk.values import framework_info


@click.command()
@click.argument("command", nargs=-1)
@click.option("--name", default="run", show_default=True, help="the task's name")
@click.option("--cpus", type=click.FloatRange(min=0.001), default=0.1, show_default=True)
@click.option(
    "--mem",
    "mem_mb",
    type=click.FloatRange(min=1),
    default=32,
    show_default=True,
    help="megabytes",
)
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="may be given several times")
@click.option("--uri", multiple=True, metavar="URI", help="fetched into the sandbox first")
@click.option("--user", default=None, help="the user to run as (default: you)")
@click.option("--role", default="*", show_default=True)
@click.option("--attribute", multiple=True, metavar="NAME=VALUE", help="only on such agents")
@click.option("--task-group", type=click.File("rb"), help="a TaskGroupInfo as JSON")
@click.option(
    "--offer-timeout",
    type=click.FloatRange(min=0.1),
    default=60,
    show_default=True,
    help="seconds",
)
@click.option("--shell/--no-shell", default=True, help="through /bin/sh, or exec the words")
@cluster_options
def run(
    command: tuple[str, ...],
    name: str,
    cpus: float,
    mem_mb: float,
    env: tuple[str, ...],
    uri: tuple[str, ...],
    user: str | None,
    role: str,
    attribute: tuple[str, ...],
    task_group: BinaryIO | None,
    offer_timeout: float,
    shell: bool,
    **flags: str | None,
) -> None:
    """Run COMMAND on the cluster, print its output, exit with its status.

    Put -- before COMMAND. A signal n ends it with 128+n; no fitting offer in time with 6.
    """
    if not all(map(math.isfinite, (cpus, mem_mb, offer_timeout))):
        raise click.UsageError("--cpus, --mem and --offer-timeout must be finite numbers.")
    if bool(command) == bool(task_group):
        raise click.UsageError("Give a command after --, or --task-group FILE, one of the two.")
    wanted = Wanted(
        name=name,
        command=" ".join(command) if shell else list(command),
        cpus=cpus,
        mem_mb=mem_mb,
        env=_pairs(env, "--env"),
        uris=uri,
        attributes=_pairs(attribute, "--attribute"),
        group=read_group(task_group.read()) if task_group else None,
    )

    async def work(cluster: Cluster, reactor: Any) -> int:
        info = framework_info(
            name, user or getpass.getuser(), roles=(role,), principal=cluster.principal
        )
        job, timers = Job(wanted), Timers(reactor)
        driver = SchedulerDriver(reactor, job, info, cluster.leader, headers=cluster.headers)
        ended = driver.start().addCallback(job.stopped)
        timers.after(offer_timeout, job.no_offer, offer_timeout)
        followed = ensureDeferred(_follow(cluster, timers, job))
        followed.addErrback(_not_followed, job)
        try:
            status = await job.done
            await followed
            return status
        finally:
            timers.cancel_all()
            followed.cancel()
            if not ended.called:
                # The framework ends, and with it whatever of the task still runs.
                await driver.stop(teardown=True)

    with_cluster(flags, work)


async def _follow(cluster: Cluster, timers: Timers, job: Job) -> None:
    """Copy the tasks' stdout and stderr here until they have ended and all is read."""
    if not await job.begun:
        return
    output = Output(cluster, job.agent_url, job.sandboxes())
    while True:
        # Asked before the last read, so that nothing written before is missed.
        ended = job.ended
        if not await output.copy(ended):
            if ended:
                return
            pause: Deferred[None] = Deferred()
            timers.after(output.pause_s, pause.callback, None)
            await pause


def _not_followed(failure: Failure, job: Job) -> None:
    """Lost output does not change the task's status; a reader that left ends the task."""
    error = failure.value
    if isinstance(error, MesosError):
        click.echo(f"mesos-twisted: the output is lost: {clean(str(error))}", err=True)
    elif error is not None and not isinstance(error, CancelledError):
        job.fail(error)


def _pairs(words: tuple[str, ...], option: str) -> dict[str, str]:
    out: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{option} wants NAME=VALUE, not '{word}'.")
        out[key] = value
    return out
