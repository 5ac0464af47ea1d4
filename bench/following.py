"""Many agents in one process that follow the leader by themselves, as agents do.

    python -m bench.following --master zk://… --certs DIR --count N [--tasks T]

Each has a link of its own, the agent's own: over TLS, checked, closed when another leads, opened
again after the agent's own pauses; and asks to be registered again as often as an agent does. They
share one session of ZooKeeper, which a thousand agents would not. Progress goes to standard output
as JSON lines: {"registered": how many have been since the leader changed last, "leader": its port,
"idle": links to masters that stand by, "at": seconds since the epoch}. It ends when standard input
closes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet import stdio
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import LogLevel, globalLogBeginner
from twisted.python.failure import Failure

from bench import fleet
from bench.dialing import InTurn, Patient
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.net.master_link import MasterLink
from mesos_twisted.clock import Timer, Timers, backoff
from mesos_twisted.election.interfaces import Contender
from mesos_twisted.election.leader import LeaderWatch, watch_zookeeper
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.transport.batch import FlushBatch

reactor: Any = installed
#: `--registration_backoff_factor` and its bound.
AGAIN_S, AGAIN_CAP_S = 1.0, 60.0
#: Progress is told this often besides.
SAY_S = 1.0


class SharedMasters:
    """One agent's view of the watch that all share."""

    elected = True

    def __init__(self, watch: LeaderWatch) -> None:
        self._watch = watch
        self.changed: Callable[[], object] = lambda: None

    def start(self, changed: Callable[[], object], *, standbys: bool = False) -> None:
        self.changed = changed

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def candidates(self) -> Sequence[tuple[str, int]]:
        return self._watch.candidates()

    def leader(self) -> Contender | None:
        return self._watch.leader()

    def contenders(self) -> Sequence[Contender]:
        return self._watch.contenders()


class FollowingAgent:
    """One agent: its link, and what it says first."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd, self.number = crowd, number
        self.masters = SharedMasters(crowd.watch)
        self.link = MasterLink(
            reactor,
            crowd.timers,
            crowd.contexts,
            self.masters,
            crowd.batch,
            handle=self.handle,
            now=time.time,
            fresh=crowd.fresh,
            jitter=random.random,
            count=lambda name, by: None,
            standby_links=crowd.standby_links,
        )
        patient: Any = Patient(self.link.dialer, crowd.turns)
        self.link.dialer = patient
        self.again: Timer | None = None
        self.tries = 0

    def handle(self, event: ev.Event) -> None:
        if isinstance(event, ev.LinkOpened):
            self.tries = 0
            self.ask()
        elif isinstance(event, ev.LinkClosed):
            self.quiet()
        elif isinstance(event, ev.MasterSaid):
            message = event.message
            if isinstance(message, agentlink.Ping):
                self.link.send(agentlink.Pong())
            elif isinstance(message, agentlink.Registered | agentlink.Reregistered):
                self.quiet()
                self.crowd.registered(self.number)

    def ask(self) -> None:
        self.link.send(fleet.returning(self.number, self.crowd.tasks, time.time()))
        wait_s = backoff(self.tries, AGAIN_S, AGAIN_CAP_S, random.random())
        self.tries += 1
        self.again = self.crowd.timers.after(wait_s, self.ask)

    def quiet(self) -> None:
        if self.again is not None:
            self.again.cancel()


class Crowd:
    """All agents of this process."""

    def __init__(self, options: argparse.Namespace) -> None:
        files = [f"{options.certs}/{name}.pem" for name in ("ca", "agent-1", "agent-1-key")]
        self.contexts = ContextSource(CertificateFiles(*files))
        self.batch, self.timers = FlushBatch(reactor), Timers(reactor)
        self._numbers, self.tasks = itertools.count(1), options.tasks
        self.standby_links: bool = options.standby_links
        self.turns = InTurn()
        self.leader: Contender | None = None
        self.watch = watch_zookeeper(reactor, options.master, random.random)
        self.agents = [FollowingAgent(self, number) for number in range(options.count)]
        self.done: set[int] = set()

    def fresh(self) -> ConnectionId:
        return ConnectionId(next(self._numbers))

    def start(self) -> None:
        self.watch.start(self.changed, standbys=self.standby_links)
        for agent in self.agents:
            agent.link.start()
        self.timers.every(SAY_S, self.say)

    def changed(self) -> None:
        leader = self.watch.leader()
        if leader is not None and leader != self.leader:
            self.leader = leader
            self.done.clear()
            self.say()
        for agent in self.agents:
            agent.masters.changed()

    def registered(self, number: int) -> None:
        self.done.add(number)
        count = len(self.done)
        if count % 50 == 0 or count == len(self.agents):
            self.say()

    def say(self) -> None:
        port = next((port for _, port in self.watch.candidates()), 0)
        warm = sum(agent.link.standbys for agent in self.agents)
        said = {"registered": len(self.done), "leader": port, "at": time.time(), "idle": warm}
        print(json.dumps(said), flush=True)


class Ending(Protocol):
    """Standard input; the process ends when it closes."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reactor.running:
            reactor.stop()


def main(arguments: list[str]) -> None:
    """Run until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m bench.following")
    parser.add_argument("--master", required=True)
    parser.add_argument("--certs", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--tasks", type=int, default=0, help="running tasks each brings back")
    parser.add_argument("--standby_links", action=argparse.BooleanOptionalAction, default=True)
    crowd = Crowd(parser.parse_args(arguments))
    globalLogBeginner.beginLoggingTo([_failures], redirectStandardIO=False)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stdio.StandardIO(Ending())
    reactor.callWhenRunning(crowd.start)
    reactor.run()


def _failures(event: Any) -> None:
    if event["log_level"] >= LogLevel.error:
        print(event.get("log_format"), event.get("log_failure"), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
