"""A link to every master that contends, so that the next leader is reached without a handshake.

    away -> connecting -> idle -> lent (the agent's own link) -> away
                           |  ^
                           +--+ each minute: Standby, answered by Standing

An idle link carries nothing but Standby and Standing, and a master that does not answer is cut. A
link is lent once ZooKeeper says that its master leads and the master says so too: before, it would
refuse the agent. An older master says nothing: it is believed after a while.

The leader is connected to at once, all others within half a minute: a standby that starts is not
run down by all agents in one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IConnector
from twisted.logger import Logger, LogLevel

from mesos_twisted import MESOS_VERSION
from mesos_twisted.agent.net.link import Dial, LinkProtocol
from mesos_twisted.clock import Timer, Timers, backoff
from mesos_twisted.election.interfaces import Contender
from mesos_twisted.protocol import agentlink
from mesos_twisted.transport.tcp import address_text

#: Within this a master that is new is connected to, by whom it may lead later and who it leads.
SPREAD_S = 30.0
AT_ONCE_S = 0.5
#: Between tries: from this, doubling; to one that stands by, and to the leader.
RETRY_S, RETRY_CAP_S = 5.0, 120.0
LEADER_RETRY_S, LEADER_RETRY_CAP_S = 0.5, 15.0
#: Between two words on an idle link, and on one whose master is to lead any moment.
BEAT_S = 60.0
LEADER_BEAT_S = 5.0
#: A leader that has said nothing for so long is of a release that never does.
PATIENCE_S = 2.0

_log = Logger()


class _Peer:
    """What is kept of one contender. Passes as a `LinkOwner` while its link is idle."""

    def __init__(self, links: WarmLinks, master: Contender) -> None:
        self.master = master
        self.link: LinkProtocol | None = None
        self.lent: LinkProtocol | None = None
        self.leads = False
        self.spoke = False
        self.warm = False
        self.over = False
        self.attempt = 0
        self.timer: Timer | None = None
        self._links = links
        self._connector: IConnector | None = None
        self._waiting = False

    @property
    def away(self) -> bool:
        """Neither connected nor about to be."""
        return self.link is None and self.lent is None and self._connector is None

    def approach(self, within_s: float) -> None:
        """Connect within that time."""
        self.after(within_s * self._links.jitter(), self._connect)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """What happens next, in place of what would have."""
        self.rest()
        if not self.over:
            self.timer = self._links.timers.after(seconds, what)

    def rest(self) -> None:
        """Nothing happens by itself."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def end(self) -> None:
        """It contends no more."""
        self.over = True
        self.rest()
        if self.link is not None:
            self.link.close()
        elif self._connector is not None:
            self._connector.disconnect()

    def _connect(self) -> None:
        self._connector = self._links.dial(self, self.master.host, self.master.port)

    def ask(self) -> None:
        """Is it there? It has until the next time to answer."""
        if self.link is None:
            return
        if self._waiting:
            self.link.drop("the master does not answer")
            return
        self._waiting = True
        self.link.send(agentlink.Standby(version=self._links.version))
        elected = self._links.leader == self.master
        period = LEADER_BEAT_S if elected else BEAT_S
        self.after(period * (0.75 + 0.5 * self._links.jitter()), self.ask)

    # For the connection

    def opened(self, link: LinkProtocol) -> None:
        """It stands."""
        self._connector = None
        if self.over:
            link.close()
            return
        self.link = link
        self.leads = self.spoke = self._waiting = False
        self.warm = self._links.leader != self.master
        self.ask()
        self._links.consider()

    def said(self, link: LinkProtocol, message: agentlink.FromMaster) -> None:
        """Only whether it leads is of interest."""
        if not isinstance(message, agentlink.Standing):
            self._links.unknown()
            return
        if self.spoke:
            self.attempt = 0
        self.spoke, self._waiting, self.leads = True, False, message.leads
        self._links.consider()

    def unknown(self) -> None:
        """A record from the future."""
        self._links.unknown()

    def lost(self, link: LinkProtocol, reason: str) -> None:
        """The idle link ended."""
        self.link = None
        self.failed(reason)

    def failed(self, reason: str) -> None:
        """Try again, later each time."""
        self._connector = None
        if self.over:
            return
        elected = self._links.leader == self.master
        base, cap = (LEADER_RETRY_S, LEADER_RETRY_CAP_S) if elected else (RETRY_S, RETRY_CAP_S)
        wait_s = backoff(self.attempt, base, cap, self._links.jitter())
        self.attempt += 1
        _log.emit(
            LogLevel.warn if elected else LogLevel.info,
            "No link to the master at {master} ({reason}); trying again in {wait_s} s",
            master=address_text(self.master.host, self.master.port),
            reason=reason,
            wait_s=round(wait_s, 2),
        )
        self.after(wait_s, self._connect)


class WarmLinks:
    """The links of one agent. `adopt(link)` makes one the agent's own, which then owns it;
    `taken()` says whether it has one. `jitter()` gives random numbers in [0, 1).
    """

    def __init__(
        self,
        dial: Dial,
        timers: Timers,
        jitter: Callable[[], float],
        *,
        adopt: Callable[[LinkProtocol], None],
        taken: Callable[[], bool],
        count: Callable[[str, int], None],
    ) -> None:
        self.dial = dial
        self.timers = timers
        self.jitter = jitter
        self.version = MESOS_VERSION
        self.leader: Contender | None = None
        self._adopt = adopt
        self._taken = taken
        self._count = count
        self._peers: dict[Contender, _Peer] = {}
        self._patience: Timer | None = None
        self._stopped = False

    def __len__(self) -> int:
        """How many links are open and idle."""
        return sum(peer.link is not None for peer in self._peers.values())

    def follow(self, leader: Contender | None, contenders: Sequence[Contender]) -> None:
        """Those contend, and one of them leads, as far as ZooKeeper has told."""
        if self._stopped:
            return
        another, self.leader = leader != self.leader, leader
        wanted = dict.fromkeys((*contenders, leader) if leader is not None else contenders)
        for master in [master for master in self._peers if master not in wanted]:
            self._peers.pop(master).end()
        for master in wanted:
            if master not in self._peers:
                self._peers[master] = peer = _Peer(self, master)
                peer.approach(AT_ONCE_S if master == leader else SPREAD_S)
        if another and leader is not None:
            self._hasten(self._peers[leader])
        self.consider()

    def _hasten(self, peer: _Peer) -> None:
        if peer.link is not None:
            peer.after(LEADER_BEAT_S, peer.ask)
        elif peer.away:
            peer.attempt = 0
            peer.approach(AT_ONCE_S)

    def consider(self) -> None:
        """Is the leader's link to be the agent's now?"""
        if self.leader is None or self._taken():
            return
        peer = self._peers.get(self.leader)
        if peer is None or peer.link is None:
            return
        if peer.leads:
            self._lend(peer, peer.link)
        elif not peer.spoke:
            self._rest()
            self._patience = self.timers.after(PATIENCE_S, self._impatient, peer, peer.link)

    def _impatient(self, peer: _Peer, link: LinkProtocol) -> None:
        if peer.link is link and not peer.spoke and peer.master == self.leader:
            if not self._taken():
                self._lend(peer, link)

    def _lend(self, peer: _Peer, link: LinkProtocol) -> None:
        self._rest()
        peer.rest()
        peer.link, peer.lent = None, link
        if peer.warm:
            self._count("slave/standby_links_used", 1)
        self._adopt(link)

    def returned(self, link: LinkProtocol, reason: str) -> None:
        """The link that was lent has ended."""
        for peer in self._peers.values():
            if peer.lent is link:
                peer.lent = None
                peer.failed(reason)
        self.consider()

    def lasted(self, link: LinkProtocol) -> None:
        """The link that was lent is good for something."""
        for peer in self._peers.values():
            if peer.lent is link:
                peer.attempt = 0

    def unknown(self) -> None:
        """A master said what is not understood here."""
        self._count("slave/invalid_framework_messages", 1)

    def drop_revoked(self, is_revoked: Callable[[bytes], bool]) -> None:
        """End links to masters whose certificates are no longer good."""
        for peer in list(self._peers.values()):
            if peer.link is not None:
                peer.link.drop_revoked(is_revoked)

    def stop(self) -> None:
        """No idle link is left, and none comes back."""
        self._stopped = True
        self._rest()
        for peer in self._peers.values():
            peer.end()

    def _rest(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
