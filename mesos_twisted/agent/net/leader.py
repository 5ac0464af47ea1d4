"""Where the masters may be, and which one is tried next.

The candidates are the hosts and ports of `--master`, tried in turn (a master that does not lead
closes the link), or the one that ZooKeeper says leads: see `election.leader.LeaderWatch`. Only
there it is known who stands by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from mesos_twisted.election.interfaces import Contender
from mesos_twisted.errors import MalformedError

DEFAULT_PORT = 5050


class MasterSource(Protocol):
    """Says where to connect."""

    @property
    def elected(self) -> bool:
        """Does somebody say who leads? Otherwise `leader` and `contenders` have nobody."""

    def start(self, changed: Callable[[], object], *, standbys: bool = False) -> None:
        """From now on `changed()` is called when the candidates are others, or, with `standbys`,
        the contenders.
        """

    def stop(self) -> Deferred[None]:
        """Fires when nothing is left."""

    def candidates(self) -> Sequence[tuple[str, int]]:
        """Hosts and ports, the likeliest first; empty while nobody is known to lead."""

    def leader(self) -> Contender | None:
        """Who leads; None while nobody is known to."""

    def contenders(self) -> Sequence[Contender]:
        """Who leads or may lead later."""


class FixedMasters:
    """The masters an operator named."""

    elected = False

    def __init__(self, addresses: Sequence[tuple[str, int]]) -> None:
        self._addresses = tuple(addresses)

    def start(self, changed: Callable[[], object], *, standbys: bool = False) -> None:
        """They never change."""

    def stop(self) -> Deferred[None]:
        """There is nothing to end."""
        return succeed(None)

    def candidates(self) -> Sequence[tuple[str, int]]:
        """All of them, in the order given."""
        return self._addresses

    def leader(self) -> Contender | None:
        """Nobody says."""
        return None

    def contenders(self) -> Sequence[Contender]:
        """Nobody says."""
        return ()


def parse_masters(text: str) -> tuple[tuple[str, int], ...]:
    """`host:port,host2:port2` (IPv6 in brackets). Raises MalformedError with one sentence."""
    found = tuple(_address(part.strip()) for part in text.split(",") if part.strip())
    if not found:
        raise MalformedError("--master is empty; write host:port")
    return found


def _address(text: str) -> tuple[str, int]:
    if "://" in text:
        raise MalformedError(
            f"'{text}' is not supported as --master; write host:port or zk://host:port,…/path"
        )
    host, colon, port = text.rpartition(":")
    if (text.startswith("[") and text.endswith("]")) or not colon:
        host, port = text, str(DEFAULT_PORT)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise MalformedError(f"'{text}' is ambiguous; write an IPv6 address in brackets")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise MalformedError(f"'{text}' is not an address; write host:port")
    return host, int(port)
