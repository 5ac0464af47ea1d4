"""Frameworks' calls and streams: I2, I12, I14.

Each task of an ACCEPT goes to its agent or is answered, each task asked about is answered, and a
framework has one stream and its time to return.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mesos_twisted.master.core import events as ev
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId, TaskId
from mesos_twisted.testing.sim.auditor_scene import Check, MasterLife, MasterTurn, Scene

_Call = m.SchedulerCallType
_Event = m.SchedulerEventType
_RECONCILED = m.TaskStatusReason.REASON_RECONCILIATION
_ROUNDING_S = 1e-3


def launched_by(accept: m.SchedulerCallAccept) -> Iterator[str]:
    """The ids of all tasks that an ACCEPT wants to launch."""
    for operation in accept.operations:
        if operation.launch is not None:
            yield from (task.task_id.value for task in operation.launch.task_infos)
        if operation.launch_group is not None:
            yield from (t.task_id.value for t in operation.launch_group.task_group.tasks)


def ordered_in(turn: MasterTurn) -> Iterator[str]:
    """The ids of all tasks that were sent to agents in this turn."""
    for _, message in turn.ordered:
        if isinstance(message, agentlink.RunTask):
            yield message.task.task_id.value
        elif isinstance(message, agentlink.RunTaskGroup):
            yield from (task.task_id.value for task in message.task_group.tasks)


def statuses_in(turn: MasterTurn) -> Iterator[m.TaskStatus]:
    """All statuses that were sent to frameworks in this turn."""
    for _, event in turn.told:
        if event.update is not None:
            yield event.update.status


class Frameworks(Check):
    """See the module's head."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._closed_at: dict[tuple[MasterLife, FrameworkId], float] = {}
        self._torn_down: set[FrameworkId] = set()
        self._seen: set[FrameworkId] = set()
        self._removed: dict[MasterLife, int] = {}

    def master_turn(self, life: MasterLife, turn: MasterTurn) -> None:
        """What one event of a framework led to."""
        self._nobodys(life, turn)
        event = turn.event
        if isinstance(event, ev.SchedulerCalled):
            call = event.call
            if call.type is _Call.ACCEPT and call.accept is not None:
                self._accepted(life, turn, event, call.accept)
            elif call.type is _Call.RECONCILE and call.reconcile is not None:
                self._reconciled(life, turn, event, call.reconcile)
            elif call.type is _Call.TEARDOWN:
                self._torn_down.add(event.framework_id)
        elif isinstance(event, ev.SchedulerSubscribed):
            self._subscribed(life, turn, event)
        elif isinstance(event, ev.SchedulerClosed):
            for framework in life.state.frameworks.values():
                if not framework.connected:
                    key = (life, framework.framework_id)
                    self._closed_at.setdefault(key, event.now)
        elif isinstance(event, ev.TeardownAsked):
            self._torn_down.add(event.framework_id)
        if len(life.state.completed) != self._removed.get(life, 0):
            self._removed[life] = len(life.state.completed)
            self._look_at_removed(life)

    # I2

    def _accepted(
        self,
        life: MasterLife,
        turn: MasterTurn,
        event: ev.SchedulerCalled,
        accept: m.SchedulerCallAccept,
    ) -> None:
        framework = life.state.frameworks.get(event.framework_id)
        if framework is None or not framework.connected:
            return
        if len(turn.standing) < len(accept.offer_ids):
            self.scene.probes.sometimes("launch with stale offers")
        sent = Counter(ordered_in(turn))
        told = Counter(status.task_id.value for status in statuses_in(turn))
        for task_id in launched_by(accept):
            ends = sent[task_id] + told[task_id]
            if ends == 0:
                self.scene.violated(
                    "I2", f"The launch of task {task_id} led to nothing", event.framework_id
                )
            elif ends > 1:
                self.scene.violated(
                    "I2",
                    f"The launch of task {task_id} had {ends} outcomes",
                    f"{sent[task_id]} sent to an agent, {told[task_id]} answered",
                )

    # I12

    def _reconciled(
        self,
        life: MasterLife,
        turn: MasterTurn,
        event: ev.SchedulerCalled,
        call: m.SchedulerCallReconcile,
    ) -> None:
        state = life.state
        framework = state.frameworks.get(event.framework_id)
        if framework is None or not framework.connected:
            return
        got = Counter(
            status.task_id.value
            for status in statuses_in(turn)
            if status.reason is _RECONCILED and status.uuid is None
        )
        if got:
            self.scene.probes.sometimes("reconciliation answered")
        for status in statuses_in(turn):
            task = framework.tasks.get(TaskId(status.task_id.value))
            if task is not None and status.state not in (task.forwarded, task.state):
                self.scene.violated(
                    "I12",
                    f"Task {task.task_id} is known and was said to be {status.state.value}",
                    f"{task.state.value}, last told {task.forwarded}",
                )
        wanted = turn.answers or Counter()
        if sum(wanted.values()) < len(call.tasks):
            self.scene.probes.sometimes("reconciliation kept silent")
        if got != wanted:
            wrong = sorted((got - wanted) | (wanted - got))
            self.scene.violated(
                "I12",
                f"A reconciliation was not answered once for each task: {', '.join(wrong[:3])}",
                f"{event.framework_id} asked for {len(call.tasks) or 'all'}",
            )

    # I14

    def _nobodys(self, life: MasterLife, turn: MasterTurn) -> None:
        for owner, event in turn.told:
            if owner is None and event.type is not _Event.ERROR:
                kind = "an event" if event.type is None else event.type.value
                self.scene.violated(
                    "I14", f"{kind} was sent to a stream that belongs to no framework"
                )

    def _subscribed(
        self, life: MasterLife, turn: MasterTurn, event: ev.SchedulerSubscribed
    ) -> None:
        state = life.state
        owner = state.framework_of.get(event.connection)
        if owner is None:
            return
        self._closed_at.pop((life, owner), None)
        given = event.subscribe.framework_info.id
        if given is not None:
            self.scene.probes.sometimes("framework returned")
        old = turn.stream
        if old is not None and old != event.connection:
            self.scene.probes.sometimes("double subscription")
            if old not in turn.closed or old in state.framework_of:
                self.scene.violated(
                    "I14", f"Framework {owner} has a new stream and its old one stays open"
                )

    def _look_at_removed(self, life: MasterLife) -> None:
        for framework_id, framework in life.state.completed.items():
            if framework_id in self._seen or framework.unregistered_at is None:
                continue
            self._seen.add(framework_id)
            self.scene.probes.sometimes("framework removed")
            if framework.suppressed:
                self.scene.probes.sometimes("framework removed while suppressed")
            if framework_id in self._torn_down:
                continue
            since = self._closed_at.get((life, framework_id), framework.registered_at)
            had = framework.unregistered_at - since
            if had < framework.info.failover_timeout - _ROUNDING_S:
                self.scene.violated(
                    "I14",
                    f"Framework {framework_id} was removed before its time to return was over",
                    f"after {had:.3f} s of {framework.info.failover_timeout:g} s",
                )

    def second(self) -> None:
        """A framework has one stream and a stream one framework."""
        for life in self.scene.leading():
            owners = Counter(life.state.framework_of.values())
            for owner, streams in owners.items():
                if streams > 1:
                    self.scene.violated("I14", f"Framework {owner} has {streams} streams")
