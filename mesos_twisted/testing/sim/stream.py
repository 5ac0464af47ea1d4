"""One end of a simulated TCP connection: Twisted's transport above, a kernel's socket below.

It behaves as Twisted's `tcp.Connection` with immediate send: bytes that the window takes leave in
`write`; `loseConnection` closes once all is with the kernel, and reads no more; a transport that is
not read notices neither an end nor a reset; a producer is paused above 64 KiB unsent. The kernel
lets at most `WINDOW` bytes be under way or unread, sends a reset for what comes to a closed socket,
and gives up after `GIVE_UP_S` without an acknowledgement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final, Protocol

from twisted.internet.address import IPv4Address
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    TCPTimedOutError,
)
from twisted.internet.interfaces import IConsumer, IProtocol, IPushProducer, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from mesos_twisted.errors import BugError
from mesos_twisted.testing.sim.clock import SimCall, SimClock
from mesos_twisted.testing.sim.net import GIVE_UP_S, Cut, Link, SimNode

#: Bytes under way and unread in one direction: the peer's receive buffer and our send buffer.
WINDOW: Final = 256 * 1024
_BUFFER: Final = 64 * 1024
_READ: Final = 64 * 1024
_WHOLE: Final = 64 * 1024


class End:
    """A close or a reset, in its place behind the data."""

    __slots__ = ("reset",)

    def __init__(self, reset: bool) -> None:
        self.reset = reset


FIN: Final = End(False)
RESET: Final = End(True)


class Runner(Protocol):
    """The process that a transport belongs to."""

    name: str
    alive: bool
    paused: bool
    node: SimNode
    clock: SimClock
    transports: dict[Any, None]

    def callLater(self, delay: float, callable: Any, *args: Any) -> SimCall:
        """Twisted's."""

    def failed(self) -> None:
        """The current exception is the process's own mistake."""


class _Acks:
    """The way back of acknowledgements, held while the other direction is cut."""

    __slots__ = ("_end", "last_arrival", "repeated_at")

    def __init__(self, end: SimTransport) -> None:
        self._end = end
        self.last_arrival = self.repeated_at = 0.0

    def arrive(self, what: Any) -> None:
        self._end.acknowledged(what)

    def stalled(self, now: float) -> None:
        self._end.stuck()

    def refused(self) -> None:
        self._end.refused()


@implementer(ITCPTransport, IConsumer, IPushProducer)
class SimTransport:
    """One end. `connector` is a client's; a server's end has none."""

    def __init__(self, process: Runner, host: IPv4Address, peer: IPv4Address, link: Link) -> None:
        self.process = process
        self.clock = process.clock
        self.node = process.node
        self.link = link
        self.protocol: IProtocol | None = None
        self.connector: Any = None
        #: The other end, once there is one.
        self.peer: SimTransport | None = None
        self.connected = False
        self.disconnected = False
        self.disconnecting = False
        self.producer: Any = None
        self.streamingProducer = False
        self.producerPaused = False
        self.last_arrival = self.repeated_at = 0.0
        self._host, self._peer_address = host, peer
        self._aborting = False
        self._reading = True
        self._wake: SimCall | None = None
        self._resume: SimCall | None = None
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._unacked = 0
        self._arrived: deque[bytes | End] = deque()
        self._open = True  # the kernel's socket
        self._broken = False  # a reset has come, and may not have been noticed
        self._acks = _Acks(self)
        self._give_up: SimCall | None = None
        process.transports[self] = None

    def __repr__(self) -> str:
        there = self._peer_address
        return f"<SimTransport {self.process.name}:{self._host.port} {there.host}:{there.port}>"

    def between(self, one: SimNode, other: SimNode) -> bool:
        """Whether this end is at `one` and its peer at `other`."""
        return self.node is one and self.peer is not None and self.peer.node is other

    # Its beginning

    def begin(self, protocol: IProtocol | None) -> None:
        """Connected; without a protocol it is closed at once."""
        self.connected = True
        if protocol is None:
            self._reading = False
            self.loseConnection()
            return
        self.protocol = protocol
        protocol.makeConnection(self)
        if not self._open:
            # It was reset before anybody took it in.
            self.process.callLater(0, self._lost, ConnectionLost)
        if self._arrived:
            self.wake()

    # ITransport

    @property
    def buffered_bytes(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return self._out_bytes

    def write(self, data: bytes) -> None:
        """Twisted's."""
        if type(data) is not bytes:
            if not isinstance(data, bytes | bytearray | memoryview):
                raise TypeError(f"Data must be bytes, not {type(data).__name__}")
            data = bytes(data)
        if not self.connected or not data:
            return
        if self._broken:
            self.process.callLater(0, self._lost, ConnectionLost)
            return
        self._out.append(data)
        self._out_bytes += len(data)
        if self._aborting:
            return
        self._pump()
        if self.producer is None:
            return
        if not self.streamingProducer:
            self._drained()
        elif self._out_bytes > _BUFFER and not self.producerPaused:
            self.producerPaused = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Twisted's."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Twisted's: close once all is with the kernel; nothing is read any more."""
        if self.connected and not self.disconnecting and not self._aborting:
            self.disconnecting = True
            self._reading = False
            self._drained()

    def abortConnection(self) -> None:
        """Twisted's: a reset, and nothing unsent is sent."""
        if self.disconnected or self._aborting:
            return
        self._aborting = True
        self._reading = False
        self.process.callLater(0, self._lost, ConnectionAborted)

    def loseWriteConnection(self) -> None:
        """Not simulated: nothing here closes one half."""
        raise BugError("Half-closed connections are not simulated")

    def getPeer(self) -> IPv4Address:
        """Twisted's."""
        return self._peer_address

    def getHost(self) -> IPv4Address:
        """Twisted's."""
        return self._host

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is delayed here."""

    def getTcpNoDelay(self) -> bool:
        """Nothing is delayed here."""
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Not simulated: its two hours are longer than any world."""

    def getTcpKeepAlive(self) -> bool:
        """Not simulated."""
        return False

    # IConsumer and IPushProducer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Twisted's."""
        if self.producer is not None:
            raise RuntimeError(f"{self.producer} is registered already")
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer, self.streamingProducer = producer, streaming
        self.producerPaused = False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Twisted's."""
        self.producer = None
        if self.connected and self.disconnecting:
            self._drained()

    def pauseProducing(self) -> None:
        """Read no more; the window fills up."""
        self._reading = False

    def resumeProducing(self) -> None:
        """Read on."""
        if self.connected and not self.disconnecting and not self._aborting:
            self._reading = True
            if self._arrived:
                self.wake()

    def stopProducing(self) -> None:
        """Twisted's."""
        self.loseConnection()

    stopReading, startReading = pauseProducing, resumeProducing

    # Sending

    def _pump(self) -> None:
        """Give the kernel what its window takes."""
        out, peer = self._out, self.peer
        if peer is None or not self._open:
            return
        link = self.link
        while out and self._unacked < WINDOW:
            data = out[0]
            length, room = len(data), WINDOW - self._unacked
            if length < room:
                room = length
            size = room if room <= _WHOLE and not link.profile.pieces else link.pieces(room)
            if size == length:
                out.popleft()
                piece = data
            else:
                piece, out[0] = data[:size], data[size:]
            self._out_bytes -= size
            self._unacked += size
            link.carry(peer, piece, size)

    def _drained(self) -> None:
        """All is with the kernel: time for the producer, or for closing."""
        if self._out:
            return
        if self.producer is not None and (not self.streamingProducer or self.producerPaused):
            self.producerPaused = False
            if self._resume is None:
                self._resume = self.process.callLater(0, self._resume_producer)
        elif self.disconnecting:
            self.process.callLater(0, self._close)

    def _resume_producer(self) -> None:
        self._resume = None
        if self.producer is not None and not self.disconnected:
            self.producer.resumeProducing()

    def _close(self) -> None:
        if self.connected and not self._out and not self._aborting:
            self._lost(ConnectionDone)

    def acknowledged(self, size: int) -> None:
        """The peer has read so much."""
        self._unacked -= size
        if self._give_up is not None and self._give_up.active():
            self._give_up.cancel()
        self._give_up = None
        if not self._open:
            return
        if self._out:
            self._pump()
            if not self._out:
                self._drained()
        elif self.producer is not None and self.producerPaused:
            self._drained()

    def stalled(self, now: float) -> None:
        """What the peer sent does not come through: the peer gives up in the end."""
        if self.peer is not None:
            self.peer.stuck()

    def stuck(self) -> None:
        """What this end sent is not acknowledged."""
        if self._open and self._give_up is None:
            self._give_up = self.clock.callLater(GIVE_UP_S, self._timed_out)

    def _timed_out(self) -> None:
        self._give_up = None
        self._kernel_reset(TCPTimedOutError)

    # Receiving

    def arrive(self, what: bytes | End) -> None:
        """The kernel receives from the peer."""
        if not self.node.up:
            self.node.swallow(self)
            return
        if not self._open:
            # A reset answers all but a reset.
            if self.peer is not None and what is not RESET:
                self.link.carry(self.peer, RESET, 0)
            return
        if what is RESET:
            # Whatever is written from now on fails.
            self._broken = True
            self._out.clear()
            self._out_bytes = 0
        process = self.process
        if type(what) is bytes:
            self.clock.note(process.name, "<", what)
        self._arrived.append(what)
        protocol = self.protocol
        if not self._reading or protocol is None or self._wake is not None:
            return
        if process.paused or self._aborting or (what is not RESET and self._late(what)):
            return
        try:
            self._read()
        except Exception:
            # As for any call of the process.
            process.failed()

    def _late(self, what: bytes | End) -> bool:
        """Whether it is read with what comes next, a moment later."""
        peer = self.peer
        if peer is None or not peer.link.profile.joined or isinstance(what, End):
            return False
        if not peer.link.joins():
            return False
        self._wake = self.process.callLater(peer.link.profile.latency_s, self._woken)
        return True

    def wake(self) -> None:
        """Read what has arrived, in the next turn."""
        if self._arrived and self._reading and self._wake is None and not self.process.paused:
            self._wake = self.process.callLater(0, self._woken)

    def _woken(self) -> None:
        self._wake = None
        if self._reading and self.protocol is not None and not self._aborting:
            self._read()

    def _read(self) -> None:
        """One `dataReceived`, or the end; the process's own mistakes are reported."""
        arrived = self._arrived
        if not arrived:
            return
        first = arrived.popleft()
        if isinstance(first, End):
            self._lost(ConnectionLost if first.reset else ConnectionDone)
            return
        data = first
        if arrived and type(arrived[0]) is bytes:
            pieces, size = [first], len(first)
            while arrived and isinstance(arrived[0], bytes) and size + len(arrived[0]) <= _READ:
                piece = arrived.popleft()
                assert isinstance(piece, bytes)
                pieces.append(piece)
                size += len(piece)
            data = b"".join(pieces)
        self._acknowledge(len(data))
        protocol = self.protocol
        assert protocol is not None
        try:
            protocol.dataReceived(data)
        except Exception:
            # Twisted reports it and drops the connection.
            self.process.failed()
            self._lost(ConnectionLost)
            return
        if arrived and self._reading:
            self.wake()

    def _acknowledge(self, size: int) -> None:
        peer = self.peer
        if peer is None:
            return
        if self.link.cut is Cut.BLACK_HOLE:
            self.link.hold(peer._acks, size)
        else:
            peer.acknowledged(size)

    # Ends

    def refused(self) -> None:
        """Something between the two resets both ends."""
        self._kernel_reset(ConnectionLost)
        if self.peer is not None:
            self.peer._kernel_reset(ConnectionLost)

    def _kernel_reset(self, why: type[Exception]) -> None:
        if not self._open or not self.node.up:
            return
        self._out.clear()
        self._out_bytes = 0
        self._open = False
        if self.process.alive:
            self.process.callLater(0, self._lost, why)

    def _lost(self, why: type[Exception]) -> None:
        """Closed, for the process; the kernel tells the peer."""
        if self.disconnected or not self.connected:
            return
        self.disconnected, self.connected, self._reading = True, False, False
        unread = any(isinstance(one, bytes) for one in self._arrived)
        self._shut(why is ConnectionAborted or unread)
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        reason = Failure(why())
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(reason)
        if self.connector is not None:
            self.connector.connectionLost(reason)

    def _shut(self, reset: bool) -> None:
        """The kernel's socket is closed; a peer that does not know it yet is told."""
        self._out.clear()
        self._out_bytes = 0
        self._arrived.clear()
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        self._wake = None
        self.process.transports.pop(self, None)
        self.node.network.connections.pop(self, None)
        if self._open:
            self._open = False
            if self._broken:
                return
            if self.peer is not None:
                self.link.carry(self.peer, RESET if reset else FIN, 0)

    def process_gone(self) -> None:
        """SIGKILL: the kernel closes the socket."""
        unread = any(isinstance(one, bytes) for one in self._arrived)
        self.connected, self.disconnected, self.protocol = False, True, None
        self._shut(unread)

    def kernel_gone(self) -> None:
        """Power cut: nobody is told."""
        self._open = self.connected = False
        self.disconnected, self.protocol = True, None
        self._shut(False)
