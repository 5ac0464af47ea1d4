"""Short tasks a second on a cluster of one agent, as a program: prints `rate R`.

A reactor runs once in a process, so what is measured in rounds starts this for each.
"""

from __future__ import annotations

import time

from bench.cluster import BenchCluster
from bench.scheduler import Launcher, connect, drive

TASKS, WARM_UP, WINDOW = 2000, 200, 64


def main() -> None:
    """`true` 2,000 times with 64 in flight."""
    with BenchCluster(agents=1) as cluster:
        launcher = Launcher()

        async def work() -> None:
            launcher.driver = connect(cluster, launcher, "short")
            await launcher.begin("true", WARM_UP, WINDOW)
            began = time.monotonic()
            await launcher.begin("true", TASKS, WINDOW)
            print("rate", TASKS / (time.monotonic() - began), flush=True)
            await launcher.driver.stop(teardown=True)

        drive(work, 60)


if __name__ == "__main__":
    main()
