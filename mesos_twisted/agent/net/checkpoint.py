"""What the agent must find again after it was killed: rows of bytes, key to value, in SQLite.

One write transaction for all that a reactor turn changes. `synchronous=NORMAL` with a write-ahead
log survives a killed process without waiting for the disk; a power cut may take the last
transactions, whole and from the end, but then the tasks are gone as well, so only the agent's
identity is forced to disk. What a row means is the core's affair.

    checkpoints.db, checkpoints.db-wal   the rows
    identity                             the row of the agent's identity once more: an emptied
                                         database is told from that of a new agent
    checkpoints.db.unreadable            what was set aside when that was allowed
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterable

from mesos_twisted.agent.core.compatibility import START_ANEW
from mesos_twisted.agent.core.effects import Checkpoint, Forget
from mesos_twisted.agent.core.paths import AGENT_KEY
from mesos_twisted.errors import UnavailableError

#: Rows below this key are forced to disk: losing them would make a new agent of an old one.
IDENTITY = "agent"
_SCHEMA = 1


class CheckpointStore:
    """The rows of one work directory; the only user of the directory while it is open.

    `errors`: a sentence for each thing that had to be given up.
    """

    def __init__(self, meta_dir: str, *, strict: bool = True) -> None:
        """Raises UnavailableError, with what to do, for another agent or a broken file.

        Not `strict`: a broken file is set aside, and the agent's identity kept.
        """
        os.makedirs(meta_dir, mode=0o700, exist_ok=True)
        self._lock = _lock(os.path.join(meta_dir, "lock"))
        self._path = os.path.join(meta_dir, "checkpoints.db")
        self._identity_path = os.path.join(meta_dir, "identity")
        self._db: sqlite3.Connection | None = None
        self.errors: list[str] = []
        try:
            self._open_all(strict)
        except BaseException:
            self._close_database()
            os.close(self._lock)
            raise

    def _open_all(self, strict: bool) -> None:
        try:
            self._db = self._open()
        except _BrokenError as error:
            if strict:
                raise
            self._set_aside()
            self.errors.append(f"the file {self._path} could not be used ({error.why})")
            self._db = self._open()
        self._keep_identity(strict)

    def _set_aside(self) -> None:
        for ending in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path + ending, f"{self._path}.unreadable{ending}")

    def _keep_identity(self, strict: bool) -> None:
        """The identity is in the database and beside it, or nowhere."""
        row = self._identity_row()
        try:
            with open(self._identity_path, "rb") as file:
                kept = file.read()
        except FileNotFoundError:
            kept = None
        except OSError as error:
            raise self._broken(error.strerror or "it cannot be read") from None
        if row is not None:
            if row != kept:
                self._write_identity(row)
        elif kept:
            why = "it is empty, but an agent was registered from here"
            if strict:
                raise self._broken(why)
            self.errors.append(f"{self._path} was of no use: {why}")
            self.write([Checkpoint(AGENT_KEY, kept)])

    def _identity_row(self) -> bytes | None:
        try:
            found = self._connection().execute("SELECT value FROM rows WHERE key = ?", (AGENT_KEY,))
            row = found.fetchone()
        except sqlite3.Error as error:
            raise self._broken(error) from None
        return None if row is None else row[0]

    def _write_identity(self, row: bytes | None) -> None:
        """Durable before it is seen. Raises UnavailableError."""
        try:
            if row is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._identity_path)
            else:
                new = self._identity_path + ".new"
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(new)
                fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with open(fd, "wb") as file:
                    file.write(row)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(new, self._identity_path)
            _sync_directory(os.path.dirname(self._path))
        except OSError as error:
            raise self._unwritable(error.strerror) from None

    def _open(self) -> sqlite3.Connection:
        old = os.umask(0o077)
        try:
            db = sqlite3.connect(self._path, isolation_level=None, cached_statements=16)
        except sqlite3.Error as error:
            raise self._broken(error) from None
        finally:
            os.umask(old)
        try:
            # The lock beside it keeps others out: the index of the log can be our memory, and no
            # transaction asks the kernel for locks. Said first, or the log's index is a file.
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > _SCHEMA:
                raise UnavailableError(
                    f"The checkpoints in {self._path} were written by a newer version; "
                    "start that version, or one not older."
                )
            (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(str(verdict).replace("\n", " "))
            db.execute(
                "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value BLOB NOT NULL)"
                " WITHOUT ROWID"
            )
            db.execute(f"PRAGMA user_version={_SCHEMA}")
        except sqlite3.Error as error:
            db.close()
            raise self._broken(error) from None
        except UnavailableError:
            db.close()
            raise
        return db

    def _broken(self, why: object) -> _BrokenError:
        text = (
            f"The checkpoints in {self._path} cannot be used ({why}). Restore the file; or start "
            "with --no-strict, which sets it aside and keeps the agent's id: its tasks are then "
            f"ended; or {START_ANEW}."
        )
        return _BrokenError(text, str(why))

    def _unwritable(self, why: object) -> UnavailableError:
        return UnavailableError(
            f"The checkpoints in {self._path} cannot be written ({why}); "
            "make room on the disk and start the agent again. Tasks go on meanwhile."
        )

    def rows(self) -> dict[str, bytes]:
        """Every row. Raises UnavailableError."""
        try:
            return dict(self._connection().execute("SELECT key, value FROM rows"))
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def write(self, changes: Iterable[Checkpoint | Forget]) -> None:
        """Afterwards all the changes survive this process, in order; on an error none happened.

        Raises UnavailableError: the agent cannot go on without its disk.
        """
        db = self._connection()
        last, prefixes, forced = _folded(changes)
        identity = AGENT_KEY in last
        if identity and last[AGENT_KEY] is None:
            # First: what is only in the database is written again, never the other way round.
            self._write_identity(None)
        try:
            db.execute("BEGIN IMMEDIATE")
            for prefix in prefixes:
                # '0' is the character after '/': the range is the keys with this prefix.
                end = prefix[:-1] + "0"
                db.execute("DELETE FROM rows WHERE key >= ? AND key < ?", (prefix, end))
            gone = [(key,) for key, value in last.items() if value is None]
            if gone:
                db.executemany("DELETE FROM rows WHERE key = ?", gone)
            db.executemany(
                "INSERT INTO rows VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [(key, value) for key, value in last.items() if value is not None],
            )
            db.execute("COMMIT")
            if forced:
                db.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise self._unwritable(error) from None
        if identity and last[AGENT_KEY] is not None:
            self._write_identity(last[AGENT_KEY])

    def close(self) -> None:
        """The directory is free for another agent; closing twice is harmless."""
        if self._close_database():
            os.close(self._lock)

    def _close_database(self) -> bool:
        db, self._db = self._db, None
        if db is not None:
            db.close()
        return db is not None

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise UnavailableError(f"The checkpoints in {self._path} are closed.")
        return self._db


class _BrokenError(UnavailableError):
    """The file is no database of ours; `why` is the reason alone."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(text)
        self.why = why


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _folded(
    changes: Iterable[Checkpoint | Forget],
) -> tuple[dict[str, bytes | None], list[str], bool]:
    """What is left to do: each key's last value (None: no row), the prefixes whose older rows go
    first, and whether the identity is among the changes."""
    last: dict[str, bytes | None] = {}
    prefixes: list[str] = []
    forced = False
    for change in changes:
        key = change.key
        if key.startswith(IDENTITY):
            forced = forced or key == IDENTITY or key.startswith(IDENTITY + "/")
        if type(change) is Checkpoint:
            last[key] = change.value
        elif key.endswith("/"):
            for below in [one for one in last if one.startswith(key)]:
                del last[below]
            prefixes.append(key)
        else:
            last[key] = None
    return last, prefixes, forced


def _lock(path: str) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise UnavailableError(
            f"Another agent uses {os.path.dirname(os.path.dirname(path))}; "
            "stop it, or give this one its own --work_dir."
        ) from None
    return fd
