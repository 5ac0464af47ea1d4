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
    name = f"Executor {executor.id} of framework {framework.id}"
    live = list(executor.live)
    over = executor.state is ExecutorState.TERMINATED
    if over and (live or executor.containers):
        found.append(f"{name} is over but has live tasks or containers")
    if over and not executor.tasks:
        found.append(f"{name} is over and owes nothing, but was not removed")
    if executor.kind is ExecutorKind.CUSTOM and not over:
        if executor.container_id not in state.containers:
            found.append(f"{name} has no container and is not over")
    for task_id, task in executor.tasks.items():
        if task.id != task_id or framework.tasks.get(task_id) is not task:
            found.append(f"Task {task.id} is not filed as itself")
        if not task.ended and executor.kind is not ExecutorKind.CUSTOM:
            if task.container_id not in state.containers:
                found.append(f"Task {task.id} is live without a container")
        if task.ended and not framework.terminating:
            if (framework.id, task_id) not in state.streams:
                found.append(f"Task {task.id} ended, and nothing says so to its scheduler")
        if task.statuses and task.statuses[-1].state is not task.state:
            found.append(f"Task {task.id} shows another state than it is in")


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
    for (framework_id, task_id), stream in state.streams.items():
        name = f"The update stream of task {task_id} of framework {framework_id}"
        for status in list(stream.pending)[:-1]:
            if status.state in TERMINAL:
                found.append(f"{name} goes on after a terminal update")
        if any(status.uuid is None for status in stream.pending):
            found.append(f"{name} has an update without uuid")
        task = state.task(framework_id, task_id)
        if task is not None and stream.pending and stream.pending[-1].state is not task.state:
            found.append(f"{name} does not end in the task's state")
        if task is None and not stream.pending:
            found.append(f"{name} has no task and owes nothing")
