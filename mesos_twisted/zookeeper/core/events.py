"""What a session hears and what it wants done. Times (`now`, `at`) are seconds of one clock."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, TypeAlias

from mesos_twisted.zookeeper import records as r


class SessionState(enum.Enum):
    """Where a session is; the last three are for ever."""

    CONNECTING = "connecting"  # no session yet
    CONNECTED = "connected"
    SUSPENDED = "suspended"  # no connection; the session may live on
    EXPIRED = "expired"
    AUTH_FAILED = "authentication failed"
    CLOSED = "closed"


class Why(enum.Enum):
    """Why a call failed without an answer."""

    CONNECTION_LOST = "the connection was lost; it may have happened"
    ENDED = "the session is over; it was not sent"


# What a session hears.


@dataclass(frozen=True, slots=True)
class Started:
    """Begin to connect. `jitter` here and below is a random number in [0, 1)."""

    now: float
    jitter: float


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection asked for stands."""

    now: float


@dataclass(frozen=True, slots=True)
class Received:
    """A message came."""

    message: bytes
    now: float


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is gone, or could not be made, and no message of it will come."""

    now: float
    jitter: float


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed; due at `Session.deadline`, harmless earlier."""

    now: float


@dataclass(frozen=True, slots=True)
class Called:
    """Someone wants an answer. `call` names the call, `watcher` whom to tell of one change."""

    call: Any
    request: r.Request
    now: float
    watcher: Any = None


@dataclass(frozen=True, slots=True)
class Unwatched:
    """Nothing is told to the watcher any more."""

    watcher: Any


@dataclass(frozen=True, slots=True)
class Closing:
    """End the session after the calls made so far."""

    now: float


Event: TypeAlias = Started | Opened | Received | Lost | Ticked | Called | Unwatched | Closing


# What a session wants.


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to server number `server` at the time `at`; then Opened or Lost is heard."""

    server: int
    at: float


@dataclass(frozen=True, slots=True)
class Drop:
    """Break the connection, or stop connecting, now; nothing of it is heard any more."""

    why: str


@dataclass(frozen=True, slots=True)
class Write:
    """Send a whole message, with its length."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The call has its answer."""

    call: Any
    reply: r.Reply


@dataclass(frozen=True, slots=True)
class Refused:
    """The server answered with an error; the call did not happen."""

    call: Any
    code: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """There will be no answer."""

    call: Any
    why: Why


@dataclass(frozen=True, slots=True)
class Fired:
    """What a watcher waited for has happened; it waits no longer."""

    watcher: Any
    event: r.WatchEvent


@dataclass(frozen=True, slots=True)
class Changed:
    """The session's state is another now; `why` is for a person."""

    state: SessionState
    why: str


Effect: TypeAlias = Connect | Drop | Write | Answered | Refused | Unanswered | Fired | Changed
