"""Were the promises held? What frameworks heard is compared with what tasks wrote; pure.

Each broken promise is one sentence that names whom it concerns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mesos_twisted.protocol.generated.messages import TaskState as State
from mesos_twisted.protocol.states import is_terminal
from mesos_twisted.testing.chaos.health import soon_after

#: States of a task that never ran, or of which nobody knows any more.
NEVER_RAN: Final = frozenset({State.TASK_DROPPED, State.TASK_GONE})
#: Why a master tells the state of a task whose agent is back.
RETURNED: Final = "REASON_AGENT_REREGISTERED"
_ORDER: Final = (State.TASK_STAGING, State.TASK_STARTING, State.TASK_RUNNING, State.TASK_KILLING)


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
    #: States that were told again after a later one had come.
    stale: list[str] = field(default_factory=list)

    @property
    def terminal(self) -> dict[str, Any] | None:
        """What ended it: the agent's own word, else the first answer to a question."""
        ends = [u for u in self.updates if is_terminal(State(u["state"]))]
        return next((u for u in ends if u["uuid"]), ends[0] if ends else None)


def stories(records: Iterable[Mapping[str, Any]]) -> dict[str, Story]:
    """Task id to story, from one framework's ledger."""
    found: dict[str, Story] = {}
    for record in records:
        if record["what"] == "launch":
            found[record["task"]] = Story(record["task"], record["kind"])
        elif record["what"] == "update" and record["task"] in found:
            story = found[record["task"]]
            told = [update["uuid"] for update in story.updates if update["uuid"]]
            if record["uuid"] not in told:
                story.updates.append(dict(record))
            elif record["uuid"] != told[-1]:
                story.stale.append(record["state"])
    return found


def strangers(records: Iterable[Mapping[str, Any]], started: Iterable[str]) -> list[str]:
    """Tasks that were told of, or `started`, and which nobody launched."""
    launched, broken = set(), []
    for record in records:
        if record["what"] == "launch":
            if record["task"] in launched:
                broken.append(f"{record['task']} was launched under an id that was taken")
            launched.add(record["task"])
        elif record["what"] == "update" and record["task"] not in launched:
            broken.append(f"{record['task']} was told {record['state']}, and was never launched")
    return broken + [f"{task} ran, and was never launched" for task in {*started} - launched]


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
    broken += _order(story, ran=bool(was.starts))
    state = State(terminal["state"])
    told = f"{task} is told {state.value} ({terminal['reason'] or 'no reason'})"
    match state:
        case State.TASK_FINISHED if was.ends != [0]:
            broken.append(f"{told}, but it ended with {was.ends or 'nothing written'}")
        case State.TASK_FAILED if was.starts and (not was.ends or was.ends[0] == 0):
            broken.append(f"{told}, but it wrote {was.ends or 'no end'}")
        case State.TASK_FAILED if not was.starts and not soon_after(full, terminal["at"]):
            broken.append(f"{told}, but it was never started: {terminal['message']}")
        case State.TASK_FAILED if was.ends and not _names(terminal["message"], was.ends[0]):
            broken.append(f"{told} with {terminal['message']!r}, but it ended with {was.ends[0]}")
        case State.TASK_KILLED if story.kind != "killed":
            broken.append(f"{told}, but nobody killed it")
        case State.TASK_KILLED if was.ends:
            broken.append(f"{told}, but it ended with {was.ends}")
        case _ if state in NEVER_RAN and was.starts:
            broken.append(f"{told}, but it ran, and wrote {was.ends or 'no end'}")
        case State.TASK_LOST | State.TASK_GONE_BY_OPERATOR | State.TASK_ERROR:
            broken.append(f"{told}, which nothing in this run brings about")
    return broken


def _names(message: str, status: int) -> bool:
    """Does a sentence on an end name this status?"""
    wanted = ("SIGKILL", "signal Killed", "signal 9") if status < 0 else (f"status {status}",)
    return any(word in message for word in wanted)


def _order(story: Story, ran: bool) -> list[str]:
    """What the agent told came in order, all of it, and nothing after the end."""
    reliable = [u for u in story.updates if u["uuid"]]
    states = [State(u["state"]) for u in reliable]
    broken = []
    ranks = [_ORDER.index(s) if s in _ORDER else len(_ORDER) for s in states]
    if ranks != sorted(ranks):
        broken.append(f"{story.task}: updates out of order: {[s.value for s in states]}")
    if sum(map(is_terminal, states)) > 1:
        broken.append(f"{story.task} ended more than once: {[s.value for s in states]}")
    if story.stale:
        broken.append(f"{story.task} was told {story.stale} again after a later state")
    # The executor's own updates are one stream: an end in it has all that was before it.
    own = [State(u["state"]) for u in reliable if u["source"] == "SOURCE_EXECUTOR"]
    if own and is_terminal(own[-1]) and ran:
        lost = [s.value for s in (State.TASK_STARTING, State.TASK_RUNNING) if s not in own]
        if lost:
            broken.append(f"{story.task} ended {own[-1].value}, but {lost} was never told")
    return broken + _after_the_end(story)


def _after_the_end(story: Story) -> list[str]:
    """What came after the first word of an end goes with it.

    That word may be an answer of the master, ahead of the agent's own: then that one says the same.
    As in Mesos, a master that loses the agent before the end was acknowledged there says it is
    UNREACHABLE; when the agent is back it tells the task's latest state at once, and what the agent
    still has to say before that comes behind.
    """
    ended = next((u for u in story.updates if is_terminal(State(u["state"]))), None)
    if ended is None:
        return []
    late, behind = [], ended["reason"] == RETURNED
    for update in story.updates[story.updates.index(ended) + 1 :]:
        state, reliable = State(update["state"]), bool(update["uuid"])
        over = is_terminal(state)
        behind = behind and not (reliable and over)
        if (state is State.TASK_UNREACHABLE and not reliable) or (behind and not over):
            continue
        if reliable or not over or update["reason"] == RETURNED:
            late.append(update["state"])
    if any(state != ended["state"] for state in late):
        return [f"{story.task} was {ended['state']} ({ended['reason']}), and then {late}"]
    return []
