"""Were the promises held? What frameworks heard is compared with what tasks wrote; pure.

Each broken promise is one sentence that names whom it concerns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mesos_twisted.protocol.generated.messages import TaskState as State
from mesos_twisted.protocol.states import is_terminal

#: States of a task that never ran, or of which nobody knows any more.
NEVER_RAN: Final = frozenset({State.TASK_DROPPED, State.TASK_GONE})
_ORDER: Final = (State.TASK_STAGING, State.TASK_STARTING, State.TASK_RUNNING, State.TASK_KILLING)
#: Growth from the first third of a run to the last that is not a leak but a cache filled.
GROWTH_MB, GROWTH = 16.0, 1.25
GROWTH_FDS: Final = 24
#: So long after a disk was filled its agent may fail to launch, end by itself, and start in vain.
DISK_S: Final = 40.0
#: With these a master may end by itself: it leads no more, or its registry cannot be used now.
MASTER_ENDS: Final = (1, 75)


@dataclass(frozen=True, slots=True)
class Start:
    """One time a task's process began: its pid, and the kernel's start time of it."""

    pid: int
    born: str


@dataclass(slots=True)
class Truth:
    """What a task itself wrote: `ends` are the statuses it was about to end with."""

    starts: list[Start] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)


def truth(text: str) -> Truth:
    """A task's file; its last line may be torn."""
    found = Truth()
    for line in text.split("\n")[:-1]:
        match line.split():
            case ["start", pid, born]:
                found.starts.append(Start(int(pid), born))
            case ["end", status]:
                found.ends.append(int(status))
    return found


@dataclass(slots=True)
class Story:
    """One task as its framework saw it: the ledger's updates, repetitions of a uuid left out."""

    task: str
    kind: str
    updates: list[dict[str, Any]] = field(default_factory=list)

    @property
    def terminal(self) -> dict[str, Any] | None:
        """What ended it: the agent's own word, else the first answer to a question."""
        ends = [u for u in self.updates if is_terminal(State(u["state"]))]
        return next((u for u in ends if u["uuid"]), ends[0] if ends else None)


def stories(records: Iterable[Mapping[str, Any]]) -> dict[str, Story]:
    """Task id to story, from one framework's ledger."""
    found: dict[str, Story] = {}
    seen: set[str] = set()
    for record in records:
        if record["what"] == "launch":
            found[record["task"]] = Story(record["task"], record["kind"])
        elif record["what"] == "update" and record["task"] in found:
            if record["uuid"] and record["uuid"] in seen:
                continue
            seen.add(record["uuid"])
            found[record["task"]].updates.append(dict(record))
    return found


def errors(framework: str, records: Iterable[Mapping[str, Any]]) -> list[str]:
    """A framework is never refused, and stays the one it was."""
    broken, ids = [], set()
    for record in records:
        if record["what"] == "error":
            broken.append(f"{framework} was refused: {record['message']}")
        elif record["what"] == "subscribed":
            ids.add(record["framework"])
    if len(ids) > 1:
        broken.append(f"{framework} got several ids: {', '.join(sorted(ids))}")
    return broken


def judge(story: Story, was: Truth, full: Sequence[float] = ()) -> list[str]:
    """Sentences on one task, once everything is over. `full` is when a disk was filled.

    A task that could not be launched has failed for that reason alone.
    """
    task, terminal = story.task, story.terminal
    broken = []
    if len(was.starts) > 1:
        broken.append(f"{task} was started {len(was.starts)} times")
    if terminal is None:
        last = story.updates[-1]["state"] if story.updates else "nothing"
        broken.append(f"{task} is not accounted for: the last its framework heard is {last}")
        return broken
    broken += _order(story)
    state = State(terminal["state"])
    told = f"{task} is told {state.value} ({terminal['reason'] or 'no reason'})"
    match state:
        case State.TASK_FINISHED if was.ends != [0]:
            broken.append(f"{told}, but it ended with {was.ends or 'nothing written'}")
        case State.TASK_FAILED if was.starts and (not was.ends or was.ends[0] == 0):
            broken.append(f"{told}, but it wrote {was.ends or 'no end'}")
        case State.TASK_FAILED if not was.starts and not _soon_after(full, terminal["at"]):
            broken.append(f"{told}, but it was never started: {terminal['message']}")
        case State.TASK_FAILED if was.ends and not _names(terminal["message"], was.ends[0]):
            broken.append(f"{told} with {terminal['message']!r}, but it ended with {was.ends[0]}")
        case State.TASK_KILLED if story.kind != "killed":
            broken.append(f"{told}, but nobody killed it")
        case _ if state in NEVER_RAN and was.starts:
            broken.append(f"{told}, but it ran, and wrote {was.ends or 'no end'}")
        case State.TASK_LOST | State.TASK_GONE_BY_OPERATOR | State.TASK_ERROR:
            broken.append(f"{told}, which nothing in this run brings about")
    return broken


def _soon_after(instants: Iterable[float], at: float) -> bool:
    """Is `at` so close behind one of them that it may come of it?"""
    return any(0 <= at - instant <= DISK_S for instant in instants)


def ended(member: str, status: int, at: float, full: Sequence[float]) -> list[str]:
    """One that ended by itself. `full` is when its disk was filled."""
    kind = member.partition("-")[0]
    if kind == "zookeeper" or (kind == "master" and status in MASTER_ENDS):
        return []
    if status > 0 and _soon_after(full, at):
        return []
    return [f"{member} ended by itself with status {status}"]


def _names(message: str, status: int) -> bool:
    """Does a sentence on an end name this status?"""
    wanted = ("SIGKILL", "signal Killed", "signal 9") if status < 0 else (f"status {status}",)
    return any(word in message for word in wanted)


def _order(story: Story) -> list[str]:
    """What the agent told came in order, all of it, and nothing after the end."""
    reliable = [u for u in story.updates if u["uuid"]]
    states = [State(u["state"]) for u in reliable]
    broken = []
    ranks = [_ORDER.index(s) if s in _ORDER else len(_ORDER) for s in states]
    if ranks != sorted(ranks):
        broken.append(f"{story.task}: updates out of order: {[s.value for s in states]}")
    if sum(map(is_terminal, states)) > 1:
        broken.append(f"{story.task} ended more than once: {[s.value for s in states]}")
    last = State(reliable[-1]["state"]) if reliable else None
    if last is State.TASK_FINISHED and State.TASK_RUNNING not in states:
        broken.append(f"{story.task} finished, but that it ran was never told")
    # A question may be answered with the end before the agent's own word of it comes.
    ended = next((u for u in story.updates if is_terminal(State(u["state"]))), None)
    if ended is not None:
        after = story.updates[story.updates.index(ended) + 1 :]
        late = [u["state"] for u in after if u["uuid"] or not is_terminal(State(u["state"]))]
        if any(state != ended["state"] for state in late):
            broken.append(f"{story.task} was {ended['state']} ({ended['reason']}), and then {late}")
    return broken


@dataclass(frozen=True, slots=True)
class Sample:
    """A daemon at an instant: resident memory and descriptors."""

    member: str
    at: float
    rss_mb: float
    fds: int


def growth(samples: Sequence[Sample]) -> tuple[list[str], list[str]]:
    """Lines for the report, and the sentences on those that grew: first third against last."""
    lines, broken = [], []
    for member in sorted({sample.member for sample in samples}):
        own = [sample for sample in samples if sample.member == member]
        begin, end = own[0].at, own[-1].at
        first = [s for s in own if s.at <= begin + (end - begin) / 3]
        last = [s for s in own if s.at >= end - (end - begin) / 3]
        rss = [_median([s.rss_mb for s in part]) for part in (first, last)]
        fds = [_median([float(s.fds) for s in part]) for part in (first, last)]
        line = (
            f"{member}: {rss[0]:.0f} -> {rss[1]:.0f} MB, {fds[0]:.0f} -> {fds[1]:.0f} descriptors"
        )
        lines.append(line)
        if rss[1] > rss[0] * GROWTH + GROWTH_MB or fds[1] > fds[0] + GROWTH_FDS:
            broken.append(f"{line}: it grows")
    return lines, broken


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def two_leaders(seen: Sequence[tuple[float, frozenset[str]]], at_most_s: float) -> list[str]:
    """`seen`: when, and who said to lead. Two for longer than `at_most_s` are one too many."""
    broken, since = [], None
    for at, leaders in seen:
        if len(leaders) < 2:
            since = None
        elif since is None:
            since = at
        elif at - since > at_most_s:
            broken.append(f"{' and '.join(sorted(leaders))} both led for {at - since:.1f} s")
            since = None
    return broken
