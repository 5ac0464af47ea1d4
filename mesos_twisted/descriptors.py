"""How many files and connections this process may hold. Why they are needed is not known here."""

from __future__ import annotations

import resource


def raise_limit() -> int:
    """The soft limit is the hard one from here on, and is returned.

    Most systems start a process with 1,024, kept low for programs that use select(2). Children
    inherit the limit, so only a process that starts none should ask for this.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
