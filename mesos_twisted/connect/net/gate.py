"""Who may connect: processes of allowed users only, asked of the kernel before a byte is read.

On a machine of many users everybody can reach a loopback port, and whoever is let in speaks with
the connector's certificate. The peer of a Unix socket is told by the socket itself, that of a TCP
connection by the kernel's socket table. Refused peers get one sentence in HTTP, once they ask.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.connect.core.peers import owner, spelled, spelled_mapped

_log = Logger()
_UCRED = struct.Struct("3i")
#: How long a refused peer may keep its connection without asking anything, in seconds.
_REFUSED_S = 5.0


def peer_uid(transport: Any, proc: str = "/proc") -> int | None:
    """The user whose process is at the other end; None when the kernel does not say."""
    peer, host = transport.getPeer(), transport.getHost()
    if not isinstance(peer, IPv4Address | IPv6Address):
        raw = transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        return int(_UCRED.unpack(raw)[1])
    at_peer, at_host = (peer.host, peer.port), (host.host, host.port)
    looks = [("tcp6" if ":" in peer.host else "tcp", spelled(*at_peer), spelled(*at_host))]
    if ":" not in peer.host:
        looks.append(("tcp6", spelled_mapped(*at_peer), spelled_mapped(*at_host)))
    for name, local, remote in looks:
        try:
            with open(f"{proc}/net/{name}", encoding="ascii") as table:
                uid = owner(table, local, remote)
        except OSError:
            continue
        if uid is not None:
            return uid
    return None


@implementer(IProtocolFactory)
class Gate:
    """A factory that lets allowed users through to `factory`."""

    def __init__(
        self,
        factory: IProtocolFactory,
        allowed: frozenset[int],
        timers: Timers,
        proc: str = "/proc",
    ) -> None:
        self.factory = factory
        self.allowed = allowed
        self.timers = timers
        self.proc = proc

    def doStart(self) -> None:
        """Twisted calls this when a port begins to listen."""
        self.factory.doStart()

    def doStop(self) -> None:
        """Twisted calls this when a port has stopped listening."""
        self.factory.doStop()

    def buildProtocol(self, addr: IAddress) -> IProtocol:
        """What decides once the connection stands."""
        return _Gated(self, addr)


@implementer(IProtocol)
class _Gated:
    """One connection: handed on, or refused."""

    def __init__(self, gate: Gate, addr: IAddress) -> None:
        self._gate = gate
        self._addr = addr
        self._inner: IProtocol | None = None
        self._transport: Any = None
        self._sentence = ""
        self._timer: Timer | None = None

    def connectionMade(self) -> None:
        """Part of `IProtocol`; all is done by `makeConnection`."""

    def makeConnection(self, transport: Any) -> None:
        """Ask who it is."""
        gate = self._gate
        uid = peer_uid(transport, gate.proc)
        if uid in gate.allowed:
            self._inner = gate.factory.buildProtocol(self._addr)
            if self._inner is None:
                transport.loseConnection()
            else:
                self._inner.makeConnection(transport)
            return
        who = "an unknown user" if uid is None else f"user {uid}"
        self._sentence = (
            f"This connector does not serve {who}; start one of your own,"
            " or have this one started with --allow_uid"
        )
        _log.warn("Refused a connection of {who}", who=who)
        self._transport = transport
        self._timer = gate.timers.after(_REFUSED_S, transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """Hand on, or refuse."""
        if self._inner is not None:
            self._inner.dataReceived(data)
        elif self._sentence:
            body = f"{self._sentence}\n".encode()
            self._sentence = ""
            self._transport.write(
                b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"
                b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            self._transport.loseConnection()

    def connectionLost(self, reason: Failure) -> None:
        """It is gone."""
        if self._timer is not None:
            self._timer.cancel()
        if self._inner is not None:
            self._inner.connectionLost(reason)
