"""`mesos-twisted`: the one entry point of daemons and command line."""

from __future__ import annotations

import gc
import sys
from typing import Final

#: New container objects after which Python first looks for garbage. Importing makes tens of
#: thousands that all stay, and looking at them again and again took a fifth of the start.
_YOUNG: Final = 20_000


def main() -> None:
    """Run what the first argument names; exits with its status."""
    gc.set_threshold(_YOUNG)
    arguments = sys.argv[1:]
    from mesos_twisted import daemons

    if daemons.is_daemon(arguments):
        sys.exit(daemons.start(arguments[0], arguments[1:]))
    from mesos_twisted.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
