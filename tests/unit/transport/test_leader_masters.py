"""Whom a leader client asks, when that changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from mesos_twisted.errors import UnavailableError
from mesos_twisted.transport.client import ClientResponse, NotConnectedError
from mesos_twisted.transport.leader import LeaderClient, NamedMasters


class Http:
    """Each master answers as the test says; unknown ones are not reached."""

    def __init__(self, **answers: ClientResponse) -> None:
        self.answers, self.asked, self.closed = answers, list[str](), False
        self.abandoned: list[str] = []

    def request(self, method: str, url: str, *rest: Any) -> Deferred[ClientResponse]:
        name = url.removeprefix("https://").partition(":")[0]
        self.asked.append(name)
        if name not in self.answers:
            return fail(NotConnectedError(f"{name} is down"))
        return succeed(self.answers[name])

    def abandon(self, url: str, reason: str) -> None:
        self.abandoned.append(f"{url}: {reason}")

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class Elected:
    """One leader at a time, or none."""

    def __init__(self) -> None:
        self.leader: str | None = None
        self.stopped = False
        self.another: Callable[[str], object] = lambda leader: None

    def follow(self, another: Callable[[str], object]) -> None:
        self.another = another

    def find(self) -> Deferred[Sequence[str]]:
        if self.leader is None:
            return fail(UnavailableError("nobody leads"))
        return succeed((f"{self.leader}:5050",))

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)


def ask(client: LeaderClient) -> Any:
    results: list[Any] = []
    client.request("GET", "/x").addBoth(results.append)
    return results[0]


OK = ClientResponse(200, {}, b"")


def test_the_elected_one_is_asked_and_remembered() -> None:
    """Until it cannot be reached; then who leads now."""
    http, elected = Http(a=OK, b=OK), Elected()
    client = LeaderClient(http, elected)  # type: ignore[arg-type]  # what it uses of a client
    elected.leader = "a"
    assert ask(client) is OK
    elected.leader = "b"
    assert ask(client) is OK
    del http.answers["a"]
    assert ask(client) is OK
    assert http.asked == ["a", "a", "a", "b"]


def test_nobody_leading_is_said_so() -> None:
    """No master is asked."""
    http, elected = Http(), Elected()
    client = LeaderClient(http, elected)  # type: ignore[arg-type]  # what it uses of a client
    assert ask(client).type is UnavailableError
    assert http.asked == []


def test_a_redirect_of_the_elected_one_is_followed() -> None:
    """It may have stopped leading a moment ago."""
    http, elected = Http(a=ClientResponse(307, {"location": "//b:5050/x"}, b""), b=OK), Elected()
    client = LeaderClient(http, elected)  # type: ignore[arg-type]  # what it uses of a client
    elected.leader = "a"
    assert ask(client) is OK
    assert client.leader == "b:5050"


def test_another_leader_ends_what_the_last_was_asked() -> None:
    """And is asked next; the last one may hang, and would never say so itself."""
    http, elected = Http(a=OK, b=OK, c=OK), Elected()
    client = LeaderClient(http, elected)  # type: ignore[arg-type]  # what it uses of a client
    elected.leader = "a"
    ask(client)
    elected.another("b:5050")
    assert http.abandoned == ["https://a:5050: b:5050 leads now, a:5050 no longer"]
    ask(client)
    assert http.asked == ["a", "b"]
    # Nothing was asked of a since.
    elected.another("c:5050")
    assert [text[:14] for text in http.abandoned] == ["https://a:5050", "https://b:5050"]


def test_who_was_found_by_a_redirect_first_is_kept() -> None:
    """The election's word may come later; a master that was started anew is another."""
    http, elected = Http(a=ClientResponse(307, {"location": "//b:5050/x"}, b""), b=OK), Elected()
    client = LeaderClient(http, elected)  # type: ignore[arg-type]  # what it uses of a client
    elected.leader = "a"
    ask(client)
    elected.another("b:5050")
    assert [text[:14] for text in http.abandoned] == ["https://a:5050"]
    ask(client)
    elected.another("b:5050")
    assert [text[:14] for text in http.abandoned] == ["https://a:5050", "https://b:5050"]


def test_closing_ends_both() -> None:
    """Connections, and the watch on who leads."""
    http, elected = Http(), Elected()
    client = LeaderClient(http, elected)  # type: ignore[arg-type]  # what it uses of a client
    done: list[Any] = []
    Deferred.fromCoroutine(client.close()).addBoth(done.append)
    assert (done, http.closed, elected.stopped) == ([None], True, True)


def test_named_masters_are_at_least_one() -> None:
    """Nobody could be asked."""
    with pytest.raises(ValueError):
        NamedMasters(())
