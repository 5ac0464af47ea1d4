"""Who belongs together: the tasks that were launched as one group start together or not at all.

A task launched alone is a group of its own.
"""

from __future__ import annotations

from mesos_twisted.agent.core.state import AgentState, ContainerPhase, Executor, Task

_UP = (ContainerPhase.RUNNING, ContainerPhase.DESTROYING)


def members(executor: Executor, task: Task) -> list[Task]:
    """The task's group as far as it is still here, in order; alone, the task itself."""
    if not task.group:
        return [task]
    known = executor.tasks
    return [known[task_id] for task_id in task.group if task_id in known]


def is_up(state: AgentState, task: Task) -> bool:
    """Has the task's process started (or the task ended)?"""
    if task.ended or task.container_id is None:
        return True
    container = state.containers.get(task.container_id)
    return container is None or container.phase in _UP
