"""50,000 agents in the embedded registry: admitted one by one, read again by the next leader.

Each admission is an operation of its own, as when each agent registers; so many come in a turn of
the reactor. Every one is on disk before it is answered. The time is the wall's, since most of it is
the disk's; CPU time stands beside it.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from bench.report import Report
from mesos_twisted.master.core import events
from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.decide import decide
from mesos_twisted.master.core.state import Policy, new_state
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.registry import raw
from mesos_twisted.registry.operations import AdmitAgent, MarkUnreachable, Snapshot, next_lead
from mesos_twisted.registry.sqlite import SqliteRegistry, ThreadWorker
from mesos_twisted.registry.sqlite_file import SqliteRecords
from mesos_twisted.resources.convert import to_messages
from mesos_twisted.resources.parse import resources_from_text

AGENTS = 50_000
#: Registrations that one turn of the reactor decides.
PER_TURN = 200
MASTER = m.MasterInfo(id="M", ip=1, port=5050, hostname="h")


def agents() -> list[m.AgentInfo]:
    """Agents with resources, attributes and a fault domain of their own."""
    total = to_messages(
        resources_from_text("cpus:64;mem:262144;disk:4000000;ports:[31000-32000]"), refined=True
    )
    return [
        m.AgentInfo(
            hostname=f"agent-{number}.example",
            port=5051,
            resources=total,
            attributes=tuple(
                m.Attribute(name=name, type=m.ValueType.TEXT, text=m.ValueText(value=value))
                for name, value in (("rack", f"r{number // 40}"), ("os", "debian12"))
            ),
            domain=m.DomainInfo(
                fault_domain=m.DomainInfoFaultDomain(
                    region=m.DomainInfoFaultDomainRegionInfo(name="r"),
                    zone=m.DomainInfoFaultDomainZoneInfo(name=f"z{number % 3}"),
                )
            ),
            id=m.AgentID(value=f"5f7b-{number}-S{number}"),
        )
        for number in range(AGENTS)
    ]


def run(report: Report) -> None:
    """The rows of this benchmark."""
    from twisted.internet import epollreactor

    epollreactor.install()
    from twisted.internet import reactor

    with tempfile.TemporaryDirectory(prefix="bench-registry-") as directory:
        _Run(report, reactor, str(Path(directory) / "registry.sqlite")).go()


class _Run:
    def __init__(self, report: Report, reactor: Any, path: str) -> None:
        self._report, self._reactor, self._path = report, reactor, path
        self._failure: Any = None

    def go(self) -> None:
        self._reactor.callWhenRunning(self._begin)
        self._reactor.run()
        if self._failure is not None:
            self._failure.raiseException()

    def _begin(self) -> None:
        done = Deferred.fromCoroutine(self._all())
        done.addErrback(lambda failure: setattr(self, "_failure", failure))
        done.addBoth(lambda _: self._reactor.stop())

    async def _all(self) -> None:
        infos = agents()
        registry = SqliteRegistry(self._path, ThreadWorker(self._reactor))
        await registry.apply([next_lead(await registry.load(), MASTER)])
        wall, cpu = await self._each(registry, [AdmitAgent(info) for info in infos])
        self._report.add("50,000 agents admitted, one by one", wall, "s", at_most=5.0)
        self._report.add("  CPU, both threads", cpu, "s")
        began = time.perf_counter()
        copy = raw.encode(await SqliteRecords(self._path).read())
        self._report.add("a backup of them", time.perf_counter() - began, "s")
        self._report.add("  its size", len(copy) / 1e6, "MB")
        await registry.close()
        await self._recover()
        registry = SqliteRegistry(self._path, ThreadWorker(self._reactor))
        await registry.load()
        lost = [MarkUnreachable(AgentId(info.id.value), 1.0) for info in infos if info.id]
        wall, _ = await self._each(registry, lost)
        self._report.add("50,000 agents marked unreachable, one by one", wall, "s", at_most=5.0)
        await registry.close()

    async def _recover(self) -> None:
        began, used = time.perf_counter(), time.process_time()
        registry = SqliteRegistry(self._path, ThreadWorker(self._reactor))
        found: Snapshot = await registry.load()
        lead = next_lead(found, MASTER)
        await registry.apply([lead])
        state = new_state(MASTER, Policy(), HierarchicalAllocator())
        decide(state, events.Recovered(1.0, found.agents, found.unreachable, found.gone))
        wall, cpu = time.perf_counter() - began, time.process_time() - used
        assert len(state.recovered) == AGENTS
        await registry.close()
        self._report.add("a new leader knows 50,000 agents", wall, "s", at_most=5.0)
        self._report.add("  CPU", cpu, "s")

    async def _each(self, registry: SqliteRegistry, operations: list[Any]) -> tuple[float, float]:
        """Seconds until all hold, and CPU seconds of them."""
        began, used = time.perf_counter(), time.process_time()
        last: Deferred[int] | None = None
        for start in range(0, len(operations), PER_TURN):
            for operation in operations[start : start + PER_TURN]:
                last = registry.apply([operation])
            await deferLater(self._reactor, 0)
        assert last is not None
        await last
        return time.perf_counter() - began, time.process_time() - used
