"""The link to the leading master: find it, connect, check who it is, carry records, come back.

    looking -> connecting -> open -> (closed) waiting -> looking

One TCP connection under mutual TLS with ALPN `mesos-link/1`. Only a certificate of role master is
accepted. Each record becomes a `MasterSaid`; what they mean is the core's affair. A master that
does not read is cut, and so is one that sends nonsense.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IConnector, IProtocol
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.net.leader import MasterSource
from mesos_twisted.clock import Timer, Timers, backoff
from mesos_twisted.errors import MalformedError, Problem
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.security.core.principal import Role, refuse_other_role
from mesos_twisted.security.net.identity import IdentityCache, Side
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.tcp import address_text, connect_tcp
from mesos_twisted.transport.tls_factory import TLSClient
from mesos_twisted.transport.tls_failures import HandshakeFailure

CONNECT_TIMEOUT_S = 10.0
#: Between tries: from this, doubling.
RETRY_S = 0.5
RETRY_CAP_S = 15.0
#: More unsent bytes than this mean the master does not read any more.
MAX_BUFFER_BYTES = 64 << 20


class ClientContexts(Protocol):
    """Gives TLS contexts for connections we open; see `security.net.tls.ContextSource`."""

    def client_context(self, alpn: Any = None) -> ssl.SSLContext:
        """The context that offers these protocols."""


class _LinkContexts:
    """The context of links only, as the TLS layer asks for it."""

    def __init__(self, contexts: ClientContexts) -> None:
        self._contexts = contexts

    def client_context(self) -> ssl.SSLContext:
        """Offers nothing but the link."""
        return self._contexts.client_context((agentlink.ALPN.decode(),))

    def server_context(self) -> ssl.SSLContext:
        """Links are only opened here."""
        raise MalformedError("An agent accepts no links")


class LinkProtocol(TwistedProtocol):
    """One connection; speaks for as long as its `MasterLink` believes in it."""

    def __init__(self, owner: MasterLink, link: ConnectionId) -> None:
        self._owner = owner
        self._deframer = agentlink.Deframer()
        self.link = link
        self.open = False

    def connectionMade(self) -> None:
        transport: Any = self.transport
        problem = self._owner.refusal(transport)
        if problem is not None:
            self.drop(problem.sentence)
            return
        self.open = True
        self._owner.opened(self)

    def dataReceived(self, data: bytes) -> None:
        if not self.open:
            return
        try:
            for body in self._deframer.feed(data):
                message = agentlink.from_master(body)
                if message is None:
                    self._owner.unknown()
                elif self.open:
                    self._owner.said(self, message)
        except MalformedError as error:
            self.drop(str(error))

    def send(self, message: agentlink.FromAgent) -> None:
        """One record on its way; a full buffer ends the connection."""
        transport: Any = self.transport
        transport.write(agentlink.frame(message))
        if getattr(transport, "buffered_bytes", 0) > MAX_BUFFER_BYTES:
            self.drop("The master does not read what is sent to it")

    def drop(self, reason: str) -> None:
        """The connection ends now."""
        self._owner.log.warn(
            "Closing the link to {master}: {reason}", master=str(self), reason=reason
        )
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.open = False
        self._owner.lost(self, reason.getErrorMessage())

    def __str__(self) -> str:
        peer: Any = self.transport.getPeer() if self.transport is not None else None
        return address_text(peer.host, peer.port) if hasattr(peer, "host") else "the master"


class _Connecting(ClientFactory[Any]):
    """One try to connect."""

    noisy = False

    def __init__(self, owner: MasterLink, host: str) -> None:
        self._owner = owner
        self._host = host

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        return self._owner.tls_protocol(self._host)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._owner.failed(reason.getErrorMessage())


class MasterLink:
    """Keeps one link to the leading master, from `start` to `stop`."""

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
    ) -> None:
        self._reactor = reactor
        self._timers = timers
        self._contexts = _LinkContexts(contexts)
        self._masters = masters
        self._batch = batch
        self._handle = handle
        self._now = now
        self._fresh = fresh
        self._jitter = jitter
        self._count = count
        self._identities = IdentityCache(Side.SERVER)
        self._current: LinkProtocol | None = None
        self._connector: IConnector | None = None
        self._retry: Timer | None = None
        self._attempt = 0
        self._turn = 0
        self._running = False

    @property
    def connected(self) -> bool:
        """Is there a link?"""
        return self._current is not None

    @property
    def master_address(self) -> str | None:
        """`host:port` of the master at the other end."""
        return None if self._current is None else str(self._current)

    @property
    def master_host(self) -> str | None:
        """The other end's address alone."""
        if self._current is None or self._current.transport is None:
            return None
        return getattr(self._current.transport.getPeer(), "host", None)

    def start(self) -> None:
        """Look for the leader."""
        self._running = True
        self._masters.start(self._leader_changed)
        self._connect()

    def stop(self) -> None:
        """No link any more, and none comes back."""
        self._running = False
        if self._retry is not None:
            self._retry.cancel()
        connector, self._connector = self._connector, None
        if self._current is not None and self._current.transport is not None:
            self._current.transport.loseConnection()
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
        """Close the link when its master's certificate is no longer good."""
        if self._current is None:
            return
        transport: Any = self._current.transport
        certificate = transport.peer_certificate()
        if certificate is not None and is_revoked(certificate):
            self._current.drop("the master's certificate is revoked")

    # Called by the connection under way.

    def tls_protocol(self, host: str) -> IProtocol:
        """TLS over the connection just made, and the link in it."""
        link = LinkProtocol(self, self._fresh())
        return TLSClient(self._batch, link, self._handshake_failed).connection(self._contexts, host)

    def refusal(self, transport: Any) -> Problem | None:
        """Why the peer is not a master, or None."""
        der = transport.peer_certificate()
        if der is None:
            return Problem("no-certificate", "The peer showed no certificate")
        found = self._identities.identify(der)
        if isinstance(found, Problem):
            return found
        return refuse_other_role(found.principal, Role.MASTER)

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
            self._handle(ev.MasterSaid(link.link, message, self._now()))

    def unknown(self) -> None:
        """A record of a type from the future was skipped."""
        self._count("slave/invalid_framework_messages", 1)

    def lost(self, link: LinkProtocol, reason: str) -> None:
        """The connection ended, before or after it was open."""
        if link is self._current:
            self._current = None
            self._handle(ev.LinkClosed(link.link, self._now()))
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

    def _leader_changed(self) -> None:
        """Another master leads: whoever we speak with, or wait for, is the wrong one."""
        if not self._running or not self._masters.candidates():
            return
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

    def _handshake_failed(self, reason: HandshakeFailure, sentence: str) -> None:
        self.failed(f"the TLS handshake failed: {sentence}")

    def _connect(self) -> None:
        if not self._running:
            return
        candidates = self._masters.candidates()
        if not candidates:
            self.failed("no leading master is known")
            return
        host, port = candidates[self._turn % len(candidates)]
        self._connector = connect_tcp(
            self._reactor, host, port, _Connecting(self, host), CONNECT_TIMEOUT_S
        )
