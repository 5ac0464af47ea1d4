"""A cluster in memory, in milliseconds: the real master core, emulated agents, a clock of its own.

The master's decisions, its allocator and its validation are the production code; connections,
processes and time are not there. Agents run what they are told by a script: how long a task takes
and how it ends. `advance` moves time; between two moves nothing happens by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from mesos_twisted.clock import Timers
from mesos_twisted.errors import MalformedError
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.decide import decide
from mesos_twisted.master.core.state import MasterState, Policy
from mesos_twisted.master.core.validation.call import check_scheduler_call
from mesos_twisted.master.net.driver import MasterDriver
from mesos_twisted.metrics.counters import Metrics
from mesos_twisted.protocol import agentlink, codec_json, recordio
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, FrameworkId, FreshIds
from mesos_twisted.protocol.states import is_terminal
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.resources.convert import to_messages
from mesos_twisted.resources.parse import resources_from_text
from mesos_twisted.transport.messages import Headers

EPOCH = 1_700_000_000.0
DEFAULT_RESOURCES = "cpus:4;mem:4096;disk:10000;ports:[31000-31100]"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task goes: seconds until it ends (None: never by itself), and how."""

    after_s: float | None = 1.0
    state: m.TaskState = m.TaskState.TASK_FINISHED
    message: str | None = None


Script = Callable[[m.TaskInfo], Outcome]


def finishes(task: m.TaskInfo) -> Outcome:
    """Every task runs for a second and finishes."""
    return Outcome()


@dataclass
class MemoryStream:
    """A scheduler's open stream, as the SDK's driver wants one."""

    cluster: MemoryCluster
    connection: ConnectionId
    status: int
    headers: dict[str, str]
    _held: list[bytes] = field(default_factory=list)
    _on_data: Callable[[bytes], object] | None = None
    _on_closed: list[Callable[[str], object]] = field(default_factory=list)
    closed: bool = False

    def on_data(self, callback: Callable[[bytes], object]) -> None:
        """What has come already is given first."""
        self._on_data = callback
        held, self._held = self._held, []
        for data in held:
            callback(data)

    def on_closed(self, callback: Callable[[str], object]) -> None:
        """Called once, when either side closes."""
        self._on_closed.append(callback)
        if self.closed:
            callback("closed")

    def close(self) -> None:
        """The scheduler goes away."""
        if not self.closed:
            self.end("closed by the scheduler")
            self.cluster.driver.handle(ev.SchedulerClosed(self.connection, self.cluster.now()))

    def deliver(self, data: bytes) -> None:
        """Bytes from the master."""
        if self._on_data is None:
            self._held.append(data)
        elif not self.closed:
            self._on_data(data)

    def end(self, reason: str) -> None:
        """The stream is over."""
        if not self.closed:
            self.closed = True
            for callback in self._on_closed:
                callback(reason)


@dataclass(frozen=True)
class MemoryAnswer:
    """A whole answer."""

    status: int
    body: bytes = b""


class MemoryAgent:
    """One emulated agent: runs the script, one unacknowledged update a task at a time."""

    def __init__(self, cluster: MemoryCluster, link: ConnectionId, info: m.AgentInfo) -> None:
        self.cluster, self.link, self.info = cluster, link, info
        self.agent_id: str | None = None
        self.waiting: dict[tuple[str, str], list[m.TaskStatus]] = {}
        self.ended: set[tuple[str, str]] = set()

    def receive(self, message: agentlink.FromMaster) -> None:
        """A record from the master."""
        match message:
            case agentlink.Registered():
                self.agent_id = message.agent_id
            case agentlink.Ping():
                self.say(agentlink.Pong())
            case agentlink.RunTask(framework=framework, task=task):
                assert framework.id is not None
                self.run(framework.id.value, task, task.task_id.value)
            case agentlink.RunTaskGroup(framework=framework, executor=executor):
                assert framework.id is not None
                for task in message.task_group.tasks:
                    self.run(framework.id.value, task, executor.executor_id.value)
            case agentlink.KillTask():
                self.finish(
                    message.framework_id, message.task_id, Outcome(0, m.TaskState.TASK_KILLED)
                )
            case agentlink.Acknowledge():
                self.acknowledged((message.framework_id, message.task_id))

    def run(self, framework_id: str, task: m.TaskInfo, executor_id: str) -> None:
        """Report STARTING and RUNNING, and the end when the script says so."""
        task_id = task.task_id.value
        for state in (m.TaskState.TASK_STARTING, m.TaskState.TASK_RUNNING):
            self.report(framework_id, task_id, state, None)
        outcome = self.cluster.script(task)
        if outcome.after_s is not None:
            self.cluster.timers.after(outcome.after_s, self.finish, framework_id, task_id, outcome)

    def finish(self, framework_id: str, task_id: str, outcome: Outcome) -> None:
        """The task ends, once."""
        if (framework_id, task_id) not in self.ended:
            self.report(framework_id, task_id, outcome.state, outcome.message)
            self.ended.add((framework_id, task_id))

    def report(
        self, framework_id: str, task_id: str, state: m.TaskState, message: str | None
    ) -> None:
        """Queue an update; it is sent when those before it are acknowledged."""
        assert self.agent_id is not None
        status = m.TaskStatus(
            task_id=m.TaskID(value=task_id),
            state=state,
            message=message,
            agent_id=m.AgentID(value=self.agent_id),
            executor_id=m.ExecutorID(value=task_id),
            source=m.TaskStatusSource.SOURCE_EXECUTOR,
            timestamp=self.cluster.now(),
            uuid=self.cluster.ids.uuid_bytes(),
        )
        queue = self.waiting.setdefault((framework_id, task_id), [])
        queue.append(status)
        if len(queue) == 1:
            self.forward((framework_id, task_id))

    def forward(self, key: tuple[str, str]) -> None:
        """Send the oldest unacknowledged update."""
        queue = self.waiting[key]
        self.say(
            agentlink.StatusUpdate(
                framework_id=key[0], status=queue[0], latest_state=queue[-1].state
            )
        )

    def acknowledged(self, key: tuple[str, str]) -> None:
        """The next update, if there is one."""
        queue = self.waiting.get(key)
        if queue and is_terminal(queue.pop(0).state):
            del self.waiting[key]
        elif queue:
            self.forward(key)

    def say(self, message: agentlink.FromAgent) -> None:
        """A record to the master."""
        self.cluster.driver.handle(
            ev.AgentSaid(self.link, message, self.cluster.now(), "127.0.0.1")
        )


class MemoryCluster:
    """A leading master and some agents. `client(principal)` is what a SchedulerDriver takes."""

    def __init__(
        self,
        agents: Iterable[str] = (DEFAULT_RESOURCES,),
        script: Script = finishes,
        policy: Policy | None = None,
    ) -> None:
        self.clock = Clock()
        self.timers = Timers(self.clock)
        self.script = script
        self.ids = FreshIds(b"memory cluster")
        info = m.MasterInfo(id="memory", ip=16777343, port=5050, hostname="localhost")
        self.state = MasterState(info, policy or Policy(), HierarchicalAllocator())
        self.streams: dict[ConnectionId, MemoryStream] = {}
        self.agents: dict[ConnectionId, MemoryAgent] = {}
        self._connections = 0
        self.driver = MasterDriver(partial(decide, self.state), self.timers, self.now, lambda: 1)
        ports = self.driver.ports
        ports.streams, ports.links = _Streams(self), _Links(self)
        ports.registry, ports.metrics = MemoryRegistry(), Metrics()
        ports.publish = lambda event: None
        self.failure: str | None = None
        ports.stop = self._stopped
        self.driver.start()
        self.driver.handle(ev.Recovered(self.now()))
        for text in agents:
            self.add_agent(text)

    def _stopped(self, exit_code: int, sentence: str) -> None:
        self.failure = sentence

    def now(self) -> float:
        """Seconds since the epoch, by the cluster's clock."""
        return EPOCH + self.clock.seconds()

    def fresh_connection(self) -> ConnectionId:
        """A number that no connection had before."""
        self._connections += 1
        return ConnectionId(self._connections)

    def add_agent(self, resources: str = DEFAULT_RESOURCES, **fields: Any) -> MemoryAgent:
        """One more agent joins. `fields` are AgentInfo's."""
        link = self.fresh_connection()
        values = {"hostname": f"agent-{link}", "port": 5051 + link, **fields}
        info = m.AgentInfo(
            resources=to_messages(resources_from_text(resources), refined=False), **values
        )
        agent = self.agents[link] = MemoryAgent(self, link, info)
        pid = f"slave(1)@127.0.0.1:{info.port}"
        agent.say(agentlink.Register(info=info, pid=pid, version="1.11.0"))
        return agent

    def lose_agent(self, agent: MemoryAgent) -> None:
        """The agent's connection breaks."""
        del self.agents[agent.link]
        self.driver.handle(ev.AgentLinkClosed(agent.link, self.now()))

    def advance(self, seconds: float, step_s: float = 0.05) -> None:
        """Let time pass in small steps. Raises AssertionError when the master stopped."""
        steps = max(1, round(seconds / step_s))
        for _ in range(steps):
            self.clock.advance(step_s)
        assert self.failure is None, self.failure

    def client(self, principal: str | None = None) -> MemoryClient:
        """The master, for a SchedulerDriver."""
        return MemoryClient(self, principal)


class MemoryClient:
    """Scheduler calls straight into the core, through the JSON codec and the call checks."""

    def __init__(self, cluster: MemoryCluster, principal: str | None) -> None:
        self._cluster, self._principal = cluster, principal

    def request(self, method: str, path: str, headers: Headers, body: bytes, /) -> Deferred[Any]:
        """A call of a subscribed scheduler."""
        cluster = self._cluster
        try:
            call = codec_json.decode(m.SchedulerCall, body)
        except MalformedError as error:
            return succeed(MemoryAnswer(400, str(error).encode()))
        stream_id = dict(headers).get("Mesos-Stream-Id")
        problem = check_scheduler_call(cluster.state, call, stream_id, self._principal)
        if problem is not None:
            return succeed(MemoryAnswer(int(problem.code), problem.sentence.encode()))
        assert call.framework_id is not None
        framework_id = FrameworkId(call.framework_id.value)
        event = ev.SchedulerCalled(framework_id, call, cluster.now())
        cluster.timers.after(0, cluster.driver.handle, event)
        return succeed(MemoryAnswer(202))

    def open_stream(
        self, method: str, path: str, headers: Headers, body: bytes, /
    ) -> Deferred[Any]:
        """A SUBSCRIBE."""
        cluster = self._cluster
        call = codec_json.decode(m.SchedulerCall, body)
        assert call.subscribe is not None
        connection, stream_id = cluster.fresh_connection(), cluster.ids.uuid()
        stream = MemoryStream(cluster, connection, 200, {"mesos-stream-id": stream_id})
        cluster.streams[connection] = stream
        event = ev.SchedulerSubscribed(
            connection, stream_id, call.subscribe, self._principal, None, cluster.now()
        )
        cluster.timers.after(0, cluster.driver.handle, event)
        return succeed(stream)


class _Streams:
    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster

    def send(self, connection: ConnectionId, event: m.SchedulerEvent) -> None:
        stream = self._cluster.streams.get(connection)
        if stream is not None:
            data = recordio.encode(codec_json.encode(event))
            # In a later turn, as over a network: a callback never runs inside a decision.
            self._cluster.timers.after(0, stream.deliver, data)

    def close(self, connection: ConnectionId) -> None:
        stream = self._cluster.streams.pop(connection, None)
        if stream is not None:
            self._cluster.timers.after(0, stream.end, "closed by the master")


class _Links:
    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster

    def send(self, link: ConnectionId, message: agentlink.FromMaster) -> None:
        agent = self._cluster.agents.get(link)
        if agent is not None:
            self._cluster.timers.after(0, agent.receive, message)

    def close(self, link: ConnectionId) -> None:
        self._cluster.agents.pop(link, None)
