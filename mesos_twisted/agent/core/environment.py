"""What a process gets from us: its argv, its whole environment, its user and its share of the host.

Nothing is inherited from the agent. A task's own variables win over ours. The executor's token is
not known here: the edge replaces `TOKEN_MARKER`. Source: slave.cpp executorEnvironment,
executor.cpp launch, default_executor.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable

from mesos_twisted.agent.core import words
from mesos_twisted.agent.core.state import AgentState, Executor, Framework, Policy, Task
from mesos_twisted.protocol.generated import messages as m

#: The value of MESOS_EXECUTOR_AUTHENTICATION_TOKEN that the edge replaces by a fresh token.
TOKEN_MARKER = "@executor-token@"
TOKEN_VARIABLE = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN"

#: Mesos's allowance for a command task's executor, not charged to the offer.
OVERHEAD_CPUS_MILLI = 100
OVERHEAD_MEM_MB = 32

_MB = 1 << 20
_UNLIMITED = 1 << 60

Env = tuple[tuple[str, str], ...]


def program(command: m.CommandInfo) -> str:
    """The file to execute, found by PATH when it has no slash."""
    return "/bin/sh" if command.shell else command.value or ""


def argv(command: m.CommandInfo) -> tuple[str, ...]:
    """The whole argument vector; without a shell its first word need not be the program's name."""
    if command.shell:
        return ("sh", "-c", command.value or "")
    return command.arguments or (command.value or "",)


def user(policy: Policy, framework: Framework, command: m.CommandInfo | None) -> str | None:
    """Whom to run as: the command's user, else the framework's; None means the agent's own."""
    if not policy.switch_user:
        return None
    return (command.user if command is not None else None) or framework.info.user or None


def task_environment(
    state: AgentState, framework: Framework, executor: Executor, task: Task, directory: str
) -> Env:
    """Of a command task or a task of a group; `directory` is its sandbox, relative."""
    env = _common(state, framework, executor)
    sandbox = f"{state.policy.work_dir}/{directory}"
    env["MESOS_SANDBOX"] = sandbox
    env["MESOS_CONTAINER_IP"] = state.policy.ip
    command = task.info.command
    if command is not None:
        env.update(variables(command.environment))
    env["MESOS_ALLOCATION_ROLE"] = role(task.info.resources)
    return tuple(env.items())


def executor_environment(
    state: AgentState, framework: Framework, executor: Executor, tasks: Iterable[Task]
) -> Env:
    """Of a custom executor's process, with the token's marker."""
    env = _common(state, framework, executor)
    env["MESOS_SANDBOX"] = f"{state.policy.work_dir}/{executor.directory}"
    env["MESOS_CONTAINER_IP"] = state.policy.ip
    resources = executor.info.resources or next((t.info.resources for t in tasks), ())
    env["MESOS_ALLOCATION_ROLE"] = role(resources)
    if executor.info.command is not None:
        env.update(variables(executor.info.command.environment))
    env[TOKEN_VARIABLE] = TOKEN_MARKER
    return tuple(env.items())


def _common(state: AgentState, framework: Framework, executor: Executor) -> dict[str, str]:
    policy = state.policy
    env = {"PATH": policy.path}
    env.update(policy.executor_environment)
    checkpoint = framework.info.checkpoint
    env["LIBPROCESS_PORT"] = "0"
    env["MESOS_FRAMEWORK_ID"] = framework.id
    env["MESOS_EXECUTOR_ID"] = executor.id
    env["MESOS_DIRECTORY"] = f"{policy.work_dir}/{executor.directory}"
    env["MESOS_SLAVE_ID"] = state.agent_id or ""
    env["MESOS_SLAVE_PID"] = policy.pid
    env["MESOS_AGENT_ENDPOINT"] = policy.executor_endpoint
    if policy.domain_socket is not None:
        env["MESOS_DOMAIN_SOCKET"] = policy.domain_socket
    env["MESOS_CHECKPOINT"] = "1" if checkpoint else "0"
    env["MESOS_HTTP_COMMAND_EXECUTOR"] = "0"
    grace = shutdown_grace_s(policy, executor)
    env["MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"] = words.duration(grace)
    if checkpoint:
        env["MESOS_RECOVERY_TIMEOUT"] = words.duration(policy.recovery_timeout_s)
        reregistration = words.duration(policy.executor_reregistration_timeout_s)
        env["MESOS_SUBSCRIPTION_BACKOFF_MAX"] = reregistration
    return env


def shutdown_grace_s(policy: Policy, executor: Executor) -> float:
    """How long the executor has between SHUTDOWN and the end."""
    own = executor.info.shutdown_grace_period
    return policy.executor_shutdown_grace_period_s if own is None else own.nanoseconds / 1e9


def variables(environment: m.Environment | None) -> Env:
    """Names and values; a secret's is its data, and one without a value is left out."""
    found: list[tuple[str, str]] = []
    for variable in environment.variables if environment is not None else ():
        if variable.type is m.EnvironmentVariableType.SECRET:
            value = variable.secret.value if variable.secret is not None else None
            if value is not None:
                found.append((variable.name, value.data.decode("utf-8", "surrogateescape")))
        elif variable.value is not None:
            found.append((variable.name, variable.value))
    return tuple(found)


def role(resources: Iterable[m.Resource]) -> str:
    """The role these resources are allocated to."""
    for resource in resources:
        if resource.allocation_info is not None and resource.allocation_info.role:
            return resource.allocation_info.role
    return "*"


def scalar_milli(resources: Iterable[m.Resource], name: str) -> int:
    """Thousandths of a scalar, over all its parts."""
    return sum(
        round(resource.scalar.value * 1000)
        for resource in resources
        if resource.name == name and resource.scalar is not None
    )


def share(info: m.TaskInfo, overhead: bool) -> tuple[int, int, int | None]:
    """cpus in thousandths, memory and disk in bytes, of a task's container."""
    cpus = scalar_milli(info.resources, "cpus")
    mem = scalar_milli(info.resources, "mem") * _MB // 1000
    disk = scalar_milli(info.resources, "disk") * _MB // 1000
    if overhead:
        cpus += OVERHEAD_CPUS_MILLI
        mem += OVERHEAD_MEM_MB * _MB
    limit = info.limits.get("mem")
    if limit is not None:
        mem = max(mem, _UNLIMITED if limit.value == float("inf") else int(limit.value * _MB))
    return cpus, mem, disk or None


def executor_share(executor: Executor) -> tuple[int, int, int | None]:
    """The same of a custom executor's container: its own resources and its live tasks'."""
    lists = [executor.info.resources, *(task.info.resources for task in executor.live)]
    cpus = sum(scalar_milli(item, "cpus") for item in lists)
    mem = sum(scalar_milli(item, "mem") for item in lists) * _MB // 1000
    disk = sum(scalar_milli(item, "disk") for item in lists) * _MB // 1000
    return cpus, mem, disk or None
