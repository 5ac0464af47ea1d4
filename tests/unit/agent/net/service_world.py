"""A whole agent but its master: real launcher, processes, sockets and files."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor

from mesos_twisted.agent.config import AgentConfig
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.net.leader import FixedMasters
from mesos_twisted.agent.net.service import AgentService
from mesos_twisted.config import load
from mesos_twisted.local.layout import Layout
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, FrameworkId, TaskId
from mesos_twisted.transport.messages import Peer, Request, Response

F, LINK = "f", ConnectionId(1)
DEADLINE_S = 30


class Recorder:
    """Stands for the link to a master."""

    def __init__(self) -> None:
        self.sent: list[agentlink.FromAgent] = []

    def send(self, message: agentlink.FromAgent) -> None:
        self.sent.append(message)

    def reconnect(self, reason: str) -> None:
        """There is no other master."""


class World:
    """The agents that came and went over one work directory."""

    def __init__(self, reactor: EPollReactor, layout: Layout, directory: Path) -> None:
        self.ended: list[tuple[int, str]] = []
        self.reactor, self.directory = reactor, directory
        name = next(iter(layout.agent_names()))
        argv = [
            "--master=localhost:1",
            "--port=0",
            f"--work_dir={directory}/work",
            f"--runtime_dir={directory}/run",
            f"--launcher_dir={layout.root}/launcher",
            f"--tls_ca_file={layout.ca}",
            f"--tls_cert_file={layout.cert(name)}",
            f"--tls_key_file={layout.key(name)}",
            "--resources=cpus:8;mem:8000;disk:1000",
            "--no-authenticate_http_readonly",
            "--no-switch_user",
            "--http_executor_domain_sockets",
            "--executor_reregistration_timeout=10secs",
        ]
        self.config = load(AgentConfig, argv, {}).config
        self.boot()

    def boot(self) -> None:
        self.link = Recorder()
        self.agent = AgentService(
            self.config,
            self.reactor,
            time.time,
            lambda code, message: self.ended.append((code, message)),
            lambda level, seconds: None,
            FixedMasters(()),
        )
        self.settle(self.agent.start())
        assert not self.ended, self.ended
        # Any port at first; an agent that comes back must be where it was.
        self.config = dataclasses.replace(self.config, port=self.agent.port)
        self.agent.driver.ports.link = self.link
        self.agent.driver.handle(ev.LinkOpened(LINK, time.time()))
        kind = agentlink.Reregistered if self.agent.state.agent_id else agentlink.Registered
        self.say(kind(agent_id="S0", master_id="M", ping_timeout_s=75.0))

    def abandon(self) -> None:
        """As after SIGKILL: nothing is told to anybody, what is open is cut."""
        agent = self.agent
        agent.driver.stop()
        agent._containers.stop()
        agent._link.stop()
        agent._launcher.close()
        agent._timers.cancel_all()
        for server in agent._servers:
            for connection in server.connections():
                connection.abort()
        done: list[object] = []
        for listener in [*agent._listeners, *agent._endpoint.listeners]:
            listener.stop_listening().addBoth(done.append)
        self.until(lambda: len(done) == 3)
        assert agent._store is not None
        agent._store.close()

    def settle(self, coroutine: Any) -> None:
        got: list[Any] = []
        Deferred.fromCoroutine(coroutine).addBoth(got.append)
        self.until(lambda: got)
        if got[0] is not None:
            got[0].raiseException()

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"it did not come to pass: {self.link.sent} {self.ended}"
            self.reactor.iterate(0.02)

    def say(self, message: agentlink.FromMaster) -> None:
        self.agent.driver.handle(ev.MasterSaid(LINK, message, time.time()))

    def run(self, task_id: str, command: str | None, **more: Any) -> None:
        self.say(agentlink.RunTask(framework=framework(), task=task(task_id, command, **more)))

    def told(self, task_id: str) -> list[m.TaskStatus]:
        """Every update that went to this master, without those told again."""
        found: dict[bytes | None, m.TaskStatus] = {}
        for one in self.link.sent:
            if isinstance(one, agentlink.StatusUpdate) and one.status.task_id.value == task_id:
                found[one.status.uuid] = one.status
        return list(found.values())

    def await_state(self, task_id: str, state: str, acknowledge: bool = True) -> m.TaskStatus:
        """Acknowledges what is told until the task is in that state."""
        while True:
            self.until(lambda: self.pending(task_id))
            status = self.pending(task_id)[0]
            if status.state.value == state and not acknowledge:
                return status
            assert status.uuid is not None
            acknowledgement = agentlink.Acknowledge(
                framework_id=F, task_id=task_id, uuid=status.uuid
            )
            self.say(acknowledgement)
            if status.state.value == state:
                return status

    def pending(self, task_id: str) -> list[m.TaskStatus]:
        stream = self.agent.state.streams.get((FrameworkId(F), TaskId(task_id)))
        return [] if stream is None else list(stream.pending)

    def get(self, path: str) -> bytes:
        request = Request("GET", path, path.encode(), "", {}, b"", Peer("127.0.0.1", 1))
        got: list[Any] = []
        answer = self.agent._handle(request)
        if isinstance(answer, Deferred):
            answer.addBoth(got.append)
            self.until(lambda: got)
            answer = got[0]
        if isinstance(answer, Response):
            assert answer.status == 200, answer
            return answer.body
        return b"".join(answer.chunks)

    def stop(self) -> None:
        """Every task is killed, and nothing stays."""
        self.agent.driver.handle(ev.ShutdownAsked(time.time()))
        self.until(lambda: self.agent._leaving)
        self.settle(self.agent.stop())


def framework() -> m.FrameworkInfo:
    return m.FrameworkInfo(user="root", name="n", id=m.FrameworkID(value=F), checkpoint=True)


def task(task_id: str, command: str | None, **more: Any) -> m.TaskInfo:
    scalars = {"cpus": 0.1, "mem": 32.0}
    return m.TaskInfo(
        name=task_id,
        task_id=m.TaskID(value=task_id),
        agent_id=m.AgentID(value="S0"),
        resources=tuple(
            m.Resource(name=n, type=m.ValueType.SCALAR, scalar=m.ValueScalar(value=v))
            for n, v in scalars.items()
        ),
        command=more.pop("info", None if command is None else m.CommandInfo(value=command)),
        **more,
    )
