"""/state of 10,000 agents and 100,000 tasks, in process: the core and the views, no network.

The state is made by the core itself from agents that return with ten tasks each.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator

from bench import fleet, processes
from bench.report import Report
from mesos_twisted.collector import Collector
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.core import effects as fx
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.core.decide import decide
from mesos_twisted.master.core.state import MasterState, new_state
from mesos_twisted.master.net import setup
from mesos_twisted.master.views.facts import Facts
from mesos_twisted.master.views.groups import response_pieces
from mesos_twisted.master.views.operator import Gathering, OperatorViews
from mesos_twisted.master.views.pages import Pages, TaskCounts
from mesos_twisted.master.views.visible import EVERYTHING
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.protocol.media import Media

AGENTS, TASKS = 10_000, 10


def run(report: Report) -> None:
    """Fill, ask three times: nothing rendered, all rendered, 1 % changed."""
    Collector(time.perf_counter).start()
    config = MasterConfig()
    info = m.MasterInfo(id="bench", ip=0, port=5050, hostname="localhost")
    state = new_state(info, setup.policy(config), setup.allocator(config))
    decide(state, ev.Recovered(1.0))
    records = [agentlink.frame(fleet.returning(number, TASKS, 1.0))[4:] for number in range(AGENTS)]
    gc.collect()
    memory, began = processes.rss_bytes(os.getpid()), time.process_time()
    for number, record in enumerate(records):
        _return(state, number, record)
    used = time.process_time() - began
    each = (processes.rss_bytes(os.getpid()) - memory) / AGENTS / 1000
    report.add("rebuild per returning agent with 10 tasks", used / AGENTS * 1e6, "us CPU")
    report.add("memory per agent with 10 tasks", each, "kB RSS")
    pages = Pages(state, Facts("1.11.0"))
    views = OperatorViews(state)
    _page(report, "/state, nothing rendered", lambda: pages.state(EVERYTHING, None), None)
    _page(report, "/state, all rendered", lambda: pages.state(EVERYTHING, None), None)
    _change(state)
    _page(report, "/state, 1 % changed", lambda: pages.state(EVERYTHING, None), 300)
    _page(report, "/state-summary", lambda: _summary(pages, state), None)

    def v1() -> Iterator[bytes]:
        gathering = Gathering(views.state(EVERYTHING, Media.JSON))
        for _ in gathering:  # as the operator API does, in slices
            yield b""
        kind = m.MasterResponseType.GET_STATE
        yield from response_pieces(kind, "get_state", gathering.group, Media.JSON)

    _page(report, "GET_STATE in JSON, nothing rendered", v1, None)
    _page(report, "GET_STATE in JSON, all rendered", v1, None)


def _return(state: MasterState, number: int, record: bytes) -> None:
    said = agentlink.from_agent(record)
    assert said is not None
    for effect in decide(state, ev.AgentSaid(ConnectionId(number), said, 2.0, "127.0.0.1")):
        if isinstance(effect, fx.ApplyRegistry):
            decide(state, ev.RegistryApplied(effect.number, 2.0))


def _summary(pages: Pages, state: MasterState) -> Iterator[bytes]:
    counts = TaskCounts(state)
    for _ in counts.steps():
        yield b""
    yield from pages.state_summary(EVERYTHING, counts)


def _change(state: MasterState) -> None:
    """Every hundredth task tells that it is healthy."""
    for number in range(0, AGENTS, 10):
        task = fleet.returning(number, 1, 1.0).tasks[0]
        update = fleet.update(task, b"\2" * 16, 3.0, True)
        decide(state, ev.AgentSaid(ConnectionId(number), update, 3.0, "127.0.0.1"))


def _page(report: Report, what: str, make: object, limit_ms: float | None) -> None:
    assert callable(make)
    began = time.process_time()
    wall = time.perf_counter()
    pieces = iter(make())
    longest = size = 0.0
    while True:
        piece = next(pieces, None)
        now = time.perf_counter()
        longest, wall = max(longest, now - wall), now
        if piece is None:
            break
        size += len(piece)
    used = time.process_time() - began
    report.add(what, used * 1000, "ms CPU", at_most=limit_ms, note=f"{size / 1e6:.1f} MB")
    limit = 20 if limit_ms else None
    report.add(f"{what}: longest piece", longest * 1000, "ms", at_most=limit)
