"""A framework that launches command tasks on whatever it is offered, and notes when what came.

It is an ordinary scheduler of `mesos_twisted.sdk`, over TLS with a framework's certificate.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from bench.cluster import BenchCluster
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import is_terminal
from mesos_twisted.sdk import Scheduler, SchedulerDriver, command_task, framework_info
from mesos_twisted.sdk.connect import master_client
from mesos_twisted.sdk.values import amount

reactor: Any = installed
CPUS, MEM_MB = 0.01, 32.0


class Launcher(Scheduler):
    """Keeps up to `window` tasks of one command in flight until `count` have ended or run.

    `until` "ended" counts terminal updates, "running" TASK_RUNNING. Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self.window = self.count = 0
        self.command, self.until = "true", "ended"
        self.begun = self.done = self.failed = 0
        self.sent_at: dict[str, float] = {}
        self.running_at: dict[str, float] = {}
        self.ended_at: dict[str, float] = {}
        self.accepts = 0
        self.finished: Deferred[None] = Deferred()
        self.offered: dict[str, m.Offer] = {}
        self.driver: SchedulerDriver | None = None
        self.hold = 0.0
        self._template: m.TaskInfo | None = None
        self._series = 0
        self._held: set[str] = set()

    def begin(
        self, command: str, count: int, window: int, until: str = "ended", hold: float = 0.0
    ) -> Deferred[None]:
        """Start a series; fires when `count` tasks have reached `until`.

        An offer is used `hold` seconds after it came, so that nothing else is going on.
        """
        self.command, self.count, self.window, self.until = command, count, window, until
        self.begun = self.done = 0
        self._series += 1
        self.hold = hold
        self.sent_at, self.running_at, self.ended_at = {}, {}, {}
        self.accepts = 0
        self._template = None
        self.finished = Deferred()
        self._fill()
        return self.finished

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        for offer in offers:
            self.offered[offer.id.value] = offer
            if self.hold:
                self._held.add(offer.id.value)
                reactor.callLater(self.hold, self._release, offer.id.value)
        self._fill()

    def _release(self, offer_id: str) -> None:
        self._held.discard(offer_id)
        self._fill()

    def rescinded(self, driver: SchedulerDriver, offer_id: str) -> None:
        self.offered.pop(offer_id, None)

    def disconnected(self, driver: SchedulerDriver, reason: str) -> None:
        self.offered.clear()

    def _fill(self) -> None:
        driver = self.driver
        while self.offered and self.begun < self.count and driver is not None:
            in_flight = self.begun - self.done
            wanted = min(self.window - in_flight, self.count - self.begun)
            key = next((key for key in self.offered if key not in self._held), None)
            if wanted <= 0 or key is None:
                return
            offer = self.offered.pop(key)
            fit = int(
                min(
                    amount(offer.resources, "cpus") / CPUS + 0.001,
                    amount(offer.resources, "mem") / MEM_MB,
                )
            )
            tasks = [self._task(offer) for _ in range(min(wanted, fit))]
            if not tasks:
                driver.decline([offer], 0.1)
                continue
            self.accepts += 1
            now = time.monotonic()
            for task in tasks:
                self.sent_at[task.task_id.value] = now
            driver.launch(offer, tasks, 0.0)

    def _task(self, offer: m.Offer) -> m.TaskInfo:
        self.begun += 1
        name = f"b{self._series}-{self.begun}"
        if self._template is None:
            self._template = command_task(name, offer, self.command, cpus=CPUS, mem_mb=MEM_MB)
        return msgspec.structs.replace(
            self._template, task_id=m.TaskID(value=name), name=name, agent_id=offer.agent_id
        )

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> None:
        name, now = status.task_id.value, time.monotonic()
        if name not in self.sent_at:
            return
        if status.state is m.TaskState.TASK_RUNNING and name not in self.running_at:
            self.running_at[name] = now
            self._count(self.until == "running")
        elif is_terminal(status.state) and name not in self.ended_at:
            self.ended_at[name] = now
            if status.state is not m.TaskState.TASK_FINISHED:
                self.failed += 1
            self._count(self.until == "ended")

    def _count(self, counts: bool) -> None:
        if counts:
            self.done += 1
            if self.done == self.count:
                self.finished.callback(None)
            else:
                self._fill()


def pause(seconds: float) -> Deferred[None]:
    """Fires after so many seconds."""
    later: Deferred[None] = Deferred()
    reactor.callLater(seconds, later.callback, None)
    return later


def connect(cluster: BenchCluster, scheduler: Scheduler, name: str) -> SchedulerDriver:
    """A started driver with a framework's certificate."""
    layout = cluster.layout
    client = master_client(
        reactor, [cluster.master], layout.ca, layout.cert("framework"), layout.key("framework")
    )
    info = framework_info(name, getpass.getuser(), principal="framework")
    driver = SchedulerDriver(reactor, scheduler, info, client)
    driver.start()
    return driver


def drive(work: Callable[[], Awaitable[None]], limit_s: float) -> None:
    """Run the reactor until `work()` has ended; raises what it raised, or TimeoutError."""
    failures: list[BaseException] = []
    ended: list[bool] = []

    def failed(failure: Failure) -> None:
        failures.append(failure.value or RuntimeError("unknown"))

    async def guarded() -> None:
        await work()
        ended.append(True)

    def begin() -> None:
        task = ensureDeferred(guarded())
        task.addTimeout(limit_s, reactor)
        task.addErrback(failed).addBoth(lambda _: reactor.running and reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if failures:
        raise failures[0]
    if not ended:
        raise KeyboardInterrupt
