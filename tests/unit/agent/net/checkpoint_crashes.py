"""Run below `crash_io.so`: a store is killed at every change of a file, opened again, compared.

argv: a scratch directory. Prints how many deaths there were, and of what kinds of files.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from mesos_twisted.agent.core.effects import Checkpoint, Forget
from mesos_twisted.agent.net.checkpoint import CheckpointStore

DIED, WAYS = 77, ("before", "torn", "after")
#: After one death in so many, every change of the next life's beginning kills as well.
OFTEN = 12
#: The process itself, into which the library was loaded.
LIBRARY = ctypes.CDLL(None)
Changes = list[Checkpoint | Forget]

TRANSACTIONS: list[Changes] = [
    [Checkpoint("agent/info", b"first"), Checkpoint("boot_id", b"b")],
    [Checkpoint(f"task/f/{n}", b"t" * 300) for n in range(12)],
    [Checkpoint("task/f/large", os.urandom(4) * 5000)],
    [Forget("task/f/3"), Checkpoint("update/f/1/0", b"u"), Checkpoint("update/f/1/1", b"v")],
    [Checkpoint("agent/info", b"second")],
    [Forget("update/f/1/"), Forget("task/f/1"), Checkpoint("done/f/1/r", b"d")],
    [Checkpoint("update/f/2/0", b"x" * 40)],
    [Checkpoint("update/f/2/1", b"x" * 40)],
    [Forget("agent/info"), Forget("task/"), Forget("update/"), Forget("done/")],
    [Checkpoint("agent/info", b"third")],
]


def states() -> list[dict[str, bytes]]:
    """The rows after none, one, two … of the transactions."""
    rows: dict[str, bytes] = {}
    found: list[dict[str, bytes]] = [{}]
    for changes in TRANSACTIONS:
        for change in changes:
            if isinstance(change, Checkpoint):
                rows[change.key] = change.value
            elif change.key.endswith("/"):
                rows = {k: v for k, v in rows.items() if not k.startswith(change.key)}
            else:
                rows.pop(change.key, None)
        found.append(dict(rows))
    return found


def live(directory: str, told: int) -> None:
    """A store's life; each transaction that is done is told."""
    store = CheckpointStore(directory)
    for changes in TRANSACTIONS:
        store.write(changes)
        os.write(told, b"+")
    store.close()


def reopen(directory: str, told: int) -> None:
    """The next life's beginning and end."""
    CheckpointStore(directory).close()


def fork(what: Callable[[str, int], None], directory: str, at: int, way: int) -> tuple[bool, int]:
    """Whether it died at the change numbered `at`, and how many transactions it had told of."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        LIBRARY.crash_arm(ctypes.c_long(at), way)
        try:
            what(directory, writing)
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{at} {WAYS[way]}: {error!r}\n".encode())
            os._exit(1)
    os.close(writing)
    told = 0
    while some := os.read(reading, 64):
        told += len(some)
    os.close(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, DIED), (at, WAYS[way], code)
    return code == DIED, told


def check(directory: str, told: int, where: str) -> None:
    """All that was told is there, and of the rest a transaction as a whole or not at all."""
    store = CheckpointStore(directory)
    rows = store.rows()
    store.close()
    assert rows in ALL[told : told + 2], (where, told, sorted(rows))
    identity = Path(directory, "identity")
    assert (identity.read_bytes() if identity.exists() else None) == rows.get("agent/info"), where


ALL = states()


def main(scratch: str) -> None:
    """See the module."""
    deaths = again = 0
    for way in range(3):
        at = 0
        while True:
            directory = os.path.join(scratch, "one")
            shutil.rmtree(directory, ignore_errors=True)
            os.mkdir(directory)
            died, told = fork(live, directory, at, way)
            if not died:
                break
            deaths += 1
            where = f"{WAYS[way]} change {at}"
            second = 0
            while at % OFTEN == way:
                copy = os.path.join(scratch, "two")
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(directory, copy)
                died, _ = fork(reopen, copy, second, way)
                check(copy, told, f"{where}, then {second}")
                if not died:
                    break
                again += 1
                second += 1
            check(directory, told, where)
            at += 1
    print(f"{deaths} deaths, {again} more while opening again")


if __name__ == "__main__":
    main(sys.argv[1])
