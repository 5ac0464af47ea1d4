"""Everything that must hold, in one command: generated files, lint, types, layers, tests.

With arguments, only pytest runs, with those arguments. Each step's time is printed; the first
failing step does not stop the others, and the exit status is 1 when any failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
STEPS = (
    ("generated protocol", [sys.executable, "tools/generate_protocol.py", "--check"]),
    ("generated documents", [sys.executable, "tools/generate_docs.py", "--check"]),
    ("lint", [str(BIN / "ruff"), "check", "."]),
    ("format", [str(BIN / "ruff"), "format", "--check", "."]),
    ("layers", [str(BIN / "lint-imports")]),
    ("types", [str(BIN / "mypy")]),
    ("clients of others", ["tools/clients.sh"]),
    ("browser", ["tools/browser.sh"]),
    ("zookeeper", ["tools/zookeeper.sh"]),
    ("simulator", [str(BIN / "mesos-twisted"), "simulate", "--seeds", "500"]),
    ("tests", [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile"]),
)


def main(arguments: list[str]) -> int:
    os.chdir(ROOT)
    if arguments:
        return subprocess.call([sys.executable, "-m", "pytest", *arguments])
    failed = []
    for name, command in STEPS:
        started = time.monotonic()
        print(f"== {name}", flush=True)
        if subprocess.call(command) != 0:
            failed.append(name)
        print(f"== {name}: {time.monotonic() - started:.1f} s", flush=True)
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
