"""From addresses and certificate files to a client of the leading master."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
) -> LeaderClient:
    """A client that follows the leader among `masters` (host:port each).

    Raises MalformedError or UnavailableError when a file is not good.
    """
    files = CertificateFiles(
        ca_bundle=str(ca), cert=str(cert) if cert else None, key=str(key) if key else None
    )
    return LeaderClient(HttpClient(reactor, ContextSource(files), pipeline=PIPELINE), list(masters))


def agent_client(reactor: Any, endpoint: str) -> LeaderClient:
    """A client of the agent's loopback listener, for executors (`MESOS_AGENT_ENDPOINT`)."""
    return LeaderClient(HttpClient(reactor), [endpoint], secure=False)
