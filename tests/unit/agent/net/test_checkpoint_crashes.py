"""Wherever a process dies while SQLite or the store changes a file, the rows are whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def test_a_store_survives_a_death_at_every_change_of_a_file(tmp_path: Path) -> None:
    """Before it, in its middle and after it: what was told is there, whole transactions only, and
    opening may be cut short as well. The library makes no difference to a process it lets live."""
    library = tmp_path / "crash_io.so"
    build = ["cc", "-O2", "-shared", "-fPIC", "-o", f"{library}", f"{HERE}/crash_io.c", "-ldl"]
    subprocess.run(build, check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        done = subprocess.run(
            [sys.executable, HERE / "checkpoint_crashes.py", scratch],
            env=environment,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    counted = re.match(r"(\d+) deaths, (\d+) more while opening again", done.stdout)
    assert counted is not None, done.stdout
    # The store, its log, the identity beside it and their directory were all struck.
    assert int(counted[1]) > 200 and int(counted[2]) > 100
