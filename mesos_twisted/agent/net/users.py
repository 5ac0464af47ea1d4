"""The host's users: a task's user name to ids, and whether this process can become it."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

from mesos_twisted.errors import Problem


@dataclass(frozen=True, slots=True)
class User:
    """A user of this host. `switch`: processes must change to it; otherwise it is ourselves."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    switch: bool


def resolve_user(name: str | None) -> User | Problem | None:
    """The user to run as; None means as this process. A Problem says why it cannot be."""
    if name is None:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return Problem("user", f"The user '{name}' is not known on this host; create it there")
    own = os.geteuid()
    if own != 0 and entry.pw_uid != own:
        return Problem(
            "user",
            f"This agent does not run as root and cannot run tasks as '{name}'; "
            "start it as root or with --no-switch_user",
        )
    groups = tuple(os.getgrouplist(name, entry.pw_gid)) if own == 0 else ()
    return User(name, entry.pw_uid, entry.pw_gid, groups, own == 0)
