"""A process of the package starts without looking for garbage among what it imports."""

from __future__ import annotations

import subprocess
import sys

COUNTED = """
import gc, sys
seen = []
gc.callbacks.append(lambda phase, info: seen.append(phase))
from mesos_twisted.__main__ import main
try:
    main()
except SystemExit:
    pass
import mesos_twisted.agent.main
made = sum(gc.get_count()) + len(gc.get_objects())
print(seen.count("start"), made)
"""


def test_imports_are_hardly_looked_at() -> None:
    """Python's own threshold of 700 would have it look some hundred times."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, "ps", "--help"], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    looked, made = map(int, done.stdout.splitlines()[-1].split())
    assert made > 30_000, "otherwise this would prove nothing"
    assert looked <= 15
