"""Who speaks: a principal, its role, and how a certificate's SAN URIs name them.

A certificate says `mesos://<cluster>/<role>/<name>` in exactly one SAN URI. The common name is
never read, and nothing is matched by prefix. This module refuses to know DER, TLS and HTTP.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from mesos_twisted.errors import Problem

Source = Literal["certificate", "basic", "jwt", "none"]

SCHEME: Final = "mesos://"

#: One path segment of an identity: no slash, no percent sign, so there is one spelling of each.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:-]{0,254}\Z")


class Role(enum.Enum):
    """What kind of party a principal is; it bounds what any rule can ever grant."""

    MASTER = "master"
    AGENT = "agent"
    FRAMEWORK = "framework"
    OPERATOR = "operator"
    EXECUTOR = "executor"
    #: A ZooKeeper server: shown to masters and agents, who connect to it, and granted nothing.
    ZOOKEEPER = "zookeeper"


_CERTIFIED: Final = {role.value: role for role in Role if role is not Role.EXECUTOR}


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated party; `claims` are those of its token, sorted, and empty otherwise."""

    name: str
    role: Role | None
    claims: tuple[tuple[str, str], ...] = ()
    source: Source = "none"

    def claim(self, key: str) -> str | None:
        """The value of one claim, or None when the token did not carry it."""
        for name, value in self.claims:
            if name == key:
                return value
        return None

    def __str__(self) -> str:
        kind = "no role" if self.role is None else self.role.value
        return f"principal '{self.name}' ({kind})" if self.name else f"anonymous ({kind})"


#: Nobody: what a request without any proof is. No rule can grant it anything.
ANONYMOUS: Final = Principal("", None)


def is_segment(text: str) -> bool:
    """Can this text stand as a cluster or a name in an identity URI?"""
    return _SEGMENT.match(text) is not None


def identity_uri(cluster: str, role: Role, name: str) -> str | Problem:
    """The SAN URI that names this party, or why it cannot be written."""
    if role.value not in _CERTIFIED:
        return Problem(
            "role",
            f"The role {role.value} has no certificates; executors prove themselves by token.",
        )
    for what, text in (("cluster", cluster), ("name", name)):
        if not is_segment(text):
            return Problem(
                what,
                f"The {what} '{text}' cannot stand in a certificate: use letters, digits and "
                "'._@+:-', starting with a letter or digit, at most 255 characters.",
            )
    return f"{SCHEME}{cluster}/{role.value}/{name}"


def identity_from_sans(uris: Iterable[str], cluster: str | None = None) -> Principal | Problem:
    """The one principal these SAN URIs name, or why they name none.

    URIs of other schemes are skipped. Two identity URIs, a wrong cluster (when `cluster` is
    given), an unknown role or a malformed name give a Problem, never a guess.
    """
    ours = [uri for uri in uris if uri[: len(SCHEME)].lower() == SCHEME]
    if not ours:
        return Problem(
            "no-identity",
            "The certificate has no mesos://<cluster>/<role>/<name> URI among its SANs; "
            "issue one with `mesos-twisted certs issue`.",
        )
    if len(ours) > 1:
        return Problem(
            "two-identities",
            f"The certificate names {len(ours)} identities and must name one: {', '.join(ours)}.",
        )
    uri = ours[0]
    parts = uri.removeprefix(SCHEME).split("/")
    if not uri.startswith(SCHEME) or len(parts) != 3 or not all(map(is_segment, parts)):
        return Problem(
            "malformed-identity",
            f"The certificate's URI {uri!r} is not of the form mesos://<cluster>/<role>/<name>.",
        )
    if cluster is not None and parts[0] != cluster:
        return Problem(
            "other-cluster",
            f"The certificate belongs to cluster '{parts[0]}' and this is cluster '{cluster}'.",
        )
    role = _CERTIFIED.get(parts[1])
    if role is None:
        return Problem(
            "unknown-role",
            f"The certificate's role '{parts[1]}' is not one of {', '.join(_CERTIFIED)}.",
        )
    return Principal(parts[2], role, (), "certificate")


def refuse_other_role(principal: Principal, wanted: Role) -> Problem | None:
    """None when the principal has this role; else why it is not who was expected."""
    if principal.role is wanted:
        return None
    return Problem("role", f"Expected a peer with role {wanted.value} and found {principal}.")
