"""Which virtual path means which sandbox, and whose it is.

    <work_dir>/slaves/S/frameworks/F/executors/E/runs/C[/...]     the real path
    /frameworks/F/executors/E/runs/C[/...]  or  runs/latest[/...]
    /frameworks/F/executors/E/tasks/T[/...]                       a task's own sandbox

A sandbox stays readable until it is deleted; of one whose framework is forgotten the owner is
unknown, and only who may see everything may see it.
"""

from __future__ import annotations

from collections.abc import Iterable

from mesos_twisted.agent.core import paths
from mesos_twisted.agent.core.state import AgentState, ExecutorKind, Framework
from mesos_twisted.agent.net import sandbox
from mesos_twisted.agent.views.visible import executor_ref, framework_ref
from mesos_twisted.files import walk
from mesos_twisted.files.store import Root
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ContainerId, ExecutorId, FrameworkId, TaskId, check_id
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import ObjectRef

Found = tuple[Root, tuple[str, ...]]


class SandboxPaths:
    """A `files.store.Resolver` over an agent's state and its disk."""

    def __init__(self, state: AgentState) -> None:
        self._state = state

    def __call__(self, virtual: str) -> Found | None:
        """The sandbox's root and what lies below it; None for any other path."""
        parts = walk.components(virtual)
        work = walk.components(self._state.policy.work_dir)
        if parts[: len(work)] == work and parts[len(work) : len(work) + 1] == ("slaves",):
            rest = parts[len(work) + 1 :]
            if len(rest) >= 7 and rest[1] == "frameworks":
                return self._below(rest[0], rest[1:], real=True)
            return None
        agent_id = self._state.agent_id
        if agent_id is None or not parts or parts[0] != "frameworks":
            return None
        return self._below(agent_id, parts, real=False)

    def _below(self, agent_id: str, parts: tuple[str, ...], real: bool) -> Found | None:
        """`parts` begin with `frameworks`."""
        if len(parts) < 6 or parts[2] != "executors" or any(map(check_id, parts[1:6])):
            return None
        framework_id, executor_id = FrameworkId(parts[1]), ExecutorId(parts[3])
        executor = f"slaves/{agent_id}/frameworks/{framework_id}/executors/{executor_id}"
        if parts[4] == "tasks" and not real:
            directory = self._task_directory(framework_id, executor_id, TaskId(parts[5]))
            if directory is None:
                return None
        elif parts[4] == "runs":
            run: str | None = parts[5]
            if run == "latest":
                run = self._latest(framework_id, executor_id, f"{executor}/runs")
            if run is None:
                return None
            directory = f"{executor}/runs/{run}"
        else:
            return None
        owner = self._owner(framework_id, executor_id)
        root = f"{self._state.policy.work_dir.rstrip('/')}/{directory}"
        return Root(root, Action.ACCESS_SANDBOX, owner), parts[6:]

    def _framework(self, framework_id: FrameworkId) -> Framework | None:
        state = self._state
        return state.frameworks.get(framework_id) or state.completed_frameworks.get(framework_id)

    def _latest(
        self, framework_id: FrameworkId, executor_id: ExecutorId, runs: str
    ) -> ContainerId | None:
        live = self._state.executor(framework_id, executor_id)
        if live is not None:
            return live.container_id
        framework = self._framework(framework_id)
        for done in reversed(framework.completed if framework is not None else ()):
            if done.id == executor_id:
                return done.container_id
        linked = sandbox.latest(self._state.policy.work_dir, runs)
        return None if linked is None or check_id(linked) else ContainerId(linked)

    def _task_directory(
        self, framework_id: FrameworkId, executor_id: ExecutorId, task_id: TaskId
    ) -> str | None:
        """Only a task of this executor: it is the executor's owner who is judged."""
        task = self._state.task(framework_id, task_id)
        if task is not None and task.container_id is not None:
            container = self._state.containers.get(task.container_id)
            if container is not None and container.executor_id == executor_id:
                return container.directory
        framework = self._framework(framework_id)
        if framework is None:
            return None
        live = framework.executors.get(executor_id)
        if live is not None and (task_id in live.tasks or _has(live.completed_tasks, task_id)):
            return live.directory
        for done in reversed(framework.completed):
            if done.id == executor_id and _has(done.tasks, task_id):
                inside = paths.task_directory(done.directory, task_id)
                return inside if done.kind.value == "default" else done.directory
        return None

    def _owner(self, framework_id: FrameworkId, executor_id: ExecutorId) -> ObjectRef:
        framework = self._framework(framework_id)
        if framework is None:
            return ObjectRef(framework_id=framework_id, executor_id=executor_id)
        live = framework.executors.get(executor_id)
        if live is not None:
            return executor_ref(live.info, framework.info)
        for done in framework.completed:
            if done.id == executor_id:
                return executor_ref(done.info, framework.info)
        return framework_ref(framework.info)


def _inside(kind: ExecutorKind, run: str, task_id: TaskId) -> str:
    """A task of a group has a sandbox of its own inside its executor's."""
    return paths.task_directory(run, task_id) if kind is ExecutorKind.DEFAULT else run


def _has(tasks: Iterable[m.Task], task_id: TaskId) -> bool:
    return any(one.task_id.value == task_id for one in tasks)
