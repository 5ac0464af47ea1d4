"""The calls of a scheduler, as its author makes them. How they are sent is not known here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twisted.internet.defer import Deferred

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.sdk.core.session import Session


class Calls:
    """Each builds its message and gives it to `post`; what was launched is noted in `session`."""

    session: Session

    def post(self, call: m.SchedulerCall) -> Deferred[None]:
        """Send any call. Fails with RefusedError (the master's sentence) or UnavailableError."""
        raise NotImplementedError

    def accept(
        self,
        offer_ids: Iterable[m.OfferID],
        operations: Iterable[m.OfferOperation],
        refuse_s: float | None = None,
    ) -> Deferred[None]:
        """Use offers of one agent for these operations, in order."""
        done = tuple(operations)
        for operation in done:
            self._note_launched(operation)
        return self.post(
            self._call(
                m.SchedulerCallType.ACCEPT,
                accept=m.SchedulerCallAccept(
                    offer_ids=tuple(offer_ids), operations=done, filters=_filters(refuse_s)
                ),
            )
        )

    def launch(
        self, offer: m.Offer, tasks: Iterable[m.TaskInfo], refuse_s: float | None = None
    ) -> Deferred[None]:
        """Launch tasks on an offer; what they leave of it goes back."""
        operation = m.OfferOperation(
            type=m.OfferOperationType.LAUNCH,
            launch=m.OfferOperationLaunch(task_infos=tuple(tasks)),
        )
        return self.accept((offer.id,), (operation,), refuse_s)

    def launch_group(
        self,
        offer: m.Offer,
        executor: m.ExecutorInfo,
        tasks: Iterable[m.TaskInfo],
        refuse_s: float | None = None,
    ) -> Deferred[None]:
        """Launch a task group: all of it or none."""
        operation = m.OfferOperation(
            type=m.OfferOperationType.LAUNCH_GROUP,
            launch_group=m.OfferOperationLaunchGroup(
                executor=executor, task_group=m.TaskGroupInfo(tasks=tuple(tasks))
            ),
        )
        return self.accept((offer.id,), (operation,), refuse_s)

    def decline(self, offers: Iterable[m.Offer], refuse_s: float | None = None) -> Deferred[None]:
        """Give offers back, and not see the like for `refuse_s` (5 s unless told)."""
        return self.post(
            self._call(
                m.SchedulerCallType.DECLINE,
                decline=m.SchedulerCallDecline(
                    offer_ids=tuple(offer.id for offer in offers), filters=_filters(refuse_s)
                ),
            )
        )

    def revive(self, *roles: str) -> Deferred[None]:
        """Want offers (again) for these roles, or all; filters are dropped."""
        self.session.suppressed -= frozenset(roles) if roles else self.session.suppressed
        return self.post(
            self._call(m.SchedulerCallType.REVIVE, revive=m.SchedulerCallRevive(roles=roles))
        )

    def suppress(self, *roles: str) -> Deferred[None]:
        """Want no more offers for these roles, or all."""
        every = self.session.framework.roles or (self.session.framework.role or "*",)
        self.session.suppressed |= frozenset(roles or every)
        return self.post(
            self._call(m.SchedulerCallType.SUPPRESS, suppress=m.SchedulerCallSuppress(roles=roles))
        )

    def kill(
        self, task_id: str, agent_id: str | None = None, grace_s: float | None = None
    ) -> Deferred[None]:
        """End a task; `grace_s` overrides its own kill policy. Without `agent_id` the one it was
        launched on is named, so that the answer for a task that never got there is an end."""
        policy = None
        agent_id = agent_id or self.session.live.get(task_id)
        if grace_s is not None:
            policy = m.KillPolicy(grace_period=m.DurationInfo(nanoseconds=int(grace_s * 1e9)))
        return self.post(
            self._call(
                m.SchedulerCallType.KILL,
                kill=m.SchedulerCallKill(
                    task_id=m.TaskID(value=task_id),
                    agent_id=m.AgentID(value=agent_id) if agent_id else None,
                    kill_policy=policy,
                ),
            )
        )

    def send(self, agent_id: str, executor_id: str, data: bytes) -> Deferred[None]:
        """Bytes to an executor, at most once."""
        return self.post(
            self._call(
                m.SchedulerCallType.MESSAGE,
                message=m.SchedulerCallMessage(
                    agent_id=m.AgentID(value=agent_id),
                    executor_id=m.ExecutorID(value=executor_id),
                    data=data,
                ),
            )
        )

    def shutdown_executor(self, agent_id: str, executor_id: str) -> Deferred[None]:
        """Ask a custom executor to end; it is forced after its grace period."""
        return self.post(
            self._call(
                m.SchedulerCallType.SHUTDOWN,
                shutdown=m.SchedulerCallShutdown(
                    agent_id=m.AgentID(value=agent_id),
                    executor_id=m.ExecutorID(value=executor_id),
                ),
            )
        )

    def reconcile(self, tasks: Mapping[str, str] | None = None) -> Deferred[None]:
        """Ask for the state of tasks (id to agent id or ""), or of all: answers are updates."""
        return self.post(self.session.reconcile(dict(tasks or {})))

    def _call(self, kind: m.SchedulerCallType, **fields: object) -> m.SchedulerCall:
        framework_id = self.session.framework.id
        return m.SchedulerCall(type=kind, framework_id=framework_id, **fields)  # type: ignore[arg-type]  # the one keyword is the call's own field

    def _note_launched(self, operation: m.OfferOperation) -> None:
        tasks: tuple[m.TaskInfo, ...] = ()
        if operation.launch:
            tasks = operation.launch.task_infos
        elif operation.launch_group:
            tasks = operation.launch_group.task_group.tasks
        self.session.launched({t.task_id.value: t.agent_id.value for t in tasks})


def _filters(refuse_s: float | None) -> m.Filters | None:
    return None if refuse_s is None else m.Filters(refuse_seconds=refuse_s)
