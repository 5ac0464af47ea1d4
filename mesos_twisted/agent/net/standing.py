"""What an agent does or waits for, in a line for `systemctl status`."""

from __future__ import annotations

from mesos_twisted.agent.core.state import Phase
from mesos_twisted.systemd import Standing


def standing(phase: Phase | None, launcher: bool, master: str) -> Standing:
    """`phase` is None before anything of before is known; `launcher` when it is connected."""
    if phase is Phase.TERMINATING:
        return Standing("Ending: tasks are being ended")
    if not launcher:
        return Standing("Waiting for the task launcher")
    if phase is Phase.DISCONNECTED:
        return Standing("Waiting for a master that leads")
    if phase is Phase.REGISTERING:
        return Standing("Registering with the master that leads")
    if phase is Phase.RUNNING:
        return Standing(f"Registered with the master at {master}" if master else "Registered")
    return Standing("Recovering what ran before")
