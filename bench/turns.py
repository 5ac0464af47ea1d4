"""Runs a daemon and notes the CPU time of each turn of its reactor.

    python -m bench.turns FILE mesos_twisted master --flags...

FILE gets, when the daemon ends, two arrays of doubles one after the other: when each turn ended
(monotonic seconds) and its CPU seconds. CPU time, because on a busy machine the clock counts the
neighbours' turns too.
"""

from __future__ import annotations

import runpy
import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mesos_twisted.transport.reactor import FairReactor


def read(path: Path, begin: float, end: float) -> list[float]:
    """The CPU seconds of the turns that ended between the two times."""
    both = array("d")
    both.frombytes(path.read_bytes())
    half = len(both) // 2
    times, used = both[:half], both[half:]
    return [cpu for at, cpu in zip(times, used, strict=True) if begin <= at <= end]


def waiting(turns: Sequence[float], seconds: float, share: float) -> float:
    """How long it is at most until the turn under way is over, for `share` (0 to 1) of all moments.

    As if the turns, which came within `seconds`, took nothing but their CPU time.
    """
    low, high = 0.0, max(turns, default=0.0)
    for _ in range(50):
        middle = (low + high) / 2
        later = sum(turn - middle for turn in turns if turn > middle)
        low, high = (middle, high) if later > (1.0 - share) * seconds else (low, middle)
    return high


def main(path: str, module: str) -> None:
    """Run `module` with the rest of the arguments."""
    times, used = array("d"), array("d")
    reactor: Any = FairReactor  # the loop calls `doIteration`, which is `doPoll`
    poll, last = reactor.doPoll, time.thread_time()

    def iteration(self: Any, timeout: Any) -> None:
        nonlocal last
        poll(self, timeout)
        now = time.thread_time()
        times.append(time.monotonic())
        used.append(now - last)
        last = now

    reactor.doIteration = iteration
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        Path(path).write_bytes(times.tobytes() + used.tobytes())


if __name__ == "__main__":
    out, name = sys.argv[1:3]
    del sys.argv[1:3]
    main(out, name)
