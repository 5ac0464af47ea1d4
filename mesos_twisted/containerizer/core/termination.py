"""How an end is told: the words Mesos uses for a wait status, and the record of it."""

from __future__ import annotations

import signal

from mesos_twisted.containerizer.core.container import Limitation, Termination

STATUS_LOST = -1


def words(status: int) -> str:
    """A wait status as Mesos says it after "Command"."""
    signo = status & 0x7F
    if signo == 0:
        return f"exited with status {status >> 8 & 0xFF}"
    name = signal.strsignal(signo) or f"number {signo}"
    core = " (core dumped)" if status & 0x80 else ""
    return f"terminated with signal {name}{core}"


def explain(
    status: int | None,
    limitation: Limitation | None,
    *,
    user_us: int = 0,
    system_us: int = 0,
    max_rss_bytes: int = 0,
    lost: str = "Container destroyed before its process was seen to end",
) -> Termination:
    """The record of an end; a limitation explains it better than the signal that followed."""
    seen = None if status == STATUS_LOST else status
    if limitation is not None:
        message, reason = limitation.message, limitation.reason
    else:
        message, reason = (lost if seen is None else f"Command {words(seen)}"), None
    return Termination(seen, message, reason, user_us, system_us, max_rss_bytes)
