"""Agents that start again: what they find, and what they make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesos_twisted.agent.core import recovery
from mesos_twisted.agent.core.effects import Effect
from mesos_twisted.agent.core.restore import Read, read_rows
from mesos_twisted.agent.core.state import AgentState
from mesos_twisted.containerizer.core.container import ContainerConfig, ContainerId, Recovered
from mesos_twisted.containerizer.mesos import MesosContainerizer
from mesos_twisted.containerizer.zygote_messages import Entry
from mesos_twisted.errors import BugError, UnavailableError
from mesos_twisted.testing.sim.zoo.planted import PlantedBug, swap

AREA = "recovery"

_read_rows = read_rows
_recover = MesosContainerizer._recover


def _every_row(records: Mapping[str, bytes], out: list[Effect]) -> Read:
    """A row that was written can be read."""
    read = _read_rows(records, out)
    if read.errors:
        raise BugError(f"Row {read.errors[0][0]} is empty or cut short.")
    return read


def _not_told(state: AgentState, out: list[Effect], read: Read, now: float) -> None:
    """Of what cannot be read nothing can be said."""


def _exits_are_told(
    self: MesosContainerizer, container_id: ContainerId, entry: Entry | None
) -> None:
    """How a process ended will be told, also when it ended before there was anybody to tell."""


async def _helpers_live(
    self: MesosContainerizer, known: Mapping[ContainerId, ContainerConfig | None]
) -> list[Recovered]:
    """What helps a container outlives the agent."""
    recovered = await _recover(self, known)
    missing = [one.container_id for one in recovered if not one.pid]
    if missing:
        raise UnavailableError(f"The helper of container {missing[0]} is gone.")
    return recovered


async def _strays_stay(self: MesosContainerizer) -> None:
    """What nobody knows is nobody's concern."""


async def _recover_by_pid(
    self: MesosContainerizer, known: Mapping[ContainerId, ContainerConfig | None]
) -> list[Recovered]:
    """A container whose number belongs to a living process lives."""
    await self._launcher.connect()
    launcher: Any = self._launcher
    alive = {*launcher.kernel.strangers, *(one.pid for one in launcher.kernel.running())}
    recovered = await _recover(self, known)
    found = []
    for one in recovered:
        taken = one.termination is not None and one.pid in alive
        if taken:
            self._containers[one.container_id].ended = None
        found.append(Recovered(one.container_id, one.pid, None) if taken else one)
    return found


BUGS = (
    PlantedBug(
        "empty-row-blocks-the-start",
        AREA,
        "a row that is empty or cut short keeps the agent from starting, though it may go without",
        swap((recovery, "read_rows", _every_row)),
        (9507, 648),
    ),
    PlantedBug(
        "torn-task-not-told",
        AREA,
        "a task whose row was torn vanishes, and what was said of it stays the last word",
        swap((recovery, "_report_unreadable", _not_told)),
        (648,),
    ),
    PlantedBug(
        "exit-while-away-unnoticed",
        AREA,
        "a task that ends while its agent is down is taken for running",
        swap((MesosContainerizer, "_ended_as", _exits_are_told)),
        (8391,),
    ),
    PlantedBug(
        "pid-taken-for-identity",
        AREA,
        "a process got the number of one that had ended, and is taken for it",
        swap((MesosContainerizer, "_recover", _recover_by_pid)),
        (8125,),
    ),
    PlantedBug(
        "helper-must-have-lived",
        AREA,
        "an agent cannot start because something beside a container died with it",
        swap((MesosContainerizer, "_recover", _helpers_live)),
        (10066,),
    ),
    PlantedBug(
        "orphans-stay",
        AREA,
        "containers that the agent knows nothing of are left running",
        swap((MesosContainerizer, "_destroy_strays", _strays_stay)),
        (3573, 2367, 9966),
    ),
)
