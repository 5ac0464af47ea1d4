"""Backups of a registry, the file they come from, and masters that must not start."""

import os
import sqlite3
from pathlib import Path

import msgspec
import pytest

from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.registry import raw
from mesos_twisted.registry.operations import (
    AGENTS,
    AdmitAgent,
    MarkGone,
    MarkUnreachable,
    next_lead,
)
from mesos_twisted.registry.sqlite import SameThread, SqliteRegistry
from mesos_twisted.registry.sqlite_file import SqliteRecords
from mesos_twisted.testing.suites.registry import agent, now

MASTER = m.MasterInfo(id="m1", ip=1, port=5050, hostname="h")


def opened(path: str) -> SqliteRegistry:
    """A registry that a master has open."""
    registry = SqliteRegistry(path, SameThread())
    now(registry.load())
    return registry


def filled(path: str) -> SqliteRegistry:
    """One with an agent of each kind, and a leader."""
    registry = SqliteRegistry(path, SameThread())
    now(registry.apply([next_lead(now(registry.load()), MASTER)]))
    now(registry.apply([AdmitAgent(agent(name)) for name in "abc"]))
    now(registry.apply([MarkUnreachable(AgentId("b"), 5.0), MarkGone(AgentId("c"), 6.0)]))
    return registry


def test_a_backup_of_a_running_registry_restores(tmp_path: Path) -> None:
    """One moment of it, whole; what came later is not in it, and nothing of it is half there."""
    path = str(tmp_path / "r")
    registry = filled(path)
    data = raw.encode(now(SqliteRecords(path).read()))
    now(registry.apply([MarkGone(AgentId("a"), 7.0)]))
    now(registry.close())
    now(SqliteRecords(path).replace(raw.decode(data)))
    found = now(opened(path).load())
    assert [info.hostname for info in found.agents] == ["a.example"]
    assert (found.unreachable, found.gone) == ({"b": 5.0}, {"c": 6.0})


def test_a_restored_registry_is_another_one(tmp_path: Path) -> None:
    """Agents that followed a later epoch would refuse it otherwise; its version only rises."""
    path = str(tmp_path / "r")
    registry = filled(path)
    before = now(SqliteRecords(path).read())
    now(registry.apply([MarkGone(AgentId("a"), 7.0)]))
    now(registry.close())
    now(SqliteRecords(path).replace(before))
    found = now(opened(path).load())
    assert (found.registry_id, found.epoch, found.master) == ("", 0, None)
    assert found.version == before.version + 2


def test_a_registry_is_restored_where_there_is_none(tmp_path: Path) -> None:
    """On a new host, for instance."""
    filled(str(tmp_path / "old"))
    records = now(SqliteRecords(str(tmp_path / "old")).read())
    path = tmp_path / "work" / "r"
    now(SqliteRecords(str(path)).replace(records))
    assert now(opened(str(path)).load()).gone == {"c": 6.0}
    modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_nothing_is_restored_under_a_running_master(tmp_path: Path) -> None:
    """It would go on with what it knew."""
    path = str(tmp_path / "r")
    registry = filled(path)
    records = now(SqliteRecords(path).read())
    with pytest.raises(UnavailableError, match="a master runs on it"):
        now(SqliteRecords(path).replace(records))
    assert now(registry.apply([MarkGone(AgentId("a"), 7.0)])) > records.version


def test_a_lost_registry_is_not_begun_anew(tmp_path: Path) -> None:
    """A master that had one does not start without it, unless it is told to."""
    path = tmp_path / "r"
    now(filled(str(path)).close())
    for side in tmp_path.glob("r-*"):
        side.unlink()
    for spoil in (lambda: path.write_bytes(b""), path.unlink):
        spoil()
        with pytest.raises(MalformedError, match=r"says that there was one.*registry restore"):
            opened(str(path))
    os.unlink(f"{path}.made")
    assert now(opened(str(path)).load()).agents == ()


def test_newer_releases_are_recognized(tmp_path: Path) -> None:
    """Neither a newer file is overwritten, nor a newer backup read."""
    path = str(tmp_path / "r")
    now(filled(path).close())
    records = now(SqliteRecords(path).read())
    newer = raw.Raw(raw.SCHEMA + 1, records.version, records.records)
    with pytest.raises(MalformedError, match="newer release"):
        raw.decode(raw.encode(newer))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = 99 WHERE name = 'schema'")
    with pytest.raises(MalformedError, match="newer release"):
        now(SqliteRecords(path).replace(records))
    with pytest.raises(MalformedError, match="newer release"):
        now(SqliteRecords(path).read())


def test_what_a_newer_release_added_stays(tmp_path: Path) -> None:
    """Fields of records and tables that nobody here knows, through load, backup and restore."""
    path = str(tmp_path / "r")
    now(filled(path).close())
    records = now(SqliteRecords(path).read())
    fields = msgspec.msgpack.decode(
        next(v for t, k, v in records.records if (t, k) == (AGENTS, "a"))
    )
    value = msgspec.msgpack.encode(fields | {"from_the_future": [1, 2]})
    kept = [record for record in records.records if record[:2] != (AGENTS, "a")]
    more = (*kept, (AGENTS, "a", value), ("quotas", "a", b"soon"))
    now(SqliteRecords(path).replace(raw.Raw(records.schema, records.version, more)))
    registry = opened(path)
    now(registry.apply([MarkGone(AgentId("x"), 1.0)]))
    now(registry.close())
    after = now(SqliteRecords(path).read())
    assert (AGENTS, "a", value) in after.records and ("quotas", "a", b"soon") in after.records
    assert raw.unknown_tables(after) == ["quotas"]
    assert [info.hostname for info in raw.read(after).agents] == ["a.example"]


def test_bad_backups_are_told_in_a_sentence(tmp_path: Path) -> None:
    """Not a backup, cut short, damaged, of another kind."""
    path = str(tmp_path / "r")
    filled(path)
    data = raw.encode(now(SqliteRecords(path).read()))
    for at in (0, 1, len(data) // 2, len(data) - 1):
        with pytest.raises(MalformedError):
            raw.decode(data[:at])
    with pytest.raises(MalformedError, match="damaged"):
        raw.decode(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(MalformedError, match="not a backup"):
        raw.decode(data.replace(b"mesos-twisted registry", b"mesos-twisted tomatoes"))
    with pytest.raises(UnavailableError, match="There is no registry"):
        now(SqliteRecords(str(tmp_path / "none")).read())
