"""A task's user by name, as the edge needs it: the numbers, and whether to change to them."""

from __future__ import annotations

from dataclasses import dataclass

from mesos_twisted.containerizer.users import identify
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
    found = identify(name)
    if isinstance(found, Problem):
        return found
    if name is None:
        return None
    if found is None:
        return User(name, -1, -1, (), False)
    return User(name, found.uid, found.gid, found.groups, True)
