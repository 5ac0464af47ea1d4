"""How a master tells an agent for whom it asks: one header, believed from masters only.

    Mesos-On-Behalf-Of: operator/alice      that principal; the agent judges it as its own guest
    Mesos-On-Behalf-Of: nobody              the master lets everyone read; the agent may not

A master by itself may do nothing on an agent. This module refuses to know who sent the header.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

from mesos_twisted.security.core.principal import ANONYMOUS, Principal, Role

HEADER: Final = "Mesos-On-Behalf-Of"
_NOBODY: Final = "nobody"
_ROLES: Final = {role.value: role for role in (Role.OPERATOR, Role.FRAMEWORK)}


def vouch(principal: Principal) -> str | None:
    """The header's value for a principal; None for one no master speaks for."""
    if principal == ANONYMOUS:
        return _NOBODY
    if principal.role is None or principal.role.value not in _ROLES or not principal.name:
        return None
    return f"{principal.role.value}/{quote(principal.name, safe='')}"


def vouched(text: str) -> Principal | None:
    """The principal a header's value names; None when it names none."""
    if text == _NOBODY:
        return ANONYMOUS
    role, _, name = text.partition("/")
    try:
        plain = unquote(name, errors="strict")
    except UnicodeDecodeError:
        return None
    if role not in _ROLES or not plain:
        return None
    return Principal(plain, _ROLES[role])
