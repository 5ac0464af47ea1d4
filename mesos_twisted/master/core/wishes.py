"""REVIVE and SUPPRESS: for which of its roles a framework wants offers."""

from __future__ import annotations

from collections.abc import Iterable

from mesos_twisted.master.core import notify
from mesos_twisted.master.core.books import REQUEST_ALLOCATION
from mesos_twisted.master.core.effects import Effect
from mesos_twisted.master.core.state import Framework, MasterState


def revive(
    state: MasterState, framework: Framework, roles: Iterable[str], out: list[Effect]
) -> None:
    """REVIVE: these roles (none named: all) get offers again, without their filters."""
    out.append(notify.count("master/messages_revive_offers"))
    named = tuple(roles)
    if not _own_roles(framework, named, "revive", out):
        return
    framework.suppressed.difference_update(named or framework.roles)
    framework.version += 1
    state.allocator.revive(framework.framework_id, named)
    out.append(REQUEST_ALLOCATION)


def suppress(
    state: MasterState, framework: Framework, roles: Iterable[str], out: list[Effect]
) -> None:
    """SUPPRESS: these roles (none named: all) get no more offers; open ones and filters stay."""
    out.append(notify.count("master/messages_suppress_offers"))
    named = tuple(roles)
    if not _own_roles(framework, named, "suppress", out):
        return
    framework.suppressed.update(named or framework.roles)
    framework.version += 1
    state.allocator.suppress(framework.framework_id, named)


def _own_roles(framework: Framework, named: tuple[str, ...], what: str, out: list[Effect]) -> bool:
    for role in named:
        if role not in framework.roles:
            notify.log(
                out,
                "warn",
                "Dropping {what} of framework {framework_id}: it does not subscribe to {role}",
                what=what,
                framework_id=framework.framework_id,
                role=role,
            )
            return False
    return True
