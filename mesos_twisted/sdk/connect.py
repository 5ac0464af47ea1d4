"""From addresses and certificate files to a client of the leading master."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import SystemRandom
from typing import Any

from mesos_twisted.election.leader import find_masters
from mesos_twisted.security.net.tls import CertificateFiles, ContextSource
from mesos_twisted.transport.client import HttpClient
from mesos_twisted.transport.leader import LeaderClient

#: Calls sent before the first of them is answered: acknowledgements come in bursts.
PIPELINE = 32


def master_client(
    reactor: Any,
    masters: Iterable[str],
    ca: Path | str,
    cert: Path | str | None = None,
    key: Path | str | None = None,
    *,
    zk_tls: bool = False,
) -> LeaderClient:
    """A client that follows the leader among `masters`: host:port each, or one zk://host:port/path.

    `zk_tls`: ZooKeeper is spoken with over TLS too, by the same certificate. Raises
    MalformedError or UnavailableError when a file is not good.
    """
    files = CertificateFiles(
        ca_bundle=str(ca), cert=str(cert) if cert else None, key=str(key) if key else None
    )
    contexts = ContextSource(files)
    found = find_masters(
        reactor, tuple(masters), SystemRandom().random, contexts if zk_tls else None
    )
    return LeaderClient(HttpClient(reactor, contexts, pipeline=PIPELINE), found)


def agent_client(reactor: Any, endpoint: str) -> LeaderClient:
    """A client of the agent's loopback listener, for executors (`MESOS_AGENT_ENDPOINT`)."""
    return LeaderClient(HttpClient(reactor), [endpoint], secure=False)
