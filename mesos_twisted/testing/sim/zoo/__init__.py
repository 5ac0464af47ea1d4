"""A zoo of planted bugs: mistakes that others made, each of which a simulation must find.

    BUGS["updates-overtake"].plant()     a context manager: the mistake is in, and out again
    hunt.find(bug, range(2000))          the first seed whose world breaks a promise with it

A bug that no seed finds is a hole in the faults, the frameworks or the auditor; `seeds.py` says
which seed finds which bug, and of those not found why.
"""

from __future__ import annotations

from typing import Final

from mesos_twisted.testing.sim.zoo import (
    allocation,
    dos,
    failover,
    launch_kill,
    recovery,
    updates,
    zookeeper,
)
from mesos_twisted.testing.sim.zoo.planted import PlantedBug

__all__ = ["BUGS", "PlantedBug"]

#: Every planted bug by its name.
BUGS: Final[dict[str, PlantedBug]] = {
    bug.name: bug
    for area in (updates, launch_kill, failover, zookeeper, allocation, recovery, dos)
    for bug in area.BUGS
}
