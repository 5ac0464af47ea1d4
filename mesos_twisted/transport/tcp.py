"""TCP transports that send at once instead of waiting for the next poll.

Twisted queues each write behind an epoll_ctl and another epoll_wait; trying `send` first halves the
cost of a small message. Only what the kernel does not take is queued, by Twisted's own code. A
reactor without descriptors (in tests) gets its own stock transports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.interfaces import (
    IConnector,
    IListeningPort,
    IProtocolFactory,
    IReactorFDSet,
)
from twisted.internet.protocol import ClientFactory

if TYPE_CHECKING:
    # Only for the type checker: at run time this is a mixin before Twisted's own class.
    _Base = tcp.Connection
else:
    _Base = object

#: What the kernel is asked for; it is cut to net.core.somaxconn.
BACKLOG = 4096
#: Most connections accepted in one turn.
ACCEPTS = 100


class ImmediateSend(_Base):
    """A mixin for `tcp.Connection`: `write` hands the bytes to the kernel before it returns."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes written here and not yet accepted by the kernel."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def write(self, data: bytes) -> None:
        """Send `data` now as far as the kernel takes it, and queue the rest."""
        if (
            not self.dataBuffer
            and not self._tempDataLen
            and self.connected
            and not self._writeDisconnected
            and not self.disconnecting
            and not self._aborting
            # A pull producer is fed from doWrite, so its bytes must pass there.
            and (self.producer is None or self.streamingProducer)
        ):
            try:
                sent = self.socket.send(data)
            except OSError:
                # "Not now" is queued; anything else doWrite reports, out of the writer's call.
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        super().write(data)  # type: ignore[no-untyped-call]  # Twisted's is untyped


class FastServer(ImmediateSend, tcp.Server):
    """An accepted connection."""


class FastClient(ImmediateSend, tcp.Client):
    """A connection we opened."""


class FastPort(tcp.Port):
    """A listening port whose connections are `FastServer`s, at most `accepts` new ones a turn.

    Twisted takes in as many as wait, which then all count as silent before one of them was read.
    """

    transport = FastServer
    accepts = ACCEPTS

    def doRead(self) -> None:
        """Accept some of those who wait; the others are there in the next turn."""
        self.numberAccepts = min(self.numberAccepts, self.accepts)
        super().doRead()  # type: ignore[no-untyped-call]  # Twisted's is untyped


class FastConnector(tcp.Connector):
    """A connector whose connection is a `FastClient`."""

    def _makeTransport(self) -> FastClient:
        return FastClient(  # type: ignore[no-untyped-call]  # Twisted's is untyped
            self.host, self.port, self.bindAddress, self, self.reactor
        )


def listen_tcp(
    reactor: Any, interface: str, port: int, factory: IProtocolFactory, accepts: int = ACCEPTS
) -> IListeningPort:
    """Listen at once; raises Twisted's `CannotListenError`. Port 0 picks a free one.

    At most `accepts` connections are taken in between two reads of those that stand.
    """
    if not IReactorFDSet.providedBy(reactor):
        listening: IListeningPort = reactor.listenTCP(port, factory, BACKLOG, interface)
        return listening
    fast = FastPort(port, factory, BACKLOG, interface, reactor)
    fast.accepts = min(accepts, ACCEPTS)
    fast.startListening()
    return fast


def connect_tcp(
    reactor: Any, host: str, port: int, factory: ClientFactory[Any], timeout_s: float
) -> IConnector:
    """Start connecting; `factory` hears of success or failure."""
    if not IReactorFDSet.providedBy(reactor):
        stock: IConnector = reactor.connectTCP(host, port, factory, timeout_s)
        return stock
    connector = FastConnector(host, port, factory, timeout_s, None, reactor)
    connector.connect()
    return connector


def address_text(host: str, port: int) -> str:
    """`host:port`, with an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
