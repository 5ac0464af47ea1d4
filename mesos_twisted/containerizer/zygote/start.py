"""`mesos-twisted launcher`: becomes the launcher of one runtime directory, for a unit of systemd.

The unit's socket is passed on (see `zygote.py`); the C program is taken where there is one. This
process is replaced, so nothing of Python stays in memory beside a C launcher.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mesos_twisted.containerizer.zygote.build import command
from mesos_twisted.containerizer.zygote.protocol import JOURNAL_NAME, SOCKET_NAME

#: Seconds without an agent and without a task after which it ends; its socket starts the next.
IDLE_S = 600


def start(arguments: Sequence[str], become: Callable[[str, list[str]], object] = os.execv) -> int:
    """Does not return when all is well."""
    parser = argparse.ArgumentParser(
        prog="mesos-twisted launcher", description="Starts tasks for an agent and outlives it."
    )
    parser.add_argument(
        "--runtime_dir",
        required=True,
        type=Path,
        help="the agent's --runtime_dir; its socket's too",
    )
    parser.add_argument("--launcher_dir", type=Path, help="where the built launcher is kept")
    parser.add_argument("--idle", type=int, default=IDLE_S, help="seconds it stays without a task")
    given = parser.parse_args(arguments)
    runtime_dir = Path(os.path.abspath(given.runtime_dir))
    words = [
        *command(given.launcher_dir or runtime_dir),
        str(runtime_dir / SOCKET_NAME),
        str(runtime_dir / JOURNAL_NAME),
        str(given.idle),
    ]
    become(words[0], words)
    return 1
