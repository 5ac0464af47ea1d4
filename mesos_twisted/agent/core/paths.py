"""Where things are: Mesos's sandbox layout, and the keys of the checkpoint's rows.

Sandbox paths are relative to the work directory and made of checked ids only. Keys escape `/` and
`%`, so that no id can reach another's rows.
"""

from __future__ import annotations

from mesos_twisted.protocol.ids import AgentId, ContainerId, ExecutorId, FrameworkId, TaskId

AGENT_KEY = "agent/info"
BOOT_KEY = "boot_id"
DRAIN_KEY = "drain/config"
#: Before the key of a row that could not be read.
UNREADABLE = "unreadable/"
#: Above every row but the agent's own and the boot's.
PREFIXES = ("framework/", "executor/", "task/", "update/", "done/", "drain/", UNREADABLE)


def agent_directory(agent_id: str) -> str:
    """Every sandbox of an agent."""
    return f"slaves/{agent_id}"


def framework_directory(agent_id: AgentId, framework_id: FrameworkId) -> str:
    """Everything of a framework."""
    return f"slaves/{agent_id}/frameworks/{framework_id}"


def executor_directory(
    agent_id: AgentId, framework_id: FrameworkId, executor_id: ExecutorId
) -> str:
    """Every run of an executor id."""
    return f"slaves/{agent_id}/frameworks/{framework_id}/executors/{executor_id}"


def run_directory(
    agent_id: AgentId, framework_id: FrameworkId, executor_id: ExecutorId, container: ContainerId
) -> str:
    """One run: the sandbox."""
    return f"{executor_directory(agent_id, framework_id, executor_id)}/runs/{container}"


def task_directory(run: str, task_id: TaskId) -> str:
    """The sandbox of one task of a group, inside its executor's run."""
    return f"{run}/tasks/{task_id}"


def escape(text: str) -> str:
    """A key's component: `/` and `%` as %2F and %25."""
    return text.replace("%", "%25").replace("/", "%2F")


def unescape(text: str) -> str:
    """What `escape` was given."""
    return text.replace("%2F", "/").replace("%25", "%")


def framework_key(framework_id: FrameworkId) -> str:
    """Its FrameworkInfo."""
    return f"framework/{escape(framework_id)}"


def executor_key(framework_id: FrameworkId, executor_id: ExecutorId, run: ContainerId) -> str:
    """One live executor that is not a command task's."""
    return f"executor/{escape(framework_id)}/{escape(executor_id)}/{escape(run)}"


def task_key(framework_id: FrameworkId, task_id: TaskId) -> str:
    """One task."""
    return f"task/{escape(framework_id)}/{escape(task_id)}"


def updates_key(framework_id: FrameworkId, task_id: TaskId) -> str:
    """Above every update of a task, with the trailing slash."""
    return f"update/{escape(framework_id)}/{escape(task_id)}/"


def update_key(framework_id: FrameworkId, task_id: TaskId, number: int) -> str:
    """One update; numbers sort as text."""
    return f"update/{escape(framework_id)}/{escape(task_id)}/{number:08d}"


def done_key(framework_id: FrameworkId, executor_id: ExecutorId, run: ContainerId) -> str:
    """One executor that is over, whose sandbox is still there."""
    return f"done/{escape(framework_id)}/{escape(executor_id)}/{escape(run)}"
