"""Operators' event streams: SUBSCRIBED with the whole state, then every change of it.

What a snapshot says is settled in one step with the stream's entry in the table, so that it and
the events after it make the next snapshot. Fragments are rendered beforehand, a little in each turn
of the reactor. Each subscriber sees what its principal may see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.master.core.state import Framework, MasterState
from mesos_twisted.master.net.slices import in_slices
from mesos_twisted.master.views.operator import (
    CODECS,
    OperatorViews,
    subscribed_pieces,
    subscribed_size,
    visible_agent,
)
from mesos_twisted.master.views.visible import Visible
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId, TaskId
from mesos_twisted.protocol.media import Media
from mesos_twisted.transport.stream import StreamWriter

HEARTBEAT_S = 15.0
_HEARTBEAT = m.MasterEvent(type=m.MasterEventType.HEARTBEAT)
_BEATS = {media: encode(_HEARTBEAT) for media, encode in CODECS.items()}


@dataclass(slots=True, eq=False)
class _Subscriber:
    writer: StreamWriter
    media: Media
    visible: Visible


class Subscriptions:
    """Every open operator stream, oldest first; beyond `most` the oldest is dropped."""

    log = Logger()

    def __init__(self, state: MasterState, views: OperatorViews, timers: Timers, most: int) -> None:
        self._state = state
        self._views = views
        self._timers = timers
        self._most = most
        self._open: dict[_Subscriber, None] = {}
        self._timer = timers.every(HEARTBEAT_S, self._beat)

    def __len__(self) -> int:
        return len(self._open)

    def open(self, writer: StreamWriter, media: Media, visible: Visible) -> None:
        """The stream gets the state as soon as it is rendered, and events from then on."""
        one = _Subscriber(writer, media, visible)
        warmed = in_slices(self._timers, self._views.warm(media))
        if warmed is None:
            self._begin(one)
            return
        warmed.addCallback(lambda _: self._begin(one))
        warmed.addErrback(lambda failure: self._cannot_begin(one, failure))

    def publish(self, event: m.MasterEvent) -> None:
        """Tell every subscriber that may see it; encoded once for each encoding."""
        encoded: dict[Media, bytes] = {}
        for one in tuple(self._open):
            if one.visible.everything:
                payload = encoded.get(one.media)
                if payload is None:
                    payload = encoded[one.media] = CODECS[one.media](event)
                one.writer.write_record(payload)
            elif self._may_see(one.visible, event):
                one.writer.write_record(CODECS[one.media](_filtered(event, one.visible)))

    def stop(self) -> None:
        """Every stream is closed and no beat comes."""
        self._timer.cancel()
        for one in tuple(self._open):
            one.writer.close()

    def _begin(self, one: _Subscriber) -> None:
        if one.writer.closed:
            return
        state = self._views.state(one.visible, one.media)
        size = subscribed_size(state, HEARTBEAT_S, one.media)
        self._open[one] = None
        self._state.operator_subscribers = len(self._open)
        one.writer.on_closed(lambda reason: self._closed(one))
        one.writer.write_long_record(subscribed_pieces(state, HEARTBEAT_S, one.media), size)
        one.writer.write_record(_BEATS[one.media])
        if len(self._open) > self._most:
            oldest = next(iter(self._open))
            self.log.warn(
                "An operator's stream was closed: there are more than {most}", most=self._most
            )
            oldest.writer.close()

    def _cannot_begin(self, one: _Subscriber, failure: Failure) -> None:
        self.log.failure("An operator's stream has no snapshot", failure)
        one.writer.abort("The snapshot could not be made")

    def _closed(self, one: _Subscriber) -> None:
        self._open.pop(one, None)
        self._state.operator_subscribers = len(self._open)

    def _beat(self) -> None:
        for one in tuple(self._open):
            one.writer.write_record(_BEATS[one.media])

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
