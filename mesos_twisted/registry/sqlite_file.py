"""The file of the embedded registry: opened, made, watched over, and copied while a master runs.

Beside `registry.sqlite` lies `registry.sqlite.made`, an empty file that says that there was one: a
master that finds it and no registry does not start with an empty one by mistake. Whoever has the
registry open holds a lock on it, shared, so that nothing is put in its place meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from mesos_twisted.errors import MalformedError, MesosError, UnavailableError
from mesos_twisted.registry.raw import SCHEMA, Raw, without_history

T = TypeVar("T")

_CREATE: Final = f"""
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('schema', {SCHEMA}), ('version', 0);
"""


def unavailable(path: str, error: BaseException | None) -> UnavailableError:
    """The sentence for a file that cannot be used."""
    if isinstance(error, MesosError):
        return UnavailableError(str(error))
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UnavailableError(
        f"The registry {path} cannot be used: {reason}; check the disk and its permissions, or "
        "restore the file from a backup."
    )


def made_path(path: str) -> str:
    """The file that says that there is a registry."""
    return path + ".made"


class Lock:
    """On a registry, until `release` or the end of the process."""

    def __init__(self, path: str, alone: bool) -> None:
        """Raises UnavailableError when somebody else holds one that excludes it."""
        self._fd = _open_or_create(made_path(path))
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            who = "a master runs on it" if alone else "it is being restored"
            raise UnavailableError(
                f"The registry {path} is in use: {who}; wait for its end, or stop it."
            ) from None

    def release(self) -> None:
        """Others may have it."""
        os.close(self._fd)


def _open_or_create(path: str) -> int:
    """An open descriptor of a file that is its owner's alone from the first byte.

    What root makes belongs to whom the directory belongs to: a master of another user can use what
    an operator restored.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = os.stat(os.path.dirname(os.path.abspath(path)))
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def check_not_lost(path: str) -> None:
    """Raises MalformedError when there was a registry and it is no more."""
    here = os.path.exists(path) and os.path.getsize(path) > 0
    if not here and os.path.exists(made_path(path)):
        raise MalformedError(
            f"The registry {path} is missing or empty, but {made_path(path)} says that there was "
            "one: this master would forget every agent, also those marked gone. Put the file back, "
            "restore a backup with `mesos-twisted registry restore`, or, to begin with an empty "
            f"registry, remove {made_path(path)}."
        )


def open_file(path: str) -> sqlite3.Connection:
    """The registry, made when it is not there. Raises MalformedError, sqlite3.Error, OSError."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # SQLite gives its side files the same mode.
    os.close(_open_or_create(path))
    database = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    try:
        database.isolation_level = None
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.executescript(f"BEGIN IMMEDIATE; {_CREATE} COMMIT;")
        meta(path, database)
    except BaseException:
        database.close()
        raise
    return database


def meta(path: str, database: sqlite3.Connection) -> dict[str, int]:
    """The registry's `schema` and `version`. Raises MalformedError for a newer schema."""
    found = dict(database.execute("SELECT name, value FROM meta"))
    if found["schema"] > SCHEMA:
        raise MalformedError(
            f"The registry {path} was written by a newer release (layout "
            f"{found['schema']}, this one knows {SCHEMA}); start that release again or "
            "restore an older backup."
        )
    return found


def in_place(function: Callable[[], T]) -> Deferred[T]:
    """Run a function here and now; a failure is the Deferred's."""
    try:
        return succeed(function())
    except Exception as error:
        # Whatever it is, it belongs to whoever asked, as from a thread.
        return fail(error)


@contextlib.contextmanager
def _one_sentence(path: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise unavailable(path, error) from None


class SqliteRecords:
    """The records of a registry's file, for an operator's commands; see `RecordStore`. Everything
    happens in place, so only a process without other duties may ask."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self) -> Deferred[Raw]:
        """All records at one moment, whether or not a master runs."""
        return in_place(self._read)

    def replace(self, raw: Raw) -> Deferred[None]:
        """The records are these instead, durably and all or none; the next leader finds a registry
        that no agent has heard of. Fails with UnavailableError while a master runs on it."""
        return in_place(lambda: self._replace(raw))

    def close(self) -> Deferred[None]:
        """There is nothing to let go."""
        return succeed(None)

    def _read(self) -> Raw:
        path = self._path
        if not os.path.exists(path):
            raise UnavailableError(f"There is no registry {path}; name its file.")
        with _one_sentence(path):
            # A reader of a write-ahead log needs its side files, so it opens as a writer would.
            database = sqlite3.connect(path, timeout=5.0, isolation_level=None)
            try:
                database.execute("BEGIN")
                found = meta(path, database)
                rows = database.execute("SELECT kind, key, value FROM records ORDER BY kind, key")
                return Raw(found["schema"], found["version"], tuple(rows))
            finally:
                database.close()

    def _replace(self, raw: Raw) -> None:
        path = self._path
        with _one_sentence(path):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            lock = Lock(path, alone=True)
            try:
                database = open_file(path)
                try:
                    self._write(database, without_history(raw))
                finally:
                    database.close()
            finally:
                lock.release()

    def _write(self, database: sqlite3.Connection, raw: Raw) -> None:
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM records")
        database.executemany("INSERT INTO records VALUES (?, ?, ?)", raw.records)
        # Above both, so that nothing that knew either takes this for what it knew.
        database.execute(
            "UPDATE meta SET value = max(value, ?) + 1 WHERE name = 'version'", (raw.version,)
        )
        database.execute("COMMIT")
