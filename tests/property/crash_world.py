"""A scripted life of one agent, which may be killed before or after any of its writes.

Real are the core, the driver, recovery, the containerizer and the containers' edge; simulated are
the kernel, the rows, the clock, and here the master: it launches, acknowledges, kills, and asks for
what an agent that returns does not know. Whatever happens, each task of the script must end once.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core import invariants
from mesos_twisted.agent.core.state import Phase, Policy
from mesos_twisted.agent.net.leader import FixedMasters
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, ExecutorId, FrameworkId
from mesos_twisted.protocol.states import TERMINAL
from mesos_twisted.testing.sim.agent import SimAgent, SimHost
from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.disk import CrashError, SimRows
from mesos_twisted.testing.sim.net import SimNetwork
from mesos_twisted.testing.sim.reactor import SimReactor

F, LINK = FrameworkId("f"), ConnectionId(7)
TICK_S = 0.1
END_S = 60.0


class CrashRows(SimRows):
    """Rows whose write number `crash_at` (from 0) kills the process before or after it commits."""

    crash_at: int | None = None
    committed = False

    def write(self, changes: Any) -> None:
        """As `SimRows.write`."""
        if self.crash_at is not None and self.writes >= self.crash_at:
            self.crash_at = None
            if self.committed:
                super().write(changes)
            raise CrashError("asked for")
        super().write(changes)


class ExecutorProcess:
    """What a custom executor knows; it outlives the agent."""

    def __init__(self) -> None:
        self.tasks: dict[str, m.TaskInfo] = {}
        self.unacknowledged: dict[bytes, m.TaskStatus] = {}
        self.connection: ConnectionId | None = None
        self.count = 0


class CrashWorld:
    """`crashes`: for each life of the agent, the write that kills it and whether it commits."""

    def __init__(self, crashes: list[tuple[int, bool]]) -> None:
        self.clock = clock = SimClock(1)
        self.node = SimNetwork(clock).node("a", "10.0.0.1")
        policy = Policy(hostname="a", work_dir="/sim", switch_user=False)
        self.host = SimHost(clock, Random(1), policy)
        self.rows = self.host.rows = CrashRows(Random(1))
        self.crashes = list(crashes)
        self.lives = 0
        self.ids = 0
        self.states: dict[str, list[m.TaskState]] = {}
        self.uuids: dict[str, list[bytes]] = {}
        self.killed: set[str] = set()
        self.shut_down = False
        self.executor = ExecutorProcess()
        self.connections = 100
        self.agent: SimAgent | None = None
        self.begin()
        self.script: list[tuple[float, Callable[[], None]]] = [
            (0.5, lambda: self.run_task("short", "run 1.5 exit 0")),
            (0.7, lambda: self.run_task("fails", "run 1.5 exit 3")),
            (0.9, lambda: self.run_task("stays", "run forever")),
            (1.1, lambda: self.run_task("unfetched", "run 1 exit 0", uri="missing:here")),
            (1.3, lambda: self.run_group("a", "b")),
            (1.5, lambda: self.run_custom("one")),
            (1.7, lambda: self.run_custom("two")),
            (4.0, lambda: self.kill("stays")),
            (4.2, lambda: self.kill("a")),
            (9.0, self.shut_down_executor),
        ]

    # The agent's process.

    def begin(self) -> None:
        """A new life."""
        self.lives += 1
        if self.crashes:
            at, self.rows.committed = self.crashes.pop(0)
            self.rows.crash_at = self.rows.writes + at
        self.executor.connection = None
        self.reactor = reactor = SimReactor(self.node, f"agent-{self.lives}")
        self.agent = agent = SimAgent(
            self.host,
            reactor,
            None,
            FixedMasters(()),
            now=reactor.seconds,
            seed=b"%d" % self.lives,
            jitter=lambda: 0.5,
            ended=self.left,
            died=lambda: None,
        )
        ports = agent.driver.ports
        ports.link, ports.executors = self, self
        agent.start()

    def left(self, code: int, sentence: str) -> None:
        """No agent of the script leaves by itself."""
        raise AssertionError(f"the agent left with {code}: {sentence}")

    def run(self) -> None:
        """The whole script, and what comes of it."""
        while self.clock.now < END_S:
            try:
                self.clock.run(TICK_S)
                self.tick()
            except CrashError:
                assert self.agent is not None
                self.agent.kill()
            if self.agent is not None and not self.agent.alive:
                self.reactor.kill()
                self.begin()

    def feed(self, event: ev.Event) -> None:
        assert self.agent is not None
        self.agent._handle(event)

    def tick(self) -> None:
        """What master, frameworks and executors do of themselves."""
        agent = self.agent
        assert agent is not None
        if not agent.alive:
            return
        invariants.check(agent.state)
        now = self.reactor.seconds()
        if agent.state.phase is Phase.DISCONNECTED:
            self.feed(ev.LinkOpened(LINK, now))
        if agent.state.phase is not Phase.RUNNING:
            return
        while self.script and self.script[0][0] <= self.clock.now:
            self.script.pop(0)[1]()
        self.executor_tick(now)
        if self.clock.now > 30.0 and agent.state.garbage:
            self.feed(ev.DiskMeasured(1.0, now))

    # The master; it stands for the link.

    def send(self, *given: Any) -> None:
        """A record of the agent for the master, or an event for an executor's connection."""
        if len(given) == 2:
            self.clock.callLater(0.01, self.executor_hears, *given)
        else:
            self.clock.callLater(0.01, self.hears, given[0], self.lives)

    def reconnect(self, reason: str) -> None:
        """There is one master."""

    def close(self, connection: ConnectionId) -> None:
        """An executor's stream ends."""
        self.clock.callLater(0.01, self.closed, connection)

    def closed(self, connection: ConnectionId) -> None:
        """The executor notices."""
        if self.executor.connection == connection:
            self.executor.connection = None

    def say(self, message: agentlink.FromMaster) -> None:
        """One record of the master."""
        self.feed(ev.MasterSaid(LINK, message, self.reactor.seconds()))

    def hears(self, message: agentlink.FromAgent, life: int) -> None:
        """The master's part; what a dead agent sent still arrives, what it would hear does not."""
        if isinstance(message, agentlink.StatusUpdate):
            self.hears_update(message)
        if life != self.lives or self.agent is None or not self.agent.alive:
            return
        if isinstance(message, agentlink.Register):
            self.ids += 1
            name = f"S{self.ids}"
            self.say(agentlink.Registered(agent_id=name, master_id="M", ping_timeout_s=1e6))
        elif isinstance(message, agentlink.Reregister):
            assert message.info.id is not None
            known = {task.task_id.value for task in message.tasks}
            unknown = tuple((F, one) for one in self.live() if one not in known)
            answer = agentlink.Reregistered(
                agent_id=message.info.id.value, master_id="M", ping_timeout_s=1e6, unknown=unknown
            )
            self.say(answer)
            # What a dying agent may not have heard is said again.
            for task_id in sorted(self.killed):
                self.kill(task_id)
            names = [one.info.executor_id.value for one in message.executors]
            if self.shut_down and "e" in names:
                self.shut_down_executor()

    def live(self) -> list[str]:
        return [one for one, said in self.states.items() if not said or said[-1] not in TERMINAL]

    def hears_update(self, update: agentlink.StatusUpdate) -> None:
        task_id, uuid = update.status.task_id.value, update.status.uuid
        assert uuid is not None
        if uuid not in self.uuids[task_id]:
            states = self.states[task_id]
            assert not states or states[-1] not in TERMINAL, (task_id, states, update.status)
            states.append(update.status.state)
            self.uuids[task_id].append(uuid)
        if self.agent is not None and self.agent.alive:
            self.say(agentlink.Acknowledge(framework_id=F, task_id=task_id, uuid=uuid))

    # The frameworks' wishes.

    def framework(self) -> m.FrameworkInfo:
        aware = m.FrameworkInfoCapabilityType.PARTITION_AWARE
        return m.FrameworkInfo(
            user="u",
            name="n",
            id=m.FrameworkID(value=F),
            checkpoint=True,
            capabilities=(m.FrameworkInfoCapability(type=aware),),
        )

    def task(self, name: str, words: str | None, **more: Any) -> m.TaskInfo:
        self.states[name], self.uuids[name] = [], []
        assert self.agent is not None and self.agent.state.agent_id is not None
        uris = tuple(m.CommandInfoURI(value=one) for one in more.pop("uris", ()))
        return m.TaskInfo(
            name=name,
            task_id=m.TaskID(value=name),
            agent_id=m.AgentID(value=self.agent.state.agent_id),
            command=None if words is None else m.CommandInfo(value=words, uris=uris),
            **more,
        )

    def run_task(self, name: str, words: str, uri: str | None = None) -> None:
        info = self.task(name, words, uris=() if uri is None else (uri,))
        self.say(agentlink.RunTask(framework=self.framework(), task=info))

    def run_group(self, *names: str) -> None:
        pod = m.ExecutorInfo(executor_id=m.ExecutorID(value="p"), type=m.ExecutorInfoType.DEFAULT)
        infos = tuple(self.task(name, "run forever") for name in names)
        group = m.TaskGroupInfo(tasks=infos)
        self.say(agentlink.RunTaskGroup(framework=self.framework(), executor=pod, task_group=group))

    def run_custom(self, name: str) -> None:
        executor = m.ExecutorInfo(
            executor_id=m.ExecutorID(value="e"), command=m.CommandInfo(value="run forever")
        )
        info = self.task(name, None, executor=executor)
        self.say(agentlink.RunTask(framework=self.framework(), task=info))

    def kill(self, name: str) -> None:
        self.killed.add(name)
        # A master passes on no kill of a task whose end it has heard.
        if name in self.live():
            self.say(agentlink.KillTask(framework_id=F, task_id=name))

    def shut_down_executor(self) -> None:
        self.shut_down = True
        self.say(agentlink.ShutdownExecutor(framework_id=F, executor_id="e"))

    # The custom executor.

    def executor_tick(self, now: float) -> None:
        """It subscribes when it runs and has no stream, and ends a task each second."""
        assert self.agent is not None
        executor = self.agent.state.executor(F, ExecutorId("e"))
        if executor is None or executor.container_id not in self.agent.state.containers:
            return
        if self.agent.state.containers[executor.container_id].pid is None:
            return
        process = self.executor
        if process.connection is None:
            self.connections += 1
            process.connection = ConnectionId(self.connections)
            updates = tuple(
                m.ExecutorCallUpdate(status=one) for one in process.unacknowledged.values()
            )
            subscribe = m.ExecutorCallSubscribe(
                unacknowledged_tasks=tuple(process.tasks.values()), unacknowledged_updates=updates
            )
            self.feed(ev.ExecutorSubscribed(process.connection, F, ExecutorId("e"), subscribe, now))
        elif process.tasks and int(self.clock.now / TICK_S) % 10 == 0:
            self.executor_says(next(iter(process.tasks)), m.TaskState.TASK_FINISHED)

    def executor_hears(self, connection: ConnectionId, event: m.ExecutorEvent) -> None:
        process = self.executor
        if connection != process.connection:
            return
        if event.launch is not None:
            name = event.launch.task.task_id.value
            assert name not in process.tasks, "a task given twice"
            process.tasks[name] = event.launch.task
            self.executor_says(name, m.TaskState.TASK_RUNNING)
        elif event.acknowledged is not None:
            process.unacknowledged.pop(event.acknowledged.uuid, None)
        elif event.type is m.ExecutorEventType.SHUTDOWN:
            for one in self.host.kernel.running():
                if "MESOS_EXECUTOR_ID" in dict(one.request.env):
                    if dict(one.request.env)["MESOS_EXECUTOR_ID"] == "e":
                        self.host.kernel.signal(one.container_id, 15)

    def executor_says(self, name: str, state: m.TaskState) -> None:
        process = self.executor
        process.count += 1
        status = m.TaskStatus(
            task_id=m.TaskID(value=name), state=state, uuid=process.count.to_bytes(16, "big")
        )
        assert status.uuid is not None
        process.unacknowledged[status.uuid] = status
        if state in TERMINAL:
            del process.tasks[name]
        call = m.ExecutorCall(
            executor_id=m.ExecutorID(value="e"),
            framework_id=m.FrameworkID(value=F),
            type=m.ExecutorCallType.UPDATE,
            update=m.ExecutorCallUpdate(status=status),
        )
        if self.agent is not None and self.agent.alive:
            self.feed(ev.ExecutorCalled(F, ExecutorId("e"), call, self.reactor.seconds()))


def keys(rows: dict[str, bytes]) -> set[str]:
    """The kinds of rows that are left."""
    return {key.split("/")[0] for key in rows}
