"""A request's proof to a Principal: client certificate, Basic over TLS, or Bearer token.

A certificate speaks for itself and was checked in the handshake. Beside one, an `Authorization`
header may only repeat the certificate's own name. Without one, the header is the proof, and wrong
ones are counted by address. Which paths need no proof is the caller's business.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mesos_twisted.errors import Problem
from mesos_twisted.security.core.attempts import AttemptLimiter
from mesos_twisted.security.core.credentials import CredentialStore
from mesos_twisted.security.core.principal import Principal, Role
from mesos_twisted.security.core.tokens import TokenKey
from mesos_twisted.security.net.identity import PeerIdentity

MASTER_SCHEDULER: Final = "mesos-master-scheduler"
MASTER_READONLY: Final = "mesos-master-readonly"
MASTER_READWRITE: Final = "mesos-master-readwrite"
AGENT_READONLY: Final = "mesos-agent-readonly"
AGENT_READWRITE: Final = "mesos-agent-readwrite"
AGENT_EXECUTOR: Final = "mesos-agent-executor"

_MAX_HEADER_CHARS: Final = 16384


@dataclass(frozen=True, slots=True)
class Challenge:
    """Why a request proves nobody, ready to be answered: status, headers, one sentence."""

    status: int
    www_authenticate: tuple[str, ...]
    reason: str
    retry_after_s: int | None = None


class Authenticator:
    """Answers for one realm who a request comes from.

    `operators` are the Basic principals that are people or tools running the cluster; every other
    Basic principal is a framework. `token_roles` are the roles a token may prove in this realm.
    `now` gives epoch seconds.
    """

    def __init__(
        self,
        realm: str,
        *,
        now: Callable[[], float],
        store: CredentialStore | None = None,
        operators: frozenset[str] = frozenset(),
        tokens: TokenKey | None = None,
        token_roles: frozenset[Role] = frozenset({Role.EXECUTOR}),
        limiter: AttemptLimiter | None = None,
    ) -> None:
        self._now = now
        self._store = store
        self._operators = operators
        self._tokens = tokens
        self._token_roles = token_roles
        self._limiter = AttemptLimiter() if limiter is None else limiter
        self._principals: dict[str, Principal] = {}
        schemes = [
            scheme for scheme, on in (("Basic", store), ("Bearer", tokens)) if on is not None
        ]
        # RFC 9110 wants a challenge on every 401; Mesos's clients expect Basic and its realm.
        self._schemes = tuple(f'{scheme} realm="{realm}"' for scheme in schemes or ["Basic"])
        self._anonymous = Challenge(
            401,
            self._schemes,
            "Authenticate with a client certificate"
            + "".join(
                f" or {words}"
                for words, on in (("a principal and secret", store), ("a token", tokens))
                if on is not None
            )
            + ".",
        )

    def authenticate(
        self, headers: Mapping[str, str], peer: PeerIdentity | Problem | None, address: str
    ) -> Principal | Challenge:
        """The principal of a request; `headers` have lower-case names.

        `peer` is what the client's certificate proved, read once when the connection was made, and
        None when it showed no certificate. `address` is the peer's IP address, for counting.
        """
        header = headers.get("authorization")
        if isinstance(peer, PeerIdentity):
            if header is None or self._repeats(header, peer.principal):
                return peer.principal
            return self._challenge(
                f"The certificate proves {peer.principal}; do not send another identity with it."
            )
        if isinstance(peer, Problem):
            return self._challenge(peer.sentence)
        if header is None:
            return self._anonymous
        return self._check(header, address)

    def _repeats(self, header: str, principal: Principal) -> bool:
        pair = _basic_pair(header)
        return pair is not None and pair[0] == principal.name

    def _check(self, header: str, address: str) -> Principal | Challenge:
        now = self._now()
        scheme = header.partition(" ")[0].lower()
        if scheme == "basic" and self._store is not None:
            pair = _basic_pair(header)
            if pair is None:
                return self._challenge("The Basic authorization header is malformed.")
            if self._store.is_remembered(*pair):
                return self._named(pair[0])
            return self._slow_basic(self._store, pair, address, now)
        wait_s = self._limiter.wait_s(address, now)
        if wait_s > 0.0:
            return self._too_often(wait_s)
        if scheme == "bearer" and self._tokens is not None:
            return self._bearer(self._tokens, header.partition(" ")[2].strip(), address, now)
        return self._challenge(f"{self._anonymous.reason[:-1]}; this scheme is not offered here.")

    def _slow_basic(
        self, store: CredentialStore, pair: tuple[str, bytes], address: str, now: float
    ) -> Principal | Challenge:
        wait_s = self._limiter.wait_s(address, now)
        if wait_s > 0.0:
            return self._too_often(wait_s)
        if not store.verify(*pair):
            self._limiter.failed(address, now)
            return self._challenge("The principal or its secret is wrong.")
        self._limiter.succeeded(address)
        return self._named(pair[0])

    def _bearer(
        self, tokens: TokenKey, token: str, address: str, now: float
    ) -> Principal | Challenge:
        found = tokens.verify(token, now)
        if isinstance(found, Problem):
            self._limiter.failed(address, now)
            return self._challenge(found.sentence)
        if found.role not in self._token_roles:
            return self._challenge(f"A token of {found} is not accepted here.")
        return found

    def _named(self, name: str) -> Principal:
        principal = self._principals.get(name)
        if principal is None:
            role = Role.OPERATOR if name in self._operators else Role.FRAMEWORK
            principal = Principal(name, role, (), "basic")
            self._principals[name] = principal
        return principal

    def _challenge(self, reason: str) -> Challenge:
        return Challenge(401, self._schemes, reason)

    def _too_often(self, wait_s: float) -> Challenge:
        seconds = int(wait_s) + 1
        return Challenge(
            429,
            (),
            f"Too many wrong proofs of identity; wait {seconds} s and try again.",
            seconds,
        )


def _basic_pair(header: str) -> tuple[str, bytes] | None:
    """The principal and secret of a Basic header (RFC 7617), or None when it is not one."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > _MAX_HEADER_CHARS:
        return None
    try:
        decoded = base64.b64decode(text.strip(), validate=True)
        name, colon, secret = decoded.partition(b":")
        return (name.decode("utf-8"), secret) if colon and name else None
    except (binascii.Error, ValueError):
        return None
