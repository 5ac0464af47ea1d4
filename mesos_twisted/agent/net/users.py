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


_MEMORY = 256
_known: dict[str, User] = {}


def resolve_user(name: str | None) -> User | Problem | None:
    """The user to run as; None means as this process. A Problem says why it cannot be.

    A user that was found once is not looked up again: that reads the host's whole group table.
    """
    known = _known.get(name) if name is not None else None
    if known is not None:
        return known
    found = _resolve(name)
    if isinstance(found, User):
        if len(_known) >= _MEMORY:
            _known.clear()
        _known[found.name] = found
    return found


def _resolve(name: str | None) -> User | Problem | None:
    found = identify(name)
    if isinstance(found, Problem):
        return found
    if name is None:
        return None
    if found is None:
        return User(name, -1, -1, (), False)
    return User(name, found.uid, found.gid, found.groups, True)
