"""One end of a simulated TCP connection, as its kernel has it: bytes under way, windows, ends.

The kernel lets at most `WINDOW` bytes be under way or unread, sends a reset for what comes to a
closed socket, and gives up after `GIVE_UP_S` without an acknowledgement. What a process makes of it
is `stream.SimTransport`'s.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Protocol

from twisted.internet.error import ConnectionLost, TCPTimedOutError

from mesos_twisted.testing.sim.clock import SimCall, SimClock
from mesos_twisted.testing.sim.net import GIVE_UP_S, Cut, Link, SimNode

#: Bytes under way and unread in one direction: the peer's receive buffer and our send buffer.
WINDOW: Final = 256 * 1024
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

    def __init__(self, end: SimSocket) -> None:
        self._end = end
        self.last_arrival = self.repeated_at = 0.0

    def arrive(self, what: Any) -> None:
        self._end.acknowledged(what)

    def stalled(self, now: float) -> None:
        self._end.stuck()

    def refused(self) -> None:
        self._end.refused()


class SimSocket:
    """The kernel's half; the process's half fills the gaps at its end."""

    def __init__(self, process: Runner, link: Link) -> None:
        self.process = process
        self.clock = process.clock
        self.node = process.node
        self.link = link
        #: The other end, once there is one.
        self.peer: SimSocket | None = None
        self.last_arrival = self.repeated_at = 0.0
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._unacked = 0
        self._arrived: deque[bytes | End] = deque()
        self._open = True
        self._broken = False  # a reset has come, and may not have been noticed
        self._acks = _Acks(self)
        self._give_up: SimCall | None = None
        process.transports[self] = None

    def between(self, one: SimNode, other: SimNode) -> bool:
        """Whether this end is at `one` and its peer at `other`."""
        return self.node is one and self.peer is not None and self.peer.node is other

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
        else:
            self._room()

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
        if type(what) is bytes:
            self.clock.note(self.process.name, "<", what)
        self._arrived.append(what)
        self._received(what)

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

    def _shut(self, reset: bool) -> None:
        """The kernel's socket is closed; a peer that does not know it yet is told."""
        self._out.clear()
        self._out_bytes = 0
        self._arrived.clear()
        self._sleep()
        self.process.transports.pop(self, None)
        self.node.network.connections.pop(self, None)
        if self._open:
            self._open = False
            if self._broken:
                return
            if self.peer is not None:
                self.link.carry(self.peer, RESET if reset else FIN, 0)

    # The process's half

    def _drained(self) -> None:
        """All that was written is with the kernel."""
        raise NotImplementedError

    def _room(self) -> None:
        """The window is wider, and nothing waited for it."""
        raise NotImplementedError

    def _received(self, what: bytes | End) -> None:
        """The last of `_arrived` has just come."""
        raise NotImplementedError

    def _sleep(self) -> None:
        """What has arrived will not be read."""
        raise NotImplementedError

    def _lost(self, why: type[Exception]) -> None:
        """The connection is closed for the process."""
        raise NotImplementedError
