"""Frameworks that decline every offer they get: `python -m bench.crowd MASTER CERTS COUNT`.

Prints `ready` when all are subscribed and ends when standard input closes.
"""

from __future__ import annotations

import getpass
import sys
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet import stdio
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.sdk import Scheduler, SchedulerDriver, framework_info
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.transport.client import HttpClient
from mesos_twisted.transport.leader import LeaderClient

reactor: Any = installed
#: Calls of all frameworks that may be under way at once.
CONNECTIONS = 4


class Declining(Scheduler):
    """Wants nothing; its filters are the usual five seconds."""

    waiting = 0

    def subscribed(self, driver: SchedulerDriver, framework_id: str) -> None:
        Declining.waiting -= 1
        if Declining.waiting == 0:
            print("ready", flush=True)

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        driver.decline(offers).addErrback(lambda failure: None)


class UntilClosed(Protocol):
    """Ends the process when standard input closes."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reactor.running:
            reactor.stop()


def main(master: str, certs: str, count: str) -> None:
    """Subscribe them all."""
    files = CertificateFiles(
        ca_bundle=f"{certs}/ca.pem",
        cert=f"{certs}/framework.pem",
        key=f"{certs}/framework-key.pem",
    )
    http = HttpClient(reactor, ContextSource(files), connections=CONNECTIONS)
    client = LeaderClient(http, [master])
    Declining.waiting = int(count)

    def begin() -> None:
        for number in range(int(count)):
            info = framework_info(f"crowd {number}", getpass.getuser(), principal="framework")
            SchedulerDriver(reactor, Declining(), info, client).start()

    stdio.StandardIO(UntilClosed())
    reactor.callWhenRunning(begin)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
