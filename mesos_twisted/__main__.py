"""`mesos-twisted`: the one entry point of daemons and command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run what the first argument names; exits with its status."""
    arguments = sys.argv[1:]
    from mesos_twisted import daemons

    if daemons.is_daemon(arguments):
        sys.exit(daemons.start(arguments[0], arguments[1:]))
    from mesos_twisted.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
