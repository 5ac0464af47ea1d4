"""Many agents in one process: real TLS, real link records, no containers behind them.

    python -m bench.emulated --master HOST:PORT --certs DIR --count N [--first F] [--tasks T]

Each emulated agent keeps its own connection, registers (with tasks: re-registers with T running
ones each), answers pings, and lets every task it is given run at once and never end (or end at once
when its command is `true`). Progress goes to standard output as JSON lines: {"registered": n,
"seconds": s}. Standard input takes lines: `update N` lets N tasks change their health and says so,
`quietly N TURN` does the same, with other tasks at each turn, and says nothing. It ends when
standard input closes. With --hold the links are opened ({"held": n}) and used after the line `go`
only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet import stdio
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from bench import fleet
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FreshIds
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.tcp import connect_tcp
from mesos_twisted.transport.tls_factory import TLSClient

reactor: Any = installed
#: Connections in their handshake, or registering, at once.
AT_ONCE = 64


class LinkContexts:
    """The context that offers nothing but the link."""

    def __init__(self, source: ContextSource) -> None:
        self._source = source

    def client_context(self) -> Any:
        return self._source.client_context((agentlink.ALPN.decode(),))

    def server_context(self) -> Any:
        raise NotImplementedError


class EmulatedAgent(Protocol):
    """One agent."""

    def __init__(self, swarm: Swarm, number: int) -> None:
        self.swarm, self.number = swarm, number
        self.deframer = agentlink.Deframer()
        self.tasks: tuple[m.Task, ...] = ()
        self.registered = False

    def send(self, message: agentlink.FromAgent) -> None:
        transport: Any = self.transport
        transport.write(agentlink.frame(message))

    def connectionMade(self) -> None:
        if self.swarm.hold:
            self.swarm.held(self)
        else:
            self.begin()

    def begin(self) -> None:
        if self.swarm.tasks:
            said = fleet.returning(self.number, self.swarm.tasks, time.time())
            self.tasks = said.tasks
            self.send(said)
        else:
            self.send(fleet.register(self.number))

    def dataReceived(self, data: bytes) -> None:
        for body in self.deframer.feed(data):
            message = agentlink.from_master(body)
            if isinstance(message, agentlink.Ping):
                self.send(agentlink.Pong())
            elif isinstance(message, agentlink.RunTask):
                self.run(message)
            elif isinstance(message, agentlink.Registered | agentlink.Reregistered):
                if not self.registered:
                    self.registered = True
                    self.swarm.registered(self)
            elif isinstance(message, agentlink.Shutdown):
                self.swarm.failed(message.message)

    def run(self, message: agentlink.RunTask) -> None:
        states = [m.TaskState.TASK_RUNNING]
        task, framework = message.task, message.framework.id
        if task.command is not None and task.command.value == "true":
            states.append(m.TaskState.TASK_FINISHED)
        assert framework is not None
        for state in states:
            status = fleet.status(
                framework.value,
                task.task_id.value,
                task.agent_id.value,
                state,
                self.swarm.ids.uuid_bytes(),
                time.time(),
            )
            self.send(
                agentlink.StatusUpdate(
                    framework_id=framework.value, status=status, latest_state=states[-1]
                )
            )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.swarm.failed(f"agent {self.number} lost its link: {reason.getErrorMessage()}")


class Dial(ClientFactory[Any]):
    """One connection attempt."""

    noisy = False

    def __init__(self, swarm: Swarm, number: int) -> None:
        self.swarm, self.number = swarm, number

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        agent = EmulatedAgent(self.swarm, self.number)
        client = TLSClient(self.swarm.batch, agent, self.swarm.tls_failed)
        return client.connection(self.swarm.contexts, "localhost")

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.swarm.failed(reason.getErrorMessage())


class Swarm:
    """All agents of this process."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.batch = FlushBatch(reactor)
        source = ContextSource(
            CertificateFiles(
                ca_bundle=f"{options.certs}/ca.pem",
                cert=f"{options.certs}/agent-1.pem",
                key=f"{options.certs}/agent-1-key.pem",
            )
        )
        self.contexts = LinkContexts(source)
        self.host, _, port = options.master.rpartition(":")
        self.port, self.count, self.first = int(port), options.count, options.first
        self.tasks, self.hold = options.tasks, options.hold
        self.holding: list[EmulatedAgent] = []
        self.ids = FreshIds(os.urandom(32))
        self.agents: list[EmulatedAgent] = []
        self.started = self.failures = 0
        self.begun = time.monotonic()

    def start(self) -> None:
        for _ in range(min(AT_ONCE, self.count)):
            self.next()

    def next(self) -> None:
        if self.started < self.count:
            number, self.started = self.first + self.started, self.started + 1
            connect_tcp(reactor, "127.0.0.1", self.port, Dial(self, number), 120.0)

    def registered(self, agent: EmulatedAgent) -> None:
        self.agents.append(agent)
        self.next()
        self.release()
        done = len(self.agents)
        if done % 500 == 0 or done == self.count:
            self.say({"registered": done, "seconds": time.monotonic() - self.begun})

    def held(self, agent: EmulatedAgent) -> None:
        self.holding.append(agent)
        self.next()
        if len(self.holding) == self.count:
            self.say({"held": self.count})

    def go(self) -> None:
        """Those that hold their links speak, as many at once as would connect at once."""
        self.hold = False
        self.begun = time.monotonic()
        for _ in range(min(AT_ONCE, self.count)):
            self.release()

    def release(self) -> None:
        if self.holding:
            self.holding.pop().begin()

    def update(self, count: int, turn: int = 0) -> int:
        """`count` tasks, spread over all agents, change their health; others at each `turn`."""
        now, done = time.time(), 0
        step = max(1, len(self.agents) * self.tasks // max(1, count))
        for at in range(turn % step, len(self.agents) * self.tasks, step):
            agent = self.agents[at // self.tasks]
            task = agent.tasks[at % self.tasks]
            agent.send(fleet.update(task, self.ids.uuid_bytes(), now, at % 2 == 0))
            done += 1
        return done

    def tls_failed(self, reason: object, sentence: str) -> None:
        self.failed(sentence)

    def failed(self, sentence: str) -> None:
        self.failures += 1
        if reactor.running and self.failures <= 5:
            self.say({"failed": sentence})

    def say(self, document: dict[str, Any]) -> None:
        print(json.dumps(document), flush=True)


class Commands(LineReceiver):
    """Standard input; the process ends when it closes."""

    delimiter = b"\n"

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm

    def lineReceived(self, line: bytes) -> None:
        word, *numbers = line.split()
        if word == b"update":
            self.swarm.say({"updated": self.swarm.update(int(numbers[0]))})
        elif word == b"quietly":
            self.swarm.update(int(numbers[0]), int(numbers[1]))
        elif word == b"go":
            self.swarm.go()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reactor.running:
            reactor.stop()


def main(arguments: list[str]) -> None:
    """Run until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m bench.emulated")
    parser.add_argument("--master", required=True)
    parser.add_argument("--certs", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--tasks", type=int, default=0, help="running tasks each brings back")
    parser.add_argument("--hold", action="store_true", help="connect, and wait for `go`")
    swarm = Swarm(parser.parse_args(arguments))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stdio.StandardIO(Commands(swarm))
    reactor.callWhenRunning(swarm.start)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
