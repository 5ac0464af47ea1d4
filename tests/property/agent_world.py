"""A host, a master and executors around the agent's core, cut off at any effect by a crash.

The world keeps what survives a crash (rows, containers, what the master heard) and checks, at every
effect, what may never happen: an acknowledged update sent again, one sent out of order or skipped,
one forgotten before its acknowledgement, a task started twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from mesos_twisted.agent.core import effects as ef
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core import invariants, rows, words
from mesos_twisted.agent.core.decide import decide
from mesos_twisted.agent.core.state import AgentState, Policy, new_state
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, ContainerId, ExecutorId, FrameworkId
from mesos_twisted.protocol.states import TERMINAL

LINK = ConnectionId(1)
FRAMEWORK = FrameworkId("f/1")


class Crashed(Exception):
    """The agent died before its next effect."""


class CustomExecutor:
    """What an executor process knows: it outlives the agent."""

    def __init__(self) -> None:
        self.tasks: dict[str, m.TaskInfo] = {}
        self.ended: set[str] = set()
        self.unacknowledged: dict[bytes, m.TaskStatus] = {}
        self.connection: ConnectionId | None = None


class World:
    """See the module."""

    def __init__(self) -> None:
        self.policy = Policy(hostname="h")
        self.rows: dict[str, bytes] = {}
        self.running: set[ContainerId] = set()
        self.ended: dict[ContainerId, int | None] = {}
        self.preparing: list[ContainerId] = []
        self.launching: list[ContainerId] = []
        self.dying: list[ContainerId] = []
        self.launches: set[ContainerId] = set()
        self.executors: dict[str, CustomExecutor] = {}
        self.order: dict[str, list[bytes]] = defaultdict(list)
        self.states: dict[str, list[m.TaskState]] = defaultdict(list)
        self.acknowledged: set[bytes] = set()
        self.task_of: dict[ContainerId, str] = {}
        self.fates: dict[str, int] = {}
        self.last_words: dict[str, str] = {}
        self.heard: list[tuple[str, bytes]] = []
        self.accepted: list[str] = []
        self.now = 1000.0
        self.count = 0
        self.boots = 0
        self.connections = 1
        self.boot_id = "b0"
        self.fuse: int | None = None
        self.state: AgentState = new_state(self.policy, b"0")

    # Events and effects.

    def feed(self, event: ev.Event) -> None:
        effects = decide(self.state, event)
        invariants.check(self.state)
        for effect in effects:
            if self.fuse is not None:
                if self.fuse == 0:
                    self.fuse = None
                    raise Crashed
                self.fuse -= 1
            self.perform(effect)

    def perform(self, effect: ef.Effect) -> None:
        match effect:
            case ef.Checkpoint():
                self.rows[effect.key] = effect.value
                self.note_row(effect.key, effect.value)
            case ef.Forget():
                self.forget(effect.key)
            case ef.SendToMaster(agentlink.StatusUpdate() as update):
                self.hear(update)
            case ef.PrepareSandbox():
                self.preparing.append(effect.container_id)
            case ef.LaunchContainer():
                assert effect.container_id not in self.launches, "launched twice"
                self.launches.add(effect.container_id)
                task_id = self.state.containers[effect.container_id].task_id
                if task_id is not None:
                    self.task_of[effect.container_id] = task_id
                self.launching.append(effect.container_id)
            case ef.DestroyContainer():
                self.dying.append(effect.container_id)
            case ef.ForgetContainer():
                self.ended.pop(effect.container_id, None)
            case ef.SendToExecutor():
                self.tell_executor(effect.connection, effect.event)

    def note_row(self, key: str, value: bytes) -> None:
        kind, *parts = key.split("/")
        if kind != "update":
            return
        row = rows.DECODERS["update"](value)
        assert isinstance(row, rows.UpdateRow) and row.status.uuid is not None
        if row.acknowledged:
            self.acknowledged.add(row.status.uuid)
        elif row.status.uuid in self.acknowledged:
            # An executor that never heard that we had it brings it again after a restart.
            assert self.boots > 1
            self.acknowledged.discard(row.status.uuid)
        else:
            task_id = parts[1]
            assert row.status.uuid not in self.order[task_id]
            before = self.states[task_id]
            assert not (before and before[-1] in TERMINAL), "an update after a terminal one"
            self.order[task_id].append(row.status.uuid)
            before.append(row.status.state)
            self.last_words[task_id] = row.status.message or ""

    def forget(self, key: str) -> None:
        if key.startswith("update/") and key.endswith("/"):
            task_id = key.split("/")[2]
            left = [uuid for uuid in self.order[task_id] if uuid not in self.acknowledged]
            assert not left, "updates forgotten before their acknowledgement"
        for row in list(self.rows):
            if row == key or (key.endswith("/") and row.startswith(key)):
                del self.rows[row]

    def hear(self, update: agentlink.StatusUpdate) -> None:
        uuid, task_id = update.status.uuid, update.status.task_id.value
        assert uuid is not None
        assert uuid not in self.acknowledged, "an acknowledged update was sent again"
        oldest = next(item for item in self.order[task_id] if item not in self.acknowledged)
        assert uuid == oldest, "an update other than the oldest was sent"
        self.heard.append((task_id, uuid))

    def tell_executor(self, connection: ConnectionId, event: m.ExecutorEvent) -> None:
        for executor in self.executors.values():
            if executor.connection != connection:
                continue
            if event.launch is not None:
                self.give(executor, (event.launch.task,))
            elif event.launch_group is not None:
                self.give(executor, event.launch_group.task_group.tasks)
            elif event.acknowledged is not None:
                executor.unacknowledged.pop(event.acknowledged.uuid, None)

    def give(self, executor: CustomExecutor, infos: Iterable[m.TaskInfo]) -> None:
        for info in infos:
            assert info.task_id.value not in executor.tasks, "a task given twice"
            executor.tasks[info.task_id.value] = info

    # What can be done to the agent.

    def start(self) -> None:
        """Recover and register, as often as it takes."""
        while True:
            self.boots += 1
            self.state = new_state(self.policy, b"%d" % self.boots)
            self.preparing.clear()
            self.launching = [c for c in self.launching if c not in self.running]
            for lost in self.launching:
                self.launches.discard(lost)
            self.launching.clear()
            for container_id in self.dying:
                self.die(container_id, 9)
            self.dying.clear()
            for executor in self.executors.values():
                executor.connection = None
            found = [ev.RecoveredContainer(item, True, 7) for item in sorted(self.running)]
            found += [ev.RecoveredContainer(k, False, None, v) for k, v in self.ended.items()]
            event = ev.Recovered(dict(self.rows), tuple(found), self.boot_id, self.now)
            try:
                self.feed(event)
                self.feed(ev.LinkOpened(LINK, self.now))
                answer: agentlink.FromMaster = agentlink.Reregistered(
                    agent_id="S0", master_id="M", ping_timeout_s=75.0
                )
                self.feed(ev.MasterSaid(LINK, answer, self.now))
                return
            except Crashed:
                continue

    def die(self, container_id: ContainerId, status: int | None) -> None:
        if container_id in self.running:
            self.running.discard(container_id)
            self.ended[container_id] = status
            if status is not None and container_id in self.task_of:
                self.fates[self.task_of[container_id]] = status

    def info(self, executor: m.ExecutorInfo | None) -> m.TaskInfo:
        self.count += 1
        name = f"t{self.count}"
        self.accepted.append(name)
        return m.TaskInfo(
            name=name,
            task_id=m.TaskID(value=name),
            agent_id=m.AgentID(value="S0"),
            executor=executor,
            command=m.CommandInfo(value="x") if executor is None else None,
        )

    def framework(self) -> m.FrameworkInfo:
        capability = m.FrameworkInfoCapabilityType.PARTITION_AWARE
        return m.FrameworkInfo(
            user="u",
            name="n",
            id=m.FrameworkID(value=FRAMEWORK),
            capabilities=(m.FrameworkInfoCapability(type=capability),),
        )

    def run_command(self, which: int) -> None:
        message = agentlink.RunTask(framework=self.framework(), task=self.info(None))
        self.feed(ev.MasterSaid(LINK, message, self.now))

    def run_custom(self, which: int) -> None:
        executor = m.ExecutorInfo(
            executor_id=m.ExecutorID(value=f"c{which % 2}"), command=m.CommandInfo(value="e")
        )
        message = agentlink.RunTask(framework=self.framework(), task=self.info(executor))
        self.feed(ev.MasterSaid(LINK, message, self.now))

    def run_group(self, which: int) -> None:
        executor = m.ExecutorInfo(
            executor_id=m.ExecutorID(value=f"d{which % 2}"), type=m.ExecutorInfoType.DEFAULT
        )
        tasks = tuple(self.info(None) for _ in range(1 + which % 3))
        message = agentlink.RunTaskGroup(
            framework=self.framework(),
            executor=executor,
            task_group=m.TaskGroupInfo(tasks=tasks),
        )
        self.feed(ev.MasterSaid(LINK, message, self.now))

    def sandbox(self, which: int) -> None:
        if self.preparing:
            container_id = self.preparing.pop(which % len(self.preparing))
            if which % 11 == 10:
                self.feed(ev.SandboxFailed(container_id, "no such URI", self.now))
            else:
                self.feed(ev.SandboxReady(container_id, self.now))

    def launch(self, which: int) -> None:
        if self.launching:
            container_id = self.launching.pop(which % len(self.launching))
            if which % 11 == 10:
                self.feed(ev.ContainerLaunchFailed(container_id, "no such file", self.now))
            elif container_id not in self.dying:
                self.running.add(container_id)
                self.feed(ev.ContainerLaunched(container_id, 7, self.now))

    def exit(self, which: int) -> None:
        if self.running:
            container_id = sorted(self.running)[which % len(self.running)]
            status = (0, 256, 9, None)[which % 4]
            self.die(container_id, status)
            self.feed(ev.ContainerTerminated(container_id, status, self.now))

    def destroyed(self, which: int) -> None:
        if self.dying:
            container_id = self.dying.pop(which % len(self.dying))
            self.preparing = [item for item in self.preparing if item != container_id]
            self.launching = [item for item in self.launching if item != container_id]
            self.die(container_id, 9)
            status = self.ended.get(container_id)
            self.feed(ev.ContainerTerminated(container_id, status, self.now))

    def kill(self, which: int) -> None:
        # The master passes on kills of tasks that it has, and what is acknowledged it has not.
        had = [one for one in self.accepted if not self.is_over(one)]
        if had:
            task_id = had[which % len(had)]
            message = agentlink.KillTask(framework_id=FRAMEWORK, task_id=task_id)
            self.feed(ev.MasterSaid(LINK, message, self.now))

    def drain(self, which: int) -> None:
        """The agent is to be drained, with some grace or none said; or it is in use again."""
        grace = None if which % 2 else m.DurationInfo(nanoseconds=which * 10**8)
        config = m.DrainConfig(max_grace_period=grace, mark_gone=which % 3 == 0)
        message = agentlink.Drain(config=None if which % 4 == 3 else config)
        self.feed(ev.MasterSaid(LINK, message, self.now))

    def is_over(self, task_id: str) -> bool:
        """Does its scheduler know its end?"""
        states, uuids = self.states.get(task_id, []), self.order.get(task_id, [])
        return bool(states) and states[-1] in TERMINAL and uuids[-1] in self.acknowledged

    def acknowledge(self, which: int) -> None:
        if self.heard:
            task_id, uuid = self.heard[which % len(self.heard)]
            message = agentlink.Acknowledge(framework_id=FRAMEWORK, task_id=task_id, uuid=uuid)
            self.feed(ev.MasterSaid(LINK, message, self.now))

    def relink(self, which: int) -> None:
        self.feed(ev.LinkClosed(LINK, self.now))
        self.feed(ev.LinkOpened(LINK, self.now))
        answer = agentlink.Reregistered(agent_id="S0", master_id="M", ping_timeout_s=75.0)
        self.feed(ev.MasterSaid(LINK, answer, self.now))

    def timer(self, which: int) -> None:
        for (framework_id, task_id), _ in list(self.state.streams.items())[which % 3 :]:
            self.feed(ev.TimerFired(("update", framework_id, task_id), self.now))
            self.feed(ev.TimerFired(("kill", framework_id, task_id), self.now))

    def launch_timeout(self, which: int) -> None:
        waiting = [*self.preparing, *self.launching, *sorted(self.running)]
        if waiting and which % 4 == 0:
            key = ("launch", waiting[which % len(waiting)])
            container = self.state.containers.get(ContainerId(key[1]))
            if container is not None and container.pid is None:
                self.feed(ev.TimerFired(key, self.now))

    def shut_down_executor(self, which: int) -> None:
        name = f"{'cd'[which % 2]}{which // 2 % 2}"
        if which % 3 == 0:
            message = agentlink.ShutdownExecutor(framework_id=FRAMEWORK, executor_id=name)
            self.feed(ev.MasterSaid(LINK, message, self.now))

    def executor_of(self, container_id: ContainerId) -> str | None:
        container = self.state.containers.get(container_id)
        custom = container is not None and container.executor_id.startswith("c")
        return container.executor_id if container is not None and custom else None

    def subscribe(self, which: int) -> None:
        for container_id in sorted(self.running):
            name = self.executor_of(container_id)
            if name is None:
                continue
            executor = self.executors.setdefault(container_id, CustomExecutor())
            if executor.connection is None:
                self.connections += 1
                executor.connection = ConnectionId(self.connections)
                unacknowledged = tuple(
                    m.ExecutorCallUpdate(status=status)
                    for status in executor.unacknowledged.values()
                )
                subscribe = m.ExecutorCallSubscribe(
                    unacknowledged_tasks=tuple(executor.tasks.values()),
                    unacknowledged_updates=unacknowledged,
                )
                self.feed(
                    ev.ExecutorSubscribed(
                        executor.connection, FRAMEWORK, ExecutorId(name), subscribe, self.now
                    )
                )
                return

    def executor_update(self, which: int) -> None:
        for container_id in sorted(self.running):
            executor = self.executors.get(container_id)
            name = self.executor_of(container_id)
            if executor is None or executor.connection is None or not name:
                continue
            live = sorted(set(executor.tasks) - executor.ended)
            if not live:
                continue
            task_id = live[which % len(live)]
            state = (m.TaskState.TASK_RUNNING, m.TaskState.TASK_FINISHED)[which % 2]
            if state in TERMINAL:
                executor.ended.add(task_id)
            self.count += 1
            status = m.TaskStatus(
                task_id=m.TaskID(value=task_id),
                state=state,
                uuid=self.count.to_bytes(16, "big"),
            )
            assert status.uuid is not None
            executor.unacknowledged[status.uuid] = status
            call = m.ExecutorCall(
                executor_id=m.ExecutorID(value=name),
                framework_id=m.FrameworkID(value=FRAMEWORK),
                type=m.ExecutorCallType.UPDATE,
                update=m.ExecutorCallUpdate(status=status),
            )
            self.feed(ev.ExecutorCalled(FRAMEWORK, ExecutorId(name), call, self.now))
            return

    def reboot(self, which: int) -> None:
        for container_id in self.ended:
            self.fates.pop(self.task_of.get(container_id, ""), None)
        self.running.clear()
        self.ended.clear()
        self.boot_id = f"b{which}-{self.boots}"
        raise Crashed

    def crash(self, which: int) -> None:
        raise Crashed

    def quiesce(self) -> None:
        """Let everything come to its end, without any more crashes."""
        self.fuse = None
        for _ in range(10_000):
            if self.dying:
                self.destroyed(0)
            elif self.preparing:
                self.sandbox(0)
            elif self.launching:
                self.launch(0)
            elif self.running:
                self.exit(0)
            else:
                owed = [s for s in self.state.streams.values() if s.pending]
                if not owed:
                    return
                task_id, uuid = owed[0].task_id, owed[0].pending[0].uuid
                assert uuid is not None and (task_id, uuid) in self.heard
                message = agentlink.Acknowledge(framework_id=FRAMEWORK, task_id=task_id, uuid=uuid)
                self.feed(ev.MasterSaid(LINK, message, self.now))
        raise AssertionError("the agent never comes to rest")

    def check_words(self) -> None:
        """Every process whose end was known is reported as it ended, restarts or not."""
        for task_id, status in self.fates.items():
            assert words.wait_words(status) in self.last_words[task_id], (task_id, status)


class DepartingWorld(World):
    """Frameworks may be shut down at any time: nobody is owed an update then."""

    def note_row(self, key: str, value: bytes) -> None:
        """Nothing is kept of what was said."""

    def hear(self, update: agentlink.StatusUpdate) -> None:
        assert update.status.uuid is not None
        self.heard.append((update.status.task_id.value, update.status.uuid))

    def shut_down_framework(self, which: int) -> None:
        message = agentlink.ShutdownFramework(framework_id=FRAMEWORK)
        self.feed(ev.MasterSaid(LINK, message, self.now))
