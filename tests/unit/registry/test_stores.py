"""Both stores pass the suite; SQLite's own promises beside it."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.registry.interfaces import Registry
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.registry.operations import AdmitAgent
from mesos_twisted.registry.sqlite import SameThread, SqliteRegistry
from mesos_twisted.testing.suites.registry import RegistrySuite, agent, now


class TestMemory(RegistrySuite):
    """The registry that is lost with its process."""

    def place(self, tmp_path: Any) -> Any:
        return {}

    def make(self, place: Any) -> Registry:
        return MemoryRegistry(place)


class TestSqlite(RegistrySuite):
    """The embedded default."""

    def make(self, place: Any) -> Registry:
        return SqliteRegistry(str(place / "registry.sqlite"), SameThread())


class ByHand:
    """A worker whose functions run when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, Deferred[Any]]] = []

    def run(self, function: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((function, done))
        return done

    def step(self) -> None:
        function, done = self.waiting.pop(0)
        try:
            result = function()
        except Exception as error:
            done.errback(error)
        else:
            done.callback(result)

    def stop(self) -> None:
        pass


def test_operations_asked_during_a_commit_share_the_next(tmp_path: Path) -> None:
    """A hundred agents that come during one write cost one more."""
    worker = ByHand()
    registry = SqliteRegistry(str(tmp_path / "r"), worker)
    registry.load()
    worker.step()
    done = [registry.apply([AdmitAgent(agent(f"a{i}"))]) for i in range(100)]
    assert len(worker.waiting) == 1
    worker.step()
    assert now(done[0]) == 1 and not done[1].called
    worker.step()
    assert {now(one) for one in done[1:]} == {2} and not worker.waiting


def test_close_waits_for_what_was_asked(tmp_path: Path) -> None:
    """Operations asked before close are durable when it fires."""
    worker = ByHand()
    registry = SqliteRegistry(str(tmp_path / "r"), worker)
    registry.load()
    worker.step()
    registry.apply([AdmitAgent(agent("a"))])
    registry.apply([AdmitAgent(agent("b"))])
    closed = registry.close()
    for _ in range(3):
        assert not closed.called
        worker.step()
    assert closed.called
    again = SqliteRegistry(str(tmp_path / "r"), SameThread())
    assert len(now(again.load()).agents) == 2


def test_a_second_master_on_the_file_is_noticed(tmp_path: Path) -> None:
    """The one that finds a foreign version refuses this and every later operation."""
    first = SqliteRegistry(str(tmp_path / "r"), SameThread())
    second = SqliteRegistry(str(tmp_path / "r"), SameThread())
    now(first.load())
    now(second.load())
    now(second.apply([AdmitAgent(agent("b"))]))
    for _ in range(2):
        with pytest.raises(UnavailableError, match="Another master"):
            now(first.apply([AdmitAgent(agent("a"))]))


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    """A downgraded master does not guess."""
    path = str(tmp_path / "r")
    now(SqliteRegistry(path, SameThread()).load())
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = 99 WHERE name = 'schema'")
    with pytest.raises(MalformedError, match="newer release"):
        now(SqliteRegistry(path, SameThread()).load())


def test_an_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    """Garbage in the file names the file and what to do."""
    path = tmp_path / "r"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(UnavailableError, match=r"cannot be used.*backup"):
        now(SqliteRegistry(str(path), SameThread()).load())


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    """Nobody else on the host reads which agents there are, side files included."""
    registry = SqliteRegistry(str(tmp_path / "registry.sqlite"), SameThread())
    registry.load()
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    registry.close()
