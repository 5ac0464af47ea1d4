"""What an ensemble and our client of it promise together; a simulated one must pass it too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import pytest
from twisted.internet.defer import Deferred

from mesos_twisted.security.core.secret import Secret
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core.events import SessionState
from mesos_twisted.zookeeper.errors import (
    AnswerError,
    BadVersionError,
    ConnectionLostError,
    NodeExistsError,
    NoNodeError,
    SessionEndedError,
)
from mesos_twisted.zookeeper.net.client import TransactionError, ZooKeeperClient

T = TypeVar("T")
ALICE = Secret(b"alice:wonder")
MALLORY = Secret(b"mallory:guess")


class ZooKeeperWorld(Protocol):
    """An ensemble, and the time in which it lives."""

    @property
    def reactor(self) -> Any:
        """The reactor of that time."""
        ...

    def client(self, timeout_s: float = 6.0, credentials: Secret | None = None) -> ZooKeeperClient:
        """A client of it, not started yet; ended with the world."""
        ...

    def wait(self, deferred: Deferred[T]) -> T:
        """What it fires with, once time has passed; its failure is raised."""
        ...

    def until(self, ready: Callable[[], Any], what: str) -> Any:
        """Let time pass until it is true."""
        ...


def cut(client: ZooKeeperClient) -> None:
    """Break the client's connection without a word to anybody."""
    connection = client._connection
    assert connection is not None
    connection._wire.abort()


def becomes(world: ZooKeeperWorld, client: ZooKeeperClient, state: SessionState) -> None:
    """Wait until the client's session is there."""
    world.until(lambda: client.state is state, f"the session is {state.value}")


@contextmanager
def held(client: ZooKeeperClient) -> Iterator[None]:
    """The client makes no connection meanwhile, and the one it then lacks afterwards."""
    asked: list[int] = []
    client._connect = asked.append  # type: ignore[assignment, method-assign]  # until below
    yield
    del client._connect  # the class's own again
    if asked and not client._session.over:
        client._connect(asked[-1])


def steal(world: ZooKeeperWorld, client: ZooKeeperClient) -> None:
    """End the client's session, from elsewhere.

    The server hangs up on whoever had the session when another takes it. So the client is held:
    else it might take it back before the thief has ended it.
    """
    becomes(world, client, SessionState.CONNECTED)
    with held(client):
        thief = world.client()
        thief._session.session_id = client.session_id
        thief._session._password = client._session._password
        words: list[str] = []
        thief.listen(lambda state, why: words.append(why))
        thief.start()
        becomes(world, thief, SessionState.CONNECTED)
        world.wait(thief.close())
        assert words[-1] == "it was closed", words


class EnsembleSuite:
    """Mix into a test class with a fixture `world`; each test has a path to itself there."""

    @pytest.fixture
    def root(self, world: ZooKeeperWorld, request: Any) -> str:
        """A node of the test's own."""
        path = f"/{request.node.originalname}"
        client = self.started(world)
        world.wait(client.create(path))
        world.wait(client.close())
        return path

    def started(
        self, world: ZooKeeperWorld, timeout_s: float = 6.0, credentials: Secret | None = None
    ) -> ZooKeeperClient:
        """A client with a session, whose server knows all that happened before."""
        client = world.client(timeout_s, credentials)
        client.start()
        world.until(lambda: client.state is SessionState.CONNECTED, "the client is connected")
        world.wait(client.sync("/"))
        return client


class ZooKeeperSuite(EnsembleSuite):
    """Sessions, nodes, watches, transactions, lists of who may do what."""

    def test_a_session_has_a_number_and_a_time(self, world: ZooKeeperWorld) -> None:
        """The time-out asked for is what it gets."""
        client = self.started(world, 5.0)
        assert client.session_id != 0
        assert client.timeout_s == 5.0
        world.wait(client.close())
        assert client.state is SessionState.CLOSED
        with pytest.raises(SessionEndedError):
            world.wait(client.get("/"))

    def test_nodes_keep_their_data(self, world: ZooKeeperWorld, root: str) -> None:
        """Make, read, change, delete; versions count."""
        client = self.started(world)
        assert world.wait(client.create(f"{root}/a", b"one")) == f"{root}/a"
        found = world.wait(client.get(f"{root}/a"))
        assert (found.data, found.stat.version, found.stat.ephemeral_owner) == (b"one", 0, 0)
        assert world.wait(client.set(f"{root}/a", b"three", 0)).version == 1
        stat = world.wait(client.exists(f"{root}/a"))
        assert stat is not None and (stat.version, stat.data_length) == (1, 5)
        assert world.wait(client.children(root)).children == ("a",)
        world.wait(client.delete(f"{root}/a", 1))
        assert world.wait(client.exists(f"{root}/a")) is None
        found = world.wait(client.get(root))
        assert (found.stat.version, found.stat.cversion, found.stat.num_children) == (0, 2, 0)

    def test_refusals_say_why(self, world: ZooKeeperWorld, root: str) -> None:
        """Each has its exception."""
        client = self.started(world)
        world.wait(client.create(f"{root}/a"))
        with pytest.raises(NodeExistsError):
            world.wait(client.create(f"{root}/a"))
        absent: list[Deferred[Any]] = [
            client.get(f"{root}/b"),
            client.children(f"{root}/b"),
            client.set(f"{root}/b", b""),
            client.delete(f"{root}/b"),
            client.create(f"{root}/b/c"),
        ]
        for attempt in absent:
            with pytest.raises(NoNodeError):
                world.wait(attempt)
        with pytest.raises(BadVersionError):
            world.wait(client.set(f"{root}/a", b"", 7))
        with pytest.raises(BadVersionError):
            world.wait(client.delete(f"{root}/a", 7))
        with pytest.raises(AnswerError) as refused:
            world.wait(client.delete(root))
        assert refused.value.code == r.Code.NOT_EMPTY

    def test_numbers_rise_and_are_never_given_again(self, world: ZooKeeperWorld, root: str) -> None:
        """Ten digits, counted by the parent, over every name and over deletions."""
        client = self.started(world)
        first = world.wait(client.create(f"{root}/x_", sequential=True))
        assert first == f"{root}/x_0000000000"
        world.wait(client.delete(first))
        second = world.wait(client.create(f"{root}/y_", sequential=True))
        number = int(second.removeprefix(f"{root}/y_"))
        assert number > 0 and len(second) == len(first)

    def test_ephemeral_nodes_go_with_their_session(self, world: ZooKeeperWorld, root: str) -> None:
        """At once when it is closed; they cannot have children."""
        client, other = self.started(world), self.started(world)
        world.wait(client.create(f"{root}/e", b"", ephemeral=True))
        stat = world.wait(client.exists(f"{root}/e"))
        assert stat is not None and stat.ephemeral_owner == client.session_id
        with pytest.raises(AnswerError) as refused:
            world.wait(client.create(f"{root}/e/child"))
        assert refused.value.code == r.Code.NO_CHILDREN_FOR_EPHEMERALS
        world.wait(client.close())
        world.wait(other.sync(root))
        assert world.wait(other.exists(f"{root}/e")) is None

    def test_watches_tell_once(self, world: ZooKeeperWorld, root: str) -> None:
        """Of data, of coming and going, of children; never of more than one change."""
        client = self.started(world)
        told: list[r.WatchEvent] = []
        kinds = r.EventKind
        path = f"{root}/w"
        assert world.wait(client.exists(path, told.append)) is None
        world.wait(client.create(path))
        world.wait(client.get(path, told.append))
        world.wait(client.set(path, b"1"))
        world.wait(client.set(path, b"2"))
        world.wait(client.children(root, told.append))
        world.wait(client.exists(path, told.append))
        world.wait(client.delete(path))
        world.until(lambda: len(told) >= 4, "four events came")
        assert told[:2] == [
            r.WatchEvent(kinds.CREATED, path),
            r.WatchEvent(kinds.DATA_CHANGED, path),
        ]
        assert sorted(told[2:], key=lambda event: event.path) == [
            r.WatchEvent(kinds.CHILDREN_CHANGED, root),
            r.WatchEvent(kinds.DELETED, path),
        ]

    def test_an_event_comes_before_what_shows_its_change(
        self, world: ZooKeeperWorld, root: str
    ) -> None:
        """Whoever sees the new data has heard of it."""
        client, other = self.started(world), self.started(world)
        order: list[Any] = []
        world.wait(client.get(root, order.append))
        world.wait(other.set(root, b"new"))
        world.wait(client.sync(root))
        order.append(world.wait(client.get(root)).data)
        assert order == [r.WatchEvent(r.EventKind.DATA_CHANGED, root), b"new"]

    def test_calls_are_done_in_their_order(self, world: ZooKeeperWorld, root: str) -> None:
        """However many are under way."""
        client = self.started(world)
        path = f"{root}/n"
        done: list[int] = []
        client.create(path, b"start").addErrback(lambda failure: done.append(-1))
        for number in range(200):
            asked = client.set(path, b"%d" % number, number)
            asked.addCallbacks(lambda stat: done.append(stat.version), lambda f: done.append(-1))
        assert world.wait(client.get(path)).data == b"199"
        assert done == list(range(1, 201))

    def test_a_transaction_happens_whole_or_not(self, world: ZooKeeperWorld, root: str) -> None:
        """A failed part undoes the others and is named."""
        client = self.started(world)
        results = world.wait(
            client.multi(
                [
                    r.Check(root, 0),
                    r.Create(f"{root}/a", b"1"),
                    r.SetData(f"{root}/a", b"2", 0),
                    r.Create(f"{root}/b", b""),
                    r.Delete(f"{root}/b"),
                ]
            )
        )
        kinds = [type(result) for result in results]
        assert kinds == [r.Done, r.Created, r.Stated, r.Created, r.Done]
        assert world.wait(client.get(f"{root}/a")).data == b"2"
        parts: list[Any] = [r.SetData(f"{root}/a", b"3"), r.Check(root, 5), r.Delete(f"{root}/a")]
        with pytest.raises(TransactionError) as failed:
            world.wait(client.multi(parts))
        assert (failed.value.index, failed.value.code) == (1, r.Code.BAD_VERSION)
        assert world.wait(client.get(f"{root}/a")).data == b"2"

    def test_a_lost_connection_keeps_the_session(self, world: ZooKeeperWorld, root: str) -> None:
        """Its ephemeral nodes stay, and what was not answered fails."""
        client, other = self.started(world), self.started(world)
        states: list[SessionState] = []
        client.listen(lambda state, why: states.append(state))
        session = client.session_id
        world.wait(client.create(f"{root}/e", ephemeral=True))
        lost = client.get(root)
        cut(client)
        with pytest.raises(ConnectionLostError):
            world.wait(lost)
        assert world.wait(client.get(root)).data == b""
        assert states == [SessionState.SUSPENDED, SessionState.CONNECTED]
        assert client.session_id == session
        world.wait(other.sync(root))
        assert world.wait(other.exists(f"{root}/e")) is not None

    def test_watches_outlive_a_connection(self, world: ZooKeeperWorld, root: str) -> None:
        """A change made meanwhile is told as well."""
        client, other = self.started(world), self.started(world)
        told: list[r.WatchEvent] = []
        world.wait(client.get(root, told.append))
        world.wait(client.children(root, told.append))
        world.wait(client.exists(f"{root}/new", told.append))
        cut(client)
        world.wait(other.set(root, b"changed"))
        world.wait(other.create(f"{root}/new"))
        world.until(lambda: len(told) == 3, "all three were told")
        assert {event.kind for event in told} == {
            r.EventKind.DATA_CHANGED,
            r.EventKind.CHILDREN_CHANGED,
            r.EventKind.CREATED,
        }

    def test_a_session_ended_elsewhere_is_expired(self, world: ZooKeeperWorld, root: str) -> None:
        """Its nodes go, calls are refused, listeners hear of it."""
        client = self.started(world)
        states: list[SessionState] = []
        client.listen(lambda state, why: states.append(state))
        world.wait(client.create(f"{root}/e", ephemeral=True))
        steal(world, client)
        world.until(lambda: states[-1:] == [SessionState.EXPIRED], "it has expired")
        with pytest.raises(SessionEndedError):
            world.wait(client.get(root))
        other = self.started(world)
        assert world.wait(other.exists(f"{root}/e")) is None

    def test_a_silent_client_expires(self, world: ZooKeeperWorld, root: str) -> None:
        """The servers keep nobody's node who does not speak."""
        client, other = self.started(world, 1.0), self.started(world)
        world.wait(client.create(f"{root}/e", ephemeral=True))
        gone: list[r.WatchEvent] = []
        world.wait(other.sync(root))
        world.wait(other.exists(f"{root}/e", gone.append))
        client._timers.cancel_all()  # no pings
        world.until(lambda: gone, "the node went")
        assert gone == [r.WatchEvent(r.EventKind.DELETED, f"{root}/e")]
        # Whatever it does next, it finds out.
        with pytest.raises((SessionEndedError, ConnectionLostError)):
            world.wait(client.get(root))
        world.until(lambda: client.state is SessionState.EXPIRED, "it knows")

    def test_a_creator_can_shut_others_out(self, world: ZooKeeperWorld, root: str) -> None:
        """Mesos's list: anyone may read, only who has the password may change."""
        alice = self.started(world, credentials=ALICE)
        path = f"{root}/own"
        world.wait(alice.create(path, b"x", r.EVERYONE_READ_CREATOR_ALL))
        for credentials in (None, MALLORY):
            stranger = self.started(world, credentials=credentials)
            assert world.wait(stranger.get(path)).data == b"x"
            attempts: list[Deferred[Any]] = [
                stranger.set(path, b"y"),
                stranger.create(f"{path}/z"),
            ]
            for attempt in attempts:
                with pytest.raises(AnswerError) as refused:
                    world.wait(attempt)
                assert refused.value.code == r.Code.NO_AUTH
        again = self.started(world, credentials=ALICE)
        world.wait(again.create(f"{path}/z", b"", r.CREATOR_ALL))
        secret = self.started(world)
        with pytest.raises(AnswerError) as refused:
            world.wait(secret.get(f"{path}/z"))
        assert refused.value.code == r.Code.NO_AUTH

    def test_a_creator_without_a_name_is_refused(self, world: ZooKeeperWorld, root: str) -> None:
        """Nobody could ever change such a node."""
        client = self.started(world)
        with pytest.raises(AnswerError) as refused:
            world.wait(client.create(f"{root}/own", b"", r.CREATOR_ALL))
        assert refused.value.code == r.Code.INVALID_ACL
