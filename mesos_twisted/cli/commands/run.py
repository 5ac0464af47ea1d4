"""`mesos-twisted run`: one command (or a task group) on the cluster, its output here.

The command is a framework of its own: it subscribes, takes the first offer that fits, follows the
task's output and exits with the task's status. Ctrl-C kills the task.
"""

from __future__ import annotations

import getpass
import re
import sys
import uuid
from typing import Any

import click
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred

from mesos_twisted.cli.client import Cluster
from mesos_twisted.cli.commands.task import FOLLOW_S, pause
from mesos_twisted.cli.main import ERROR, TIMED_OUT, cluster_options, with_cluster
from mesos_twisted.clock import Timers
from mesos_twisted.errors import MalformedError, MesosError, RefusedError
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import is_terminal
from mesos_twisted.sdk.core.matching import why_not
from mesos_twisted.sdk.scheduler import Scheduler, SchedulerDriver
from mesos_twisted.sdk.values import command_task, framework_info, scalar

_STATUS = re.compile(r"exited with status (\d+)")
_SIGNAL = re.compile(r"terminated with signal (?:.*\()?(\d+)\)?")


@click.command()
@click.argument("command", nargs=-1)
@click.option("--name", default="run", show_default=True, help="the task's name")
@click.option("--cpus", type=float, default=0.1, show_default=True)
@click.option("--mem", "mem_mb", type=float, default=32, show_default=True, help="megabytes")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="may be given several times")
@click.option("--uri", multiple=True, metavar="URI", help="fetched into the sandbox first")
@click.option("--user", default=None, help="the user to run as (default: you)")
@click.option("--role", default="*", show_default=True)
@click.option("--attribute", multiple=True, metavar="NAME=VALUE", help="only on such agents")
@click.option("--task-group", type=click.File("rb"), help="a TaskGroupInfo as JSON")
@click.option("--offer-timeout", type=float, default=60, show_default=True, help="seconds")
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
    task_group: Any,
    offer_timeout: float,
    shell: bool,
    **flags: str | None,
) -> None:
    """Run COMMAND on the cluster, print its output, exit with its status."""
    if bool(command) == bool(task_group):
        raise click.UsageError("Give a command after --, or --task-group FILE, one of the two.")
    group = None
    if task_group:
        group = codec_json.decode(m.TaskGroupInfo, task_group.read())
        if not group.tasks:
            raise MalformedError("The task group has no tasks")
    job = _Job(
        name=name,
        command=" ".join(command) if shell else list(command),
        cpus=cpus,
        mem_mb=mem_mb,
        env=_pairs(env, "--env"),
        uris=uri,
        attributes=_pairs(attribute, "--attribute"),
        group=group,
    )
    info = framework_info(
        name, user or getpass.getuser(), roles=(role,), principal=flags.get("principal")
    )

    async def work(cluster: Cluster, reactor: Any) -> int:
        driver = SchedulerDriver(reactor, job, info, cluster.leader, headers=cluster.headers)
        timers = Timers(reactor)
        ended = driver.start()
        ended.addCallback(job.give_up)
        reactor.addSystemEventTrigger("before", "shutdown", job.give_up, "interrupted")
        timers.after(offer_timeout, job.no_offer, offer_timeout)
        followed = ensureDeferred(job.follow(cluster, timers))
        try:
            status = await job.done
            if job.agent_id is not None:
                await followed
        finally:
            timers.cancel_all()
            followed.addErrback(lambda failure: failure.trap(MesosError) and None)
            if not ended.called:
                await driver.stop(teardown=True)
        return status

    with_cluster(flags, work)


def _pairs(words: tuple[str, ...], option: str) -> dict[str, str]:
    out: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{option} wants NAME=VALUE, not '{word}'.")
        out[key] = value
    return out


class _Job(Scheduler):
    """One task or one task group from offer to end; `done` fires with the exit status."""

    def __init__(
        self,
        name: str,
        command: str | list[str],
        cpus: float,
        mem_mb: float,
        env: dict[str, str],
        uris: tuple[str, ...],
        attributes: dict[str, str],
        group: m.TaskGroupInfo | None,
    ) -> None:
        self.task_id = f"{name}-{uuid.uuid4().hex[:8]}"
        self.agent_id: str | None = None
        self.done: Deferred[int] = Deferred()
        self._running: Deferred[None] = Deferred()
        self._name, self._command, self._cpus, self._mem_mb = name, command, cpus, mem_mb
        self._env, self._uris, self._attributes, self._group = env, uris, attributes, group
        self._states: dict[str, int | None] = {}
        self._reasons: list[str] = []
        self._ended = False

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        wanted = {"cpus": self._cpus, "mem": self._mem_mb}
        if self._group is not None:
            wanted = _sum(self._group)
        for offer in offers:
            reasons = why_not(offer, wanted, self._attributes)
            self._reasons = [f"{offer.hostname}: {reason}" for reason in reasons]
            if self.agent_id is not None or reasons:
                driver.decline((offer,), refuse_s=5)
            else:
                self._launch(driver, offer)

    def _launch(self, driver: SchedulerDriver, offer: m.Offer) -> None:
        self.agent_id = offer.agent_id.value
        if self._group is None:
            task = command_task(
                self.task_id,
                offer,
                self._command,
                cpus=self._cpus,
                mem_mb=self._mem_mb,
                name=self._name,
                env=self._env,
                uris=self._uris,
            )
            self._states = {self.task_id: None}
            driver.launch(offer, [task])
            return
        role = offer.allocation_info.role if offer.allocation_info else None
        tasks = [
            msgspec.structs.replace(
                task, agent_id=offer.agent_id, resources=_in_role(task.resources, role)
            )
            for task in self._group.tasks
        ]
        self._states = {task.task_id.value: None for task in tasks}
        executor = m.ExecutorInfo(
            type=m.ExecutorInfoType.DEFAULT,
            executor_id=m.ExecutorID(value=self.task_id),
            framework_id=m.FrameworkID(value=driver.framework_id or ""),
            resources=(scalar("cpus", 0.1, role), scalar("mem", 32, role)),
        )
        driver.launch_group(offer, executor, tasks)

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> None:
        task_id = status.task_id.value
        if status.state is m.TaskState.TASK_RUNNING and not self._running.called:
            self._running.callback(None)
        if task_id not in self._states or not is_terminal(status.state):
            return
        self._states[task_id] = _exit_status(status)
        if status.state is not m.TaskState.TASK_FINISHED:
            click.echo(f"{task_id}: {status.state.value} {status.message or ''}".rstrip(), err=True)
        if all(one is not None for one in self._states.values()):
            self._end(max(one or 0 for one in self._states.values()))

    def no_offer(self, waited_s: float) -> None:
        """Give up when nothing has been launched yet."""
        if self.agent_id is None and not self._ended:
            why = "; ".join(self._reasons) or "no offer came"
            click.echo(f"No suitable offer within {waited_s:g} s: {why}", err=True)
            self._end(TIMED_OUT)

    def error(self, driver: SchedulerDriver, message: str) -> None:
        self._fail(RefusedError(f"The master refused the framework: {message}"))

    def give_up(self, reason: object) -> object:
        """The driver stopped, or the user interrupted."""
        if not self._ended:
            self._end(130 if reason == "interrupted" else ERROR)
        return reason

    def _end(self, status: int) -> None:
        if not self._ended:
            self._ended = True
            self.done.callback(status)

    def _fail(self, error: MesosError) -> None:
        if not self._ended:
            self._ended = True
            self.done.errback(error)

    async def follow(self, cluster: Cluster, timers: Timers) -> None:
        """Copy the task's stdout and stderr here until both have ended."""
        await self._running
        assert self.agent_id is not None
        url = await cluster.agent_url(self.agent_id)
        for task_id in self._states:
            task = await cluster.task(task_id)
            streams = ((sys.stdout.buffer, "stdout"), (sys.stderr.buffer, "stderr"))
            offsets = {name: 0 for _, name in streams}
            while True:
                ended, more = self._states[task_id] is not None, False
                for out, name in streams:
                    path = f"{cluster.sandbox(task)}/{name}"
                    data, offsets[name] = await cluster.read(url, path, offsets[name])
                    more |= bool(data)
                    out.write(data)
                    out.flush()
                if ended and not more:
                    break
                if not more:
                    await pause(timers, FOLLOW_S / 5)


def _sum(group: m.TaskGroupInfo) -> dict[str, float]:
    total: dict[str, float] = {"cpus": 0.1, "mem": 32}
    for task in group.tasks:
        for resource in task.resources:
            if resource.scalar is not None:
                total[resource.name] = total.get(resource.name, 0) + resource.scalar.value
    return total


def _in_role(resources: tuple[m.Resource, ...], role: str | None) -> tuple[m.Resource, ...]:
    if role is None:
        return resources
    allocation = m.ResourceAllocationInfo(role=role)
    return tuple(msgspec.structs.replace(one, allocation_info=allocation) for one in resources)


def _exit_status(status: m.TaskStatus) -> int:
    """The task's own exit status; 128 + signal; 1 when it never ran."""
    if status.state is m.TaskState.TASK_FINISHED:
        return 0
    match = _STATUS.search(status.message or "")
    if match:
        return int(match[1]) or ERROR
    match = _SIGNAL.search(status.message or "")
    return 128 + int(match[1]) if match else ERROR
