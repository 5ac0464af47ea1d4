"""Keep the bytes of this version's records below tests/corpus/<version>/, for every later version.

python tools/record_corpus.py            write those of this version, and never another's
python tools/record_corpus.py --check    exit 1 when a record was added or changed since
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from mesos_twisted import __version__
from mesos_twisted.agent.core import paths
from mesos_twisted.agent.core.effects import Checkpoint
from mesos_twisted.agent.net.checkpoint import CheckpointStore
from mesos_twisted.registry.raw import decode
from mesos_twisted.registry.sqlite_file import SqliteRecords
from mesos_twisted.testing import corpus

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "corpus"


def check(directory: Path, records: dict[str, bytes]) -> list[str]:
    """What is not as it was recorded."""
    stale = [name for name, data in records.items() if _read(directory / name) != data]
    stale += [name for name in ("checkpoints.db", "registry.sqlite") if not _read(directory / name)]
    return sorted(stale)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write(directory: Path, records: dict[str, bytes]) -> None:
    """The records, and the two databases with them in it."""
    shutil.rmtree(directory, ignore_errors=True)
    for name, data in records.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with tempfile.TemporaryDirectory() as scratch:
        store = CheckpointStore(scratch)
        store.write([Checkpoint(key, value) for key, value in corpus.checkpoint(records).items()])
        store.write([Checkpoint(paths.BOOT_KEY, b"boot")])
        store.close()
        shutil.copyfile(Path(scratch, "checkpoints.db"), directory / "checkpoints.db")
        registry = SqliteRecords(os.path.join(scratch, "registry.sqlite"))
        registry.replace(decode(records["registry.backup"]))
        registry.close()
        shutil.copyfile(Path(scratch, "registry.sqlite"), directory / "registry.sqlite")


def main(arguments: list[str]) -> int:
    directory, records = CORPUS / __version__, corpus.record()
    if arguments == ["--check"]:
        stale = check(directory, records)
        if stale:
            print(f"Stale: {', '.join(stale)}; run python tools/record_corpus.py")
        return int(bool(stale))
    write(directory, records)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
