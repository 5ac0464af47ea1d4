"""The answers of the agent's v1 API that are read from its state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mesos_twisted.agent.core.ending import to_task
from mesos_twisted.agent.core.state import AgentState, Executor, Framework, Task
from mesos_twisted.agent.views.facts import Facts
from mesos_twisted.agent.views.state_v0 import task_user
from mesos_twisted.agent.views.visible import Visible
from mesos_twisted.protocol.generated import messages as m


def flags(values: Mapping[str, str]) -> m.AgentResponseGetFlags:
    """Every flag by name."""
    return m.AgentResponseGetFlags(
        flags=tuple(m.Flag(name=name, value=value) for name, value in sorted(values.items()))
    )


def version(facts: Facts) -> m.AgentResponseGetVersion:
    """What is running."""
    return m.AgentResponseGetVersion(
        version_info=m.VersionInfo(
            version=facts.version,
            build_date=facts.build_date,
            build_time=facts.build_time,
            build_user=facts.build_user,
        )
    )


def agent(state: AgentState) -> m.AgentResponseGetAgent:
    """The agent's own info, and how it is being drained."""
    if state.drain is None:
        return m.AgentResponseGetAgent(agent_info=state.info)
    began = m.TimeInfo(nanoseconds=int(state.drain_began) * 1_000_000_000)
    return m.AgentResponseGetAgent(
        agent_info=state.info, drain_config=state.drain, estimated_drain_start_time=began
    )


def frameworks(state: AgentState, visible: Visible) -> m.AgentResponseGetFrameworks:
    """Frameworks with something here, and those that had."""
    return m.AgentResponseGetFrameworks(
        frameworks=_framework_infos(state.frameworks.values(), visible),
        completed_frameworks=_framework_infos(state.completed_frameworks.values(), visible),
    )


def _framework_infos(
    values: Iterable[Framework], visible: Visible
) -> tuple[m.AgentResponseGetFrameworksFramework, ...]:
    return tuple(
        m.AgentResponseGetFrameworksFramework(framework_info=one.info)
        for one in values
        if visible.framework(one.info)
    )


def executors(state: AgentState, visible: Visible) -> m.AgentResponseGetExecutors:
    """Live executors, and those that are over."""
    live: list[m.AgentResponseGetExecutorsExecutor] = []
    over: list[m.AgentResponseGetExecutorsExecutor] = []
    for framework in _seen(state, visible):
        info = framework.info
        for executor in framework.executors.values():
            if visible.executor(executor.info, info):
                live.append(m.AgentResponseGetExecutorsExecutor(executor_info=executor.info))
        for done in framework.completed:
            if visible.executor(done.info, info):
                over.append(m.AgentResponseGetExecutorsExecutor(executor_info=done.info))
    return m.AgentResponseGetExecutors(executors=tuple(live), completed_executors=tuple(over))


def tasks(state: AgentState, visible: Visible) -> m.AgentResponseGetTasks:
    """Tasks by where they are: queued, launched, ended but not acknowledged, completed."""
    queued: list[m.Task] = []
    launched: list[m.Task] = []
    terminated: list[m.Task] = []
    completed: list[m.Task] = []
    for framework in _seen(state, visible):
        for executor in framework.executors.values():
            for one in executor.tasks.values():
                if visible.task(task_user(one.info), framework.info):
                    into = queued if one.queued else terminated if one.ended else launched
                    into.append(_task(state, executor, one))
            completed += _may(executor.completed_tasks, framework, visible)
        for done in framework.completed:
            completed += _may(done.tasks, framework, visible)
    return m.AgentResponseGetTasks(
        queued_tasks=tuple(queued),
        launched_tasks=tuple(launched),
        terminated_tasks=tuple(terminated),
        completed_tasks=tuple(completed),
    )


def state(agent_state: AgentState, visible: Visible) -> m.AgentResponseGetState:
    """Tasks, executors and frameworks in one answer."""
    return m.AgentResponseGetState(
        get_tasks=tasks(agent_state, visible),
        get_executors=executors(agent_state, visible),
        get_frameworks=frameworks(agent_state, visible),
    )


def _seen(state: AgentState, visible: Visible) -> list[Framework]:
    known = (*state.frameworks.values(), *state.completed_frameworks.values())
    return [one for one in known if visible.framework(one.info)]


def _task(state: AgentState, executor: Executor, one: Task) -> m.Task:
    return to_task(state, executor, one)


def _may(values: Iterable[m.Task], framework: Framework, visible: Visible) -> list[m.Task]:
    return [one for one in values if visible.task(one.user, framework.info)]
