"""How late the master's reactor is while everything happens at once at 10,000 agents.

One master over mutual TLS holds 10,000 emulated agents (`bench.emulated`) with ten running tasks
each, and one real agent. For a while, at steady rates below what two cores can do:

    launches     `true` on the real agent, some tasks each tenth of a second
    statuses     running tasks change their health; the ten frameworks that own the 100,000 tasks
                 are connected, get every update and acknowledge it
    allocations  one of those frameworks revives: all agents are offered to it, and declined
    pages        /state, read to its end, and one of the other pages in turn

Pauses are seen in three ways. The CPU time of each turn of the reactor (`bench.turns`) is what the
neighbours on a shared machine do not change. From inside, `master/event_loop_lag_ms` is how late a
timer comes each tenth of a second; the last thousand are kept, hence the length of the run. From
outside, it is the delay of /health asked every few milliseconds over a kept connection; that counts
the probe's own waiting for one of the cores that all these processes share, too.
"""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from twisted.internet import reactor as installed
from twisted.internet.threads import deferToThread

from bench import fleet, processes, turns
from bench.cluster import BenchCluster
from bench.report import Report, percentile
from bench.scheduler import CPUS, MEM_MB, drive, pause
from bench.swarm import Pulse, SwarmProcess
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.sdk import Scheduler, SchedulerDriver, command_task, framework_info
from mesos_twisted.sdk.connect import master_client

reactor: Any = installed
AGENTS, TASKS = int(os.environ.get("BENCH_TOGETHER_AGENTS", "10000")), 10
#: As long as the samples that the metric keeps.
SECONDS = int(os.environ.get("BENCH_TOGETHER_S", "105"))
LAUNCHES, STATUSES = 50, 500
ALLOCATION_EVERY_S, PAGE_EVERY_S = 5.0, 2.0
PAGES = ("/state", "/metrics/snapshot", "/state", "GET_STATE", "/state", "/state-summary")
_FOREVER_S = 86_400.0


class _Member(Scheduler):
    """A scheduler that knows its driver, and whether it is subscribed."""

    def __init__(self) -> None:
        self.driver: SchedulerDriver | None = None
        self.ready = False

    def subscribed(self, driver: SchedulerDriver, framework_id: str) -> None:
        self.ready = True


class Owner(_Member):
    """A framework that came back to its tasks and wants nothing; it counts what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.updates = self.offered = 0

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        self.offered += len(offers)
        driver.decline(offers, _FOREVER_S).addErrback(lambda failure: None)

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> None:
        self.updates += 1


class Steady(_Member):
    """Launches some tasks on the real agent each tick, if an offer of it is there."""

    def __init__(self, agent_id: str) -> None:
        super().__init__()
        self.agent_id = agent_id
        self.offer: m.Offer | None = None
        self.begun = self.ended = 0
        self.sent_at: dict[str, float] = {}
        self.delays: list[float] = []
        self._template: m.TaskInfo | None = None

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        others = []
        for offer in offers:
            if offer.agent_id.value == self.agent_id:
                self.offer = offer
            else:
                others.append(offer)
        if others:
            driver.decline(others, _FOREVER_S).addErrback(lambda failure: None)

    def rescinded(self, driver: SchedulerDriver, offer_id: str) -> None:
        if self.offer is not None and self.offer.id.value == offer_id:
            self.offer = None

    def tick(self, count: int) -> None:
        """So many tasks in one ACCEPT."""
        offer, self.offer = self.offer, None
        if offer is None or self.driver is None:
            return
        if self._template is None:
            self._template = command_task("t", offer, "true", cpus=CPUS, mem_mb=MEM_MB)
        tasks = []
        for _ in range(count):
            self.begun += 1
            name = f"steady-{self.begun}"
            self.sent_at[name] = time.monotonic()
            tasks.append(
                msgspec.structs.replace(self._template, task_id=m.TaskID(value=name), name=name)
            )
        self.driver.launch(offer, tasks, 0.0).addErrback(lambda failure: None)

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> None:
        sent = self.sent_at.get(status.task_id.value)
        if sent is None:
            return
        if status.state is m.TaskState.TASK_RUNNING:
            self.delays.append(time.monotonic() - sent)
        elif status.state is m.TaskState.TASK_FINISHED:
            self.ended += 1
            del self.sent_at[status.task_id.value]


def run(report: Report) -> None:
    """Fill the master, let everything happen for a while, tell how late it was."""
    measured: list[float] = []
    with TemporaryDirectory() as directory:
        path = Path(directory) / "turns"
        _run(report, path, measured)
        begin, end = measured
        used = turns.read(path, begin, end)
    note = f"{len(used):,} turns"
    report.add("CPU of a turn, longest", max(used) * 1000, "ms CPU", at_most=50, note=note)
    for bound in (10, 20):
        above = sum(turn > bound / 1000 for turn in used)
        report.add(f"turns over {bound} ms CPU", above, "")
    for share in (0.95, 0.99):
        lag = turns.waiting(used, end - begin, share) * 1000
        report.add(f"lag by CPU of turns, p{share * 100:.0f}", lag, "ms CPU", at_most=50)


def _run(report: Report, path: Path, measured: list[float]) -> None:
    with BenchCluster(agents=1, turns=path) as cluster:
        with cluster.client() as client:
            (known,) = client.request("GET", "/slaves").json()["slaves"]
        with SwarmProcess(cluster, AGENTS, TASKS) as swarm:
            took = swarm.registered(200)
            note = f"{AGENTS * TASKS:,} tasks; {took:.0f} s wall to return"
            report.add("agents", AGENTS + 1, "", note=note)
            drive(lambda: _everything(report, cluster, swarm, known["id"], measured), SECONDS + 90)


async def _everything(
    report: Report, cluster: BenchCluster, swarm: SwarmProcess, agent_id: str, measured: list[float]
) -> None:
    owners, steady = [Owner() for _ in range(fleet.FRAMEWORKS)], Steady(agent_id)
    for number, owner in enumerate(owners):
        _connect(cluster, owner, fleet.framework_id(number), fleet.framework_id(number))
    _connect(cluster, steady, "steady", None)
    members: list[_Member] = [steady, *owners]
    while not all(one.ready for one in members):
        await pause(0.1)
    for owner in owners[1:]:
        assert owner.driver is not None
        await owner.driver.suppress()
    await pause(3.0)
    command = [sys.executable, "-m", "bench.reader", str(cluster.port), str(cluster.root)]
    reader = subprocess.Popen(
        [*command, str(PAGE_EVERY_S), *PAGES], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    master = cluster.pid("master")
    cpu, began, told = processes.cpu(master), time.monotonic(), sum(o.updates for o in owners)
    offered, begun = owners[0].offered, steady.begun
    try:
        with Pulse(cluster) as pulse:
            await _load(swarm, owners[0], steady, began + SECONDS)
            lag = await deferToThread(_metrics, cluster)
            took = time.monotonic() - began
            used = processes.cpu(master).since(cpu).own
            measured += [began, began + took]
    finally:
        pages = json.loads(reader.communicate(b"", 60)[0] or b"{}")
    _tell_load(report, took, steady, steady.begun - begun, pages)
    report.add("statuses told", (sum(o.updates for o in owners) - told) / took, "a second")
    report.add("offers made and declined", (owners[0].offered - offered) / took, "a second")
    report.add("master", used / took * 100, "% of a core", note="all processes share 2 cores")
    _tell_lag(report, lag, pulse.delays)
    for member in members:
        assert member.driver is not None
        await member.driver.stop()


def _connect(
    cluster: BenchCluster, scheduler: _Member, name: str, framework_id: str | None
) -> None:
    layout = cluster.layout
    client = master_client(
        reactor, [cluster.master], layout.ca, layout.cert("framework"), layout.key("framework")
    )
    info = framework_info(name, getpass.getuser(), principal="framework")
    if framework_id is not None:
        info = msgspec.structs.replace(
            info, id=m.FrameworkID(value=framework_id), failover_timeout=3600.0, checkpoint=True
        )
    scheduler.driver = SchedulerDriver(reactor, scheduler, info, client)
    scheduler.driver.start()


async def _load(swarm: SwarmProcess, reviving: Owner, steady: Steady, until: float) -> None:
    """Ticks of a tenth of a second until `until`; those that are missed are not made up for."""
    ticks = 0
    while time.monotonic() < until:
        due = time.monotonic() + 0.1
        steady.tick(LAUNCHES // 10)
        swarm.tell_update(STATUSES // 10, ticks)
        if ticks % int(ALLOCATION_EVERY_S * 10) == 0:
            assert reviving.driver is not None
            await reviving.driver.revive()
        ticks += 1
        await pause(max(0.0, due - time.monotonic()))


def _metrics(cluster: BenchCluster) -> dict[str, float]:
    with cluster.client() as client:
        found: dict[str, float] = client.request("GET", "/metrics/snapshot").json()
    return found


def _tell_load(
    report: Report, took: float, steady: Steady, begun: int, pages: dict[str, float]
) -> None:
    report.add("launches on the real agent", begun / took, "a second")
    if steady.delays:
        delays = percentile(steady.delays, 0.5) * 1000, percentile(steady.delays, 0.99) * 1000
        report.add("ACCEPT to RUNNING meanwhile, p50", delays[0], "ms")
        report.add("ACCEPT to RUNNING meanwhile, p99", delays[1], "ms")
    note = f"{pages['bytes'] / 1e6:,.0f} MB in all, the longest took {pages['longest']:.1f} s"
    report.add("pages read", pages["pages"], "", note=note)


def _tell_lag(report: Report, lag: dict[str, float], delays: list[float]) -> None:
    inside = "master/event_loop_lag_ms"
    note = f"{lag[inside + '/count']:.0f} samples, inside the master"
    report.add("reactor lag, p50", lag[inside + "/p50"], "ms", note=note)
    report.add("reactor lag, p99", lag[inside + "/p99"], "ms", at_most=50)
    report.add("reactor lag, longest", lag[inside + "/max"], "ms")
    gc = "master/gc_pause_ms"
    if gc in lag:
        note = f"the last {lag[gc + '/count']:.0f} collections"
        report.add("collector's pause, p99", lag[gc + "/p99"], "ms", note=note)
        report.add("collector's pause, longest", lag[gc + "/max"], "ms", at_most=20)
    run_ms = "allocator/mesos/allocation_run_ms"
    report.add("slice of an allocation, p99", lag[run_ms + "/p99"], "ms")
    note = f"{len(delays):,} requests, from outside"
    for share, name in ((0.5, "p50"), (0.99, "p99"), (1.0, "longest")):
        limit = 50 if name == "p99" else None
        delay = percentile(delays, share) * 1000
        report.add(f"/health meanwhile, {name}", delay, "ms", at_most=limit, note=note)
        note = ""
