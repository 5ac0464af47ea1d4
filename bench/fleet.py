"""What emulated agents and tasks look like: one way to make them for every benchmark."""

from __future__ import annotations

import getpass

from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.convert import to_messages
from mesos_twisted.resources.parse import resources_from_text
from mesos_twisted.sdk.values import scalar

TOTAL = "cpus:16;mem:65536;disk:100000;ports:[31000-32000]"
RESOURCES = to_messages(resources_from_text(TOTAL), refined=True)
FRAMEWORKS, LABELS = 10, 10
VERSION = "1.11.0"
_IDS = tuple(f"emulated-framework-{number:04d}" for number in range(FRAMEWORKS))
_LABELS = m.Labels(
    labels=tuple(m.Label(key=f"label-{n}", value=f"value-of-{n}") for n in range(LABELS))
)
_TASK_RESOURCES = (scalar("cpus", 0.5, "*"), scalar("mem", 256, "*"))


def framework_id(number: int) -> str:
    """The framework that owns every tenth task of each returning agent."""
    return _IDS[number]


def agent_info(number: int, agent_id: str | None = None) -> m.AgentInfo:
    """The info of agent `number`; every port is its own."""
    return m.AgentInfo(
        hostname="localhost",
        port=10_000 + number,
        resources=RESOURCES,
        id=None if agent_id is None else m.AgentID(value=agent_id),
    )


def pid(number: int) -> str:
    """The old-style address of agent `number`."""
    return f"slave(1)@127.0.0.1:{10_000 + number}"


def register(number: int) -> agentlink.Register:
    """A new agent."""
    return agentlink.Register(info=agent_info(number), pid=pid(number), version=VERSION)


def status(
    framework: str, task_id: str, agent_id: str, state: m.TaskState, uuid: bytes, now: float
) -> m.TaskStatus:
    """What an agent tells of a command task."""
    return m.TaskStatus(
        task_id=m.TaskID(value=task_id),
        state=state,
        agent_id=m.AgentID(value=agent_id),
        executor_id=m.ExecutorID(value=task_id),
        source=m.TaskStatusSource.SOURCE_EXECUTOR,
        timestamp=now,
        uuid=uuid,
    )


def returning(number: int, tasks: int, now: float) -> agentlink.Reregister:
    """An agent that comes back with running tasks of ten labels each, spread over frameworks."""
    agent_id = f"emulated-S{number}"
    running = []
    for n in range(tasks):
        task_id = f"task-{number}-{n}"
        framework = _IDS[n % FRAMEWORKS]
        running.append(
            m.Task(
                name=task_id,
                task_id=m.TaskID(value=task_id),
                framework_id=m.FrameworkID(value=framework),
                agent_id=m.AgentID(value=agent_id),
                state=m.TaskState.TASK_RUNNING,
                resources=_TASK_RESOURCES,
                labels=_LABELS,
                user="nobody",
                statuses=(
                    status(framework, task_id, agent_id, m.TaskState.TASK_RUNNING, b"\1" * 16, now),
                ),
            )
        )
    used = {task.framework_id.value for task in running}
    infos = [
        m.FrameworkInfo(
            user=getpass.getuser(),
            name=name,
            id=m.FrameworkID(value=name),
            principal="framework",
            failover_timeout=3600.0,
            checkpoint=True,
        )
        for name in sorted(used)
    ]
    return agentlink.Reregister(
        info=agent_info(number, agent_id),
        pid=pid(number),
        version=VERSION,
        frameworks=tuple(infos),
        tasks=tuple(running),
    )


def update(task: m.Task, uuid: bytes, now: float, healthy: bool) -> agentlink.StatusUpdate:
    """A change of a running task: its health."""
    value = task.task_id.value
    told = status(task.framework_id.value, value, task.agent_id.value, task.state, uuid, now)
    told = m.TaskStatus(
        task_id=told.task_id,
        state=told.state,
        agent_id=told.agent_id,
        executor_id=told.executor_id,
        source=told.source,
        timestamp=now,
        uuid=uuid,
        healthy=healthy,
        reason=m.TaskStatusReason.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED,
    )
    return agentlink.StatusUpdate(
        framework_id=task.framework_id.value, status=told, latest_state=task.state
    )
