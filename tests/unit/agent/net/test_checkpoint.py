"""Rows survive the process, belong to one agent at a time, and a broken file says what to do."""

from pathlib import Path

import pytest

from mesos_twisted.agent.core.effects import Checkpoint, Forget
from mesos_twisted.agent.net.checkpoint import CheckpointStore
from mesos_twisted.errors import UnavailableError


def test_rows_are_there_again(tmp_path: Path) -> None:
    """The last value of each key, in the order of the changes."""
    store = CheckpointStore(str(tmp_path))
    store.write([Checkpoint("task/f/1", b"a"), Checkpoint("task/f/1", b"b"), Checkpoint("x", b"")])
    store.write([Checkpoint("agent/info", b"me"), Forget("x")])
    store.close()
    again = CheckpointStore(str(tmp_path))
    assert again.rows() == {"task/f/1": b"b", "agent/info": b"me"}
    again.close()
    again.close()


def test_forgetting_below_a_slash_takes_exactly_what_is_below(tmp_path: Path) -> None:
    """Neighbours with a longer or shorter name stay."""
    store = CheckpointStore(str(tmp_path))
    keys = ["u/a/", "u/a/1", "u/a/2", "u/ab/1", "u/a", "u/a0"]
    store.write([Checkpoint(key, b"") for key in keys])
    store.write([Forget("u/a/")])
    assert set(store.rows()) == {"u/ab/1", "u/a", "u/a0"}
    store.close()


def test_changes_of_one_write_take_effect_in_order(tmp_path: Path) -> None:
    """A row forgotten and written again is there; one written and forgotten is not."""
    store = CheckpointStore(str(tmp_path))
    store.write([Checkpoint("u/a/1", b"old"), Checkpoint("u/a/2", b"old"), Checkpoint("k", b"old")])
    store.write(
        [
            Checkpoint("u/a/3", b"lost"),
            Forget("u/a/"),
            Checkpoint("u/a/2", b"new"),
            Forget("k"),
            Checkpoint("k", b"new"),
            Checkpoint("x", b""),
            Forget("x"),
        ]
    )
    assert store.rows() == {"u/a/2": b"new", "k": b"new"}
    store.close()


def test_a_killed_process_leaves_its_rows(tmp_path: Path) -> None:
    """Without close, the log alone holds them."""
    store = CheckpointStore(str(tmp_path / "one"))
    store.write([Checkpoint("k", b"v")])
    # What a killed process leaves: the files as they are now.
    (tmp_path / "two").mkdir()
    for name in ("checkpoints.db", "checkpoints.db-wal"):
        (tmp_path / "two" / name).write_bytes((tmp_path / "one" / name).read_bytes())
    other = CheckpointStore(str(tmp_path / "two"))
    assert other.rows() == {"k": b"v"}
    store.close()
    other.close()


def test_two_agents_cannot_share_a_directory(tmp_path: Path) -> None:
    """The second is told to go elsewhere; after the first it may."""
    first = CheckpointStore(str(tmp_path / "meta"))
    with pytest.raises(UnavailableError, match="Another agent uses"):
        CheckpointStore(str(tmp_path / "meta"))
    first.close()
    CheckpointStore(str(tmp_path / "meta")).close()


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_broken_file_is_one_clear_sentence(tmp_path: Path, content: bytes) -> None:
    """It names the file and what to do, and frees the lock."""
    (tmp_path / "checkpoints.db").write_bytes(content)
    with pytest.raises(UnavailableError, match=r"cannot be used .*--no-strict.*--recover=cleanup"):
        CheckpointStore(str(tmp_path))
    (tmp_path / "checkpoints.db").unlink()
    CheckpointStore(str(tmp_path)).close()


def test_files_are_the_agents_alone(tmp_path: Path) -> None:
    """Rows hold environments, which hold secrets."""
    store = CheckpointStore(str(tmp_path))
    store.write([Checkpoint("k", b"v")])
    assert {f.stat().st_mode & 0o077 for f in tmp_path.iterdir()} == {0}
    store.close()


def killed(tmp_path: Path) -> Path:
    """The directory of an agent with an id and a task, as a killed process leaves it."""
    source, left = tmp_path / "source", tmp_path / "left"
    store = CheckpointStore(str(source))
    store.write([Checkpoint("agent/info", b"me")])
    store.write([Checkpoint("task/f/t", b"task")])
    left.mkdir()
    for file in source.iterdir():
        (left / file.name).write_bytes(file.read_bytes())
    store.close()
    return left


@pytest.mark.parametrize("damage", ["truncated", "gone", "garbage", "half", "torn header"])
def test_a_lost_database_is_not_taken_for_a_new_agent(tmp_path: Path, damage: str) -> None:
    """Strict: a sentence. Otherwise the agent keeps its id, is told why, and may go on."""
    left = killed(tmp_path)
    database, log = left / "checkpoints.db", left / "checkpoints.db-wal"
    whole = database.read_bytes()
    log.unlink()
    if damage == "gone":
        database.unlink()
    else:
        cut = {"truncated": b"", "garbage": b"?" * 9000, "half": whole[: len(whole) // 2]}
        database.write_bytes(cut.get(damage, whole[:60]))
    with pytest.raises(UnavailableError, match=r"cannot be used .*--no-strict.*--recover=cleanup"):
        CheckpointStore(str(left))
    store = CheckpointStore(str(left), strict=False)
    assert store.rows() == {"agent/info": b"me"}
    assert store.errors
    store.write([Checkpoint("task/f/u", b"other")])
    store.close()
    again = CheckpointStore(str(left))
    assert again.rows() == {"agent/info": b"me", "task/f/u": b"other"}
    assert again.errors == []
    again.close()


def test_without_its_log_a_database_is_as_it_was_before(tmp_path: Path) -> None:
    """The last transactions are lost whole; the agent is still who it was."""
    left = killed(tmp_path)
    (left / "checkpoints.db-wal").unlink()
    store = CheckpointStore(str(left))
    assert store.rows() == {"agent/info": b"me"}
    store.close()


def test_a_torn_log_loses_a_tail_of_transactions(tmp_path: Path) -> None:
    """Wherever it is cut, the rows are those after some transaction."""
    left = killed(tmp_path)
    log = (left / "checkpoints.db-wal").read_bytes()
    assert log
    for cut in range(0, len(log) + 1, 509):
        there = tmp_path / f"cut-{cut}"
        there.mkdir()
        for name in ("checkpoints.db", "identity"):
            (there / name).write_bytes((left / name).read_bytes())
        (there / "checkpoints.db-wal").write_bytes(log[:cut])
        store = CheckpointStore(str(there))
        rows = store.rows()
        assert rows["agent/info"] == b"me" and set(rows) <= {"agent/info", "task/f/t"}
        store.close()


def test_an_agent_that_gave_up_its_id_is_new(tmp_path: Path) -> None:
    """Nothing beside the database tells of the old one."""
    left = killed(tmp_path)
    store = CheckpointStore(str(left))
    store.write([Forget("agent/info"), Forget("task/")])
    store.close()
    assert not (left / "identity").exists()
    (left / "checkpoints.db").write_bytes(b"")
    again = CheckpointStore(str(left))
    assert again.rows() == {} and again.errors == []
    again.close()


def test_the_identity_beside_the_database_follows_it(tmp_path: Path) -> None:
    """A missing or older one is written again."""
    left = killed(tmp_path)
    (left / "identity").unlink()
    CheckpointStore(str(left)).close()
    assert (left / "identity").read_bytes() == b"me"
    (left / "identity").write_bytes(b"old")
    store = CheckpointStore(str(left))
    assert store.rows()["agent/info"] == b"me"
    store.write([Checkpoint("agent/info", b"other")])
    store.close()
    assert (left / "identity").read_bytes() == b"other"
