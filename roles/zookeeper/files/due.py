"""Whether a unit has to be restarted: due.py UNIT FILE...

Prints nothing when it does not, `stopped` when it does not run, or else which files are newer than
its process. That is told from the host itself, so a run that was broken off goes on where it was.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time


def main(unit: str, files: list[str]) -> str:
    asked = ["systemctl", "show", "--property=MainPID,ExecMainStartTimestampMonotonic", unit]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    shown = dict(line.split("=", 1) for line in said.splitlines())
    if shown["MainPID"] == "0":
        return "stopped"
    ago_s = time.monotonic() - int(shown["ExecMainStartTimestampMonotonic"]) / 1e6
    started = time.time() - ago_s
    newer = [name for name in files if os.path.exists(name) and changed(name) > started]
    return f"it is older than {', '.join(newer)}" if newer else ""


def changed(name: str) -> float:
    """When the file was put there; a package's own times are those of its build."""
    return max(os.lstat(name).st_ctime, os.stat(name).st_ctime)


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2:]))
