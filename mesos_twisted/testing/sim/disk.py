"""A simulated disk: what was written, what was flushed, and what is left after a crash.

    a killed process   loses nothing that it had written
    a power cut        loses a random tail of what was not flushed
    full, broken       writes and flushes raise, as the real stores do

`SimRows` stands for the agent's checkpoint database and takes the same effects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from mesos_twisted.agent.core.effects import Checkpoint, Forget
from mesos_twisted.agent.net.checkpoint import IDENTITY
from mesos_twisted.errors import UnavailableError

Change = Checkpoint | Forget


@dataclass(slots=True)
class DiskFaults:
    """What is wrong with a disk."""

    full: bool = False
    broken: bool = False
    #: The next so many writes go well; the one after it kills the process in the middle.
    crash_after_writes: int | None = None


class CrashError(BaseException):
    """The process is killed in the middle of a write; nothing of its own may catch this."""


class SimRows:
    """The rows of one agent's work directory: they outlive the agent's process.

    `flushed` of the transactions in `_log` survive a power cut for certain; identity rows are
    flushed as they are written.
    """

    def __init__(self, random: Random) -> None:
        self.faults = DiskFaults()
        self.writes = 0
        #: Rows that were cut short, and transactions that a power cut lost.
        self.torn = self.lost = 0
        self._random = random
        self._flushed: dict[str, bytes] = {}
        self._log: list[list[Change]] = []
        self._rows: dict[str, bytes] = {}

    def rows(self) -> dict[str, bytes]:
        """Every row. Raises UnavailableError."""
        if self.faults.broken:
            raise UnavailableError("The checkpoints cannot be read (disk I/O error).")
        return dict(self._rows)

    def write(self, changes: Iterable[Change]) -> None:
        """All of them are durable against a killed process afterwards, or none.

        Raises UnavailableError for a full or broken disk, and CrashError before or after it took
        effect when that was asked for.
        """
        if self.faults.full or self.faults.broken:
            why = "database or disk is full" if self.faults.full else "disk I/O error"
            raise UnavailableError(
                f"The checkpoints cannot be written ({why}); make room on the disk and start the "
                "agent again. Tasks go on meanwhile."
            )
        self.writes += 1
        crash = False
        if self.faults.crash_after_writes is not None:
            crash = self.faults.crash_after_writes <= 0
            self.faults.crash_after_writes = None if crash else self.faults.crash_after_writes - 1
        if crash and self._random.random() < 0.5:
            raise CrashError("before the commit")
        transaction = list(changes)
        _apply(transaction, self._rows)
        self._log.append(transaction)
        if any(one.key == IDENTITY or one.key.startswith(IDENTITY + "/") for one in transaction):
            self.flush()
        if crash:
            raise CrashError("after the commit")

    def flush(self) -> None:
        """Everything written survives a power cut."""
        for transaction in self._log:
            _apply(transaction, self._flushed)
        self._log.clear()

    def power_cut(self) -> None:
        """A random tail of the transactions since the last flush is lost."""
        kept = self._random.randint(0, len(self._log))
        self.lost += len(self._log) - kept
        del self._log[kept:]
        self.flush()
        self._rows = dict(self._flushed)

    def clear(self) -> None:
        """Nothing is left."""
        self._rows.clear()
        self._flushed.clear()
        self._log.clear()

    def tear(self) -> str | None:
        """One row is cut short, as by a bad sector; its key, or None without rows."""
        keys = sorted(key for key in self._rows if not key.startswith(IDENTITY))
        if not keys:
            return None
        key = keys[self._random.randrange(len(keys))]
        self.torn += 1
        value = self._rows[key]
        self._rows[key] = self._flushed[key] = value[: self._random.randrange(len(value) + 1)]
        return key


def _apply(transaction: Iterable[Change], rows: dict[str, bytes]) -> None:
    for change in transaction:
        if isinstance(change, Checkpoint):
            rows[change.key] = change.value
        elif change.key.endswith("/"):
            for key in [key for key in rows if key.startswith(change.key)]:
                del rows[key]
        else:
            rows.pop(change.key, None)
