"""Listening and connecting in the simulated network, as Twisted's ports and connectors do it."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.base import BaseConnector
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
)
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from mesos_twisted.testing.sim.net import LOOPBACK, SimNode
from mesos_twisted.testing.sim.sockets import RESET, Runner
from mesos_twisted.testing.sim.stream import SimTransport

_ANY: Final = ("", "0.0.0.0", "::")
_DNS_S: Final = 0.001


@implementer(IListeningPort)
class SimPort:
    """A port of one process. Connections are accepted while it runs, kept while it is paused."""

    def __init__(
        self, process: Any, port: int, factory: IProtocolFactory, interface: str = ""
    ) -> None:
        self.process = process
        self.node: SimNode = process.node
        self.factory = factory
        self.interface = interface
        self._port = port or self.node.free_port()
        self._on = False

    def startListening(self) -> None:
        """Raises CannotListenError when somebody on this node has the port."""
        if self._port in self.node.listening:
            taken = OSError(98, "Address already in use")
            raise CannotListenError(self.interface, self._port, taken)
        self._on = True
        self.node.listening[self._port] = self
        self.process.ports[self] = None
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """Fires at once; connections accepted before stay."""
        if self._on:
            self.close()
            self.process.ports.pop(self, None)
            self.factory.doStop()
        return succeed(None)

    loseConnection = stopListening

    def getHost(self) -> IPv4Address:
        """Where it listens."""
        return IPv4Address("TCP", self.interface or "0.0.0.0", self._port)

    def close(self) -> None:
        """Nobody listens any more; the process is told nothing."""
        if self._on:
            self._on = False
            self.node.listening.pop(self._port, None)

    def answers(self, address: str) -> bool:
        """Whether it listens on this address of its node."""
        return self.interface in (*_ANY, address)

    def arrive(self, client: SimClient) -> None:
        """The kernel completes the connection; the process takes it in when it runs."""
        ours = IPv4Address("TCP", client.getPeer().host, self._port)
        link = self.node.network.link(self.node, client.node)
        server = SimTransport(self.process, ours, client.getHost(), link)
        server.peer, client.peer = client, server
        self.node.network.connections[server] = None
        server.last_arrival = client.last_arrival
        link.carry(_Answer(client, None), None, 0)
        self.process.callLater(0, self._accept, server)

    def _accept(self, server: SimTransport) -> None:
        if self._on:
            server.begin(self.factory.buildProtocol(server.getPeer()))
        else:
            server.begin(None)


class _Knock:
    """A SYN on its way."""

    __slots__ = ("_client", "_port", "_target", "last_arrival", "repeated_at")

    def __init__(self, client: SimClient, target: SimNode, port: int) -> None:
        self._client = client
        self._target = target
        self._port = port
        self.last_arrival = self.repeated_at = 0.0

    def arrive(self, what: Any) -> None:
        """Accept or refuse; a node without power says nothing."""
        target, client = self._target, self._client
        if not target.up or not client.knocking:
            return
        port: Any = target.listening.get(self._port)
        if port is None or target.refusing or not port.answers(client.getPeer().host):
            back = target.network.link(target, client.node)
            back.carry(_Answer(client, ConnectionRefusedError()), None, 0)
        else:
            port.arrive(client)

    def stalled(self, now: float) -> None:
        """The client's own time-out ends it."""

    def refused(self) -> None:
        """Something on the way answers."""
        self._client.failIfNotConnected(ConnectionRefusedError())


class _Answer:
    """A SYN's answer on its way."""

    __slots__ = ("_client", "_error", "last_arrival", "repeated_at")

    def __init__(self, client: SimClient, error: Exception | None) -> None:
        self._client = client
        self._error = error
        self.last_arrival = self.repeated_at = 0.0

    def arrive(self, what: Any) -> None:
        """Tell the client."""
        client = self._client
        if self._error is not None:
            client.process.callLater(0, client.failIfNotConnected, self._error)
        else:
            client.established()

    def stalled(self, now: float) -> None:
        """The client's own time-out ends it."""

    def refused(self) -> None:
        """Something on the way answers."""
        self._client.failIfNotConnected(ConnectionRefusedError())


class SimClient(SimTransport):
    """The end of whoever connects."""

    def __init__(self, process: Runner, connector: SimConnector) -> None:
        node = process.node
        ours = IPv4Address("TCP", node.address, node.free_port())
        nowhere = IPv4Address("TCP", "0.0.0.0", connector.port)
        super().__init__(process, ours, nowhere, node.network.link(node, node))
        self.connector = connector
        self.knocking = True
        process.callLater(0 if connector.host in node.network.by_address else _DNS_S, self._resolve)

    def _resolve(self) -> None:
        if not self.knocking:
            return
        node, connector = self.node, self.connector
        address = node.resolve(connector.host)
        if address is None:
            self.failIfNotConnected(
                DNSLookupError(f"no results for hostname lookup: {connector.host}")
            )
            return
        target = node if address == LOOPBACK else node.network.by_address.get(address)
        if target is None:
            self.failIfNotConnected(NoRouteError())
            return
        if address == LOOPBACK:
            self._host = IPv4Address("TCP", LOOPBACK, self._host.port)
        self._peer_address = IPv4Address("TCP", address, connector.port)
        self.link = node.network.link(node, target)
        node.network.connections[self] = None
        self.link.carry(_Knock(self, target, connector.port), None, 0)

    def established(self) -> None:
        """The peer's kernel has answered; a client that has given up resets it."""
        if self.knocking and self.process.alive:
            self.process.callLater(0, self._connected)
        elif self.peer is not None:
            self.link.carry(self.peer, RESET, 0)

    def _connected(self) -> None:
        if self.knocking:
            self.knocking = False
            self.begin(self.connector.buildProtocol(self._peer_address))
        elif self.peer is not None:
            self.link.carry(self.peer, RESET, 0)

    def failIfNotConnected(self, error: Exception) -> None:
        """Twisted's: the try is over, if it is not over yet."""
        if self.knocking and self.process.alive:
            self.knocking = False
            self.disconnected = True
            self._shut(True)
            self.connector.connectionFailed(Failure(error))

    def process_gone(self) -> None:
        """SIGKILL."""
        self.knocking = False
        super().process_gone()

    def kernel_gone(self) -> None:
        """Power cut."""
        self.knocking = False
        super().kernel_gone()

    def _kernel_reset(self, why: type[Exception]) -> None:
        if self.knocking:
            self.process.callLater(0, self.failIfNotConnected, ConnectionRefusedError())
        else:
            super()._kernel_reset(why)


class SimConnector(BaseConnector):
    """Twisted's connector over a `SimClient`: its time-out and its states are Twisted's own."""

    def __init__(self, process: Any, host: str, port: int, factory: Any, timeout: float) -> None:
        self.host = host
        self.port = port
        super().__init__(factory, timeout, process)

    def _makeTransport(self) -> Any:
        return SimClient(self.reactor, self)  # type: ignore[arg-type]  # a SimReactor, as given

    def getDestination(self) -> IAddress:
        """Where to."""
        return IPv4Address("TCP", self.host, self.port)
