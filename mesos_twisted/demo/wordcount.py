"""The word count's scheduler: maps over the files, a shuffle through sandboxes, reduces.

Maps are spread over the agents that offer; when all have finished, each reduce is given the
addresses of its part in every map's sandbox. A task that fails is tried again elsewhere, three
times at most. The scheduler knows nothing of how the cluster was started.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import msgspec
from twisted.internet.defer import Deferred

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import is_terminal
from mesos_twisted.sdk.core.matching import why_not
from mesos_twisted.sdk.scheduler import Scheduler, SchedulerDriver
from mesos_twisted.sdk.values import command_task

TASK_CPUS, TASK_MEM_MB = 0.25, 64
MAX_TRIES = 3
SCRIPT = Path(__file__).with_name("wordcount_task.py")


@dataclass(slots=True)
class Work:
    """One map or reduce and where it runs."""

    name: str
    arguments: tuple[str, ...]
    uris: tuple[str, ...]
    tries: int = 0
    task_id: str | None = None
    agent_id: str | None = None
    #: `https://host:port` of the agent that runs (or ran) it.
    agent_url: str = ""
    state: m.TaskState | None = None

    @property
    def finished(self) -> bool:
        return self.state is m.TaskState.TASK_FINISHED


@dataclass(slots=True)
class Identity:
    """The framework's certificate files, fetched into every sandbox."""

    cert: Path
    key: Path
    ca: Path


@dataclass(slots=True)
class WordCount(Scheduler):
    """Counts the words of `files`; `done` fires with the failure's sentence, or None for success.

    `progress(text)` is called with a line for each step.
    """

    files: list[Path]
    identity: Identity
    progress: Callable[[str], None]
    maps_wanted: int = 4
    reduces_wanted: int = 2
    done: Deferred[str | None] = field(default_factory=Deferred)
    maps: list[Work] = field(default_factory=list)
    reduces: list[Work] = field(default_factory=list)
    by_task: dict[str, Work] = field(default_factory=dict)
    _ended: bool = False

    def __post_init__(self) -> None:
        count = max(1, min(self.maps_wanted, len(self.files)))
        for number in range(count):
            mine = self.files[number::count]
            # Two files of the same name must not meet in one sandbox: fetched under numbers.
            names = tuple(f"input-{i}" for i in range(len(mine)))
            self.maps.append(
                Work(
                    f"map-{number}",
                    ("map", str(self.reduces_wanted), *names),
                    tuple(f"file://{path}#{name}" for path, name in zip(mine, names, strict=True)),
                )
            )

    def subscribed(self, driver: SchedulerDriver, framework_id: str) -> None:
        self.progress(f"subscribed as framework {framework_id}")

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        waiting = [work for work in self._stage() if work.task_id is None]
        # One task an offer and turn spreads them over the agents.
        room = {offer.agent_id.value: 0 for offer in offers}
        chosen: dict[str, list[Work]] = {offer.id.value: [] for offer in offers}
        while waiting and offers:
            offer = min(offers, key=lambda one: room[one.agent_id.value])
            taken = len(chosen[offer.id.value]) + 1
            if why_not(offer, {"cpus": TASK_CPUS * taken, "mem": TASK_MEM_MB * taken}):
                break
            room[offer.agent_id.value] += 1
            chosen[offer.id.value].append(waiting.pop(0))
        for offer in offers:
            works = chosen[offer.id.value]
            if works:
                driver.launch(offer, [self._task(offer, work) for work in works], refuse_s=0.1)
            else:
                driver.decline((offer,), refuse_s=1.0)

    def _stage(self) -> list[Work]:
        return self.reduces if self.reduces else self.maps

    def _task(self, offer: m.Offer, work: Work) -> m.TaskInfo:
        work.tries += 1
        work.task_id = work.name if work.tries == 1 else f"{work.name}-try{work.tries}"
        work.agent_id, work.state = offer.agent_id.value, m.TaskState.TASK_STAGING
        if offer.url is not None:
            address = offer.url.address
            host = address.hostname or address.ip
            work.agent_url = f"{offer.url.scheme}://{host}:{address.port}"
        self.by_task[work.task_id] = work
        uris = (f"file://{SCRIPT}", *work.uris)
        task = command_task(
            work.task_id,
            offer,
            [sys.executable, SCRIPT.name, *work.arguments],
            cpus=TASK_CPUS,
            mem_mb=TASK_MEM_MB,
            name=work.name,
        )
        return _with_uris(task, uris)

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> None:
        work = self.by_task.get(status.task_id.value)
        if work is None or work.task_id != status.task_id.value or work.finished:
            return
        work.state = status.state
        if is_terminal(status.state) and not work.finished:
            self._failed(driver, work, status)
            return
        self.progress(self._summary(work))
        if all(one.finished for one in self.maps) and not self.reduces:
            self._shuffle(driver)
        elif self.reduces and all(one.finished for one in self.reduces):
            self._end(None)

    def _summary(self, work: Work) -> str:
        def count(works: list[Work]) -> str:
            return f"{sum(one.finished for one in works)}/{len(works)}"

        assert work.state is not None
        told = work.state.value.removeprefix("TASK_").lower()
        reduces = count(self.reduces) if self.reduces else f"0/{self.reduces_wanted}"
        return f"maps {count(self.maps)}  reduces {reduces}  {work.name} {told}"

    def _failed(self, driver: SchedulerDriver, work: Work, status: m.TaskStatus) -> None:
        reason = status.message or status.state.value
        if work.tries >= MAX_TRIES:
            self._end(f"{work.name} failed {MAX_TRIES} times, last: {reason}")
            return
        self.progress(f"{work.name} failed ({reason}); trying again")
        work.task_id = None
        driver.revive()

    def _shuffle(self, driver: SchedulerDriver) -> None:
        files = (
            f"file://{self.identity.cert}#framework.pem",
            f"file://{self.identity.key}#framework-key.pem",
            f"file://{self.identity.ca}#ca.pem",
        )
        for part in range(self.reduces_wanted):
            urls = tuple(
                f"{one.agent_url}/files/download?path="
                + quote(self.sandbox(driver, one) + f"/part-{part}.json")
                for one in self.maps
            )
            self.reduces.append(Work(f"reduce-{part}", ("reduce", *urls), files))
        self.progress(
            f"all {len(self.maps)} maps finished; shuffling to {len(self.reduces)} reduces"
        )
        driver.revive()

    def sandbox(self, driver: SchedulerDriver, work: Work) -> str:
        """The virtual path of a task's sandbox on its agent."""
        return f"/frameworks/{driver.framework_id}/executors/{work.task_id}/runs/latest"

    def error(self, driver: SchedulerDriver, message: str) -> None:
        self._end(f"the master refused the framework: {message}")

    def give_up(self, reason: str) -> None:
        """End the job now, unless it has ended."""
        self._end(reason)

    def _end(self, reason: str | None) -> None:
        if not self._ended:
            self._ended = True
            self.done.callback(reason)


def _with_uris(task: m.TaskInfo, uris: tuple[str, ...]) -> m.TaskInfo:
    """The task with files to fetch; `path#name` fetches under another name."""
    assert task.command is not None
    fetched = []
    for uri in uris:
        value, _, name = uri.partition("#")
        fetched.append(m.CommandInfoURI(value=value, output_file=name or None, extract=False))
    command = msgspec.structs.replace(task.command, uris=tuple(fetched))
    return msgspec.structs.replace(task, command=command)
