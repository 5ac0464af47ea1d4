"""So many handshakes at once: a process that stands for a thousand machines has one core for them.

Without it each of a thousand handshakes takes as long as all, which is more than servers wait.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.interfaces import IConnector

from mesos_twisted.agent.net.link import Dialer, LinkOwner, LinkProtocol
from mesos_twisted.protocol import agentlink

AT_ONCE = 32


class Turn:
    """One try that waits or is under way. Passes as its owner, and as its connector."""

    def __init__(self, dialers: InTurn, owner: LinkOwner, host: str, port: int) -> None:
        self._dialers, self._owner, self._to = dialers, owner, (host, port)
        self._connector: Any = None
        self._over = False

    def begin(self, dialer: Dialer) -> None:
        self._connector = dialer.dial(self, *self._to)

    def disconnect(self) -> None:
        if self._connector is not None:
            self._connector.disconnect()
        else:
            self.failed("it was not wanted any more")

    def opened(self, link: LinkProtocol) -> None:
        link.owner = self._owner
        self._done()
        self._owner.opened(link)

    def failed(self, reason: str) -> None:
        self._done()
        self._owner.failed(reason)

    def said(self, link: LinkProtocol, message: agentlink.FromMaster) -> None:
        self._owner.said(link, message)

    def unknown(self) -> None:
        self._owner.unknown()

    def lost(self, link: LinkProtocol, reason: str) -> None:
        self._done()
        self._owner.lost(link, reason)

    def _done(self) -> None:
        if not self._over:
            self._over = True
            self._dialers.done(self, self._connector is not None)


class InTurn:
    """What the agents of one process share."""

    def __init__(self) -> None:
        self._under_way = 0
        self._waiting: deque[tuple[Turn, Dialer]] = deque()

    def dial(self, dialer: Dialer, owner: LinkOwner, host: str, port: int) -> IConnector:
        turn: Any = Turn(self, owner, host, port)
        self._waiting.append((turn, dialer))
        self._next()
        connector: IConnector = turn
        return connector

    def done(self, turn: Turn, begun: bool) -> None:
        if begun:
            self._under_way -= 1
        else:
            self._waiting = deque(one for one in self._waiting if one[0] is not turn)
        self._next()

    def _next(self) -> None:
        while self._waiting and self._under_way < AT_ONCE:
            self._under_way += 1
            turn, dialer = self._waiting.popleft()
            turn.begin(dialer)


class Patient:
    """A `Dialer` of one agent that waits for its turn."""

    def __init__(self, dialer: Dialer, all_: InTurn) -> None:
        self._dialer, self._all = dialer, all_

    def dial(self, owner: LinkOwner, host: str, port: int) -> IConnector:
        return self._all.dial(self._dialer, owner, host, port)
