"""Whom a task may run as: user names to numbers, by the host's own tables.

Decides nothing about authorisation; it only says what this agent process is able to do.
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from mesos_twisted.containerizer.core.container import Identity
from mesos_twisted.errors import Problem


def identify(user: str | None) -> Identity | Problem | None:
    """The numbers of `user`; None when the task runs as the agent itself does.

    An agent that is not root can run tasks as its own user only.
    """
    if user is None:
        return None
    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        return Problem("user", f"The user {user!r} does not exist on this agent.")
    if os.geteuid() != 0:
        if entry.pw_uid == os.geteuid():
            return None
        return Problem(
            "user",
            f"This agent runs as {_own_name()} and cannot run a task as {user!r}: "
            "run the agent as root, or the task as the agent's user.",
        )
    groups = sorted({g.gr_gid for g in grp.getgrall() if user in g.gr_mem} | {entry.pw_gid})
    return Identity(entry.pw_uid, entry.pw_gid, tuple(groups))


def _own_name() -> str:
    try:
        return repr(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        return f"user number {os.geteuid()}"


def own_sandbox(directory: Path, identity: Identity | None) -> None:
    """`directory`, fresh and empty, belongs to the task's user, mode 0750; `OSError` if not.

    The directory itself must be one: a link in its place is refused, not followed.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(fd, 0o750)
        if identity is not None:
            os.fchown(fd, identity.uid, identity.gid)
    finally:
        os.close(fd)
