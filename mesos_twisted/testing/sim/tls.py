"""TLS without ciphers: what `ssl` does for a handshake and for records, in the clear.

Production's `TLSConnection`, its server factory and its clients run over this unchanged, and so do
its checks of roles and names: certificates are real ones in DER, and a context accepts a peer as
OpenSSL would (authority, dates, revocation, purpose, host), with OpenSSL's own codes and alerts.
The flights are those of TLS 1.3: a client is done when it has seen the server's certificate, the
server when it has seen the client's, so a client learns only by reading that it was refused.

    authority = SimAuthority("cluster")
    mine = authority.issue(Role.MASTER, "m1", "m1.sim", "10.0.0.1")
    contexts = SimContexts(authority, mine, reactor.seconds)   instead of security.net.tls's
    authority.revoke(mine); contexts.reload()

Keys, serials and dates follow from names, so the bytes are the same in every process.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

from mesos_twisted.errors import Problem
from mesos_twisted.security.net.identity import PeerIdentity, Side, identify
from mesos_twisted.security.net.tls import HTTP_1_1, MESOS_LINK, ContextSource
from mesos_twisted.testing.sim.authority import SimAuthority, SimCertificate
from mesos_twisted.testing.sim.tls_session import Judge, SimTls

__all__ = ["SimAuthority", "SimCertificate", "SimContext", "SimContexts"]


@cache
def _known(der: bytes, side: Side) -> PeerIdentity | Problem:
    return identify(der, side)


class SimContexts(ContextSource):
    """One host's contexts: in place of `ContextSource`, without files.

    `now` gives epoch seconds on the host's clock, by which dates are judged. A `certificate` set
    later counts after `reload`, as a new file would.
    """

    def __init__(
        self,
        authority: SimAuthority,
        certificate: SimCertificate | None,
        now: Callable[[], float],
        *,
        server_alpn: Sequence[str] = (MESOS_LINK, HTTP_1_1),
        client_alpn: Sequence[str] = (HTTP_1_1,),
        require_client_cert: bool = False,
    ) -> None:
        self.authority = authority
        self.certificate = certificate
        self.now = now
        self.require_client_cert = require_client_cert
        self._server_names, self._client_names = tuple(server_alpn), tuple(client_alpn)
        self._shown = certificate
        self._revoked: frozenset[int] = frozenset(authority.revoked)

    def server_context(self) -> ssl.SSLContext:
        """For accepted connections."""
        return cast(ssl.SSLContext, SimContext(self, self._server_names))

    def client_context(self, alpn: Sequence[str] | None = None) -> ssl.SSLContext:
        """For connections made."""
        names = self._client_names if alpn is None else tuple(alpn)
        return cast(ssl.SSLContext, SimContext(self, names))

    @property
    def shown(self) -> SimCertificate | None:
        """The certificate that peers see."""
        return self._shown

    @property
    def not_after(self) -> float | None:
        """When the certificate ends."""
        return None if self._shown is None else self._shown.not_after

    @property
    def list_not_after(self) -> float | None:
        """The list of revoked certificates never ends."""
        return None

    def is_revoked(self, der: bytes) -> bool:
        """As of the last `reload`."""
        known = _known(der, Side.CLIENT)
        return not isinstance(known, Problem) and known.serial in self._revoked

    def is_revoked_serial(self, issuer: bytes, serial: int) -> bool:
        """As of the last `reload`."""
        return serial in self._revoked

    def reload(self) -> Problem | None:
        """Take what is there now; never fails."""
        self._shown, self._revoked = self.certificate, frozenset(self.authority.revoked)
        return None

    def refusal(self, der: bytes, side: Side, host: str | None) -> int:
        """OpenSSL's code for why this peer is not accepted; 0 when it is."""
        known = _known(der, side)
        if not self.authority.signed(der):
            return 20
        if isinstance(known, Problem):
            return 26
        now = self.now()
        if known.serial in self._revoked:
            return 23
        if now < known.not_before:
            return 9
        if now > known.not_after:
            return 10
        if host is not None and not known.speaks_for(host):
            return 64 if host.replace(".", "").isdigit() else 62
        return 0


class SimContext:
    """In place of an `ssl.SSLContext`; a new one for each connection costs nothing."""

    def __init__(self, source: Judge, alpn: tuple[str, ...]) -> None:
        self.source = source
        self.alpn = alpn

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> Any:
        """As `ssl.SSLContext.wrap_bio`."""
        return SimTls(self, incoming, outgoing, server_side, server_hostname)
