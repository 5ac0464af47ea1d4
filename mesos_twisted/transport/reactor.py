"""A reactor whose turns stay short when thousands of peers speak at once.

Twisted serves everyone who is ready before it looks at its timers again. When a thousand agents
come back in one moment such a turn lasts for seconds, and a leader that does not say a word to
ZooKeeper for so long loses its session. Here a turn serves `AT_ONCE` of them; the kernel gives the
others in the turns that follow, one after the other. A connection that was made urgent is read in
every turn, however many wait.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.epollreactor import EPOLLIN, EPollReactor

#: How many descriptors are served before timers have their turn.
AT_ONCE: Final = 64


class _Some:
    """An epoll that gives no more than so many events at a time."""

    def __init__(self, poller: Any) -> None:
        self._poller = poller
        self.register = poller.register
        self.modify = poller.modify
        self.unregister = poller.unregister
        self.close = poller.close
        self.full = False

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """As epoll's own."""
        found: list[tuple[int, int]] = self._poller.poll(timeout, max(1, min(most, AT_ONCE)))
        self.full = len(found) == AT_ONCE
        return found


class FairReactor(EPollReactor):
    """`urgent` are the transports read in every turn."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's is untyped
        self._poller = _Some(self._poller)
        self.urgent: list[Any] = []

    def doPoll(self, timeout: float | None) -> None:
        """One turn's input and output."""
        super().doPoll(timeout)  # type: ignore[no-untyped-call]
        if self._poller.full and self.urgent:
            self._read_urgent()

    doIteration = doPoll

    def _read_urgent(self) -> None:
        for transport in tuple(self.urgent):
            fd = transport.fileno()
            if fd == -1:
                self.urgent.remove(transport)
            elif fd in self._reads:
                # Nothing there is no error to a transport.
                self._doReadOrWrite(  # type: ignore[no-untyped-call]  # Twisted's is untyped
                    transport, fd, EPOLLIN
                )


def make_urgent(reactor: Any, transport: Any) -> None:
    """The TCP transport is read in every turn from now on.

    Without effect on a reactor that makes no difference between its connections.
    """
    if isinstance(reactor, FairReactor):
        reactor.urgent.append(transport)


def install() -> None:
    """Install it, in a process that has none yet."""
    from twisted.internet.main import installReactor

    installReactor(FairReactor())
