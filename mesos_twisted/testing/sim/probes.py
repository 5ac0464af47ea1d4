"""Rare states that a simulation must reach now and then, or it proves little.

    probes.sometimes("task lost")     it happened
    missing(counts)                   those that never happened in many seeds

A name that is not in `NAMES` is a mistake: what is counted is declared here, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from mesos_twisted.errors import BugError

#: Every probe, and what it says.
NAMES: Final[Mapping[str, str]] = {
    "agent disconnected": "a master lost an agent's link",
    "agent lost while its framework was away": "a framework with tasks on it had no stream",
    "agent marked unreachable": "the registry says that an agent does not answer",
    "agent returned": "an agent that was unreachable registered again",
    "agent returned after failover": "an agent registered again with a new leader",
    "agent marked gone": "an operator gave an agent up",
    "agent refused as gone": "an agent that was given up asked to register",
    "agent admitted late": "an agent's link was gone when the registry had admitted it",
    "agent recovered tasks": "an agent found tasks of its last life in its rows",
    "agent unregistered": "an agent left by itself",
    "crash in a write": "an agent was killed in the middle of a transaction",
    "disk refused a write": "an agent left because its rows could not be written",
    "double subscription": "a framework subscribed while its older stream was open",
    "executor group killed": "the rest of a group was killed with one of its tasks",
    "failover with unreachable agents": "a new leader found in the registry that some are lost",
    "framework returned": "a framework subscribed again",
    "framework removed": "a framework's time to return was over, or it was torn down",
    "framework removed while suppressed": "it wanted no offers when it was removed",
    "kill during launch": "a task was killed before its process ran",
    "kill of a task with an old agent link": "a kill was repeated to an agent that came back",
    "launch dropped by restart": "a launch was lost with the agent's or master's process",
    "launch failed": "a container could not be started",
    "launch with stale offers": "an ACCEPT named an offer that was gone",
    "leader changed": "another master led than before",
    "master stopped": "a master left by itself",
    "offer declined": "a framework declined an offer",
    "offer rescinded": "an offer was taken back",
    "operator's gone": "an operator was told that an agent is given up",
    "operator's weights": "an operator was told that a role's weight holds",
    "orphan destroyed": "an agent found a container that no row told of",
    "pid reused": "a process got the number of one that had ended",
    "pid taken by a stranger": "a process that is nobody's got the number of one that had ended",
    "power cut": "a machine restarted with tasks on it",
    "power cut with lost rows": "an agent's machine lost rows that were not flushed",
    "process killed by the kernel": "a task's process ended by a signal that nobody here sent",
    "reconciliation answered": "a framework asked how its tasks were",
    "reconciliation kept silent": "a master that waited for agents gave no answer",
    "registry write failed": "a master stopped because its registry could not be written",
    "slow process": "a killed process took its time to die",
    "task ended while the agent was down": "an agent learned of an end at its next start",
    "task lost": "a framework was told LOST",
    "task recovered from unreachable": "a task that was unreachable was said to run",
    "task unreachable": "a framework was told UNREACHABLE",
    "two leaders": "two masters believed that they led",
    "update of an older life": "an update of an agent's last life was delivered by its next",
    "update retried": "a framework got the same update twice",
}


class Probes:
    """The counts of one world, or of many."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def sometimes(self, name: str, times: int = 1) -> None:
        """It happened. Raises BugError for a name that is not declared."""
        if name not in NAMES:
            raise BugError(f"The probe '{name}' is not declared in probes.NAMES")
        self.counts[name] += times

    def add(self, counts: Mapping[str, int]) -> None:
        """Those of another world too."""
        self.counts.update(counts)


def missing(counts: Mapping[str, int], names: Iterable[str] = NAMES) -> list[str]:
    """Probes that were never reached, in order."""
    return [name for name in names if not counts.get(name)]
