"""What is promised of the daemons themselves: who leads, why one ends, what grows; pure.

Each broken promise is one sentence.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: Growth from the first third of a run to the last that is not a leak but a cache filled.
GROWTH_MB, GROWTH = 16.0, 1.25
GROWTH_FDS: Final = 24
#: A process that lived so long beyond its start must be flat by itself.
WARM_S, LONG_S = 60.0, 300.0
#: So long after a disk was filled its agent may fail to launch, end by itself, and start in vain.
DISK_S: Final = 40.0
#: Status to words of the sentence with which a master may end by itself.
MASTER_ENDS: Final[Mapping[int, tuple[str, ...]]] = {
    1: ("must start afresh",),
    75: ("registry", "Registry"),
}
DISK_WORDS: Final = ("make room", "disk is full", "No space left")
#: A process needs as long to be ready for SIGTERM.
STARTS_S: Final = 20.0
#: Without a leader for so long, though ZooKeeper worked all the while.
LEADERLESS_S: Final = 45.0
#: ZooKeeper hangs when it commits nothing for so long after all that may excuse it …
STUCK_S: Final = 12.0
#: … or for so long whatever goes on: no fault lasts so long.
STUCK_ANYWAY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class End:
    """One end of a process.

    `by` is the signal that the run sent, None when it ended by itself; `said` the last error that
    it logged; `lived_s` how long it was there.
    """

    member: str
    at: float
    status: int
    by: signal.Signals | None
    said: str = ""
    lived_s: float = 1000.0


def soon_after(instants: Iterable[float], at: float) -> bool:
    """Is `at` so close behind one of them that it may come of it?"""
    return any(0 <= at - instant <= DISK_S for instant in instants)


def ended(end: End, full: Sequence[float]) -> list[str]:
    """Was that end as promised? `full` is when the disk was filled."""
    kind = end.member.partition("-")[0]
    if kind == "zookeeper" or _by_itself(end, kind, full):
        return []
    said = f" after {end.said!r}" if end.said else ""
    if end.by is None:
        return [f"{end.member} ended by itself with status {end.status}{said}"]
    if end.status == -end.by and (end.by is signal.SIGKILL or end.lived_s < STARTS_S):
        return []
    if end.status == -end.by and _reasoned(end, kind):
        return []  # it was ending already: nobody listens to signals any more
    if end.status == 0 and end.by is not signal.SIGKILL:
        return []
    return [f"{end.member} ended with status {end.status} on {end.by.name}{said}"]


def _by_itself(end: End, kind: str, full: Sequence[float]) -> bool:
    """Does it say a documented reason?"""
    if kind == "master":
        return any(word in end.said for word in MASTER_ENDS.get(end.status, ()))
    if end.status > 0 and soon_after(full, end.at):
        return _reasoned(end, kind)
    return False


def _reasoned(end: End, kind: str) -> bool:
    """Has it said one of the reasons to end?"""
    words = DISK_WORDS if kind == "agent" else sum(MASTER_ENDS.values(), ())
    return any(word in end.said for word in words)


@dataclass(frozen=True, slots=True)
class Lead:
    """A master's own word that its registry made it the leader of this epoch."""

    at: str
    master: str
    registry_id: str
    epoch: int


def epochs(leads: Sequence[Lead]) -> list[str]:
    """`leads` in the order of time: one registry, and each leader has a higher epoch."""
    broken = []
    for before, lead in itertools.pairwise(leads):
        if lead.registry_id != before.registry_id:
            broken.append(f"{lead.master} leads another registry than {before.master} did")
        elif lead.epoch <= before.epoch:
            broken.append(
                f"{lead.master} leads epoch {lead.epoch} after {before.master} led {before.epoch}"
            )
    return broken


@dataclass(frozen=True, slots=True)
class Look:
    """The cluster at an instant: who says that it leads, and does ZooKeeper commit?

    `commits` is None when nobody asked, because somebody leads.
    """

    at: float
    leaders: frozenset[str]
    commits: bool | None = None


def two_leaders(seen: Sequence[Look], at_most_s: float) -> list[str]:
    """Two for longer than `at_most_s` are one too many."""
    broken, since = [], None
    for look in seen:
        if len(look.leaders) < 2:
            since = None
        elif since is None:
            since = look.at
        elif look.at - since > at_most_s:
            names = " and ".join(sorted(look.leaders))
            broken.append(f"{names} both led for {look.at - since:.1f} s")
            since = None
    return broken


def leaderless(seen: Sequence[Look]) -> tuple[float, list[str]]:
    """The longest time without a leader, and sentences on those that ZooKeeper does not excuse."""
    longest, broken = 0.0, []
    since = working = None
    for look in seen:
        if look.leaders:
            since = working = None
            continue
        since = look.at if since is None else since
        longest = max(longest, look.at - since)
        if not look.commits:
            working = None
        elif working is None:
            working = look.at
        elif look.at - working > LEADERLESS_S:
            broken.append(f"nobody led for {look.at - working:.0f} s, and ZooKeeper worked")
            working = None
    return longest, broken


@dataclass
class Patience:
    """How long nobody could open a session at any ZooKeeper server, and what excused it last."""

    silent_since: float | None = None
    excused_at: float = 0.0

    def looked(self, at: float, commits: bool, disturbed: bool) -> float | None:
        """Seconds of silence when that is a hang of ZooKeeper itself; then it begins anew."""
        if commits:
            self.silent_since = None
            return None
        if self.silent_since is None:
            self.silent_since = self.excused_at = at
        if disturbed:
            self.excused_at = at
        silent_s = at - self.silent_since
        if at - self.excused_at <= STUCK_S and silent_s <= STUCK_ANYWAY_S:
            return None
        self.silent_since = None
        return silent_s


@dataclass(frozen=True, slots=True)
class Sample:
    """A daemon at an instant: resident memory and descriptors."""

    member: str
    at: float
    rss_mb: float
    fds: int
    pid: int = 0


def growth(samples: Sequence[Sample]) -> tuple[list[str], list[str]]:
    """Lines for the report, and the sentences on those that grew: first third against last.

    Each member over the whole run, and each process that lived long over its own life.
    """
    lines, broken = [], []
    for member in sorted({sample.member for sample in samples}):
        own = [sample for sample in samples if sample.member == member]
        line, grew = _thirds(member, own)
        lines.append(f"  {line}")
        for pid in dict.fromkeys(sample.pid for sample in own):
            life = [sample for sample in own if sample.pid == pid]
            warm = [sample for sample in life if sample.at >= life[0].at + WARM_S]
            if warm and warm[-1].at - warm[0].at >= LONG_S:
                line, it_grew = _thirds(f"{member}, process {pid}", warm)
                lines.append(f"    {line} in {(warm[-1].at - warm[0].at) / 60.0:.0f} min")
                grew += it_grew
        broken += grew
    return lines, broken


def _thirds(name: str, own: Sequence[Sample]) -> tuple[str, list[str]]:
    begin, end = own[0].at, own[-1].at
    first = [s for s in own if s.at <= begin + (end - begin) / 3]
    last = [s for s in own if s.at >= end - (end - begin) / 3]
    rss = [_median([s.rss_mb for s in part]) for part in (first, last)]
    fds = [_median([float(s.fds) for s in part]) for part in (first, last)]
    line = f"{name}: {rss[0]:.0f} -> {rss[1]:.0f} MB, {fds[0]:.0f} -> {fds[1]:.0f} descriptors"
    if rss[1] > rss[0] * GROWTH + GROWTH_MB or fds[1] > fds[0] + GROWTH_FDS:
        return line, [f"{line}: it grows"]
    return line, []


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
