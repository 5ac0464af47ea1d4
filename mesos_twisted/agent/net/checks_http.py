"""One GET and one TCP connect for checks: plain reactor work, no certificate, a small answer.

A check of the host's own service: HTTPS is spoken without verifying the certificate, as Mesos
does, because the name checked is an address.
"""

from __future__ import annotations

import ssl
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure

from mesos_twisted.clock import Timers
from mesos_twisted.errors import MesosError, UnavailableError
from mesos_twisted.transport.client import HttpClient
from mesos_twisted.transport.messages import MIB


class _AnyCertificate:
    """A context that verifies nothing; see the module."""

    def __init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def client_context(self) -> ssl.SSLContext:
        """For connections opened."""
        return self._context

    def server_context(self) -> ssl.SSLContext:
        """For connections accepted: never."""
        return self._context


class Probes:
    """Asks a port whether it answers."""

    def __init__(self, reactor: Any, timers: Timers) -> None:
        self._reactor = reactor
        self._timers = timers

    async def http_status(self, url: str, timeout_s: float) -> int:
        """The status of a GET. Raises MesosError when none came in time."""
        # A connection of its own each time: what is checked is also whether one can be had.
        client = HttpClient(
            self._reactor,
            _AnyCertificate(),
            connect_timeout_s=timeout_s,
            max_body_bytes=MIB,
        )
        try:
            answer = await client.request("GET", url, (("Connection", "close"),), b"", timeout_s)
            return answer.status
        finally:
            client.close()

    async def tcp(self, host: str, port: int, timeout_s: float) -> bool:
        """Whether a connection could be opened."""
        done: Deferred[bool] = Deferred()
        self._reactor.connectTCP(host, port, _Connect(done), timeout_s)
        return await done


class _Hello(Protocol):
    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class _Connect(ClientFactory[Any]):
    noisy = False

    def __init__(self, done: Deferred[bool]) -> None:
        self._done = done

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        self._done.callback(True)
        return _Hello()

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._done.callback(False)


def failed(error: MesosError) -> str:
    """Why a probe failed, in words."""
    return str(error) if str(error) else UnavailableError.__name__
