"""What a framework is told, and what is counted and logged beside it. Decides nothing.

Nothing here changes the state; an event for a framework without a stream is not made.
"""

from __future__ import annotations

from functools import lru_cache

from mesos_twisted.master.core.effects import Count, Effect, Log, SendEvent
from mesos_twisted.master.core.state import HEARTBEAT_INTERVAL_S, Framework, MasterState, Offer
from mesos_twisted.metrics import names
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ExecutorId, OfferId, TaskId
from mesos_twisted.protocol.states import TERMINAL

Kind = m.SchedulerEventType
SOURCE_MASTER = m.TaskStatusSource.SOURCE_MASTER
HEARTBEAT = m.SchedulerEvent(type=Kind.HEARTBEAT)
REMOVED_TEXT = "Framework has been removed"
FAILED_OVER_TEXT = "Framework failed over"


@lru_cache(8192)
def _event_counts(prefix: str, kind: str) -> tuple[Effect, ...]:
    return (Count(prefix + "events"), Count(f"{prefix}events/{kind}"))


@lru_cache(4096)
def count(name: str) -> Count:
    """The effect that adds one to a counter; made once for each name."""
    return Count(name)


def shutdown(state: MasterState, message: str) -> agentlink.Shutdown:
    """The word that ends an agent, with whose word it is."""
    return agentlink.Shutdown(
        message=message,
        master_id=state.info.id,
        registry_id=state.registry_id,
        epoch=state.epoch,
    )


def count_for(framework: Framework, what: str, out: list[Effect]) -> None:
    """Add one to the framework's own counter `what`."""
    if framework.metrics:
        out.append(count(framework.metrics + what))


@lru_cache(8192)
def _call_counts(prefix: str, kind: m.SchedulerCallType) -> tuple[Effect, ...]:
    return (Count(prefix + "calls"), Count(f"{prefix}calls/{kind.value.lower()}"))


def count_call(framework: Framework, kind: m.SchedulerCallType, out: list[Effect]) -> None:
    """Count a call of the framework."""
    if framework.metrics:
        out.extend(_call_counts(framework.metrics, kind))


def log(out: list[Effect], level: str, text: str, **fields: object) -> None:
    """One line; `text` names its fields in braces."""
    assert level in ("debug", "info", "warn", "error")
    out.append(Log(level, text, tuple(fields.items())))  # type: ignore[arg-type]  # asserted above


def send(framework: Framework, event: m.SchedulerEvent, out: list[Effect]) -> None:
    """Write the event to the framework's stream, when it has one."""
    connection = framework.connection
    if connection is None:
        return
    out.append(SendEvent(connection, event))
    if framework.metrics and event.type is not None:
        out.extend(_event_counts(framework.metrics, event.type.value.lower()))


def send_update(framework: Framework, status: m.TaskStatus, out: list[Effect]) -> None:
    """Tell of a task's state."""
    if framework.connection is not None:
        event = m.SchedulerEvent(type=Kind.UPDATE, update=m.SchedulerEventUpdate(status=status))
        send(framework, event, out)


def error_event(message: str) -> m.SchedulerEvent:
    """The last event of a stream."""
    return m.SchedulerEvent(type=Kind.ERROR, error=m.SchedulerEventError(message=message))


def send_subscribed(state: MasterState, framework: Framework, out: list[Effect]) -> None:
    """The first event of a stream, and a heartbeat for those that read by lines."""
    event = m.SchedulerEvent(
        type=Kind.SUBSCRIBED,
        subscribed=m.SchedulerEventSubscribed(
            framework_id=m.FrameworkID(value=framework.framework_id),
            heartbeat_interval_seconds=HEARTBEAT_INTERVAL_S,
            master_info=state.info,
        ),
    )
    send(framework, event, out)
    send(framework, HEARTBEAT, out)


def send_rescind(framework: Framework, offer: Offer, out: list[Effect]) -> None:
    """Take back an offer."""
    event = m.SchedulerEvent(
        type=Kind.RESCIND,
        rescind=m.SchedulerEventRescind(offer_id=m.OfferID(value=OfferId(offer.offer_id))),
    )
    send(framework, event, out)
    count_for(framework, "offers/rescinded", out)


def send_agent_failure(state: MasterState, agent_id: AgentId, out: list[Effect]) -> None:
    """Tell every framework that an agent is lost."""
    event = m.SchedulerEvent(
        type=Kind.FAILURE, failure=m.SchedulerEventFailure(agent_id=m.AgentID(value=agent_id))
    )
    for framework in state.frameworks.values():
        send(framework, event, out)


def send_executor_failure(
    framework: Framework,
    agent_id: AgentId,
    executor_id: ExecutorId,
    wait_status: int,
    out: list[Effect],
) -> None:
    """Tell of an executor's end; `wait_status` as from wait(2)."""
    failure = m.SchedulerEventFailure(
        agent_id=m.AgentID(value=agent_id),
        executor_id=m.ExecutorID(value=executor_id),
        status=wait_status,
    )
    send(framework, m.SchedulerEvent(type=Kind.FAILURE, failure=failure), out)


def master_status(
    task_id: TaskId,
    agent_id: AgentId | None,
    state: m.TaskState,
    message: str,
    reason: m.TaskStatusReason,
    now: float,
    executor_id: ExecutorId | None = None,
    unreachable_at: float | None = None,
) -> m.TaskStatus:
    """A status the master makes itself: without uuid, so never acknowledged."""
    return m.TaskStatus(
        task_id=m.TaskID(value=task_id),
        state=state,
        message=message,
        source=SOURCE_MASTER,
        reason=reason,
        agent_id=None if agent_id is None else m.AgentID(value=agent_id),
        executor_id=None if executor_id is None else m.ExecutorID(value=executor_id),
        timestamp=now,
        unreachable_time=(
            None if unreachable_at is None else m.TimeInfo(nanoseconds=int(unreachable_at * 1e9))
        ),
    )


@lru_cache(4096)
def _end_counts(
    state: m.TaskState,
    source: m.TaskStatusSource | None,
    reason: m.TaskStatusReason | None,
    prefix: str,
) -> tuple[Effect, ...]:
    counts: list[Effect] = []
    if state in TERMINAL:
        short = state.value.removeprefix("TASK_").lower()
        counts.append(Count(f"master/tasks_{short}"))
        if prefix:
            counts.append(Count(f"{prefix}tasks/terminal/task_{short}"))
    if reason is not None and source is not None:
        counts.append(Count(names.task_reason(state.value, source.value, reason.value)))
    return tuple(counts)


def count_end(
    framework: Framework | None,
    status: m.TaskStatus,
    out: list[Effect],
    latest: m.TaskState | None = None,
) -> None:
    """Count a task's end by state, source and reason; a status of another state than `latest`, in
    which the task is, tells nothing of why."""
    prefix = "" if framework is None else framework.metrics
    if latest is None or latest is status.state:
        out.extend(_end_counts(status.state, status.source, status.reason, prefix))
    else:
        out.extend(_end_counts(latest, None, None, prefix))


def drop_operation(
    framework: Framework, operation: m.OfferOperation, message: str, out: list[Effect]
) -> None:
    """Answer an operation that cannot be done: OPERATION_ERROR when it has an id, else a log."""
    kind = "unknown" if operation.type is None else operation.type.value.lower()
    if kind in names.OPERATION_TYPES:
        out.append(count("master/operations/error"))
        out.append(count(f"master/operations/{kind}/error"))
    log(
        out,
        "warn",
        "Dropping {operation} operation of framework {framework_id}: {reason}",
        operation=kind,
        framework_id=framework.framework_id,
        reason=message,
    )
    if operation.id is not None:
        status = m.OperationStatus(
            operation_id=operation.id, state=m.OperationState.OPERATION_ERROR, message=message
        )
        send_operation(framework, status, out)


def send_operation(framework: Framework, status: m.OperationStatus, out: list[Effect]) -> None:
    """Tell of an operation's state."""
    event = m.SchedulerEvent(
        type=Kind.UPDATE_OPERATION_STATUS,
        update_operation_status=m.SchedulerEventUpdateOperationStatus(status=status),
    )
    send(framework, event, out)
