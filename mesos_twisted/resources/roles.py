"""Role names: which are valid, and which lies under which. Knows no resources."""

from __future__ import annotations

from typing import Final

from mesos_twisted.errors import Problem

ANY_ROLE: Final = "*"
_FORBIDDEN: Final = frozenset("\x09\x0a\x0b\x0c\x0d\x20\x7f")


def check_role(role: str) -> Problem | None:
    """None when `role` may name a role; otherwise what is wrong with it."""
    if role == ANY_ROLE:
        return None
    if not role:
        return _bad("A role name is empty; give it at least one character.")
    for part in role.split("/"):
        if not part:
            return _bad(
                f"Role '{role}' has an empty component; remove the slash at its start or end,"
                " or the doubled one."
            )
        if part in (".", "..", ANY_ROLE):
            return _bad(f"Role '{role}' has the component '{part}', which is not allowed.")
        if part.startswith("-"):
            return _bad(f"Role '{role}' has a component that starts with a dash.")
        if not _FORBIDDEN.isdisjoint(part):
            return _bad(f"Role '{role}' contains white space or a delete character.")
    return None


def is_strict_subrole(role: str, ancestor: str) -> bool:
    """Whether `role` lies below `ancestor` (`a/b` below `a`), never equal to it."""
    return role.startswith(ancestor) and role[len(ancestor) : len(ancestor) + 1] == "/"


def lineage(role: str) -> tuple[str, ...]:
    """`role` and its ancestors, outermost first: `a/b/c` gives `a`, `a/b`, `a/b/c`."""
    parts = role.split("/")
    return tuple("/".join(parts[: n + 1]) for n in range(len(parts)))


def _bad(sentence: str) -> Problem:
    return Problem("role_invalid", sentence)
