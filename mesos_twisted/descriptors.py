"""How many files and connections this process may hold. Why they are needed is not known here."""

from __future__ import annotations

import resource
from collections.abc import Sequence


def soft_limit() -> int:
    """How many this process may hold; -1 for no limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit() -> int:
    """The soft limit is the hard one from here on, and is returned.

    Most systems start a process with 1,024, kept low for programs that use select(2). Children
    inherit the limit, so what they run belongs in `limited`.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def limited(command: Sequence[str], soft: int) -> list[str]:
    """The command that runs `command` with this soft limit (-1: none); the hard one stays."""
    amount = "unlimited" if soft < 0 else str(soft)
    return ["/bin/sh", "-c", 'ulimit -S -n "$0" && exec "$@"', amount, *command]
