"""The agents' links: records over mutual TLS, from agent certificates only.

    the handshake names a peer      -> closed at once unless its role is agent
    each record                     -> AgentSaid, in order
    the link breaks, or we cut it   -> AgentLinkClosed, once
    a reader that falls behind      -> cut, when more than `limit` bytes wait for it

Whether an agent may register is asked of the authorizer here and decided by the core.

A master that does not lead keeps the links of agents that say Standby, so that they need no
handshake when it does. The core hears nothing of those. It tells them when it leads, some in each
turn: they all register in answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.errors import MalformedError, Problem
from mesos_twisted.master.core import events as ev
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.security.core.actions import Action
from mesos_twisted.security.core.authorizer import Authorizer
from mesos_twisted.security.core.principal import Role, refuse_other_role
from mesos_twisted.security.net.identity import IdentityCache, PeerIdentity
from mesos_twisted.transport.http1_edge import closing_sentence, peer_of

#: No record of a link that stands by is as large as this, in bytes.
STANDBY_RECORD_BYTES: Final = 64 << 10
#: Who stands by and has said nothing for so long is gone. Agents speak each minute.
SILENT_S: Final = 240.0
SWEEP_S: Final = 60.0
#: So many are told in a turn that this master leads. Their answers are the next turn's work.
TOLD_AT_ONCE: Final = 64


@implementer(IProtocolFactory)
class AgentLinks:
    """Every open link by its number; the factory of ALPN `mesos-link/1`."""

    log = Logger()

    def __init__(
        self,
        identities: IdentityCache,
        authorizer: Authorizer,
        handle: Callable[[ev.Event], None],
        now: Callable[[], float],
        numbers: Callable[[], int],
        dropped: Callable[[], None],
        limit: int,
    ) -> None:
        """`numbers` gives fresh connection ids; `dropped` counts records nobody knows."""
        self._identities = identities
        self._authorizer = authorizer
        self._handle = handle
        self._now = now
        self._numbers = numbers
        self._dropped = dropped
        self._limit = limit
        self._links: dict[ConnectionId, AgentLink] = {}
        self._last: agentlink.FromMaster | None = None
        self._last_frame = b""
        self._leads = True
        #: When those that stand by were heard last, in seconds of the timers.
        self._standbys: dict[ConnectionId, float] = {}
        self._untold: deque[ConnectionId] = deque()
        self._timers: Timers | None = None
        self._sweeper: Timer | None = None
        self._telling: Timer | None = None

    def __len__(self) -> int:
        return len(self._links)

    @property
    def standbys(self) -> int:
        """How many links are kept for agents that are not registered over them."""
        return len(self._standbys)

    def stand_by(self, timers: Timers) -> None:
        """This master does not lead: no agent registers until `lead`."""
        self._leads = False
        self._timers = timers
        self._sweeper = timers.every(SWEEP_S, self._sweep)

    def lead(self) -> None:
        """This master leads and has recovered: agents may register, and are told so."""
        self._leads = True
        for link in self._links.values():
            link.allow(agentlink.MAX_RECORD_BYTES)
        self._untold.extend(self._standbys)
        self._tell()

    def doStart(self) -> None:
        """Twisted calls this when a port begins to listen."""

    def doStop(self) -> None:
        """Twisted calls this when a port has stopped listening."""

    def buildProtocol(self, addr: IAddress | None) -> AgentLink:
        """One link."""
        return AgentLink(self)

    def send(self, link: ConnectionId, message: agentlink.FromMaster) -> None:
        """Write one record; nothing when the link has closed."""
        open_link = self._links.get(link)
        if open_link is None:
            return
        if message is not self._last:
            # The same ping goes to thousands of agents.
            self._last, self._last_frame = message, agentlink.frame(message)
        open_link.write(self._last_frame)

    def close(self, link: ConnectionId) -> None:
        """Close after what was written; the core knows already, so it is not told."""
        open_link = self._links.pop(link, None)
        if open_link is not None:
            open_link.close()

    def stop(self) -> None:
        """Every link is closed and the core hears of none."""
        for timer in (self._sweeper, self._telling):
            if timer is not None:
                timer.cancel()
        links = list(self._links.values())
        self._links.clear()
        self._standbys.clear()
        for link in links:
            link.close()

    # Called by the links.

    def admit(self, link: AgentLink, certificate: bytes | None) -> PeerIdentity | Problem:
        """The identity of a peer that may speak here, or why it may not."""
        if certificate is None:
            return Problem("no-certificate", "An agent link needs an agent's certificate.")
        identity = self._identities.identify(certificate)
        if isinstance(identity, Problem):
            return identity
        refusal = refuse_other_role(identity.principal, Role.AGENT)
        if refusal is not None:
            return refusal
        link.number = ConnectionId(self._numbers())
        self._links[link.number] = link
        if not self._leads:
            link.allow(STANDBY_RECORD_BYTES)
        return identity

    def received(self, link: AgentLink, identity: PeerIdentity, body: bytes) -> None:
        """One record. Raises MalformedError."""
        message = agentlink.from_agent(body)
        if message is None:
            self._dropped()
            return
        if isinstance(message, agentlink.Standby):
            self._stands_by(link)
            return
        if not self._leads:
            # One that looks for the leader by trying, or that was told of this one too early.
            raise MalformedError("This master does not lead")
        refusal: Problem | None = None
        if isinstance(message, agentlink.Register | agentlink.Reregister):
            self._standbys.pop(link.number, None)
            link.registering = True
            refusal = self._may_register(identity, message)
        self._handle(ev.AgentSaid(link.number, message, self._now(), link.address, refusal))

    def lost(self, link: AgentLink, reason: str) -> None:
        """The link is gone."""
        known = self._links.pop(link.number, None) is not None
        stood_by = self._standbys.pop(link.number, None) is not None
        if known and self._leads and not stood_by:
            self.log.info("An agent's link closed: {reason}", reason=reason, peer=link.address)
            self._handle(ev.AgentLinkClosed(link.number, self._now()))

    @property
    def limit(self) -> int:
        """Bytes that may wait for one reader."""
        return self._limit

    def _stands_by(self, link: AgentLink) -> None:
        if self._timers is not None and not link.registering:
            self._standbys[link.number] = self._timers.seconds()
        link.write(_LEADS if self._leads else _STANDS_BY)

    def _tell(self) -> None:
        """Some of those that stand by, the others in turns to come."""
        self._telling = None
        for _ in range(min(TOLD_AT_ONCE, len(self._untold))):
            number = self._untold.popleft()
            link = self._links.get(number)
            if link is not None and number in self._standbys:
                link.write(_LEADS)
        if self._untold and self._timers is not None:
            self._telling = self._timers.after(0.0, self._tell)

    def _sweep(self) -> None:
        """Links of peers that are gone without a word, or that never said what they are for."""
        assert self._timers is not None
        silent = self._timers.seconds() - SILENT_S
        for number, heard in list(self._standbys.items()):
            if heard < silent:
                self._links[number].cut("it was silent for too long")
        if not self._leads:
            for number in self._links:
                # It has until the next time to say what it is for.
                self._standbys.setdefault(number, silent)

    def _may_register(
        self, identity: PeerIdentity, message: agentlink.Register | agentlink.Reregister
    ) -> Problem | None:
        verdict = self._authorizer.judge(identity.principal, Action.REGISTER_AGENT)
        if not verdict.allowed:
            return Problem("unauthorized", verdict.reason)
        hostname = message.info.hostname
        known = (identity.principal.name, *identity.hosts)
        if identity.hosts and hostname not in known:
            return Problem(
                "hostname",
                f"The certificate of agent '{identity.principal.name}' is for "
                f"{', '.join(identity.hosts)} and not for host '{hostname}'; set --hostname or "
                "issue another.",
            )
        return None


_LEADS: Final = agentlink.frame(agentlink.Standing(leads=True))
_STANDS_BY: Final = agentlink.frame(agentlink.Standing(leads=False))


@implementer(IProtocol, IPushProducer)
class AgentLink:
    """One link. As a producer it follows its transport's buffer."""

    __slots__ = (
        "_deframer",
        "_identity",
        "_links",
        "_paused",
        "_queued",
        "address",
        "number",
        "registering",
        "transport",
    )

    def __init__(self, links: AgentLinks) -> None:
        self._links = links
        self._deframer = agentlink.Deframer()
        self._identity: PeerIdentity | None = None
        self._paused = False
        self._queued = 0
        self.transport: Any = None
        self.address = ""
        self.number = ConnectionId(-1)
        #: It has asked to be registered: the core knows of it.
        self.registering = False

    def connectionMade(self) -> None:
        """Part of `IProtocol`; all is done by `makeConnection`."""

    def makeConnection(self, transport: ITransport) -> None:
        """The handshake is complete: who is it?"""
        self.transport = transport
        peer = peer_of(transport)
        self.address = peer.address
        found = self._links.admit(self, peer.certificate)
        if isinstance(found, Problem):
            AgentLinks.log.warn(
                "Refused a link from {peer}: {reason}", peer=str(peer), reason=found.sentence
            )
            self.transport.loseConnection()
            return
        self._identity = found
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Records, in any pieces."""
        identity = self._identity
        if identity is None:
            return
        try:
            for body in self._deframer.feed(data):
                self._links.received(self, identity, body)
        except MalformedError as error:
            self.cut(str(error))

    def connectionLost(self, reason: Failure) -> None:
        """The end, whoever wanted it."""
        self._identity = None
        self._links.lost(self, closing_sentence(reason))

    def write(self, data: bytes) -> None:
        """Send one framed record."""
        self.transport.write(data)
        if self._paused:
            self._queued += len(data)
            if self._queued > self._links.limit:
                self.cut("it reads too slowly")

    def allow(self, record_bytes: int) -> None:
        """Records may be so large from now on."""
        self._deframer.allow(record_bytes)

    def cut(self, reason: str) -> None:
        """The link ends now."""
        AgentLinks.log.warn("Cut the link of {peer}: {reason}", peer=self.address, reason=reason)
        self._identity = None
        self.transport.abortConnection()

    def close(self) -> None:
        """Close after what was written."""
        self._identity = None
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        """The transport's buffer is full: from here on bytes are counted."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The transport's buffer has drained."""
        self._paused = False
        self._queued = 0

    def stopProducing(self) -> None:
        """The transport is closing; `connectionLost` follows."""
