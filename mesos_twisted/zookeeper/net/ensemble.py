"""From a `zk://` URL to clients of its servers."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from mesos_twisted.errors import BugError
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.tls import IContextSource
from mesos_twisted.zookeeper.net.client import ZooKeeperClient
from mesos_twisted.zookeeper.url import ZkUrl


class ClientContexts(Protocol):
    """Where TLS contexts come from."""

    def client_context(self, alpn: Any = None) -> ssl.SSLContext:
        """The newest one that offers these protocols."""
        ...


class _WithoutAlpn:
    """ZooKeeper knows no ALPN. Passes as an `IContextSource`."""

    def __init__(self, contexts: ClientContexts) -> None:
        self._contexts = contexts

    def client_context(self) -> ssl.SSLContext:
        """Offers none."""
        return self._contexts.client_context(())

    def server_context(self) -> ssl.SSLContext:
        """Nobody connects to a client."""
        raise BugError("A client of ZooKeeper was asked for a server's context")


@dataclass(frozen=True, slots=True)
class Ensemble:
    """How this process speaks with an ensemble; `contexts` when all is to be TLS."""

    reactor: Any
    url: ZkUrl
    session_timeout_s: float
    jitter: Callable[[], float]
    contexts: ClientContexts | None = None
    batch: FlushBatch | None = None

    def client(self) -> ZooKeeperClient:
        """A client that is not started."""
        contexts: IContextSource | None = None
        if self.contexts is not None:
            contexts = _WithoutAlpn(self.contexts)
        return ZooKeeperClient(
            self.reactor,
            self.url.hosts,
            self.session_timeout_s,
            self.jitter,
            credentials=self.url.credentials,
            contexts=contexts,
            batch=self.batch,
        )
