"""Remove old releases: prune_releases.py ROOT KEPT.

Kept are the newest KEPT, the current one, and each that a unit names. The removed ones are printed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

UNITS = Path("/etc/systemd/system")


def main(root: Path, kept: int, units: Path = UNITS) -> None:
    releases = sorted(
        (path for path in (root / "releases").iterdir() if path.is_dir()),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    named = [path for path in units.glob("mesos-*") if path.is_file()]
    text = "\n".join(path.read_text() for path in named)
    used = {path for path in releases if f"{path}/" in text}
    current = (root / "current").resolve()
    # The current one and those in use count, so that no more than KEPT stay when they can go.
    wanted = used | ({current} & set(releases))
    for path in releases:
        if len(wanted) >= kept:
            break
        wanted.add(path)
    for path in releases:
        if path not in wanted:
            shutil.rmtree(path)
            print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), max(1, int(sys.argv[2])))
