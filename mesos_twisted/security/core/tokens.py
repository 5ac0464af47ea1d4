"""Bearer tokens: JSON Web Tokens under HS256, made and verified with one secret key.

An executor's token carries `fid`, `eid` and `cid`, as Mesos's does, and may live as long as the
executor: an environment variable cannot be renewed. A framework's token carries `sub` and must
expire. The algorithm is pinned; the time is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from mesos_twisted.errors import MalformedError, Problem
from mesos_twisted.security.core.principal import Principal, Role
from mesos_twisted.security.core.secret import Secret

_ALGORITHM: Final = "HS256"
#: RFC 7518 section 3.2: an HS256 key is at least as long as the hash.
MIN_KEY_BYTES: Final = 32
_MAX_TOKEN_CHARS: Final = 8192
#: Seconds two clocks may differ.
_LEEWAY_S: Final = 30.0

_REFUSED: Final = Problem("invalid-token", "The token is not one that was signed here.")


class TokenKey:
    """The key that signs and verifies; its repr shows nothing."""

    __slots__ = ("_key",)

    def __init__(self, secret: Secret) -> None:
        if len(secret.reveal()) < MIN_KEY_BYTES:
            raise MalformedError(
                f"The token key must have {MIN_KEY_BYTES} bytes or more; "
                "make one with `openssl rand -out FILE 64`."
            )
        self._key = OctKey.import_key(secret.reveal())

    def __repr__(self) -> str:
        return "<token key>"

    def executor_token(self, fid: str, eid: str, cid: str, expires_at: float | None = None) -> str:
        """A token that lets this one executor speak for itself; `expires_at` in epoch seconds."""
        claims: dict[str, Any] = {"fid": fid, "eid": eid, "cid": cid}
        if expires_at is not None:
            claims["exp"] = int(expires_at)
        return self._sign(claims)

    def framework_token(self, name: str, expires_at: float) -> str:
        """A token that proves a framework's principal until `expires_at` (epoch seconds)."""
        return self._sign({"sub": name, "role": Role.FRAMEWORK.value, "exp": int(expires_at)})

    def verify(self, token: str, now: float) -> Principal | Problem:
        """The principal a good token proves, or why it proves none."""
        if len(token) > _MAX_TOKEN_CHARS:
            return Problem("invalid-token", "The token is too long.")
        try:
            claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM]).claims
        except (JoseError, ValueError, RecursionError):
            return _REFUSED
        late = _out_of_time(claims, now)
        return late if late is not None else _principal(claims)

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": _ALGORITHM}, claims, self._key, algorithms=[_ALGORITHM])


def _out_of_time(claims: Mapping[str, Any], now: float) -> Problem | None:
    for key, early in (("exp", False), ("nbf", True)):
        moment = claims.get(key)
        if moment is None:
            continue
        if isinstance(moment, bool) or not isinstance(moment, int | float):
            return Problem("invalid-token", f"The token's `{key}` is not a number.")
        if early and now + _LEEWAY_S < moment:
            return Problem("early-token", "The token is not valid yet.")
        if not early and now - _LEEWAY_S >= moment:
            return Problem("expired-token", "The token has expired; ask for a new one.")
    return None


def _principal(claims: Mapping[str, Any]) -> Principal | Problem:
    texts = tuple(sorted((k, v) for k, v in claims.items() if isinstance(v, str)))
    known = dict(texts)
    if all(known.get(key) for key in ("fid", "eid", "cid")) and "role" not in claims:
        name = f"{known['fid']}/{known['eid']}"
        return Principal(name, Role.EXECUTOR, texts, "jwt")
    if known.get("role") == Role.FRAMEWORK.value and known.get("sub") and "exp" in claims:
        return Principal(known["sub"], Role.FRAMEWORK, texts, "jwt")
    return Problem(
        "missing-claims",
        "The token needs the claims fid, eid and cid of an executor, "
        "or sub, role and exp of a framework.",
    )
