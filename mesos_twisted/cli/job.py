"""One task or one task group from offer to end: the scheduler behind `mesos-twisted run`."""

from __future__ import annotations

import re
import signal
import uuid
from dataclasses import dataclass

import click
import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mesos_twisted.cli.client import DeniedError, TimedOutError, sandbox
from mesos_twisted.cli.context import ERROR
from mesos_twisted.cli.render import clean
from mesos_twisted.errors import MalformedError, RefusedError, UnavailableError
from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import is_terminal
from mesos_twisted.sdk.core.matching import why_not
from mesos_twisted.sdk.scheduler import Scheduler, SchedulerDriver
from mesos_twisted.sdk.values import command_task, scalar

#: What the executor of a task group takes for itself; the master wants some of each.
EXECUTOR = {"cpus": 0.1, "mem": 32.0, "disk": 32.0}
_STATUS = re.compile(r"exited with status (\d+)")
_SIGNAL = re.compile(r"terminated with signal ([^(]+)")
_SIGNALS = {signal.strsignal(number): int(number) for number in signal.valid_signals()}
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to run and where: `command` is a shell line or the words of a program."""

    name: str
    command: str | list[str]
    cpus: float
    mem_mb: float
    env: dict[str, str]
    uris: tuple[str, ...]
    attributes: dict[str, str]
    group: m.TaskGroupInfo | None

    def amounts(self) -> dict[str, float]:
        """Scalars an offer must hold."""
        if self.group is None:
            return {"cpus": self.cpus, "mem": self.mem_mb}
        total = dict(EXECUTOR)
        for task in self.group.tasks:
            for resource in task.resources:
                if resource.scalar is not None:
                    total[resource.name] = total.get(resource.name, 0) + resource.scalar.value
        return total


def read_group(text: bytes) -> m.TaskGroupInfo:
    """A TaskGroupInfo from JSON; tasks need no agent_id. Raises MalformedError."""
    document = codec_json.parse(text)
    tasks = document.get("tasks") if isinstance(document, dict) else None
    if not isinstance(tasks, list) or not all(isinstance(one, dict) for one in tasks):
        raise MalformedError('The task group must be a JSON object {"tasks": [{...}, ...]}')
    if not tasks:
        raise MalformedError("The task group has no tasks")
    for task in tasks:
        task["agent_id"] = {"value": ""}
    return codec_json.decode(m.TaskGroupInfo, msgspec.json.encode(document))


class Job(Scheduler):
    """`begun` fires with True once a task runs or has run, False when none ever will; `done` with
    the exit status, or fails."""

    def __init__(self, wanted: Wanted) -> None:
        self.begun: Deferred[bool] = Deferred()
        self.done: Deferred[int] = Deferred()
        self.agent_url = ""
        self.ended = False
        self._wanted = wanted
        self._run_id = f"{_NOT_IN_ID.sub('-', wanted.name)[:100]}-{uuid.uuid4().hex[:8]}"
        self._framework_id = ""
        self._states: dict[str, int | None] = {}
        self._reasons: dict[str, str] = {}

    def sandboxes(self) -> list[str]:
        """The virtual paths of the tasks' sandboxes."""
        executor = "" if self._wanted.group is None else self._run_id
        return [sandbox(self._framework_id, task_id, executor) for task_id in self._states]

    def subscribed(self, driver: SchedulerDriver, framework_id: str) -> None:
        self._framework_id = framework_id

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        unwanted = []
        for offer in offers:
            reasons = why_not(offer, self._wanted.amounts(), self._wanted.attributes)
            if reasons:
                self._reasons[offer.agent_id.value] = f"{offer.hostname}: " + ", ".join(
                    map(str, reasons)
                )
            if reasons or self._states or self.ended:
                unwanted.append(offer)
            else:
                self._launch(driver, offer)
        if unwanted:
            driver.decline(unwanted, refuse_s=5).addErrback(lambda failure: None)

    def _launch(self, driver: SchedulerDriver, offer: m.Offer) -> None:
        wanted = self._wanted
        if offer.url is not None:
            host = offer.url.address.hostname or offer.url.address.ip or offer.hostname
            self.agent_url = f"{offer.url.scheme}://{host}:{offer.url.address.port}"
        if wanted.group is None:
            task = command_task(
                self._run_id,
                offer,
                wanted.command,
                cpus=wanted.cpus,
                mem_mb=wanted.mem_mb,
                name=wanted.name,
                env=wanted.env,
                uris=wanted.uris,
            )
            self._states = {self._run_id: None}
            driver.launch(offer, [task]).addErrback(self._not_sent)
            return
        role = offer.allocation_info.role if offer.allocation_info else None
        tasks = [
            msgspec.structs.replace(
                task, agent_id=offer.agent_id, resources=_in_role(task.resources, role)
            )
            for task in wanted.group.tasks
        ]
        self._states = dict.fromkeys(task.task_id.value for task in tasks)
        executor = m.ExecutorInfo(
            type=m.ExecutorInfoType.DEFAULT,
            executor_id=m.ExecutorID(value=self._run_id),
            framework_id=m.FrameworkID(value=self._framework_id),
            resources=tuple(scalar(name, value, role) for name, value in EXECUTOR.items()),
        )
        launched = driver.launch_group(offer, executor, tasks)
        launched.addErrback(self._not_sent)

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> None:
        task_id = status.task_id.value
        if task_id not in self._states or self._states[task_id] is not None:
            return
        ended = is_terminal(status.state)
        if ended:
            self._states[task_id] = _exit_status(status)
            if status.state is not m.TaskState.TASK_FINISHED:
                words = f"{task_id}: {status.state.value} {status.message or ''}"
                click.echo(clean(words.rstrip()), err=True)
        if all(one is not None for one in self._states.values()):
            self._end(max(one or 0 for one in self._states.values()), began=True)
        elif status.state is m.TaskState.TASK_RUNNING:
            self._begin(True)

    def no_offer(self, waited_s: float) -> None:
        """Give up when nothing has been launched yet."""
        if not self._states:
            why = "; ".join(sorted(set(self._reasons.values()))) or "no offer came"
            self.fail(TimedOutError(f"No suitable offer within {waited_s:g} s: {why}"))

    def error(self, driver: SchedulerDriver, message: str) -> None:
        if self._framework_id:
            self.fail(RefusedError(f"The master ended the framework: {message}"))
        else:
            self.fail(DeniedError(f"The master refused the framework: {message}"))

    def stopped(self, reason: str) -> str:
        """The driver ended; nothing more will be heard."""
        self._end(ERROR)
        return reason

    def fail(self, error: BaseException) -> None:
        """The job ends with this error, unless it has ended."""
        if not self.ended:
            self.ended = True
            self._begin(False)
            self.done.errback(Failure(error))

    def _not_sent(self, failure: Failure) -> None:
        self.fail(failure.value or UnavailableError("The launch was not sent"))

    def _end(self, status: int, began: bool = False) -> None:
        if not self.ended:
            self.ended = True
            self._begin(began)
            self.done.callback(status)

    def _begin(self, began: bool) -> None:
        if not self.begun.called:
            self.begun.callback(began and bool(self.agent_url))


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
    number = None if match is None else _SIGNALS.get(match[1].strip())
    return ERROR if number is None else 128 + number
