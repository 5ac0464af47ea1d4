"""Which faults come when: pure, and the same for the same seed.

A fault names a member of the cluster, or says `leader`: whoever leads at that instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final


class Kind(Enum):
    """What happens."""

    KILL = "kill -9"
    STOP = "SIGTERM"
    PAUSE = "SIGSTOP"
    CUT = "nothing reaches"
    PART = "nothing passes between it and"
    ISOLATE = "off the network"
    FULL = "full disk"
    SLOW = "slow disk"


LEADER: Final = "leader"
ENSEMBLE_LEADER: Final = "zookeeper leader"
_PROCESS = (Kind.KILL, Kind.STOP, Kind.PAUSE)
_NETWORK = (Kind.CUT, Kind.PART, Kind.ISOLATE)
#: Chances of who is struck.
_WHOM: Final[Mapping[str, int]] = {
    LEADER: 5,
    "master": 2,
    "agent": 6,
    "framework": 3,
    "zookeeper": 2,
    ENSEMBLE_LEADER: 2,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`other` is the far end of a cut; `for_s` how long it lasts, where it lasts."""

    at_s: float
    kind: Kind
    target: str
    other: str = ""
    for_s: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.target}: {self.kind.value}{' ' + self.other if self.other else ''}{lasts}"


def plan(
    seed: int,
    members: Mapping[str, Sequence[str]],
    until_s: float,
    *,
    session_s: float,
    gap_s: float = 4.0,
) -> tuple[Fault, ...]:
    """Faults until `until_s`, about one in `gap_s`. `members`: kind of process to names.

    What lasts is now shorter than a session of ZooKeeper, now longer.
    """
    chance = Random(seed)
    found = []
    at = gap_s
    while at < until_s:
        found.append(_fault(chance, at, members, session_s))
        at += chance.uniform(0.3, 1.7) * gap_s
    return tuple(found)


def _fault(
    chance: Random, at: float, members: Mapping[str, Sequence[str]], session_s: float
) -> Fault:
    whom = chance.choices(list(_WHOM), list(_WHOM.values()))[0]
    target = whom if whom in (LEADER, ENSEMBLE_LEADER) else chance.choice(list(members[whom]))
    kinds: tuple[Kind, ...] = (*_PROCESS, *_PROCESS, *_NETWORK)
    if whom == "agent":
        kinds += (Kind.FULL, Kind.SLOW, Kind.SLOW)
    kind = chance.choice(kinds)
    for_s = 0.0
    if kind not in (Kind.KILL, Kind.STOP):
        for_s = chance.choice((0.3, 0.8, 1.5, 2.5)) * session_s * chance.uniform(0.7, 1.3)
    other = ""
    if kind in (Kind.CUT, Kind.PART):
        everyone = [name for names in members.values() for name in names if name != target]
        other = chance.choice(everyone)
    return Fault(at, kind, target, other, for_s)
