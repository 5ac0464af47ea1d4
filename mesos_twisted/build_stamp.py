"""When this program was built, for what `/version` and `/state` of both daemons tell.

Mesos notes when it was compiled. A Python program is made when its files are put in place: the
newest of them is the stamp: of a package, when it was installed; of a checkout, its last change.
Who did it is not recorded, and is empty as in Mesos's own packages.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BuildStamp:
    """`time` in whole epoch seconds; `date` is the same in words, in UTC."""

    time: float
    date: str
    user: str = ""


def stamp_of(directory: Path) -> BuildStamp:
    """The stamp of the program whose modules are below `directory`; 1970 when none can be read."""
    seconds = 0
    for path in directory.rglob("*.py"):
        try:
            seconds = max(seconds, int(path.stat().st_mtime))
        except OSError:
            # Replaced while we looked: the next one tells as much.
            continue
    return BuildStamp(float(seconds), time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)))


@functools.cache
def build_stamp() -> BuildStamp:
    """This program's stamp, read once so that it never changes while the process runs."""
    return stamp_of(Path(__file__).resolve().parent)
