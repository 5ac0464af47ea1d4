"""The states of one container, and which event leads where: a table, and nothing else.

    PREPARING -> STARTING -> RUNNING -> ENDED -> DESTROYING -> DESTROYED

Every state before the last may go to
DESTROYING. An event that a state does not allow is refused, and the state stays.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class ContainerState(enum.Enum):
    """Where a container stands."""

    PREPARING = "preparing"
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"


class ContainerEvent(enum.Enum):
    """What can happen to a container."""

    PREPARED = "prepared"
    STARTED = "started"
    RECOVERED = "recovered"
    EXITED = "exited"
    DESTROY = "destroy"
    CLEANED = "cleaned"


_S, _E = ContainerState, ContainerEvent
TRANSITIONS: Mapping[tuple[ContainerState, ContainerEvent], ContainerState] = MappingProxyType(
    {
        (_S.PREPARING, _E.PREPARED): _S.STARTING,
        (_S.PREPARING, _E.RECOVERED): _S.RUNNING,
        (_S.PREPARING, _E.DESTROY): _S.DESTROYING,
        (_S.STARTING, _E.STARTED): _S.RUNNING,
        (_S.STARTING, _E.EXITED): _S.ENDED,
        (_S.STARTING, _E.DESTROY): _S.DESTROYING,
        (_S.RUNNING, _E.EXITED): _S.ENDED,
        (_S.RUNNING, _E.DESTROY): _S.DESTROYING,
        (_S.ENDED, _E.DESTROY): _S.DESTROYING,
        (_S.DESTROYING, _E.PREPARED): _S.DESTROYING,
        (_S.DESTROYING, _E.STARTED): _S.DESTROYING,
        (_S.DESTROYING, _E.EXITED): _S.DESTROYING,
        (_S.DESTROYING, _E.DESTROY): _S.DESTROYING,
        (_S.DESTROYING, _E.CLEANED): _S.DESTROYED,
    }
)


def step(state: ContainerState, event: ContainerEvent) -> ContainerState | None:
    """The state after `event`, or None when `state` does not allow it."""
    return TRANSITIONS.get((state, event))
