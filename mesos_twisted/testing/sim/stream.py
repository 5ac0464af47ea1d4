"""One end of a simulated TCP connection, as its process has it: Twisted's transport.

It behaves as Twisted's `tcp.Connection` with immediate send: bytes that the window takes leave in
`write`; `loseConnection` closes once all is with the kernel, and reads no more; a transport that is
not read notices neither an end nor a reset; a producer is paused above 64 KiB unsent. The kernel's
half is `sockets.SimSocket`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import IConsumer, IProtocol, IPushProducer, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from mesos_twisted.errors import BugError
from mesos_twisted.testing.sim.clock import SimCall
from mesos_twisted.testing.sim.net import Link
from mesos_twisted.testing.sim.sockets import RESET, End, Runner, SimSocket

_BUFFER: Final = 64 * 1024
_READ: Final = 64 * 1024


@implementer(ITCPTransport, IConsumer, IPushProducer)
class SimTransport(SimSocket):
    """One end. `connector` is a client's; a server's end has none."""

    def __init__(self, process: Runner, host: IPv4Address, peer: IPv4Address, link: Link) -> None:
        super().__init__(process, link)
        self.protocol: IProtocol | None = None
        self.connector: Any = None
        self.connected = False
        self.disconnected = False
        self.disconnecting = False
        self.producer: Any = None
        self.streamingProducer = False
        self.producerPaused = False
        self._host, self._peer_address = host, peer
        self._aborting = False
        self._reading = True
        self._wake: SimCall | None = None
        self._resume: SimCall | None = None

    def __repr__(self) -> str:
        there = self._peer_address
        return f"<SimTransport {self.process.name}:{self._host.port} {there.host}:{there.port}>"

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

    def _room(self) -> None:
        if self.producer is not None and self.producerPaused:
            self._drained()

    # Receiving

    def _received(self, what: bytes | End) -> None:
        process = self.process
        if not self._reading or self.protocol is None or self._wake is not None:
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

    # Ends

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

    def _sleep(self) -> None:
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        self._wake = None

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
