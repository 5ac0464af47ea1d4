"""A small world around the core: it feeds events, keeps the rows and checks every promise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from mesos_twisted.agent.core import effects as ef
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core import invariants
from mesos_twisted.agent.core.decide import decide
from mesos_twisted.agent.core.state import AgentState, Policy, new_state
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, ContainerId, ExecutorId, FrameworkId, TaskId

LINK = ConnectionId(7)
F = FrameworkId("f")
EffectT = TypeVar("EffectT")


def resources(**amounts: float) -> tuple[m.Resource, ...]:
    return tuple(
        m.Resource(
            name=name,
            type=m.ValueType.SCALAR,
            scalar=m.ValueScalar(value=float(value)),
            allocation_info=m.ResourceAllocationInfo(role="web"),
        )
        for name, value in amounts.items()
    )


@dataclass
class World:
    policy: Policy = field(
        default_factory=lambda: Policy(hostname="h", resources=resources(cpus=8, mem=8000))
    )
    rows: dict[str, bytes] = field(default_factory=dict)
    running: dict[ContainerId, int] = field(default_factory=dict)
    ended: dict[ContainerId, int | None] = field(default_factory=dict)
    now: float = 1000.0
    incarnation: int = 0
    last: list[ef.Effect] = field(default_factory=list)
    all: list[ef.Effect] = field(default_factory=list)
    capabilities: tuple[m.FrameworkInfoCapabilityType, ...] = (
        m.FrameworkInfoCapabilityType.PARTITION_AWARE,
        m.FrameworkInfoCapabilityType.TASK_KILLING_STATE,
    )

    def __post_init__(self) -> None:
        self.state: AgentState = new_state(self.policy, b"seed")

    def feed(self, event: ev.Event) -> list[ef.Effect]:
        self.last = decide(self.state, event)
        self.all += self.last
        for effect in self.last:
            self.perform(effect)
        invariants.check(self.state)
        return self.last

    def perform(self, effect: ef.Effect) -> None:
        if isinstance(effect, ef.Checkpoint):
            self.rows[effect.key] = effect.value
        elif isinstance(effect, ef.Forget):
            below = effect.key.endswith("/")
            for key in list(self.rows):
                if key == effect.key or (below and key.startswith(effect.key)):
                    del self.rows[key]
        elif isinstance(effect, ef.ForgetContainer):
            self.ended.pop(effect.container_id, None)

    # What the edges say.

    def say(self, message: agentlink.FromMaster) -> list[ef.Effect]:
        return self.feed(ev.MasterSaid(LINK, message, self.now))

    def boot(self, boot_id: str = "boot", lost: tuple[ContainerId, ...] = ()) -> list[ef.Effect]:
        """Start (again) from the rows and the containers that are left."""
        self.incarnation += 1
        self.state = new_state(self.policy, b"seed%d" % self.incarnation)
        found = [
            ev.RecoveredContainer(container_id, True, pid)
            for container_id, pid in self.running.items()
            if container_id not in lost
        ]
        found += [
            ev.RecoveredContainer(container_id, False, None, status)
            for container_id, status in self.ended.items()
            if container_id not in lost
        ]
        return self.feed(ev.Recovered(dict(self.rows), tuple(found), boot_id, self.now))

    def register(self) -> list[ef.Effect]:
        self.feed(ev.LinkOpened(LINK, self.now))
        if self.state.agent_id is None:
            return self.say(agentlink.Registered(agent_id="S0", master_id="M", ping_timeout_s=75.0))
        return self.say(agentlink.Reregistered(agent_id="S0", master_id="M", ping_timeout_s=75.0))

    def timer(self, *key: str) -> list[ef.Effect]:
        return self.feed(ev.TimerFired(key, self.now))

    def sandbox_ready(self, container_id: ContainerId) -> list[ef.Effect]:
        return self.feed(ev.SandboxReady(container_id, self.now))

    def launched(self, container_id: ContainerId, pid: int = 4242) -> list[ef.Effect]:
        self.running[container_id] = pid
        return self.feed(ev.ContainerLaunched(container_id, pid, self.now))

    def exits(
        self,
        container_id: ContainerId,
        status: int | None = 0,
        limitation: tuple[str, str] | None = None,
    ) -> list[ef.Effect]:
        self.running.pop(container_id, None)
        self.ended[container_id] = status
        return self.feed(ev.ContainerTerminated(container_id, status, self.now, limitation))

    # Shorthands.

    def framework(self) -> m.FrameworkInfo:
        return m.FrameworkInfo(
            user="u",
            name="n",
            id=m.FrameworkID(value=F),
            checkpoint=True,
            capabilities=tuple(m.FrameworkInfoCapability(type=c) for c in self.capabilities),
        )

    def task(self, task_id: str = "t", words: str | None = "sleep 1", **more: object) -> m.TaskInfo:
        given: dict[str, object] = {
            "name": task_id,
            "task_id": m.TaskID(value=task_id),
            "agent_id": m.AgentID(value="S0"),
            "resources": resources(cpus=1, mem=64),
            "command": None if words is None else m.CommandInfo(value=words),
        }
        given.update(more)
        return m.TaskInfo(**given)  # type: ignore[arg-type]  # a builder of keyword arguments

    def run(self, info: m.TaskInfo) -> list[ef.Effect]:
        return self.say(agentlink.RunTask(framework=self.framework(), task=info))

    def run_group(self, executor: m.ExecutorInfo, *infos: m.TaskInfo) -> list[ef.Effect]:
        group = m.TaskGroupInfo(tasks=infos)
        return self.say(
            agentlink.RunTaskGroup(framework=self.framework(), executor=executor, task_group=group)
        )

    def running_task(self, info: m.TaskInfo | None = None) -> ContainerId:
        """A command task that runs; every update so far acknowledged."""
        info = info or self.task()
        self.run(info)
        container_id = self.container(info.task_id.value)
        self.sandbox_ready(container_id)
        self.launched(container_id)
        self.acknowledge_all(info.task_id.value)
        return container_id

    def container(self, task_id: str) -> ContainerId:
        task = self.state.task(F, TaskId(task_id))
        assert task is not None and task.container_id is not None
        return task.container_id

    def kill(self, task_id: str = "t", grace_s: float | None = None) -> list[ef.Effect]:
        policy = None
        if grace_s is not None:
            policy = m.KillPolicy(grace_period=m.DurationInfo(nanoseconds=int(grace_s * 1e9)))
        return self.say(agentlink.KillTask(framework_id=F, task_id=task_id, kill_policy=policy))

    def acknowledge(self, task_id: str = "t") -> list[ef.Effect]:
        uuid = self.state.streams[F, TaskId(task_id)].pending[0].uuid
        assert uuid is not None
        return self.say(agentlink.Acknowledge(framework_id=F, task_id=task_id, uuid=uuid))

    def acknowledge_all(self, task_id: str = "t") -> None:
        while True:
            stream = self.state.streams.get((F, TaskId(task_id)))
            if stream is None or not stream.pending:
                return
            self.acknowledge(task_id)

    def of(self, kind: type[EffectT], within: list[ef.Effect] | None = None) -> list[EffectT]:
        """Effects of one kind, of the last event unless told otherwise."""
        return [e for e in (self.last if within is None else within) if isinstance(e, kind)]

    def sent(self, within: list[ef.Effect] | None = None) -> list[agentlink.FromAgent]:
        return [effect.message for effect in self.of(ef.SendToMaster, within)]

    def statuses(self, task_id: str = "t") -> list[m.TaskStatus]:
        """What the scheduler is still owed, oldest first."""
        stream = self.state.streams.get((F, TaskId(task_id)))
        return [] if stream is None else list(stream.pending)

    def states(self, task_id: str = "t") -> list[str]:
        return [status.state.value for status in self.statuses(task_id)]

    def to_executor(self, within: list[ef.Effect] | None = None) -> list[m.ExecutorEvent]:
        return [effect.event for effect in self.of(ef.SendToExecutor, within)]

    def subscribe(
        self, executor_id: str = "e", connection: int = 1, **what: object
    ) -> list[ef.Effect]:
        subscribe = m.ExecutorCallSubscribe(**what)  # type: ignore[arg-type]  # keyword arguments
        return self.feed(
            ev.ExecutorSubscribed(
                ConnectionId(connection), F, ExecutorId(executor_id), subscribe, self.now
            )
        )

    def update(
        self, task_id: str, state: m.TaskState, uuid: bytes, executor_id: str = "e"
    ) -> list[ef.Effect]:
        status = m.TaskStatus(task_id=m.TaskID(value=task_id), state=state, uuid=uuid)
        call = m.ExecutorCall(
            executor_id=m.ExecutorID(value=executor_id),
            framework_id=m.FrameworkID(value=F),
            type=m.ExecutorCallType.UPDATE,
            update=m.ExecutorCallUpdate(status=status),
        )
        return self.feed(ev.ExecutorCalled(F, ExecutorId(executor_id), call, self.now))


@pytest.fixture
def fresh() -> World:
    """An agent that has not even recovered."""
    return World()


@pytest.fixture
def world(fresh: World) -> World:
    """An agent that is registered and idle."""
    fresh.boot()
    fresh.register()
    return fresh
