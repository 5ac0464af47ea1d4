"""One framework's standing with the master: subscribe, fail over, acknowledge, reconcile.

The conversation: the driver opens a stream with `subscribe()`; SUBSCRIBED gives the framework its
id; every event is delivered to the author, and an update that needs it is acknowledged once the
author's callback has returned. When the stream ends or falls silent the session says how long to
wait and subscribes again under the same id, then reconciles what it knew to be running.
Time and chance come in as arguments; connections and callbacks are the driver's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from mesos_twisted.clock import backoff
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import is_terminal

#: Heartbeats that may be missed before the stream counts as dead.
MISSED_HEARTBEATS = 5
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 15.0
DEFAULT_HEARTBEAT_S = 15.0


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give the event to the author's callback."""

    event: m.SchedulerEvent


@dataclass(frozen=True, slots=True)
class Post:
    """Send a call; its answer is 202 or a refusal to log."""

    call: m.SchedulerCall


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Close the stream and subscribe again after so many seconds."""

    after_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The master will not have this framework (any more); `reason` is its sentence."""

    reason: str


Action: TypeAlias = Deliver | Post | Reconnect | Stop


@dataclass(slots=True)
class Session:
    """What a scheduler knows of itself. `framework` gets its id with the first SUBSCRIBED."""

    framework: m.FrameworkInfo
    suppressed: frozenset[str] = frozenset()
    subscribed: bool = False
    stopped: bool = False
    heartbeat_s: float = DEFAULT_HEARTBEAT_S
    heard_at: float = 0.0
    attempts: int = 0
    #: Tasks not known to have ended: task id to agent id; reconciled after each reconnect.
    live: dict[str, str] = field(default_factory=dict)

    @property
    def framework_id(self) -> str | None:
        """The id the master gave, or None before the first SUBSCRIBED."""
        return self.framework.id.value if self.framework.id else None

    def subscribe(self, now: float) -> m.SchedulerCall:
        """The call that opens the stream."""
        self.heard_at = now
        return m.SchedulerCall(
            type=m.SchedulerCallType.SUBSCRIBE,
            framework_id=self.framework.id,
            subscribe=m.SchedulerCallSubscribe(
                framework_info=self.framework, suppressed_roles=tuple(sorted(self.suppressed))
            ),
        )

    def received(self, event: m.SchedulerEvent, now: float) -> list[Action]:
        """What follows from one event of the stream."""
        self.heard_at = now
        kind = m.SchedulerEventType
        if event.type is kind.SUBSCRIBED and event.subscribed:
            return self._subscribed(event)
        if event.type is kind.HEARTBEAT:
            return []
        if event.type is kind.ERROR:
            self.stopped, self.subscribed = True, False
            return [Deliver(event), Stop(event.error.message if event.error else "unknown error")]
        if event.type is kind.UPDATE and event.update:
            self._note(event.update.status)
            return [Deliver(event)]
        return [] if event.type is None else [Deliver(event)]

    def _subscribed(self, event: m.SchedulerEvent) -> list[Action]:
        assert event.subscribed is not None
        again = self.framework.id is not None
        self.framework = msgspec.structs.replace(self.framework, id=event.subscribed.framework_id)
        self.heartbeat_s = event.subscribed.heartbeat_interval_seconds or DEFAULT_HEARTBEAT_S
        self.subscribed, self.attempts = True, 0
        actions: list[Action] = [Deliver(event)]
        if again and self.live:
            actions.append(Post(self.reconcile(dict(self.live))))
        return actions

    def _note(self, status: m.TaskStatus) -> None:
        task_id = status.task_id.value
        if is_terminal(status.state):
            self.live.pop(task_id, None)
        elif status.agent_id is not None:
            self.live[task_id] = status.agent_id.value
        else:
            # A master that does not know the task names no agent; ours is still the one to ask of.
            self.live.setdefault(task_id, "")

    def launched(self, tasks: dict[str, str]) -> None:
        """These tasks (id to agent id) were sent to the master."""
        self.live.update(tasks)

    def acknowledge(self, status: m.TaskStatus) -> m.SchedulerCall | None:
        """The acknowledgement that a handled update needs; None when it carries no uuid."""
        if status.uuid is None or status.agent_id is None:
            return None
        return m.SchedulerCall(
            type=m.SchedulerCallType.ACKNOWLEDGE,
            framework_id=self.framework.id,
            acknowledge=m.SchedulerCallAcknowledge(
                agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid
            ),
        )

    def reconcile(self, tasks: dict[str, str]) -> m.SchedulerCall:
        """Ask for the state of these tasks (id to agent id or empty); none: of all."""
        return m.SchedulerCall(
            type=m.SchedulerCallType.RECONCILE,
            framework_id=self.framework.id,
            reconcile=m.SchedulerCallReconcile(
                tasks=tuple(
                    m.SchedulerCallReconcileTask(
                        task_id=m.TaskID(value=task),
                        agent_id=m.AgentID(value=agent) if agent else None,
                    )
                    for task, agent in tasks.items()
                )
            ),
        )

    def closed(self, reason: str, jitter: float) -> list[Action]:
        """The stream ended or could not be opened; `jitter` is random in [0, 1)."""
        self.subscribed = False
        if self.stopped:
            return []
        wait = backoff(self.attempts, FIRST_WAIT_S, LONGEST_WAIT_S, jitter)
        self.attempts += 1
        return [Reconnect(wait, reason)]

    def silent(self, now: float) -> bool:
        """Has the stream missed so many heartbeats that it must be taken for dead?"""
        return self.subscribed and now - self.heard_at > MISSED_HEARTBEATS * self.heartbeat_s
