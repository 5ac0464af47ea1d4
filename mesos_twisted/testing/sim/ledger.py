"""What frameworks asked for and what they were told, kept outside of everything that can fail.

The auditor compares it with what really happened on the hosts. One ledger is for a whole world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import is_terminal


@dataclass(frozen=True, slots=True)
class Seen:
    """One status update as a framework got it. `at` is the world's time."""

    at: float
    state: m.TaskState
    uuid: bytes | None
    source: m.TaskStatusSource | None
    reason: m.TaskStatusReason | None
    message: str | None
    agent_id: str | None


@dataclass(slots=True)
class Launch:
    """A task that a framework asked for, and its story."""

    task_id: str
    framework: str
    agent_id: str
    command: str
    at: float
    #: The call's answer was 202 (True), a refusal (False), or never came (None).
    taken: bool | None = None
    kill_asked: float | None = None
    seen: list[Seen] = field(default_factory=list)
    #: Updates that the framework acknowledged, in order.
    acked: list[bytes] = field(default_factory=list)

    @property
    def last(self) -> m.TaskState | None:
        """The state last told."""
        return self.seen[-1].state if self.seen else None

    @property
    def over(self) -> bool:
        """Was an end told?"""
        return any(is_terminal(one.state) for one in self.seen)


class Ledger:
    """Every launch of every framework, in order."""

    def __init__(self) -> None:
        self.launches: dict[str, Launch] = {}
        #: Updates of tasks that nobody launched: (framework, task).
        self.strange: list[tuple[str, str]] = []
        #: Hears of each update that a framework got.
        self.heard: Callable[[Launch, Seen], object] | None = None

    def launched(
        self, task_id: str, framework: str, agent_id: str, command: str, at: float
    ) -> Launch:
        """A framework is about to ask for it."""
        launch = Launch(task_id, framework, agent_id, command, at)
        assert task_id not in self.launches, task_id
        self.launches[task_id] = launch
        return launch

    def told(self, framework: str, status: m.TaskStatus, at: float) -> Launch | None:
        """A framework got an update."""
        launch = self.launches.get(status.task_id.value)
        if launch is None or launch.framework != framework:
            self.strange.append((framework, status.task_id.value))
            return None
        agent = None if status.agent_id is None else status.agent_id.value
        seen = Seen(
            at, status.state, status.uuid, status.source, status.reason, status.message, agent
        )
        launch.seen.append(seen)
        if self.heard is not None:
            self.heard(launch, seen)
        return launch

    def of(self, framework: str) -> Iterator[Launch]:
        """One framework's launches, in order."""
        return (one for one in self.launches.values() if one.framework == framework)
