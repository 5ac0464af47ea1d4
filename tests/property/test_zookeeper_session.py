"""A session under any order of losses, delays and stops keeps its promises."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mesos_twisted.zookeeper import jute
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core import events as e
from mesos_twisted.zookeeper.core.events import SessionState
from mesos_twisted.zookeeper.core.session import Session

TIMEOUT_S = 6.0
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["call", "tick", "serve", "serve", "deliver", "deliver", "lose", "open"]),
        st.floats(0.0, 2.5, allow_nan=False),
    ),
    max_size=60,
)


class World:
    """One session, and servers that share one memory of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.session = Session(3, TIMEOUT_S)
        self.dialling = False
        self.up = False
        self.to_server: list[bytes] = []
        self.to_client: list[bytes] = []
        self.greeting_due = False
        self.heard_at: float | None = None  # by the servers
        self.alive = False  # on the servers' side
        self.asked: set[int] = set()
        self.executed: list[int] = []
        self.settled: dict[int, Any] = {}
        self.hear(e.Started(0.0, 0.0))

    def hear(self, event: e.Event) -> None:
        for effect in self.session.handle(event):
            match effect:
                case e.Connect():
                    self.dialling, self.up = True, False
                    self.to_server, self.to_client = [], []
                case e.Drop():
                    self.dialling = self.up = False
                    self.to_server, self.to_client = [], []
                case e.Write(data):
                    assert self.up, "bytes without a connection"
                    self.to_server.append(data[4:])
                case e.Answered(number) | e.Refused(number) | e.Unanswered(number):
                    assert number in self.asked and number not in self.settled
                    self.settled[number] = effect

    def expire(self) -> None:
        """The servers' own clock."""
        if self.alive and self.heard_at is not None and self.now > self.heard_at + TIMEOUT_S:
            self.alive = False

    def serve(self) -> None:
        if not self.to_server:
            return
        message = self.to_server.pop(0)
        if self.greeting_due:
            self.greeting_due = False
            asked = jute.decode_connect(message)
            if asked.session_id == 0:
                self.alive, session_id = True, 7
            else:
                session_id = 7 if self.alive else 0
            self.heard_at = self.now
            said = r.ConnectResponse(6000 if session_id else 0, session_id, bytes(16))
            self.to_client.append(jute.encode_connected(said))
            return
        if not self.alive:
            return
        self.heard_at = self.now
        xid, request = jute.decode_request(message)
        if isinstance(request, r.Sync):
            self.executed.append(int(request.path))
            self.to_client.append(jute.encode_reply(xid, len(self.executed), 0, r.Synced("")))
        else:
            self.to_client.append(jute.encode_reply(xid, 0, 0))

    def step(self, what: str, seconds: float) -> None:
        self.now += seconds
        self.expire()
        match what:
            case "call":
                number = len(self.asked)
                self.asked.add(number)
                self.hear(e.Called(number, r.Sync(str(number)), self.now))
            case "tick":
                self.hear(e.Ticked(self.now))
            case "serve":
                self.serve()
            case "deliver" if self.to_client and self.up:
                self.hear(e.Received(self.to_client.pop(0), self.now))
            case "lose" if self.dialling or self.up:
                self.dialling = self.up = False
                self.hear(e.Lost(self.now, 0.0))
            case "open" if self.dialling:
                self.dialling, self.up, self.greeting_due = False, True, True
                self.hear(e.Opened(self.now))

    def check(self) -> None:
        """What holds at any time."""
        # Once time is heard, the session is not believed in longer than the servers keep it.
        self.hear(e.Ticked(self.now))
        if self.session.state in (SessionState.CONNECTED, SessionState.SUSPENDED):
            assert self.alive
        for number, effect in self.settled.items():
            if isinstance(effect, e.Answered):
                assert number in self.executed
        assert len(self.executed) == len(set(self.executed)), "a call was made twice"
        assert self.executed == sorted(self.executed), "calls were made out of order"


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_a_session_keeps_its_promises(steps: list[tuple[str, float]]) -> None:
    """Each call is settled once, made at most once, in order; no belief in a dead session."""
    world = World()
    for what, seconds in steps:
        world.step(what, seconds)
        world.check()
    world.hear(e.Closing(world.now))
    world.now += TIMEOUT_S * 2
    world.hear(e.Ticked(world.now))
    assert world.session.over
    assert set(world.settled) == world.asked


def test_the_check_can_fail() -> None:
    """A session that counted from the answer would be believed in for too long."""

    class Late(Session):
        def _alive(self, at: float) -> None:
            super()._alive(at + 3.0)

    world = World()
    world.session.__class__ = Late
    for what, seconds in [("open", 0.0), ("serve", 0.0), ("deliver", 0.0)]:
        world.step(what, seconds)
    world.now += TIMEOUT_S + 1
    world.expire()
    try:
        world.check()
    except AssertionError:
        return
    raise AssertionError("the check did not notice")
