"""Which faults come when: pure, and the same for the same seed.

A fault names a member of the cluster, or says `leader`: whoever leads at that instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    BLIND = "cut off from ZooKeeper"
    EXPIRE = "its sessions of ZooKeeper end"
    FULL = "full disk"
    SLOW = "slow disk"


LEADER: Final = "leader"
ENSEMBLE_LEADER: Final = "zookeeper leader"
_PROCESS = (Kind.KILL, Kind.STOP, Kind.PAUSE)
_NETWORK = (Kind.CUT, Kind.PART, Kind.ISOLATE)
_SESSION = (Kind.BLIND, Kind.EXPIRE)
#: What is over at once.
INSTANT: Final = frozenset({Kind.KILL, Kind.STOP, Kind.EXPIRE})
#: Chances of who is struck.
_WHOM: Final[Mapping[str, int]] = {
    LEADER: 5,
    "master": 2,
    "agent": 6,
    "framework": 3,
    "zookeeper": 2,
    ENSEMBLE_LEADER: 2,
}
#: Who speaks with whom.
_PEERS: Final[Mapping[str, Sequence[str]]] = {
    LEADER: ("agent", "framework", "zookeeper"),
    "master": ("agent", "framework", "zookeeper"),
    "agent": ("master", "zookeeper"),
    "framework": ("master", "zookeeper"),
    "zookeeper": ("zookeeper", "master", "agent", "framework"),
    ENSEMBLE_LEADER: ("zookeeper", "zookeeper", "master"),
}
TO_LEADER: Final = 0.7
#: What ends a process, or may.
ENDING: Final = frozenset({Kind.KILL, Kind.STOP, Kind.FULL})


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
    spared: Sequence[str] = (),
) -> tuple[Fault, ...]:
    """Faults until `until_s`, about one in `gap_s`. `members`: kind of process to names.

    What lasts is now shorter than a session of ZooKeeper, now longer. Those `spared` suffer all but
    an end and a full disk, so that they live long enough to show a slow leak.
    """
    chance = Random(seed)
    found = []
    at = gap_s
    while at < until_s:
        fault = _fault(chance, at, members, session_s)
        if fault.kind in ENDING and fault.target in spared:
            fault = replace(fault, kind=Kind.PAUSE, for_s=session_s)
        found.append(fault)
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
    if whom not in ("zookeeper", ENSEMBLE_LEADER):
        kinds += _SESSION
    kind = chance.choice(kinds)
    for_s = 0.0
    if kind not in INSTANT:
        for_s = chance.choice((0.3, 0.8, 1.5, 2.5)) * session_s * chance.uniform(0.7, 1.3)
    other = ""
    if kind in (Kind.CUT, Kind.PART):
        other = _far_end(chance, whom, target, members)
    return Fault(at, kind, target, other, for_s)


def _far_end(chance: Random, whom: str, target: str, members: Mapping[str, Sequence[str]]) -> str:
    """Somebody whom it speaks with: mostly the one that it needs."""
    kind = chance.choice(_PEERS[whom])
    if kind == "master" and chance.random() < TO_LEADER:
        return LEADER
    return chance.choice([name for name in members[kind] if name != target] or [LEADER])
