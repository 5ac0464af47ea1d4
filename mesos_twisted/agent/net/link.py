"""One connection to one master: TLS, a check of who is there, records.

TCP under mutual TLS with ALPN `mesos-link/1`. Only a certificate of role master is accepted. A
master that does not read is cut, and so is one that sends nonsense.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from twisted.internet.interfaces import IAddress, IConnector, IProtocol
from twisted.internet.protocol import ClientFactory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.errors import MalformedError, Problem
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.security.core.principal import Role, refuse_other_role
from mesos_twisted.security.net.identity import IdentityCache, Side
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.tcp import address_text, connect_tcp
from mesos_twisted.transport.tls_factory import TLSClient
from mesos_twisted.transport.tls_failures import HandshakeFailure

_log = Logger()

CONNECT_TIMEOUT_S = 10.0
#: More unsent bytes than this mean the master does not read any more.
MAX_BUFFER_BYTES = 64 << 20


class ClientContexts(Protocol):
    """Gives TLS contexts for connections we open; see `security.net.tls.ContextSource`."""

    def client_context(self, alpn: Any = None) -> ssl.SSLContext:
        """The context that offers these protocols."""


class LinkOwner(Protocol):
    """Who hears of a connection; it may change while the connection stands."""

    def opened(self, link: LinkProtocol) -> None:
        """A checked link is up."""

    def said(self, link: LinkProtocol, message: agentlink.FromMaster) -> None:
        """A record came."""

    def unknown(self) -> None:
        """A record of a type from the future was skipped."""

    def lost(self, link: LinkProtocol, reason: str) -> None:
        """The connection ended, before or after it was open."""

    def failed(self, reason: str) -> None:
        """There was never a connection."""


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
    """One connection; speaks for as long as its owner believes in it."""

    def __init__(self, dialer: Dialer, owner: LinkOwner, link: ConnectionId) -> None:
        self._dialer = dialer
        self._deframer = agentlink.Deframer()
        self.owner = owner
        self.link = link
        self.open = False

    def connectionMade(self) -> None:
        transport: Any = self.transport
        problem = self._dialer.refusal(transport)
        if problem is not None:
            self.drop(problem.sentence)
            return
        self.open = True
        self.owner.opened(self)

    def dataReceived(self, data: bytes) -> None:
        if not self.open:
            return
        try:
            for body in self._deframer.feed(data):
                message = agentlink.from_master(body)
                if message is None:
                    self.owner.unknown()
                elif self.open:
                    self.owner.said(self, message)
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
        _log.warn("Closing the link to {master}: {reason}", master=str(self), reason=reason)
        transport: Any = self.transport
        transport.abortConnection()

    def close(self) -> None:
        """The connection ends after what was written."""
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()

    def drop_revoked(self, is_revoked: Callable[[bytes], bool]) -> None:
        """The connection ends when its master's certificate is no longer good."""
        transport: Any = self.transport
        certificate = transport.peer_certificate()
        if certificate is not None and is_revoked(certificate):
            self.drop("the master's certificate is revoked")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.open = False
        self.owner.lost(self, reason.getErrorMessage())

    @property
    def host(self) -> str | None:
        """The other end's address alone."""
        return None if self.transport is None else getattr(self.transport.getPeer(), "host", None)

    def __str__(self) -> str:
        peer: Any = self.transport.getPeer() if self.transport is not None else None
        return address_text(peer.host, peer.port) if hasattr(peer, "host") else "the master"


class _Dial(ClientFactory[Any]):
    """One try to connect."""

    noisy = False

    def __init__(self, dialer: Dialer, owner: LinkOwner, host: str) -> None:
        self._dialer = dialer
        self._owner = owner
        self._host = host

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        return self._dialer.tls_protocol(self._owner, self._host)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._owner.failed(reason.getErrorMessage())


#: Tries once to open a link for its owner to this host and port.
Dial: TypeAlias = Callable[[LinkOwner, str, int], IConnector]


class Dialer:
    """Opens links. `fresh` numbers them."""

    def __init__(
        self,
        reactor: Any,
        contexts: ClientContexts,
        batch: FlushBatch,
        fresh: Callable[[], ConnectionId],
    ) -> None:
        self._reactor = reactor
        self._contexts = _LinkContexts(contexts)
        self._batch = batch
        self._fresh = fresh
        self._identities = IdentityCache(Side.SERVER)

    def dial(self, owner: LinkOwner, host: str, port: int) -> IConnector:
        """One try; the owner hears of its success or failure."""
        factory = _Dial(self, owner, host)
        return connect_tcp(self._reactor, host, port, factory, CONNECT_TIMEOUT_S)

    def tls_protocol(self, owner: LinkOwner, host: str) -> IProtocol:
        """TLS over the connection just made, and the link in it."""

        def no_tls(reason: HandshakeFailure, sentence: str) -> None:
            owner.failed(f"the TLS handshake failed: {sentence}")

        link = LinkProtocol(self, owner, self._fresh())
        return TLSClient(self._batch, link, no_tls).connection(self._contexts, host)

    def refusal(self, transport: Any) -> Problem | None:
        """Why the peer is not a master, or None."""
        der = transport.peer_certificate()
        if der is None:
            return Problem("no-certificate", "The peer showed no certificate")
        found = self._identities.identify(der)
        if isinstance(found, Problem):
            return found
        return refuse_other_role(found.principal, Role.MASTER)
