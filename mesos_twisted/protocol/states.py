"""What the task states mean: which are terminal, which a partition-aware framework sees.

Source: mesos.proto's comments on TaskState, task-state-reasons.md.
"""

from __future__ import annotations

from mesos_twisted.protocol.generated.messages import TaskState

#: The task has ended, or Mesos treats it so (LOST may still come back with its agent).
TERMINAL = frozenset(
    {
        TaskState.TASK_FINISHED,
        TaskState.TASK_FAILED,
        TaskState.TASK_KILLED,
        TaskState.TASK_ERROR,
        TaskState.TASK_LOST,
        TaskState.TASK_DROPPED,
        TaskState.TASK_GONE,
        TaskState.TASK_GONE_BY_OPERATOR,
    }
)

#: What a framework that is not partition-aware sees in place of the finer states.
AS_LOST = frozenset(
    {
        TaskState.TASK_DROPPED,
        TaskState.TASK_UNREACHABLE,
        TaskState.TASK_GONE,
        TaskState.TASK_GONE_BY_OPERATOR,
        TaskState.TASK_UNKNOWN,
    }
)


def is_terminal(state: TaskState) -> bool:
    """Has the task ended, so that its resources are free?"""
    return state in TERMINAL


def for_framework(state: TaskState, partition_aware: bool) -> TaskState:
    """The state as this framework may see it."""
    return TaskState.TASK_LOST if not partition_aware and state in AS_LOST else state
