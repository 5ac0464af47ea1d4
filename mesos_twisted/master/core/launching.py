"""Tasks and task groups of an ACCEPT, put on their way or refused one by one.

A task that cannot be launched gets TASK_ERROR with the first thing wrong with it; a group is
launched whole or refused whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import books, notify
from mesos_twisted.master.core.effects import Effect, SendToAgent
from mesos_twisted.master.core.returning import allocated_from
from mesos_twisted.master.core.state import (
    Agent,
    Executor,
    Framework,
    MasterState,
    Task,
    static_of,
)
from mesos_twisted.master.core.validation import task as checks
from mesos_twisted.master.core.validation.checks import typed
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ExecutorId, TaskId
from mesos_twisted.resources.algebra import NOTHING, Resources

State = m.TaskState
Reason = m.TaskStatusReason
Refusals = Mapping[str, Problem]


@dataclass(slots=True)
class Ledger:
    """One ACCEPT under way: what is `left` of the offers and what was `launched` of them."""

    state: MasterState
    framework: Framework
    agent: Agent
    role: str
    left: Resources
    refusals: Refusals
    now: float
    out: list[Effect]
    launched: Resources = NOTHING

    def spend(self, resources: Resources) -> None:
        """Move resources from `left` to `launched`."""
        self.left = self.left.subtract(resources)
        self.launched = self.launched.add(resources)


def fail(ledger: Ledger, task: m.TaskInfo, sentence: str, reason: Reason) -> None:
    """The task is answered with TASK_ERROR, naming the agent that the task names."""
    status = notify.master_status(
        TaskId(task.task_id.value),
        AgentId(task.agent_id.value),
        State.TASK_ERROR,
        sentence,
        reason,
        ledger.now,
    )
    # The framework's own counters are about tasks that were on an agent.
    notify.count_end(None, status, ledger.out)
    notify.send_update(ledger.framework, status, ledger.out)


def launch(ledger: Ledger, task: m.TaskInfo) -> None:
    """The task is on its way to the agent, or answered with its own TASK_ERROR."""
    refusal = ledger.refusals.get(task.task_id.value) if ledger.refusals else None
    if refusal is not None:
        fail(ledger, task, refusal.sentence, Reason.REASON_TASK_UNAUTHORIZED)
        return
    framework, agent = ledger.framework, ledger.agent
    if task.health_check is not None:
        task = msgspec.structs.replace(task, health_check=typed(task.health_check))
    problem = checks.check_task(framework, agent, task)
    resources = NOTHING
    if problem is None:
        held = allocated_from(task.resources, ledger.role)
        if isinstance(held, Problem):
            problem = Problem(held.code, f"Task uses invalid resources: {held.sentence}")
        else:
            resources = held
            problem = checks.check_resources("task", resources) or checks.check_one_of(task)
    executor = None
    fresh = False
    needed = resources
    if problem is None and task.executor is not None:
        made = _executor(ledger, task.executor, m.ExecutorInfoType.CUSTOM)
        if isinstance(made, Problem):
            problem = made
        else:
            executor = made
            problem = checks.check_custom(task.executor, made.resources)
            fresh = made.executor_id not in agent.executors.get(framework.framework_id, {})
            if fresh:
                needed = resources.add(made.resources)
    if problem is None:
        problem = checks.check_fits("task and its executor", needed, ledger.left)
    if problem is not None:
        fail(ledger, task, problem.sentence, Reason.REASON_TASK_INVALID)
        return
    ledger.spend(needed)
    if executor is not None and fresh:
        books.add_executor(framework, agent, executor)
    _add(ledger, task, resources, None if executor is None else executor)
    assert agent.link is not None
    ready = msgspec.structs.replace(
        task,
        resources=with_role(task.resources, ledger.role),
        executor=None if executor is None else executor.info,
    )
    _count(ledger, "operations/launch")
    message = agentlink.RunTask(
        framework=framework.info,
        task=ready,
        launch_executor=None if executor is None else fresh,
    )
    ledger.out.append(SendToAgent(agent.link, message))


def _count(ledger: Ledger, name: str) -> None:
    notify.count_for(ledger.framework, "operations", ledger.out)
    notify.count_for(ledger.framework, name, ledger.out)


def with_role(resources: tuple[m.Resource, ...], role: str) -> tuple[m.Resource, ...]:
    """The messages with an allocation role each."""
    info = m.ResourceAllocationInfo(role=role)
    return tuple(
        [
            one
            if one.allocation_info is not None
            else msgspec.structs.replace(one, allocation_info=info)
            for one in resources
        ]
    )


def _executor(
    ledger: Ledger, given: m.ExecutorInfo, kind: m.ExecutorInfoType
) -> Executor | Problem:
    """The executor as it would stand in the tables, or what is wrong with it."""
    framework_id = ledger.framework.framework_id
    info = msgspec.structs.replace(
        given,
        type=given.type or kind,
        framework_id=given.framework_id or m.FrameworkID(value=framework_id),
        resources=with_role(given.resources, ledger.role),
    )
    problem = checks.check_executor(ledger.framework, ledger.agent, info)
    if problem is not None:
        return problem
    resources = allocated_from(info.resources, ledger.role)
    if isinstance(resources, Problem):
        return Problem(resources.code, f"Executor uses invalid resources: {resources.sentence}")
    return checks.check_resources("executor", resources) or Executor(
        framework_id, ExecutorId(info.executor_id.value), ledger.agent.agent_id, info, resources
    )


def launch_group(ledger: Ledger, group: m.OfferOperationLaunchGroup) -> None:
    """All tasks of the group are launched, or each of them is answered with the same TASK_ERROR."""
    tasks = group.task_group.tasks
    framework, agent = ledger.framework, ledger.agent
    for task in tasks:
        refusal = ledger.refusals.get(task.task_id.value)
        if refusal is not None:
            for one in tasks:
                fail(ledger, one, refusal.sentence, Reason.REASON_TASK_GROUP_UNAUTHORIZED)
            return
    planned = _plan_group(ledger, group)
    if isinstance(planned, Problem):
        for task in tasks:
            fail(ledger, task, planned.sentence, Reason.REASON_TASK_GROUP_INVALID)
        return
    executor, held, needed = planned
    ledger.spend(needed)
    fresh = executor.executor_id not in agent.executors.get(framework.framework_id, {})
    if fresh:
        books.add_executor(framework, agent, executor)
    ready = []
    for task, resources in zip(tasks, held, strict=True):
        _add(ledger, task, resources, executor)
        ready.append(
            msgspec.structs.replace(
                task, resources=with_role(task.resources, ledger.role), executor=executor.info
            )
        )
    assert agent.link is not None
    _count(ledger, "operations/launch_group")
    message = agentlink.RunTaskGroup(
        framework=framework.info,
        executor=executor.info,
        task_group=m.TaskGroupInfo(tasks=tuple(ready)),
        launch_executor=fresh,
    )
    ledger.out.append(SendToAgent(agent.link, message))


def _plan_group(
    ledger: Ledger, group: m.OfferOperationLaunchGroup
) -> tuple[Executor, list[Resources], Resources] | Problem:
    """The executor, each task's resources and the sum not held yet; or what is wrong."""
    framework, agent = ledger.framework, ledger.agent
    tasks = group.task_group.tasks
    if not tasks:
        return Problem("task_invalid", "Task group has no tasks")
    held: list[Resources] = []
    seen: set[str] = set()
    for task in tasks:
        name = task.task_id.value
        problem = checks.check_task(framework, agent, task) or checks.check_group_task(
            group.executor, task
        )
        if problem is None and name in seen:
            problem = Problem("task_invalid", f"Task has duplicate ID: {name}")
        resources = allocated_from(task.resources, ledger.role)
        if problem is None:
            problem = (
                resources
                if isinstance(resources, Problem)
                else checks.check_resources("task", resources)
            )
        if problem is not None:
            return Problem(problem.code, f"Task '{name}' is invalid: {problem.sentence}")
        assert not isinstance(resources, Problem)
        seen.add(name)
        held.append(resources)
    if group.executor.type is None:
        return Problem("task_invalid", "'ExecutorInfo.type' must be set")
    executor = _executor(ledger, group.executor, m.ExecutorInfoType.DEFAULT)
    if isinstance(executor, Problem):
        return executor
    problem = checks.check_group_executor(group.executor, executor.resources)
    if problem is not None:
        return problem
    needed = NOTHING
    if executor.executor_id not in agent.executors.get(framework.framework_id, {}):
        needed = executor.resources
    for resources in held:
        needed = needed.add(resources)
    return checks.check_fits("task group and its executor", needed, ledger.left, plural=True) or (
        executor,
        held,
        needed,
    )


def _add(ledger: Ledger, task: m.TaskInfo, resources: Resources, executor: Executor | None) -> None:
    framework, agent = ledger.framework, ledger.agent
    user = None if task.command is None else task.command.user
    if user is None and executor is not None and executor.info.command is not None:
        user = executor.info.command.user
    static = static_of(
        m.Task(
            name=task.name,
            task_id=task.task_id,
            framework_id=m.FrameworkID(value=framework.framework_id),
            executor_id=None if executor is None else executor.info.executor_id,
            agent_id=task.agent_id,
            state=State.TASK_STAGING,
            labels=task.labels,
            discovery=task.discovery,
            container=task.container,
            health_check=task.health_check,
            kill_policy=task.kill_policy,
            user=user,
            limits=task.limits,
        )
    )
    record = Task(
        framework.framework_id,
        TaskId(task.task_id.value),
        agent.agent_id,
        None if executor is None else executor.executor_id,
        State.TASK_STAGING,
        resources,
        static,
        ledger.role,
    )
    books.add_task(ledger.state, framework, agent, record, ledger.out)
