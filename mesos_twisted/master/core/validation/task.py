"""May this task (or group of tasks) be launched on this agent with what is left of the offers?

The order of the checks is Mesos's, so that the first thing wrong is the one the framework reads.
Sentences go to the framework as the message of TASK_ERROR.
"""

from __future__ import annotations

import math

from mesos_twisted.errors import Problem
from mesos_twisted.master.core.state import Agent, Framework
from mesos_twisted.master.core.validation import checks
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ExecutorId, TaskId, check_id
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.parse import format_resources
from mesos_twisted.resources.resource import PERSISTENT, REVOCABLE, SHARED

#: The least a default executor needs, in thousandths of a cpu and of a megabyte.
MIN_EXECUTOR_CPUS = 10
MIN_EXECUTOR_MEM = 32_000
Kind = m.ExecutorInfoType


def check_task(framework: Framework, agent: Agent, task: m.TaskInfo) -> Problem | None:
    """What is wrong with a task but its resources and its executor, or None."""
    return (
        check_id(task.task_id.value)
        or _check_unique(framework, task)
        or _check_agent(agent, task)
        or (None if task.kill_policy is None else _check_kill_policy(task.kill_policy))
        or _check_duration("max_completion_time", task.max_completion_time)
        or (None if task.check is None else _check_check(task.check))
        or (None if task.health_check is None else _check_health(task.health_check))
        or (None if task.resources else _bad("Task uses no resources"))
        or (None if task.command is None else _check_command("Task", task.command))
        or (None if not task.limits else _check_limits(task))
    )


def _check_unique(framework: Framework, task: m.TaskInfo) -> Problem | None:
    task_id = TaskId(task.task_id.value)
    if task_id in framework.tasks:
        return _bad(f"Task has duplicate ID: {task_id}")
    if task_id in framework.unreachable:
        return _bad(f"Task reuses the ID of an unreachable task: {task_id}")
    return None


def _check_agent(agent: Agent, task: m.TaskInfo) -> Problem | None:
    if task.agent_id.value != agent.agent_id:
        return _bad(
            f"Task uses invalid agent {task.agent_id.value} while agent {agent.agent_id}"
            " is expected"
        )
    return None


def _check_kill_policy(policy: m.KillPolicy) -> Problem | None:
    return _check_duration("kill_policy.grace_period", policy.grace_period)


def _check_duration(name: str, duration: m.DurationInfo | None) -> Problem | None:
    if duration is not None and duration.nanoseconds < 0:
        return _bad(f"Task's '{name}' must be non-negative")
    return None


def _check_check(check: m.CheckInfo) -> Problem | None:
    problem = checks.check_check(check)
    return None if problem is None else _bad(f"Task uses invalid check: {problem}")


def _check_health(check: m.HealthCheck) -> Problem | None:
    problem = checks.check_health(check)
    return None if problem is None else _bad(f"Task uses invalid health check: {problem}")


def _check_command(whose: str, command: m.CommandInfo) -> Problem | None:
    environment = command.environment
    for one in () if environment is None else environment.variables:
        if one.type is m.EnvironmentVariableType.SECRET:
            if one.secret is None or one.value is not None:
                return _bad(
                    f"{whose}'s `CommandInfo` is invalid: environment variable '{one.name}' of"
                    " type 'SECRET' must have a secret and no value"
                )
        elif one.value is None or one.secret is not None:
            return _bad(
                f"{whose}'s `CommandInfo` is invalid: environment variable '{one.name}' of type"
                " 'VALUE' must have a value and no secret"
            )
    return None


def _check_limits(task: m.TaskInfo) -> Problem | None:
    asked: dict[str, float] = {}
    for resource in task.resources:
        if resource.scalar is not None:
            asked[resource.name] = asked.get(resource.name, 0.0) + resource.scalar.value
    for name, limit in task.limits.items():
        if name not in ("cpus", "mem"):
            return _bad(f"Task's limits name '{name}'; only 'cpus' and 'mem' may be limited")
        if math.isnan(limit.value) or limit.value < asked.get(name, 0.0):
            return _bad(
                f"Task's limit of '{name}' is {limit.value!r}, less than the"
                f" {asked.get(name, 0.0)!r} it requests"
            )
    return None


def check_resources(whose: str, resources: Resources) -> Problem | None:
    """`resources` carry their allocation role: one role, volumes once, no half revocable name."""
    if len(resources.allocations()) > 1:
        roles = ", ".join(sorted(resources.allocations()))
        return _bad(f"Invalid {whose} resources: they are allocated to several roles: {roles}")
    traits = resources.traits
    if traits & REVOCABLE:
        mixed = set(resources.revocable().names()) & set(resources.non_revocable().names())
        if mixed:
            return _bad(
                f"{whose.capitalize()} mixes revocable and non-revocable resources:"
                f" Cannot use both revocable and non-revocable '{min(mixed)}'"
            )
    if traits & PERSISTENT:
        seen: set[tuple[str | None, str | None]] = set()
        for one in resources.persistent_volumes():
            if one.disk is None or one.shared:
                continue
            key = (one.reservations[-1].role if one.reservations else None, one.disk.persistence_id)
            if key in seen:
                return _bad(
                    f"{whose.capitalize()} uses duplicate persistence ID:"
                    f" Persistence ID '{one.disk.persistence_id}' is not unique"
                )
            seen.add(key)
    return None


def check_one_of(task: m.TaskInfo) -> Problem | None:
    """A task outside a group has a command or an executor."""
    if (task.command is None) == (task.executor is None):
        return _bad(
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
        )
    linux = None if task.container is None else task.container.linux_info
    if linux is not None and not linux.share_cgroups:
        return _bad("Only tasks in a task group may have 'share_cgroups' set to 'false'")
    return None


def check_executor(framework: Framework, agent: Agent, executor: m.ExecutorInfo) -> Problem | None:
    """What is wrong with an executor (its framework id is set), or None."""
    problem = check_id(executor.executor_id.value)
    if problem is not None:
        return problem
    if executor.framework_id is None or executor.framework_id.value != framework.framework_id:
        given = None if executor.framework_id is None else executor.framework_id.value
        return _bad(
            f"ExecutorInfo has an invalid FrameworkID (Actual: {given} vs Expected:"
            f" {framework.framework_id})"
        )
    if executor.type is Kind.DEFAULT:
        problem = _check_default(executor)
        if problem is not None:
            return problem
    grace = executor.shutdown_grace_period
    if grace is not None and grace.nanoseconds < 0:
        return _bad("ExecutorInfo's 'shutdown_grace_period' must be non-negative")
    if executor.command is not None:
        problem = _check_command("Executor", executor.command)
        if problem is not None:
            return problem
    known = agent.executors.get(framework.framework_id, {}).get(
        ExecutorId(executor.executor_id.value)
    )
    if known is not None and known.info != executor:
        return _bad(
            f"ExecutorInfo is not compatible with the one that executor"
            f" '{executor.executor_id.value}' runs with on agent {agent.agent_id};"
            " use the same ExecutorInfo or another id"
        )
    return None


def _check_default(executor: m.ExecutorInfo) -> Problem | None:
    if executor.command is not None:
        return _bad("'ExecutorInfo.command' must not be set for 'DEFAULT' executor")
    container = executor.container
    if container is None:
        return None
    if container.type is not m.ContainerInfoType.MESOS:
        return _bad("'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor")
    if container.mesos is not None and container.mesos.image is not None:
        return _bad("'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor")
    return None


def check_custom(executor: m.ExecutorInfo, resources: Resources) -> Problem | None:
    """What a task's own executor must be."""
    if executor.type not in (None, Kind.CUSTOM):
        return _bad("'ExecutorInfo.type' must be 'CUSTOM'")
    if executor.command is None:
        return _bad("'ExecutorInfo.command' must be set")
    if resources.traits & SHARED:
        return _bad("Executor resources must not contain shared resources")
    return None


def check_group_executor(executor: m.ExecutorInfo, resources: Resources) -> Problem | None:
    """What the executor of a task group must be."""
    name = executor.executor_id.value
    if executor.type is None:
        return _bad("'ExecutorInfo.type' must be set")
    if executor.type is Kind.UNKNOWN:
        return _bad("Unknown executor type")
    if executor.container is not None and executor.container.type is m.ContainerInfoType.DOCKER:
        return _bad("Docker ContainerInfo is not supported on the executor")
    if resources.scalar("cpus") < MIN_EXECUTOR_CPUS:
        return _bad(f"Executor '{name}' uses less CPUs than the minimum required (0.01)")
    if resources.scalar("mem") < MIN_EXECUTOR_MEM:
        return _bad(f"Executor '{name}' uses less memory than the minimum required (32MB)")
    if not resources.scalar("disk"):
        return _bad(f"Executor '{name}' uses no disk")
    return None


def check_group_task(executor: m.ExecutorInfo, task: m.TaskInfo) -> Problem | None:
    """What a task may not have because it is in a group; it may name the group's own executor."""
    if task.executor is not None and task.executor != executor:
        return _bad(
            f"The `ExecutorInfo` of task '{task.task_id.value}' is different from executor"
            f" '{executor.executor_id.value}'"
        )
    if task.command is None and executor.type is Kind.DEFAULT:
        return _bad(f"Task '{task.task_id.value}' has no command")
    container = task.container
    if container is not None and container.network_infos and task.health_check is not None:
        if task.health_check.type in (m.HealthCheckType.HTTP, m.HealthCheckType.TCP):
            return _bad(
                "HTTP and TCP health checks are not supported for nested containers not joining"
                " parent's network"
            )
    if container is not None and container.type is m.ContainerInfoType.DOCKER:
        return _bad("Docker ContainerInfo is not supported on the task")
    linux = None if container is None else container.linux_info
    if task.limits and (linux is None or linux.share_cgroups is not False):
        return _bad(
            "Resource limits may only be set for tasks within a task group when the"
            " 'share_cgroups' field is set to 'false'."
        )
    return None


def check_fits(
    whose: str, needed: Resources, offered: Resources, plural: bool = False
) -> Problem | None:
    """What is needed must be in what is left of the offers."""
    if offered.contains(needed):
        return None
    return _bad(
        f"Total resources {format_resources(needed.unallocate())} required by {whose}"
        f" {'are' if plural else 'is'} more than available {format_resources(offered.unallocate())}"
    )


def _bad(sentence: str) -> Problem:
    return Problem("task_invalid", sentence)
