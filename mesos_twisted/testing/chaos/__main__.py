"""A real cluster under faults at random instants; the exit status says whether promises held.

python -m mesos_twisted.testing.chaos --minutes 3 --seed 1
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from mesos_twisted.testing.chaos import enclosure
from mesos_twisted.testing.chaos.run import Run

MODULE = "mesos_twisted.testing.chaos"


def main(arguments: list[str]) -> int:
    """0: every promise held; 1: some did not; what they are is printed."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults come (3)")
    parser.add_argument("--seed", type=int, default=1, help="which faults, and when (1)")
    parser.add_argument("--agents", type=int, default=3, help="how many (3)")
    parser.add_argument("--gap", type=float, default=4.0, help="seconds between faults (4)")
    parser.add_argument("--zk_tls", action="store_true", help="ZooKeeper over mutual TLS too")
    parser.add_argument("--plan", action="store_true", help="only print the faults")
    parser.add_argument("--keep", action="store_true", help="leave the directory in any case")
    options = parser.parse_args(arguments)
    if not options.plan:
        enclosure.enter(MODULE, arguments)
    root = Path(tempfile.mkdtemp(prefix="mesos-chaos-"))
    root.chmod(0o755)
    run = Run(root, options)
    if options.plan:
        root.rmdir()
        print(*run.plan, sep="\n")
        return 0
    broken = run.do()
    if broken or options.keep:
        print(f"What is left is in {root}")
    else:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
