"""The registry in one SQLite file: the embedded default of a sole master.

Write-ahead log, a flush of the disk for each commit, and all of it in one worker thread, so the
reactor never waits for a disk. Operations asked during a commit form the next one. Each commit
checks the version it follows: a second master on the same file makes both stop, never mixes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from mesos_twisted.errors import UnavailableError
from mesos_twisted.registry.batch import Batch, Batcher
from mesos_twisted.registry.operations import RegistryOperation, Snapshot, Writes, snapshot
from mesos_twisted.registry.sqlite_file import Lock, check_not_lost, meta, open_file, unavailable
from mesos_twisted.registry.sqlite_file import in_place as in_place

T = TypeVar("T")


class Worker(Protocol):
    """Runs functions one after the other, away from the reactor."""

    def run(self, function: Callable[[], T]) -> Deferred[T]:
        """Fires with what the function returned or raised."""
        ...

    def stop(self) -> None:
        """No function is running and none will."""
        ...


class ThreadWorker:
    """One thread of our own. `reactor` is only asked to deliver results."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(1, 1, "registry")
        self._pool.start()

    def run(self, function: Callable[[], T]) -> Deferred[T]:
        """Fires in the reactor's thread."""
        done: Deferred[T] = deferToThreadPool(self._reactor, self._pool, function)
        return done

    def stop(self) -> None:
        """The thread has ended."""
        self._pool.stop()


class SqliteRegistry:
    """Passes the registry suite over any `Worker`."""

    def __init__(self, path: str, worker: Worker) -> None:
        self._path = path
        self._worker = worker
        self._database: sqlite3.Connection | None = None
        self._lock: Lock | None = None
        self._version = 0
        self._batcher: Batcher[Deferred[int]] = Batcher()
        self._busy = False
        self._failed: UnavailableError | None = None
        self._closing: Deferred[None] | None = None

    def load(self) -> Deferred[Snapshot]:
        """Opens the file, made when it is not there."""
        return self._worker.run(self._load)

    def apply(self, operations: Sequence[RegistryOperation]) -> Deferred[int]:
        """Fires after the commit that holds the operations."""
        if self._failed is not None or self._closing is not None:
            return fail(self._failed or UnavailableError("The registry is closed"))
        done: Deferred[int] = Deferred()
        self._batcher.add(operations, done)
        if not self._busy:
            self._commit_next()
        return done

    def close(self) -> Deferred[None]:
        """Fires when the last commit is done and the file is closed."""
        if self._closing is None:
            self._closing = Deferred()
            if not self._busy:
                self._shut()
        return self._closing

    def _commit_next(self) -> None:
        batch = self._batcher.take()
        if batch is None:
            self._busy = False
            if self._closing is not None:
                self._shut()
            return
        self._busy = True
        done = self._worker.run(lambda: self._commit(batch.writes))
        done.addCallbacks(
            self._committed, self._refused, callbackArgs=(batch,), errbackArgs=(batch,)
        )

    def _committed(self, version: int, batch: Batch[Deferred[int]]) -> None:
        self._version = version
        for waiting in batch.waiting:
            waiting.callback(version)
        self._commit_next()

    def _refused(self, failure: Failure, batch: Batch[Deferred[int]]) -> None:
        reason = failure.value
        self._failed = (
            reason if isinstance(reason, UnavailableError) else unavailable(self._path, reason)
        )
        rest = self._batcher.take()
        for waiting in batch.waiting + (rest.waiting if rest else []):
            waiting.errback(self._failed)
        self._commit_next()

    def _shut(self) -> None:
        closing = self._closing
        assert closing is not None
        done = self._worker.run(self._close_file)
        # A file that cannot be closed holds nothing that was not committed.
        done.addErrback(lambda failure: None)
        done.addCallback(lambda _: self._worker.stop())
        done.addCallback(lambda _: closing.callback(None))

    # In the worker's thread from here on.

    def _load(self) -> Snapshot:
        path = self._path
        try:
            check_not_lost(path)
            self._database = open_file(path)
            self._lock = Lock(path, alone=False)
            # Only now: what was being restored before the lock is complete.
            version = meta(path, self._database)["version"]
            rows = self._database.execute("SELECT kind, key, value FROM records")
            loaded = snapshot(version, rows)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(path, error) from None
        self._version = loaded.version
        return loaded

    def _commit(self, writes: Writes) -> int:
        database = self._database
        if database is None:
            raise UnavailableError(f"The registry {self._path} is not open")
        puts = [(kind, key, value) for (kind, key), value in writes.items() if value is not None]
        deletes = [place for place, value in writes.items() if value is None]
        try:
            database.execute("BEGIN IMMEDIATE")
            try:
                bumped = database.execute(
                    "UPDATE meta SET value = value + 1 WHERE name = 'version' AND value = ?",
                    (self._version,),
                )
                if bumped.rowcount != 1:
                    raise UnavailableError(
                        f"Another master has written to the registry {self._path}; run one master "
                        "for each work directory."
                    )
                database.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", puts)
                database.executemany("DELETE FROM records WHERE kind = ? AND key = ?", deletes)
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from None
        return self._version + 1

    def _close_file(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


class SameThread:
    """A `Worker` without a thread, for tools and tests."""

    def run(self, function: Callable[[], T]) -> Deferred[T]:
        """Fires before it returns."""
        return in_place(function)

    def stop(self) -> None:
        """There is nothing to end."""
