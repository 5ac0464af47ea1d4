"""What must be true of the state after every event; a breach is a bug and stops the agent."""

from __future__ import annotations

from mesos_twisted.agent.core.state import (
    AgentState,
    ContainerPhase,
    Executor,
    ExecutorKind,
    ExecutorState,
    Framework,
    Phase,
)
from mesos_twisted.errors import BugError
from mesos_twisted.protocol.generated.messages import TaskState
from mesos_twisted.protocol.ids import FrameworkId, TaskId
from mesos_twisted.protocol.states import TERMINAL


def check(state: AgentState) -> None:
    """Raises BugError with the first promise that is broken."""
    for sentence in breaches(state):
        raise BugError(sentence)


def breaches(state: AgentState) -> list[str]:
    """Every broken promise, as a sentence."""
    found: list[str] = []
    if state.phase is Phase.RUNNING and (state.link is None or state.agent_id is None):
        found.append("The agent runs without a link or without an id")
    for framework_id, framework in state.frameworks.items():
        if framework.id != framework_id:
            found.append(f"Framework {framework.id} is filed as {framework_id}")
        if not framework.executors:
            found.append(f"Framework {framework_id} has nothing here and was not removed")
        _framework(state, framework, found)
    _containers(state, found)
    _streams(state, found)
    for connection, ids in state.connections.items():
        executor = state.executor(*ids)
        if executor is None or executor.connection != connection:
            found.append(f"Connection {connection} belongs to no executor")
    return found


def _framework(state: AgentState, framework: Framework, found: list[str]) -> None:
    seen = 0
    for executor_id, executor in framework.executors.items():
        if executor.id != executor_id:
            found.append(f"Executor {executor.id} is filed as {executor_id}")
        _executor(state, framework, executor, found)
        seen += len(executor.tasks)
    if seen != len(framework.tasks):
        found.append(f"Framework {framework.id} counts {len(framework.tasks)} tasks, has {seen}")


def _executor(
    state: AgentState, framework: Framework, executor: Executor, found: list[str]
) -> None:
    custom = executor.kind is ExecutorKind.CUSTOM
    live = False
    for task_id, task in executor.tasks.items():
        if task.info.task_id.value != task_id or framework.tasks.get(task_id) is not task:
            found.append(f"Task {task.id} is not filed as itself")
        if task.state not in TERMINAL:
            live = True
            if not custom and task.container_id not in state.containers:
                found.append(f"Task {task.id} is live without a container")
        elif not framework.terminating and (framework.id, task_id) not in state.streams:
            found.append(f"Task {task.id} ended, and nothing says so to its scheduler")
        if task.statuses and task.statuses[-1].state is not task.state:
            found.append(f"Task {task.id} shows another state than it is in")
    if executor.state is ExecutorState.TERMINATED:
        name = f"Executor {executor.id} of framework {framework.id}"
        if live or executor.containers:
            found.append(f"{name} is over but has live tasks or containers")
        if not executor.tasks:
            found.append(f"{name} is over and owes nothing, but was not removed")
    elif custom and executor.container_id not in state.containers:
        name = f"Executor {executor.id} of framework {framework.id}"
        found.append(f"{name} has no container and is not over")


def _containers(state: AgentState, found: list[str]) -> None:
    for container_id, container in state.containers.items():
        executor = state.executor(container.framework_id, container.executor_id)
        if executor is None and container.phase is not ContainerPhase.DESTROYING:
            found.append(f"Container {container_id} belongs to no executor and is not destroyed")
        if executor is None or container.task_id is None:
            continue
        if container_id not in executor.containers:
            found.append(f"Container {container_id} is not its executor's")
        task = executor.tasks.get(container.task_id)
        gone = task is None or task.ended
        if gone and container.phase is not ContainerPhase.DESTROYING:
            found.append(f"Container {container_id} runs for a task that ended")


def _streams(state: AgentState, found: list[str]) -> None:
    for key, stream in state.streams.items():
        last: TaskState | None = None
        for status in stream.pending:
            if last is not None and last in TERMINAL:
                found.append(f"{_named(key)} goes on after a terminal update")
            last = status.state
            if status.uuid is None:
                found.append(f"{_named(key)} has an update without uuid")
        task = state.task(*key)
        if task is not None and last is not None and last is not task.state:
            found.append(f"{_named(key)} does not end in the task's state")
        if task is None and last is None:
            found.append(f"{_named(key)} has no task and owes nothing")


def _named(key: tuple[FrameworkId, TaskId]) -> str:
    return f"The update stream of task {key[1]} of framework {key[0]}"
