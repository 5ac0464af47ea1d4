"""The link to the leading master: find it, connect, speak, come back.

    looking -> connecting -> open -> (closed) waiting -> looking

Each record becomes a `MasterSaid`; what they mean is the core's affair. Where ZooKeeper says who
leads, links to all masters are kept open (`warm_links`), and the leader's is taken from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IConnector
from twisted.logger import Logger

from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.net.leader import MasterSource
from mesos_twisted.agent.net.link import ClientContexts, Dialer, LinkProtocol
from mesos_twisted.agent.net.warm_links import WarmLinks
from mesos_twisted.clock import Timer, Timers, backoff
from mesos_twisted.election.interfaces import Contender
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.transport.batch import FlushBatch

#: Between tries: from this, doubling.
RETRY_S = 0.5
RETRY_CAP_S = 15.0


class MasterLink:
    """Keeps one link to the leading master, from `start` to `stop`; idle ones to the others unless
    `standby_links` is false.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        timers: Timers,
        contexts: ClientContexts,
        masters: MasterSource,
        batch: FlushBatch,
        *,
        handle: Callable[[ev.Event], None],
        now: Callable[[], float],
        fresh: Callable[[], ConnectionId],
        jitter: Callable[[], float],
        count: Callable[[str, int], None],
        standby_links: bool = True,
    ) -> None:
        self.dialer = Dialer(reactor, contexts, batch, fresh)
        self._timers = timers
        self._masters = masters
        self._handle = handle
        self._now = now
        self._jitter = jitter
        self._count = count
        self._current: LinkProtocol | None = None
        #: Who was thought to lead when it was connected to.
        self._leader: Contender | None = None
        self._connector: IConnector | None = None
        self._retry: Timer | None = None
        self._attempt = 0
        self._turn = 0
        self._running = False
        self._warm: WarmLinks | None = None
        if standby_links and masters.elected:
            self._warm = WarmLinks(
                lambda *to: self.dialer.dial(*to),
                timers,
                jitter,
                adopt=self._adopt,
                taken=lambda: self._current is not None,
                count=count,
            )

    @property
    def connected(self) -> bool:
        """Is there a link?"""
        return self._current is not None

    @property
    def standbys(self) -> int:
        """How many idle links there are to masters that may lead later."""
        return 0 if self._warm is None else len(self._warm)

    @property
    def master_address(self) -> str | None:
        """`host:port` of the master at the other end."""
        return None if self._current is None else str(self._current)

    @property
    def master_host(self) -> str | None:
        """The other end's address alone."""
        return None if self._current is None else self._current.host

    def start(self) -> None:
        """Look for the leader."""
        self._running = True
        if self._warm is not None:
            self._masters.start(self._election_changed, standbys=True)
            return
        self._masters.start(self._leader_changed)
        self._connect()

    def stop(self) -> None:
        """No link any more, and none comes back."""
        self._running = False
        if self._retry is not None:
            self._retry.cancel()
        if self._warm is not None:
            self._warm.stop()
        connector, self._connector = self._connector, None
        if self._current is not None:
            self._current.close()
        elif connector is not None:
            connector.disconnect()

    def send(self, message: agentlink.FromAgent) -> None:
        """One record to the current master; dropped when there is none."""
        if self._current is not None:
            self._current.send(message)

    def reconnect(self, reason: str) -> None:
        """Close the link and look again."""
        if self._current is not None:
            self._current.drop(reason)

    def drop_revoked(self, is_revoked: Callable[[bytes], bool]) -> None:
        """Close links whose master's certificate is no longer good."""
        if self._current is not None:
            self._current.drop_revoked(is_revoked)
        if self._warm is not None:
            self._warm.drop_revoked(is_revoked)

    # Called by the connection under way.

    def opened(self, link: LinkProtocol) -> None:
        """A checked link is up."""
        self._current = link
        self.log.info("Connected to the master at {master}", master=str(link))
        self._handle(ev.LinkOpened(link.link, self._now()))

    def said(self, link: LinkProtocol, message: agentlink.FromMaster) -> None:
        """A record came."""
        if link is self._current:
            if isinstance(message, agentlink.Ping):
                # It lasts. One that ends before was one more try, whoever ended it.
                self._attempt = 0
                if self._warm is not None:
                    self._warm.lasted(link)
            self._handle(ev.MasterSaid(link.link, message, self._now()))

    def unknown(self) -> None:
        """A record of a type from the future was skipped."""
        self._count("slave/invalid_framework_messages", 1)

    def lost(self, link: LinkProtocol, reason: str) -> None:
        """The connection ended, before or after it was open."""
        if link is self._current:
            self._closed(link)
        if self._warm is not None:
            self._warm.returned(link, reason)
        else:
            self.failed(reason)

    def failed(self, reason: str) -> None:
        """Nothing came of it: wait, then try the next master."""
        self._connector = None
        if not self._running or (self._retry is not None and self._retry.active):
            return
        wait_s = backoff(self._attempt, RETRY_S, RETRY_CAP_S, self._jitter())
        self.log.warn(
            "No link to a master ({reason}); trying again in {wait_s} s",
            reason=reason,
            wait_s=round(wait_s, 2),
        )
        self._attempt += 1
        self._turn += 1
        self._retry = self._timers.after(wait_s, self._connect)

    def _closed(self, link: LinkProtocol) -> None:
        self._current = None
        self._handle(ev.LinkClosed(link.link, self._now()))

    # Where somebody says who leads, and links are kept.

    def _election_changed(self) -> None:
        if not self._running or self._warm is None:
            return
        leader = self._masters.leader()
        link = self._current
        if link is not None and leader is not None and leader != self._leader:
            # The next link is taken before this one has said that it is gone.
            self._closed(link)
            link.drop("another master leads")
        self._warm.follow(leader, self._masters.contenders())

    def _adopt(self, link: LinkProtocol) -> None:
        self._leader = self._masters.leader()
        link.owner = self
        self.opened(link)

    # Where it is tried, or one link is wanted.

    def _leader_changed(self) -> None:
        """Another master leads: whoever we speak with, or wait for, is the wrong one."""
        leader = self._masters.leader()
        if not self._running or leader is None or leader == self._leader:
            return
        self._leader = leader
        self._attempt = 0
        if self._current is not None:
            self._current.drop("another master leads")
        elif self._connector is not None:
            self._connector.disconnect()
        else:
            if self._retry is not None:
                self._retry.cancel()
            # Not all agents in the same moment.
            self._retry = self._timers.after(RETRY_S * self._jitter(), self._connect)

    def _connect(self) -> None:
        if not self._running:
            return
        candidates = self._masters.candidates()
        if not candidates:
            self.failed("no leading master is known")
            return
        host, port = candidates[self._turn % len(candidates)]
        self._connector = self.dialer.dial(self, host, port)
