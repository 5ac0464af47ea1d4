"""Records of every version so far are read whole, and those of the next are read or passed over."""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin

import msgspec
import pytest

from mesos_twisted import __version__
from mesos_twisted.agent.core import rows
from mesos_twisted.agent.core.effects import Effect
from mesos_twisted.agent.core.restore import read_rows
from mesos_twisted.agent.net.checkpoint import CheckpointStore
from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.registry import raw
from mesos_twisted.registry.operations import LeaderRecord, snapshot
from mesos_twisted.registry.sqlite import SameThread, SqliteRegistry
from mesos_twisted.testing import corpus

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "corpus"
VERSIONS = sorted(path.name for path in CORPUS.iterdir())
encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode


@functools.cache
def readers() -> dict[str, Callable[[bytes], Any]]:
    """The reader of every recorded file, by its name's first part."""
    return {
        "from_agent": lambda data: agentlink.from_agent(data),
        "from_master": lambda data: agentlink.from_master(data),
        **{f"rows/{kind}": rows.DECODERS[kind] for kind in corpus.ROWS},
        "registry/agents": msgspec.msgpack.Decoder(m.AgentInfo).decode,
        "registry/master": msgspec.msgpack.Decoder(LeaderRecord).decode,
    }


def reader(name: str) -> Callable[[bytes], Any] | None:
    found = readers()
    return found.get(name) or found.get(name.partition("/")[0])


def files(version: str) -> list[str]:
    there = sorted(path for path in (CORPUS / version).rglob("*") if path.is_file())
    return [str(path.relative_to(CORPUS / version)) for path in there]


RECORDS = [(v, n) for v in VERSIONS for n in files(v) if reader(n) is not None]


@pytest.mark.parametrize(("version", "name"), RECORDS)
def test_every_record_of_every_version_is_read_whole(version: str, name: str) -> None:
    """Nothing that was written is lost: no field was renamed, and no type changed."""
    data = (CORPUS / version / name).read_bytes()
    read = reader(name)
    assert read is not None
    value = read(data)
    assert value is not None
    assert not lost(decode(data), decode(encode(value)), name)


def lost(before: Any, after: Any, where: str) -> list[str]:
    """The places of `before` that are not the same in `after`, which may have more."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            one
            for key, value in before.items()
            for one in (
                lost(value, after[key], f"{where}.{key}") if key in after else [f"{where}.{key}"]
            )
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [one for at, (a, b) in pairs for one in lost(a, b, f"{where}[{at}]")]
    return [] if before == after else [where]


def test_a_lost_field_is_noticed() -> None:
    """Missing, changed, or in a list that became shorter."""
    assert lost({"a": [{"b": 1}], "c": 2}, {"a": [{"b": 1, "d": 3}], "c": 2}, "x") == []
    assert lost({"a": [{"b": 1}], "c": 2}, {"a": [{}]}, "x") == ["x.a[0].b", "x.c"]
    assert lost([1, 2], [1], "x") == ["x"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_agent_recovers_from_a_checkpoint_of_every_version(version: str, tmp_path: Path) -> None:
    """Every row has a kind that is known, a key that fits, and can be read."""
    shutil.copyfile(CORPUS / version / "checkpoints.db", tmp_path / "checkpoints.db")
    store = CheckpointStore(str(tmp_path))
    out: list[Effect] = []
    read = read_rows(store.rows(), out)
    store.close()
    assert out == [] and read.errors == []
    assert read.agent is not None
    for table in (read.frameworks, read.executors, read.tasks, read.updates, read.done):
        assert len(table) == 1  # type: ignore[arg-type]  # each is a mapping


@pytest.mark.parametrize("version", VERSIONS)
def test_a_master_reads_a_registry_of_every_version(version: str, tmp_path: Path) -> None:
    """From its database, and from a backup of it."""
    shutil.copyfile(CORPUS / version / "registry.sqlite", tmp_path / "registry.sqlite")
    registry = SqliteRegistry(str(tmp_path / "registry.sqlite"), SameThread())
    found: list[Any] = []
    registry.load().addBoth(found.append)
    registry.close()
    kept = raw.decode((CORPUS / version / "registry.backup").read_bytes())
    backup = snapshot(kept.version, kept.records)
    for one in (found[0], backup):
        assert len(one.agents) == len(one.unreachable) == len(one.gone) == len(one.weights) == 1
    # What is restored from a backup is a registry of its own, which nobody leads by yet.
    assert backup.registry_id and backup.master is not None


# The next version.


def grown(value: Any) -> Any:
    """The same with a field nobody here knows in every message, as the next version may send it."""
    if isinstance(value, dict):
        more = {"zz_unheard": {"of": [1, b"x", None, {"deep": True}]}}
        return {key: grown(one) for key, one in value.items()} | more
    return [grown(one) for one in value] if isinstance(value, list) else value


#: Maps whose keys are data: there a new key is an entry.
MAPS = {
    one.name
    for kind in vars(m).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    for one in msgspec.structs.fields(kind)
    if get_origin(one.type) is dict
}


def without_maps(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_maps(one) for key, one in value.items() if key not in MAPS}
    return [without_maps(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("version", "name"), RECORDS)
def test_fields_of_the_next_version_are_passed_over(version: str, name: str) -> None:
    """In a record and in every message within; what is known of it is read as before."""
    plain = without_maps(decode((CORPUS / version / name).read_bytes()))
    read = reader(name)
    assert read is not None
    assert read(encode(grown(plain))) == read(encode(plain))


def test_records_of_the_next_version_are_skipped() -> None:
    """A type nobody here knows is no reason to give the link up; a broken record is one."""
    body = encode({"t": "unheard", "of": {"anything": [1]}})
    assert agentlink.from_agent(body) is None and agentlink.from_master(body) is None
    for read in (agentlink.from_agent, agentlink.from_master):
        with pytest.raises(MalformedError):
            read(body[:-1])


def test_rows_and_tables_of_the_next_version_are_left_alone() -> None:
    """An agent that goes back a version keeps what it does not understand."""
    out: list[Effect] = []
    read = read_rows({"operation/f/1": b"?", "boot_id": b"b"}, out)
    assert read.errors == [] and len(out) == 1
    assert snapshot(3, [("maintenance", "key", b"?")]).version == 3


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tool", ROOT / "tools" / "record_corpus.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


#: What this version writes.
WRITTEN = corpus.record()


def test_every_record_of_this_version_is_recorded() -> None:
    """As it is written today: a change of any of them needs a look at who else reads it."""
    assert _tool().check(CORPUS / __version__, WRITTEN) == []


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_recorded_messages_have_every_field(name: str) -> None:
    """Otherwise a renamed field would not be noticed."""
    read = reader(name)
    if read is not None:
        value = read(WRITTEN[name])
        bare = [one for one in value.__struct_fields__ if getattr(value, one) in (None, (), {}, "")]
        assert bare == []
