"""Who leads, as an elector tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from twisted.internet.defer import Deferred

from mesos_twisted.protocol.generated import messages as m

#: Hears who contends, the leader first.
Contending: TypeAlias = Callable[[Sequence[m.MasterInfo]], object]


@dataclass(frozen=True, slots=True)
class Contender:
    """A master that leads or may lead; its id is new at each start."""

    host: str
    port: int
    id: str


class Elector(Protocol):
    """Contends for one master and tells it, and later its followers, who leads.

    `changed(leader, is_us)` is called with each change; None means that no leader is known. A
    master that led and hears anything but itself must stop at once.
    """

    def start(
        self, candidate: m.MasterInfo, changed: Callable[[m.MasterInfo | None, bool], None]
    ) -> None:
        """Begin to contend."""
        ...

    def stop(self) -> Deferred[None]:
        """Give up leading at once; fires when the others can know it."""
        ...


class Detector(Protocol):
    """Tells who leads to those who never will: agents, frameworks, tools."""

    def start(
        self,
        changed: Callable[[m.MasterInfo | None], None],
        contending: Contending | None = None,
    ) -> None:
        """`changed(leader)` is called with each change; None means that no leader is known, which
        is so at first. `contending` hears who else might lead, if it is given.
        """
        ...

    def stop(self) -> Deferred[None]:
        """Nothing more is told; fires when nothing is left."""
        ...
