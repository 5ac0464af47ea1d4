"""What the drivers ask of the way to a master or an agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from mesos_twisted.transport.messages import Headers


class Stream(Protocol):
    """An open answer, as transport.client gives it."""

    status: int
    headers: dict[str, str]

    def on_data(self, callback: Callable[[bytes], object], /) -> None: ...
    def on_closed(self, callback: Callable[[str], object], /) -> None: ...
    def close(self) -> None: ...


class Answer(Protocol):
    """A whole answer."""

    status: int
    body: bytes


class Master(Protocol):
    """The leading master: transport.leader.LeaderClient, or a fake of it."""

    def request(self, method: str, path: str, headers: Headers, body: bytes, /) -> Deferred[Any]:
        """Fires with an Answer (Deferred is invariant, hence Any)."""
        ...

    def open_stream(
        self, method: str, path: str, headers: Headers, body: bytes, /
    ) -> Deferred[Any]:
        """Fires with a Stream at the answer's head."""
        ...
