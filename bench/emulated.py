"""Many agents in one process: real TLS, real link records, no containers behind them.

    python -m bench.emulated --master HOST:PORT --certs DIR --count N [--tasks T]

Each emulated agent keeps its own connection, registers, answers pings, and lets every task it is
given run at once and never end (or end at once when its command is `true`). Progress goes to
standard output as JSON lines: {"registered": n, "seconds": s}. It ends when standard input closes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet import stdio
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FreshIds
from mesos_twisted.resources.convert import to_messages
from mesos_twisted.resources.parse import resources_from_text
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.tcp import connect_tcp
from mesos_twisted.transport.tls_factory import TLSClient

reactor: Any = installed
#: Connections in their handshake at once.
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
        self.agent_id: str | None = None

    def send(self, message: agentlink.FromAgent) -> None:
        transport: Any = self.transport
        transport.write(agentlink.frame(message))

    def connectionMade(self) -> None:
        info = m.AgentInfo(
            hostname="localhost", port=10000 + self.number, resources=self.swarm.resources
        )
        pid = f"slave(1)@127.0.0.1:{10000 + self.number}"
        self.send(agentlink.Register(info=info, pid=pid, version="1.11.0"))

    def dataReceived(self, data: bytes) -> None:
        for body in self.deframer.feed(data):
            message = agentlink.from_master(body)
            if isinstance(message, agentlink.Ping):
                self.send(agentlink.Pong())
            elif isinstance(message, agentlink.RunTask):
                self.run(message)
            elif isinstance(message, agentlink.Registered):
                self.agent_id = message.agent_id
                self.swarm.registered()

    def run(self, message: agentlink.RunTask) -> None:
        states = [m.TaskState.TASK_RUNNING]
        command = message.task.command
        if command is not None and command.value == "true":
            states.append(m.TaskState.TASK_FINISHED)
        for state in states:
            status = m.TaskStatus(
                task_id=message.task.task_id,
                state=state,
                agent_id=message.task.agent_id,
                executor_id=m.ExecutorID(value=message.task.task_id.value),
                source=m.TaskStatusSource.SOURCE_EXECUTOR,
                timestamp=time.time(),
                uuid=self.swarm.ids.uuid_bytes(),
            )
            framework = message.framework.id
            assert framework is not None
            self.send(
                agentlink.StatusUpdate(
                    framework_id=framework.value, status=status, latest_state=states[-1]
                )
            )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.swarm.lost(self, reason)


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
        self.ids = FreshIds(f"emulated {options.first}".encode())
        self.resources = to_messages(resources_from_text(options.resources), refined=False)
        self.started = self.done = 0
        self.begun = time.monotonic()

    def start(self) -> None:
        for _ in range(min(AT_ONCE, self.count)):
            self.next()

    def next(self) -> None:
        if self.started < self.count:
            number, self.started = self.first + self.started, self.started + 1
            connect_tcp(reactor, self.host, self.port, Dial(self, number), 120.0)

    def registered(self) -> None:
        self.done += 1
        self.next()
        if self.done % 500 == 0 or self.done == self.count:
            self.say({"registered": self.done, "seconds": time.monotonic() - self.begun})

    def lost(self, agent: EmulatedAgent, reason: Failure) -> None:
        self.say({"lost": agent.number, "reason": reason.getErrorMessage()})

    def tls_failed(self, reason: object, sentence: str) -> None:
        self.failed(sentence)

    def failed(self, sentence: str) -> None:
        self.say({"failed": sentence})

    def say(self, document: dict[str, Any]) -> None:
        print(json.dumps(document), flush=True)


class UntilClosed(Protocol):
    """Ends the process when standard input closes."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reactor.running:
            reactor.stop()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--master", required=True)
    parser.add_argument("--certs", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--resources", default="cpus:16;mem:65536;disk:100000;ports:[31000-32000]")
    swarm = Swarm(parser.parse_args(arguments))
    stdio.StandardIO(UntilClosed())
    reactor.callWhenRunning(swarm.start)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
