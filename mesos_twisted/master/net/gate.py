"""Who asks, and whether this master may answer: the steps every request passes first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesos_twisted.errors import Problem
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.security.core.authorizer import Authorizer
from mesos_twisted.security.core.principal import Principal, Role
from mesos_twisted.security.net.browsers import is_foreign
from mesos_twisted.security.net.http_auth import Authenticator, Challenge
from mesos_twisted.security.net.identity import IdentityCache, PeerIdentity
from mesos_twisted.transport.messages import Peer, Request, Response, text_response

#: Who asks when nobody has to say so.
OPEN_OPERATOR: Final = Principal("anonymous", Role.OPERATOR)
OPEN_FRAMEWORK: Final = Principal("anonymous", Role.FRAMEWORK)


class Leadership:
    """Who leads, as the elector told last."""

    __slots__ = ("is_us", "leader")

    def __init__(self) -> None:
        self.leader: m.MasterInfo | None = None
        self.is_us = False

    def location(self, target: str) -> str | None:
        """Where the leader answers `target`, without a scheme; None when nobody leads."""
        if self.leader is None:
            return None
        host = self.leader.hostname or ""
        address = self.leader.address
        if not host and address is not None:
            host = address.hostname or address.ip or ""
        host = f"[{host}]" if ":" in host else host
        return f"//{host}:{self.leader.port}{target}"


@dataclass(frozen=True, slots=True)
class Realm:
    """One realm: who proves identities, whether a proof is needed, who asks without one, and
    whether what is asked for here changes anything."""

    authenticator: Authenticator
    required: bool
    otherwise: Principal
    changes: bool = True


class Gate:
    """Identifies peers once per connection and principals once per request."""

    def __init__(
        self,
        identities: IdentityCache,
        authorizer: Authorizer,
        leadership: Leadership,
        recovered: Callable[[], bool],
    ) -> None:
        self.authorizer = authorizer
        self.leadership = leadership
        self._identities = identities
        self._recovered = recovered

    def principal(self, request: Request, realm: Realm) -> Principal | Response:
        """Who asks, or the 401 (or 429) that says how to prove it; 403 for another site's page."""
        changing = realm.changes or request.method != "GET"
        # Where nobody proves anything, a browser's place in the network is proof enough to change.
        if (realm.required or changing) and is_foreign(request.headers, changing=changing):
            return text_response(403, "Pages of other sites may not ask this master in your name.")
        peer = request.peer
        identity = peer.identity
        if identity is None and peer.certificate is not None:
            identity = self.identity(peer)
        proof = identity if isinstance(identity, PeerIdentity | Problem) else None
        if not realm.required and proof is None and "authorization" not in request.headers:
            return realm.otherwise
        found = realm.authenticator.authenticate(request.headers, proof, peer.address)
        if isinstance(found, Challenge):
            return challenge_response(found)
        return found

    def identity(self, peer: Peer) -> PeerIdentity | Problem | None:
        """What the peer's certificate proves; None without one."""
        if peer.identity is None and peer.certificate is not None:
            peer.identity = self._identities.identify(peer.certificate)
        identity = peer.identity
        return identity if isinstance(identity, PeerIdentity | Problem) else None

    def not_serving(self, request: Request) -> Response | None:
        """The redirect of a follower or the 503 of a master that is not ready; None: serve."""
        if self.leadership.is_us:
            if self._recovered():
                return None
            return text_response(503, "Master has not finished recovery")
        target = request.raw_path.decode("latin-1")
        return self.redirect(target)

    def redirect(self, target: str) -> Response:
        """To the leader, keeping path and query; 503 when nobody leads."""
        location = self.leadership.location(target)
        if location is None:
            return text_response(503, "No leader elected")
        return Response(307, b"", None, (("Location", location),))


def challenge_response(challenge: Challenge) -> Response:
    """A challenge as an HTTP answer."""
    headers = tuple(("WWW-Authenticate", text) for text in challenge.www_authenticate)
    if challenge.retry_after_s is not None:
        headers = (*headers, ("Retry-After", str(challenge.retry_after_s)))
    return text_response(challenge.status, challenge.reason, headers)


def method_not_allowed(request: Request, *allowed: str) -> Response:
    """405 in Mesos's words."""
    words = ", ".join(f"'{method}'" for method in allowed)
    return text_response(
        405,
        f"405 Method Not Allowed. Expecting one of {{ {words} }}, but received '{request.method}'.",
        (("Allow", ", ".join(allowed)),),
    )
