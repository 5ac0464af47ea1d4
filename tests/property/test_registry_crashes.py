"""A master is killed at every point of its registry's writes: the next one finds what was told.

What was answered holds; what was not holds whole or not at all; nothing holds before what was asked
earlier. For SQLite the points are the statements and opened files of a process, and every byte that
had reached its log when the power failed; for ZooKeeper each transaction, before and after it. Real
servers, and masters that are processes, are in tests/system/test_registry_crashes_zookeeper.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mesos_twisted.registry import sqlite_file
from mesos_twisted.registry.sqlite import SameThread, SqliteRegistry
from mesos_twisted.registry.zookeeper import ZooKeeperRegistry
from mesos_twisted.testing.registry_script import LATER, SCRIPT, STATES, held
from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.net import SimNetwork
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.testing.sim.zookeeper import SimZooKeeper
from mesos_twisted.testing.suites.registry import now
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.net.ensemble import Ensemble
from mesos_twisted.zookeeper.url import ZkUrl


def test_every_write_changes_something() -> None:
    """So that the tests below see each of them."""
    assert all(STATES.count(state) == 1 for state in STATES)


def found_in(path: Path) -> int:
    """How many writes of the script a next master finds; it can write too."""
    registry = SqliteRegistry(str(path), SameThread())
    at = STATES.index(held(now(registry.load())))
    now(registry.apply(LATER))
    now(registry.close())
    return at


# SQLite: the process is killed.


def live(path: Path, told: int, die_at: int) -> int:
    """In a child: the script, with each finished write told; how many points it passed."""
    points = 0
    main = threading.get_ident()

    def point(*_: object) -> None:
        nonlocal points
        if threading.get_ident() == main:
            points += 1
            if points == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: Any) -> None:
        if event in ("open", "os.rename", "sqlite3.connect", "os.chown"):
            point()

    def connect(*words: Any, **named: Any) -> sqlite3.Connection:
        database = real(*words, **named)
        database.set_trace_callback(point)
        return database

    real, sqlite3.connect = sqlite3.connect, connect
    sys.addaudithook(audit)
    registry = SqliteRegistry(str(path), SameThread())
    now(registry.load())
    for operations in SCRIPT:
        now(registry.apply(operations))
        os.write(told, b".")
    now(registry.close())
    return points


def killed(path: Path, die_at: int) -> tuple[int, bool]:
    """How many writes were told before the kill, and whether there was one."""
    reading, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            live(path, told, die_at)
        finally:
            os._exit(0)
    os.close(told)
    with os.fdopen(reading, "rb") as said:
        count = len(said.read())
    _, status = os.waitpid(child, 0)
    return count, os.WIFSIGNALED(status)


def test_sqlite_at_every_statement(tmp_path: Path) -> None:
    die_at, died = 0, True
    seen = set()
    while died:
        die_at += 1
        path = tmp_path / str(die_at) / "registry.sqlite"
        told, died = killed(path, die_at)
        found = found_in(path)
        assert told <= found <= told + 1, f"killed at point {die_at}"
        seen.add(found)
    assert die_at > 30 and seen == set(range(len(STATES)))


# SQLite: the power fails.


def test_sqlite_at_every_byte_of_its_log(tmp_path: Path) -> None:
    """Whatever part of the log had reached the disk."""
    path = tmp_path / "registry.sqlite"
    registry = SqliteRegistry(str(path), SameThread())
    now(registry.load())
    log = Path(f"{path}-wal")
    sizes = [log.stat().st_size]
    for operations in SCRIPT:
        now(registry.apply(operations))
        sizes.append(log.stat().st_size)
    assert sizes == sorted(set(sizes)), "each write is flushed to the log before it is answered"
    base, whole = path.read_bytes(), log.read_bytes()
    now(registry.close())
    frame = 24 + 4096
    cuts = {size + by for size in sizes for by in (-1, 0, 1)}
    cuts |= {32 + frame * n + by for n in range(len(whole) // frame) for by in (-1, 0, 1, 24, 2000)}
    for number, cut in enumerate(sorted(cut for cut in cuts if sizes[0] <= cut <= len(whole))):
        copy = tmp_path / str(number) / "registry.sqlite"
        copy.parent.mkdir()
        copy.write_bytes(base)
        Path(f"{copy}-wal").write_bytes(whole[:cut])
        Path(sqlite_file.made_path(str(copy))).touch()
        assert found_in(copy) == sum(size <= cut for size in sizes) - 1, f"{cut} bytes"
        shutil.rmtree(copy.parent)


# ZooKeeper.


class Servers:
    """A simulated ensemble; each master is a process of its own that can be killed."""

    def __init__(self) -> None:
        self.clock = SimClock(1)
        self.net = SimNetwork(self.clock, None)
        nodes = [self.net.node(f"zk{number}") for number in (1, 2, 3)]
        self.ensemble = SimZooKeeper(
            self.net, nodes, tick_s=0.2, min_timeout_s=0.4, max_timeout_s=60.0, lost_s=2.0
        )
        self.node = self.net.node("masters")
        self.count = 0

    def master(self) -> tuple[SimReactor, ZooKeeperRegistry, Any]:
        self.count += 1
        reactor = SimReactor(self.node, f"master-{self.count}")
        url = ZkUrl(self.ensemble.addresses, "/", None)
        client = Ensemble(reactor, url, 2.0, Random(self.count).random, None).client()
        registry = ZooKeeperRegistry(client, "/registry", r.OPEN_ACL, f"master-{self.count}")
        return reactor, registry, client

    def until(self, over: Callable[[], bool]) -> None:
        limit = self.clock.now + 60.0
        while not over() and self.clock.now < limit:
            self.clock.run(0.01)

    def wait(self, deferred: Deferred[Any]) -> Any:
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.until(lambda: bool(results))
        return now(_again(results[0]))


def _again(result: Any) -> Deferred[Any]:
    done: Deferred[Any] = Deferred()
    done.callback(result)
    return done


@pytest.mark.parametrize("committed", [False, True], ids=["before", "after"])
def test_zookeeper_at_every_transaction(committed: bool) -> None:
    """The transaction is never sent, or it happened and nobody heard of it."""
    seen, die_at, died = set(), 0, True
    while died:
        die_at += 1
        servers = Servers()
        told, died = live_in(servers, die_at, committed)
        _, registry, _ = servers.master()
        found = STATES.index(held(servers.wait(registry.load())))
        servers.wait(registry.apply(LATER))
        servers.wait(registry.close())
        assert found == told + (committed and died and die_at > 2), f"transaction {die_at}"
        seen.add(found)
    assert seen == set(range(len(STATES)))


def live_in(servers: Servers, die_at: int, committed: bool) -> tuple[int, bool]:
    """The script until the master dies: writes told, and whether it died."""
    reactor, registry, client = servers.master()
    count, sent, told = 0, [], 0
    real = client.multi

    def multi(operations: Any) -> Deferred[Any]:
        nonlocal count
        count += 1
        if count < die_at:
            return real(operations)
        if committed and count == die_at:
            real(operations).addBoth(sent.append)
        elif not committed:
            sent.append(None)
        return Deferred()

    client.multi = multi
    steps = [registry.load, *(lambda o=o: registry.apply(o) for o in SCRIPT)]
    for number, step in enumerate(steps):
        done: list[Any] = []
        step().addBoth(done.append)
        servers.until(lambda done=done: bool(done or sent))
        if sent:
            reactor.kill()
            return told, True
        told = number
    servers.wait(registry.close())
    return told, False
