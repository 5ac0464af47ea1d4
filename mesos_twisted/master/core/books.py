"""Tasks and executors in and out of the tables, with the resources they hold.

Every function keeps the indexes of frameworks and agents equal, and the allocator's books with
them. What a framework is told of it is decided elsewhere.
"""

from __future__ import annotations

from mesos_twisted.master.core import published
from mesos_twisted.master.core.allocator.interface import Held
from mesos_twisted.master.core.effects import Effect, RequestAllocation
from mesos_twisted.master.core.state import Agent, Executor, Framework, MasterState, Task
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, TaskId
from mesos_twisted.resources.algebra import Resources

REQUEST_ALLOCATION = RequestAllocation()
_ALWAYS_TOLD = (
    m.TaskStatusReason.REASON_TASK_CHECK_STATUS_UPDATED,
    m.TaskStatusReason.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED,
)


def charge(framework: Framework, agent_id: AgentId, resources: Resources) -> None:
    """The framework holds more of the agent (the allocator knows it already)."""
    held = framework.used.get(agent_id)
    framework.used[agent_id] = resources if held is None else held.add(resources)
    framework.used_sum = None


def release(
    state: MasterState, framework: Framework, agent_id: AgentId, resources: Resources, now: float
) -> None:
    """The framework gives resources back; the allocator may offer them."""
    left = framework.used[agent_id].subtract(resources)
    framework.used_sum = None
    if left:
        framework.used[agent_id] = left
    else:
        del framework.used[agent_id]
    state.allocator.recover(
        framework.framework_id, agent_id, resources, None, now, held=Held.ALLOCATED
    )


def add_task(
    state: MasterState, framework: Framework, agent: Agent, task: Task, out: list[Effect]
) -> None:
    """The task is in the tables; what it holds is noted when it is charged."""
    framework.tasks[task.task_id] = task
    framework.known_on[agent.agent_id] = None
    agent.tasks[(task.framework_id, task.task_id)] = task
    if task.charged:
        charge(framework, agent.agent_id, task.resources)
    framework.version += 1
    agent.version += 1
    published.task_added(state, task, out)


def add_executor(framework: Framework, agent: Agent, executor: Executor) -> None:
    """The executor is in the tables and its resources noted."""
    framework.known_on[agent.agent_id] = None
    framework.executors.setdefault(agent.agent_id, {})[executor.executor_id] = executor
    agent.executors.setdefault(framework.framework_id, {})[executor.executor_id] = executor
    if executor.resources:
        charge(framework, agent.agent_id, executor.resources)
    framework.version += 1
    agent.version += 1


def remove_executor(
    state: MasterState, framework: Framework, agent: Agent, executor: Executor, now: float
) -> None:
    """The executor is gone and its resources are free."""
    for table, key in (
        (framework.executors, agent.agent_id),
        (agent.executors, framework.framework_id),
    ):
        held = table[key]  # type: ignore[index]  # each key belongs to its own table
        del held[executor.executor_id]
        if not held:
            del table[key]  # type: ignore[arg-type]  # as above
    if executor.resources:
        release(state, framework, agent.agent_id, executor.resources, now)
    framework.version += 1
    agent.version += 1


def free_task(
    state: MasterState, framework: Framework, task: Task, now: float, out: list[Effect]
) -> None:
    """What the task held is free; doing it again changes nothing."""
    if task.charged:
        task.charged = False
        release(state, framework, task.agent_id, task.resources, now)
        out.append(REQUEST_ALLOCATION)


def remove_task(
    state: MasterState,
    framework: Framework,
    task: Task,
    now: float,
    out: list[Effect],
    unreachable: bool = False,
) -> None:
    """The task leaves the live tables for one of the framework's histories."""
    free_task(state, framework, task, now, out)
    del framework.tasks[task.task_id]
    framework.version += 1
    agent = state.agents.get(task.agent_id)
    if agent is not None:
        key = (task.framework_id, task.task_id)
        del agent.tasks[key]
        agent.kills.pop(key, None)
        agent.version += 1
        if agent.draining is not None and not agent.tasks:
            state.emptied[agent.agent_id] = now
    if unreachable:
        limit = state.policy.max_unreachable_tasks_per_framework
        framework.unreachable[task.task_id] = task
        of_agent = state.unreachable_tasks.setdefault(task.agent_id, {})
        of_agent[(framework.framework_id, task.task_id)] = None
        while len(framework.unreachable) > limit:
            drop_unreachable(state, framework, next(iter(framework.unreachable)))
    else:
        remember(state, framework, task)


def drop_unreachable(state: MasterState, framework: Framework, task_id: TaskId) -> Task:
    """The task is among the framework's unreachable ones no more."""
    task = framework.unreachable.pop(task_id)
    framework.version += 1
    of_agent = state.unreachable_tasks.get(task.agent_id, {})
    of_agent.pop((framework.framework_id, task_id), None)
    if not of_agent:
        state.unreachable_tasks.pop(task.agent_id, None)
    return task


def remember(state: MasterState, framework: Framework, task: Task) -> None:
    """The task is in the framework's bounded history of completed ones."""
    framework.completed.append(task)
    if len(framework.completed) > state.policy.max_completed_tasks_per_framework:
        framework.completed.popleft()


def note_status(
    state: MasterState,
    task: Task,
    status: m.TaskStatus,
    out: list[Effect],
    moved: bool = False,
) -> None:
    """The status is the task's newest, without data; one is kept for a run of equal states.

    Operators hear of a new state, of health, and of a task that `moved` beyond what its statuses
    say.
    """
    if status.data is not None:
        status = _without_data(status)
    statuses = task.statuses
    task.version += 1
    if statuses and statuses[-1].state is status.state:
        task.statuses = (*statuses[:-1], status)
        if moved or status.reason in _ALWAYS_TOLD:
            published.task_updated(state, task, status, out)
    else:
        task.statuses = (*statuses, status)
        published.task_updated(state, task, status, out)


def _without_data(status: m.TaskStatus) -> m.TaskStatus:
    return m.TaskStatus(
        task_id=status.task_id,
        state=status.state,
        message=status.message,
        source=status.source,
        reason=status.reason,
        agent_id=status.agent_id,
        executor_id=status.executor_id,
        timestamp=status.timestamp,
        uuid=status.uuid,
        healthy=status.healthy,
        check_status=status.check_status,
        labels=status.labels,
        container_status=status.container_status,
        unreachable_time=status.unreachable_time,
        limitation=status.limitation,
        unknown_wire=status.unknown_wire,
    )
