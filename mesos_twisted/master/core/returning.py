"""What a returning agent brings, against what is known of it.

An agent is right about what it runs; the master is right about what frameworks want. Tasks the
master still has and the agent has not are left to the agent to answer for (it knows whether the
launch ever reached it).
"""

from __future__ import annotations

from functools import lru_cache

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import books, frameworks, notify, published
from mesos_twisted.master.core.allocator.interface import AgentSpec
from mesos_twisted.master.core.books import REQUEST_ALLOCATION
from mesos_twisted.master.core.effects import Effect, SendToAgent
from mesos_twisted.master.core.offers import parts_of
from mesos_twisted.master.core.reconcile import container_status
from mesos_twisted.master.core.state import (
    Agent,
    Executor,
    Framework,
    MasterState,
    Task,
    static_of,
)
from mesos_twisted.master.core.validation.framework import usable_info
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ExecutorId, FrameworkId, TaskId
from mesos_twisted.protocol.states import TERMINAL
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.convert import from_messages
from mesos_twisted.resources.resource import ALLOCATED


def allocated_from(messages: tuple[m.Resource, ...], role: str) -> Resources | Problem:
    """The resources with an allocation role each: their own, or `role` where none is said.

    Equal messages give the same object.
    """
    try:
        return _allocated_from(messages, role)
    except TypeError:
        # A volume with a map of parameters has no hash.
        return _allocated_from.__wrapped__(messages, role)


@lru_cache(2048)
def _allocated_from(messages: tuple[m.Resource, ...], role: str) -> Resources | Problem:
    resources = from_messages(messages)
    if isinstance(resources, Problem):
        return resources
    if not resources.traits & ALLOCATED:
        return resources.allocate(role)
    bare = resources.filter(lambda key: key.allocation_role is None)
    if not bare:
        return resources
    return resources.filter(lambda key: key.allocation_role is not None).add(bare.allocate(role))


@lru_cache(2048)
def _role_of(resources: Resources) -> str | None:
    return next(iter(resources.allocations()), None)


def join(
    state: MasterState,
    agent: Agent,
    said: agentlink.Reregister,
    now: float,
    news: str | None,
    out: list[Effect],
) -> None:
    """An agent that is not in the tables enters them with its tasks and executors. With `news` it
    was not expected: subscribed frameworks hear how each of their tasks is, with that message."""
    removed = _know_frameworks(state, agent, said, now, out)
    tasks = _tasks(state, agent, said, out)
    executors = _executors(state, agent, said)
    used: dict[FrameworkId, Resources] = {}
    for task in tasks:
        if task.charged:
            used[task.framework_id] = used.get(task.framework_id, NOTHING).add(task.resources)
    for one in executors:
        used[one.framework_id] = used.get(one.framework_id, NOTHING).add(one.resources)
    state.agents[agent.agent_id] = agent
    state.allocator.add_agent(agent.agent_id, spec_of(agent), used)
    for framework_id, task_id in list(state.unreachable_tasks.get(agent.agent_id, ())):
        # What it does not bring back it has no more: nobody need wait for that.
        books.drop_unreachable(state, state.frameworks[framework_id], task_id)
    for executor in executors:
        books.add_executor(state.frameworks[executor.framework_id], agent, executor)
    for task in tasks:
        framework = state.frameworks[task.framework_id]
        if news is not None:
            _forget_completed(framework, task.task_id)
        books.add_task(state, framework, agent, task, out)
        if news is not None and framework.connected:
            notify.send_update(framework, _state_of(task, news, now), out)
    _note_history(state, said)
    assert agent.link is not None
    out.append(SendToAgent(agent.link, _answer(state, agent, (), removed)))
    _send_infos(state, agent, said, out)


def rejoin(
    state: MasterState,
    agent: Agent,
    said: agentlink.Reregister,
    now: float,
    out: list[Effect],
) -> None:
    """An agent that was in the tables all the time is connected again, and both sides agree."""
    assert agent.link is not None
    _update(state, agent, said, out)
    removed = _know_frameworks(state, agent, said, now, out)
    reported = {
        (FrameworkId(task.framework_id.value), TaskId(task.task_id.value)): task
        for task in said.tasks
    }
    live = {
        (FrameworkId(one.framework_id), ExecutorId(one.info.executor_id.value))
        for one in said.executors
    }
    unknown = tuple([key for key in agent.tasks if key not in reported])
    out.append(SendToAgent(agent.link, _answer(state, agent, unknown, removed)))
    for framework_id, executors in list(agent.executors.items()):
        for executor in list(executors.values()):
            if (framework_id, executor.executor_id) not in live:
                framework = state.frameworks[framework_id]
                books.remove_executor(state, framework, agent, executor, now)
                out.append(REQUEST_ALLOCATION)
    for framework_id, executor_id in live:
        if framework_id in state.frameworks and executor_id not in agent.executors.get(
            framework_id, {}
        ):
            message = agentlink.ShutdownExecutor(framework_id=framework_id, executor_id=executor_id)
            out.append(SendToAgent(agent.link, message))
    for key, report in reported.items():
        if report.state in TERMINAL or key[0] not in state.frameworks:
            continue
        if key not in agent.tasks or key in agent.kills:
            # Ended in the books while the link was down; or asked to end, which it may never
            # have read. The kill is remembered until the task is over.
            policy = agent.kills.get(key)
            kill = agentlink.KillTask(framework_id=key[0], task_id=key[1], kill_policy=policy)
            out.append(SendToAgent(agent.link, kill))
    _send_infos(state, agent, said, out)
    published.agent_added(state, agent, out)


def forget_framework(
    state: MasterState, agent: Agent, framework_id: FrameworkId, now: float, out: list[Effect]
) -> None:
    """All that the framework has on a disconnected agent is over: its tasks are LOST."""
    framework = state.frameworks[framework_id]
    for task in [task for key, task in agent.tasks.items() if key[0] == framework_id]:
        status = notify.master_status(
            task.task_id,
            task.agent_id,
            m.TaskState.TASK_LOST,
            f"Agent {agent.hostname} disconnected",
            m.TaskStatusReason.REASON_AGENT_DISCONNECTED,
            now,
            task.executor_id,
        )
        if not task.terminal:
            task.state = m.TaskState.TASK_LOST
            notify.count_end(framework, status, out)
        books.note_status(state, task, status, out)
        books.remove_task(state, framework, task, now, out)
        notify.send_update(framework, status, out)
    for executor in list(agent.executors.get(framework_id, {}).values()):
        books.remove_executor(state, framework, agent, executor, now)


def spec_of(agent: Agent) -> AgentSpec:
    """What the allocator must know of the agent."""
    domain = agent.info.domain
    fault = None if domain is None else domain.fault_domain
    return AgentSpec(
        hostname=agent.hostname,
        total=agent.total,
        region=None if fault is None else fault.region.name,
        zone=None if fault is None else fault.zone.name,
        attributes=tuple(
            (one.name, None if one.text is None else one.text.value)
            for one in agent.info.attributes
        ),
    )


def _update(
    state: MasterState, agent: Agent, said: agentlink.Reregister, out: list[Effect]
) -> None:
    if state.agent_at.get(agent.pid) == agent.agent_id:
        del state.agent_at[agent.pid]
    state.agent_at[said.pid] = agent.agent_id
    agent.pid, agent.agent_version = said.pid, said.version
    agent.capabilities, agent.drains = said.capabilities, said.drains
    if said.info == agent.info:
        return
    total = from_messages(said.info.resources)
    assert not isinstance(total, Problem)
    attributes_changed = said.info.attributes != agent.info.attributes
    agent.info = said.info
    agent.total = total.unallocate()
    agent.parts = parts_of(said.info, said.pid, agent.address)
    state.allocator.update_agent(agent.agent_id, spec_of(agent), attributes_changed)


def _know_frameworks(
    state: MasterState, agent: Agent, said: agentlink.Reregister, now: float, out: list[Effect]
) -> tuple[str, ...]:
    """Frameworks nobody knew are recovered, so that what they hold is not offered again; the ids of
    those that are over come back."""
    removed = []
    agent.owing = frozenset(FrameworkId(one) for one in said.owing)
    for info in said.frameworks:
        usable = usable_info(info)
        if usable is None or usable.id is None:
            continue
        framework_id = FrameworkId(usable.id.value)
        if framework_id in state.completed:
            removed.append(framework_id)
            continue
        framework = state.frameworks.get(framework_id)
        if framework is None:
            framework = frameworks.recover(state, usable, now, out)
        framework.known_on[agent.agent_id] = None
    for framework_id in sorted(agent.owing):
        owed = state.frameworks.get(framework_id)
        if owed is not None:
            owed.known_on[agent.agent_id] = None
    return tuple(removed)


def _tasks(
    state: MasterState, agent: Agent, said: agentlink.Reregister, out: list[Effect]
) -> list[Task]:
    found: dict[tuple[FrameworkId, TaskId], Task] = {}
    for report in said.tasks:
        framework = state.frameworks.get(FrameworkId(report.framework_id.value))
        task = None if framework is None else task_from(report, framework)
        if framework is None or task is None:
            continue
        if task.task_id in framework.tasks:
            # Its id was given to another task meanwhile; there can be only one.
            if agent.link is not None and not task.terminal:
                kill = agentlink.KillTask(framework_id=task.framework_id, task_id=task.task_id)
                out.append(SendToAgent(agent.link, kill))
            continue
        task.agent_id = agent.agent_id
        found[(task.framework_id, task.task_id)] = task
    return list(found.values())


def task_from(report: m.Task, framework: Framework) -> Task | None:
    """The record of a task as an agent reports it; None when its resources make no sense."""
    role = framework.roles[0] if framework.roles else "*"
    resources = allocated_from(report.resources, role)
    if isinstance(resources, Problem):
        return None
    return Task(
        framework_id=framework.framework_id,
        task_id=TaskId(report.task_id.value),
        agent_id=AgentId(report.agent_id.value),
        executor_id=None if report.executor_id is None else ExecutorId(report.executor_id.value),
        state=report.state,
        resources=resources,
        static=static_of(report),
        role=_role_of(resources) or role,
        statuses=report.statuses,
        forwarded=report.status_update_state,
        forwarded_uuid=report.status_update_uuid,
        charged=report.state not in TERMINAL,
    )


def _executors(state: MasterState, agent: Agent, said: agentlink.Reregister) -> list[Executor]:
    found: dict[tuple[FrameworkId, ExecutorId], Executor] = {}
    for report in said.executors:
        framework = state.frameworks.get(FrameworkId(report.framework_id))
        if framework is None:
            continue
        role = framework.roles[0] if framework.roles else "*"
        resources = allocated_from(report.info.resources, role)
        if not isinstance(resources, Problem):
            executor_id = ExecutorId(report.info.executor_id.value)
            found[(framework.framework_id, executor_id)] = Executor(
                framework.framework_id, executor_id, agent.agent_id, report.info, resources
            )
    return list(found.values())


def _state_of(task: Task, message: str, now: float) -> m.TaskStatus:
    last = task.statuses[-1] if task.statuses else None
    return m.TaskStatus(
        task_id=m.TaskID(value=task.task_id),
        state=task.state,
        message=message,
        source=notify.SOURCE_MASTER,
        reason=m.TaskStatusReason.REASON_AGENT_REREGISTERED,
        agent_id=m.AgentID(value=task.agent_id),
        executor_id=None if task.executor_id is None else m.ExecutorID(value=task.executor_id),
        timestamp=now,
        healthy=None if last is None else last.healthy,
        check_status=None if last is None else last.check_status,
        container_status=container_status(task),
    )


def _forget_completed(framework: Framework, task_id: TaskId) -> None:
    for task in framework.completed:
        if task.task_id == task_id:
            framework.completed.remove(task)
            return


def _note_history(state: MasterState, said: agentlink.Reregister) -> None:
    for old in said.completed:
        framework = (
            None if old.info.id is None else state.frameworks.get(FrameworkId(old.info.id.value))
        )
        if framework is None:
            continue
        for report in old.tasks:
            task = task_from(report, framework)
            if task is not None:
                task.charged = False
                books.remember(state, framework, task)


def _answer(
    state: MasterState,
    agent: Agent,
    unknown: tuple[tuple[FrameworkId, TaskId], ...],
    removed: tuple[str, ...],
) -> agentlink.Reregistered:
    return agentlink.Reregistered(
        agent_id=agent.agent_id,
        master_id=state.info.id,
        ping_timeout_s=state.policy.total_ping_timeout_s,
        master_version=state.info.version or "",
        master_hostname=state.info.hostname or "",
        unknown=unknown,
        removed=removed,
        registry_id=state.registry_id,
        epoch=state.epoch,
    )


def _send_infos(
    state: MasterState, agent: Agent, said: agentlink.Reregister, out: list[Effect]
) -> None:
    assert agent.link is not None
    for info in said.frameworks:
        framework = None if info.id is None else state.frameworks.get(FrameworkId(info.id.value))
        if framework is not None and not framework.recovered and framework.info != info:
            message = agentlink.UpdateFramework(framework=framework.info)
            out.append(SendToAgent(agent.link, message))
