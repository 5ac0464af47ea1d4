"""What a framework is told when it asks how its tasks are.

| task known? | agent | partition-aware | otherwise |
|---|---|---|---|
| yes | any | the state sent on last | the same |
| no | not back after a failover; or not named, and any is not back | nothing | nothing |
| no | registered | GONE | LOST |
| no | unreachable | UNREACHABLE and since when | LOST and since when |
| no | gone | GONE_BY_OPERATOR | LOST |
| no | anything else | UNKNOWN | LOST |

All answers come from the master, have no uuid and are not acknowledged.
"""

from __future__ import annotations

from mesos_twisted.master.core import notify
from mesos_twisted.master.core.effects import Effect
from mesos_twisted.master.core.state import Framework, MasterState, Task
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, TaskId
from mesos_twisted.protocol.states import for_framework

State = m.TaskState
REASON = m.TaskStatusReason.REASON_RECONCILIATION


def reconcile(
    state: MasterState,
    framework: Framework,
    call: m.SchedulerCallReconcile,
    now: float,
    out: list[Effect],
) -> None:
    """RECONCILE: an answer for each task named, or for each task known when none is named."""
    out.append(notify.count("master/messages_reconcile_tasks"))
    if not call.tasks:
        for task in framework.tasks.values():
            notify.send_update(framework, latest(task, now), out)
        return
    for one in call.tasks:
        agent_id = None if one.agent_id is None else AgentId(one.agent_id.value)
        explain(state, framework, TaskId(one.task_id.value), agent_id, now, out)


def explain(
    state: MasterState,
    framework: Framework,
    task_id: TaskId,
    agent_id: AgentId | None,
    now: float,
    out: list[Effect],
) -> None:
    """Send the answer for one task, if there is one to give."""
    task = framework.tasks.get(task_id)
    if task is not None:
        notify.send_update(framework, latest(task, now), out)
        return
    since: float | None = None
    if agent_id is None:
        if state.recovered:
            return
        found, text = State.TASK_UNKNOWN, "Task is unknown"
    elif agent_id in state.recovered:
        return
    elif agent_id in state.agents:
        found, text = State.TASK_GONE, "Task is unknown to the agent"
    elif agent_id in state.unreachable:
        found, text = State.TASK_UNREACHABLE, "Task is unreachable"
        since = state.unreachable[agent_id]
    elif agent_id in state.gone:
        found, text = State.TASK_GONE_BY_OPERATOR, "Task is gone"
    else:
        found, text = State.TASK_UNKNOWN, "Task is unknown"
    status = notify.master_status(
        task_id,
        agent_id,
        for_framework(found, framework.partition_aware),
        f"Reconciliation: {text}",
        REASON,
        now,
        unreachable_at=since,
    )
    notify.send_update(framework, status, out)


def latest(task: Task, now: float) -> m.TaskStatus:
    """The state last sent on, with the newest health, check and container status."""
    last = task.statuses[-1] if task.statuses else None
    return m.TaskStatus(
        task_id=m.TaskID(value=task.task_id),
        state=task.forwarded or task.state,
        message="Reconciliation: Latest task state",
        source=notify.SOURCE_MASTER,
        reason=REASON,
        agent_id=m.AgentID(value=task.agent_id),
        executor_id=None if task.executor_id is None else m.ExecutorID(value=task.executor_id),
        timestamp=now,
        healthy=None if last is None else last.healthy,
        check_status=None if last is None else last.check_status,
        container_status=container_status(task),
    )


def container_status(task: Task) -> m.ContainerStatus | None:
    """The newest that is known of the task's container."""
    for status in reversed(task.statuses):
        if status.container_status is not None:
            return status.container_status
    return None


def reconcile_operations(
    state: MasterState,
    framework: Framework,
    call: m.SchedulerCallReconcileOperations,
    out: list[Effect],
) -> None:
    """RECONCILE_OPERATIONS: how each operation named is, by where its agent is; none are known."""
    out.append(notify.count("master/messages_reconcile_operations"))
    for one in call.operations:
        agent_id = None if one.agent_id is None else AgentId(one.agent_id.value)
        found, text = m.OperationState.OPERATION_UNKNOWN, "Operation is unknown"
        if agent_id is None:
            pass
        elif agent_id in state.recovered:
            found = m.OperationState.OPERATION_RECOVERING
            text = "Agent is recovered but has not re-registered"
        elif agent_id in state.unreachable:
            found, text = m.OperationState.OPERATION_UNREACHABLE, "Agent is unreachable"
        elif agent_id in state.gone:
            found = m.OperationState.OPERATION_GONE_BY_OPERATOR
            text = "Agent is marked gone"
        status = m.OperationStatus(
            operation_id=one.operation_id,
            state=found,
            message=f"Reconciliation: {text}",
            agent_id=one.agent_id,
            resource_provider_id=one.resource_provider_id,
        )
        notify.send_operation(framework, status, out)
