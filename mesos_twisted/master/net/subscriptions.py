"""Operators' event streams: SUBSCRIBED with the whole state, then every change of it.

A snapshot is put together a little in each turn of the reactor. Which records it shows is settled
in one step with the stream's entry in the table; from then on events are held for it, and of those
about a record the ones that came before the record was looked at are dropped, for it shows them.
So a snapshot and the events after it make the next snapshot. Each subscriber sees what its
principal may see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.master.core.state import Agent, Framework, MasterState, Task
from mesos_twisted.master.views.groups import subscribed_pieces, subscribed_size
from mesos_twisted.master.views.operator import (
    CODECS,
    Gathering,
    Looked,
    OperatorViews,
    visible_agent,
)
from mesos_twisted.master.views.visible import Visible
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, FrameworkId, TaskId
from mesos_twisted.protocol.media import Media
from mesos_twisted.transport.stream import StreamWriter
from mesos_twisted.turns import Turns

HEARTBEAT_S = 15.0
_HEARTBEAT = m.MasterEvent(type=m.MasterEventType.HEARTBEAT)
_BEATS = {media: encode(_HEARTBEAT) for media, encode in CODECS.items()}


@dataclass(slots=True, eq=False)
class _Subscriber:
    writer: StreamWriter
    media: Media
    visible: Visible
    #: Events while its snapshot is put together, each with the record it is about; then None.
    held: list[tuple[Task | Agent | Framework | None, bytes]] | None = field(default_factory=list)

    def write(self, about: Task | Agent | Framework | None, payload: bytes) -> None:
        """Send it, or hold it until the snapshot is on its way."""
        if self.held is None:
            self.writer.write_record(payload)
        else:
            self.held.append((about, payload))


class Subscriptions:
    """Every open operator stream, oldest first; beyond `most` the oldest is dropped."""

    log = Logger()

    def __init__(
        self, state: MasterState, views: OperatorViews, timers: Timers, turns: Turns, most: int
    ) -> None:
        self._state = state
        self._views = views
        self._turns = turns
        self._most = most
        self._open: dict[_Subscriber, None] = {}
        self._timer = timers.every(HEARTBEAT_S, self._beat)

    def __len__(self) -> int:
        return len(self._open)

    def open(self, writer: StreamWriter, media: Media, visible: Visible) -> None:
        """The stream gets the state as soon as it is rendered, and events from then on."""
        one = _Subscriber(writer, media, visible)
        warmed = self._turns.take(self._views.warm(media))
        if warmed is None:
            self._begin(one)
            return
        warmed.addCallback(lambda _: self._begin(one))
        warmed.addErrback(lambda failure: self._cannot_begin(one, failure))

    def publish(self, event: m.MasterEvent) -> None:
        """Tell every subscriber that may see it; encoded once for each encoding."""
        encoded: dict[Media, bytes] = {}
        gathering = any(one.held is not None for one in self._open)
        about = self._about(event) if gathering else None
        for one in tuple(self._open):
            if one.visible.everything:
                payload = encoded.get(one.media)
                if payload is None:
                    payload = encoded[one.media] = CODECS[one.media](event)
                one.write(about, payload)
            elif self._may_see(one.visible, event):
                one.write(about, CODECS[one.media](_filtered(event, one.visible)))

    def stop(self) -> None:
        """Every stream is closed and no beat comes."""
        self._timer.cancel()
        for one in tuple(self._open):
            one.writer.close()

    def _begin(self, one: _Subscriber) -> None:
        if one.writer.closed:
            return
        self._open[one] = None
        self._state.operator_subscribers = len(self._open)
        one.writer.on_closed(lambda reason: self._closed(one))
        gathering = Gathering(self._views.state(one.visible, one.media))
        gathered = self._turns.take(_noting(one, gathering))
        if gathered is None:
            self._tell(one, gathering)
        else:
            gathered.addCallback(lambda _: self._tell(one, gathering))
            gathered.addErrback(lambda failure: self._cannot_begin(one, failure))
        if len(self._open) > self._most:
            oldest = next(iter(self._open))
            self.log.warn(
                "An operator's stream was closed: there are more than {most}", most=self._most
            )
            oldest.writer.close()

    def _tell(self, one: _Subscriber, gathering: Gathering) -> None:
        """The snapshot, then what happened since."""
        if one.writer.closed:
            return
        state, media = gathering.group, one.media
        size = subscribed_size(state, HEARTBEAT_S, media)
        one.writer.write_long_record(subscribed_pieces(state, HEARTBEAT_S, media), size)
        one.writer.write_record(_BEATS[media])
        held, one.held = one.held or (), None
        for _, payload in held:
            one.writer.write_record(payload)

    def _cannot_begin(self, one: _Subscriber, failure: Failure) -> None:
        self.log.failure("An operator's stream has no snapshot", failure)
        one.writer.abort("The snapshot could not be made")

    def _closed(self, one: _Subscriber) -> None:
        self._open.pop(one, None)
        self._state.operator_subscribers = len(self._open)

    def _beat(self) -> None:
        for one in tuple(self._open):
            if one.held is None:
                one.writer.write_record(_BEATS[one.media])

    def _about(self, event: m.MasterEvent) -> Task | Agent | Framework | None:
        """The record whose look shows the event; None when no look does (it is gone)."""
        state = self._state
        if event.task_added is not None or event.task_updated is not None:
            if event.task_added is not None:
                owner, name = event.task_added.task.framework_id, event.task_added.task.task_id
            else:
                assert event.task_updated is not None
                owner, name = event.task_updated.framework_id, event.task_updated.status.task_id
            framework = state.frameworks.get(FrameworkId(owner.value))
            key = TaskId(name.value)
            if framework is None:
                return None
            live = framework.tasks.get(key) or framework.unreachable.get(key)
            # It may have left the tables with this very event.
            past = (task for task in reversed(framework.completed) if task.task_id == key)
            return live or next(past, None)
        for told in (event.framework_added, event.framework_updated):
            info = told.framework.framework_info.id if told is not None else None
            if info is not None:
                return state.frameworks.get(FrameworkId(info.value))
        if event.agent_added is not None and event.agent_added.agent.agent_info.id is not None:
            return state.agents.get(AgentId(event.agent_added.agent.agent_info.id.value))
        return None

    def _may_see(self, visible: Visible, event: m.MasterEvent) -> bool:
        if event.task_added is not None:
            task = event.task_added.task
            return self._task(visible, task.framework_id.value, task.task_id.value)
        if event.task_updated is not None:
            updated = event.task_updated
            return self._task(visible, updated.framework_id.value, updated.status.task_id.value)
        for told in (event.framework_added, event.framework_updated):
            if told is not None:
                info = told.framework.framework_info
                return self._seen(visible, info.id) is not None
        if event.framework_removed is not None:
            return self._seen(visible, event.framework_removed.framework_info.id) is not None
        return True

    def _seen(self, visible: Visible, wanted: m.FrameworkID | None) -> Framework | None:
        key = FrameworkId(wanted.value if wanted is not None else "")
        found = self._state.frameworks.get(key) or self._state.completed.get(key)
        return found if found is not None and visible.framework(found) else None

    def _task(self, visible: Visible, framework_id: str, task_id: str) -> bool:
        owner = self._seen(visible, m.FrameworkID(value=framework_id))
        if owner is None:
            return False
        key = TaskId(task_id)
        task = owner.tasks.get(key) or owner.unreachable.get(key)
        # A task that has just left the tables was shown while it was there.
        return task is None or visible.task(owner, task)


def _noting(one: _Subscriber, gathering: Gathering) -> Iterator[None]:
    """Its steps; of what is held, what a step has looked at since is dropped."""
    for looked in gathering:
        _drop_shown(one, looked)
        yield None


def _drop_shown(one: _Subscriber, looked: Looked) -> None:
    if one.held and looked:
        shown = set(map(id, looked))
        one.held = [held for held in one.held if id(held[0]) not in shown]


def _filtered(event: m.MasterEvent, visible: Visible) -> m.MasterEvent:
    """The event without what the principal may not see of an agent."""
    if event.agent_added is None:
        return event
    agent = visible_agent(event.agent_added.agent, visible)
    return m.MasterEvent(type=event.type, agent_added=m.MasterEventAgentAdded(agent=agent))


def stream_start(
    subscriptions: Subscriptions, media: Media, visible: Visible
) -> Callable[[StreamWriter], None]:
    """What a StreamResponse calls once its head is on its way."""
    return lambda writer: subscriptions.open(writer, media, visible)
