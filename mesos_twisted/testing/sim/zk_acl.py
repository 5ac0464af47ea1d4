"""Who may do what with a simulated ZooKeeper's nodes: the schemes world, digest, ip, auth, x509."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Final, TypeAlias

from mesos_twisted.zookeeper import records as r

#: Scheme and name.
Identity: TypeAlias = tuple[str, str]

#: Schemes whose identity somebody has proved.
_PROVED: Final = ("digest", "x509")


def digest(auth: bytes) -> Identity:
    """What `user:password` proves: the name that lists of the digest scheme hold."""
    user = auth.partition(b":")[0].decode("utf-8", "replace")
    hashed = base64.b64encode(hashlib.sha1(auth).digest()).decode()
    return "digest", f"{user}:{hashed}"


def permits(acl: tuple[r.Acl, ...], permission: int, who: Iterable[Identity]) -> bool:
    """Whether one of `who` may do one of these (a sum of bits)."""
    known = tuple(who)
    for entry in acl:
        if entry.permissions & permission and (
            entry.scheme == "world" or (entry.scheme, entry.identity) in known
        ):
            return True
    return False


def expand(acl: tuple[r.Acl, ...], who: tuple[Identity, ...]) -> tuple[r.Acl, ...] | None:
    """The list as it is kept: `auth` is whoever asks, by name. None when it cannot be kept."""
    kept: dict[r.Acl, None] = {}
    for entry in acl:
        match entry.scheme:
            case "auth":
                own = [one for one in who if one[0] in _PROVED]
                if not own:
                    return None
                for scheme, name in own:
                    kept[r.Acl(entry.permissions, scheme, name)] = None
            case "world" if entry.identity == "anyone":
                kept[entry] = None
            case "digest" if entry.identity.count(":") == 1:
                kept[entry] = None
            case "ip" | "x509":
                kept[entry] = None
            case _:
                return None
    return tuple(kept) or None
