"""The simulated ensemble keeps the suites that real servers keep; its faults do what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.core.secret import Secret
from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.net import Profile, SimNetwork
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.testing.sim.tls import SimAuthority, SimContexts
from mesos_twisted.testing.sim.zookeeper import SimZooKeeper
from mesos_twisted.testing.suites.announcer import AnnouncerSuite
from mesos_twisted.testing.suites.election import ElectionSuite
from mesos_twisted.testing.suites.registry_zookeeper import ZooKeeperRegistrySuite
from mesos_twisted.testing.suites.zookeeper import ZooKeeperSuite
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core.events import SessionState
from mesos_twisted.zookeeper.errors import AnswerError, ConnectionLostError, SessionEndedError
from mesos_twisted.zookeeper.net.client import ZooKeeperClient

T = TypeVar("T")


class SimWorld:
    """Passes as a `suites.zookeeper.ZooKeeperWorld`."""

    def __init__(
        self, count: int = 3, seed: int = 1, profile: Profile | None = None, tls: bool = False
    ) -> None:
        self.clock = SimClock(seed)
        self.net = SimNetwork(self.clock, profile)
        nodes = [self.net.node(f"zk{number}") for number in range(1, count + 1)]
        self.authority = SimAuthority("c")
        contexts = None
        if tls:
            contexts = [self.contexts(node.name, node.address) for node in nodes]
        self.ensemble = SimZooKeeper(
            self.net,
            nodes,
            tick_s=0.2,
            min_timeout_s=0.4,
            max_timeout_s=60.0,
            lost_s=2.0,
            contexts=contexts,
        )
        self.tls = tls
        self.node = self.net.node("client")
        self.reactor = SimReactor(self.node, "client/p")
        self.clients: list[ZooKeeperClient] = []

    def contexts(self, name: str, *hosts: str) -> SimContexts:
        certificate = self.authority.issue(Role.MASTER, name, *hosts)
        return SimContexts(self.authority, certificate, lambda: 1_767_300_000.0)

    def client(
        self,
        timeout_s: float = 6.0,
        credentials: Secret | None = None,
        server: int | None = None,
        name: str = "m1",
    ) -> ZooKeeperClient:
        addresses = self.ensemble.addresses
        client = ZooKeeperClient(
            self.reactor,
            addresses if server is None else addresses[server : server + 1],
            timeout_s,
            Random(len(self.clients)).random,
            credentials=credentials,
            contexts=self.contexts(name, "client") if self.tls else None,
        )
        self.clients.append(client)
        return client

    def started(self, server: int | None = None, timeout_s: float = 6.0) -> ZooKeeperClient:
        client = self.client(timeout_s, server=server)
        client.start()
        self.until(lambda: client.state is SessionState.CONNECTED, "it is connected")
        return client

    def wait(self, deferred: Deferred[T]) -> T:
        got: list[Any] = []
        deferred.addBoth(got.append)
        self.clock.run_until(lambda: got, 120, "a Deferred fires")
        if isinstance(got[0], Failure):
            got[0].raiseException()
        return got[0]  # type: ignore[no-any-return]

    def until(self, ready: Callable[[], Any], what: str) -> Any:
        return self.clock.run_until(ready, 120, what)

    def close(self) -> None:
        for client in self.clients:
            self.wait(client.close())
        self.clock.run(0.01)
        assert self.reactor.getDelayedCalls() == []


@pytest.fixture(params=[1, 3], ids=["one-server", "three-servers"])
def world(request: Any) -> Iterator[SimWorld]:
    rough = Profile(latency_s=0.002, jitter_s=0.004, pieces=0.3, joined=0.1)
    world = SimWorld(request.param, profile=rough)
    yield world
    world.close()


class TestSimZooKeeper(ZooKeeperSuite):
    """The simulated servers and our client keep the suite's promises."""


class TestSimElection(ElectionSuite):
    """Elections in the simulated servers keep the suite's promises."""


class TestSimAnnouncer(AnnouncerSuite):
    """Announcements in the simulated servers keep the suite's promises."""


class TestSimRegistry(ZooKeeperRegistrySuite):
    """A registry in the simulated servers keeps the suite's promises."""


@pytest.fixture
def three() -> Iterator[SimWorld]:
    world = SimWorld(3)
    world.until(lambda: world.ensemble.serving, "it serves")
    yield world


def _leader(world: SimWorld) -> int:
    leader = world.ensemble.leader
    assert leader is not None
    return leader.number - 1


def test_the_server_with_the_highest_number_leads_first(three: SimWorld) -> None:
    modes = [server.mode for server in three.ensemble.servers]
    assert modes == ["follower", "follower", "leader"]
    assert SimWorld(1).ensemble.servers[0].mode == "standalone"


def test_a_killed_leader_is_followed_and_loses_nothing(three: SimWorld) -> None:
    client = three.started()
    three.wait(client.create("/a", b"1"))
    number = _leader(three)
    three.ensemble.kill(three.ensemble.servers[number])
    assert three.wait(client.sync("/").addErrback(lambda f: f.trap(ConnectionLostError))) in (
        None,
        ConnectionLostError,
    )
    three.until(lambda: client.state is SessionState.CONNECTED, "it is back")
    assert three.wait(client.get("/a")).data == b"1"
    assert _leader(three) != number
    three.ensemble.restart(three.ensemble.servers[number])
    three.until(lambda: three.ensemble.serving, "it follows")
    other = three.started(number)
    assert three.wait(other.get("/a")).data == b"1"
    assert client.session_id and three.wait(client.set("/a", b"2")).version == 1


def test_without_a_majority_nobody_serves(three: SimWorld) -> None:
    client = three.started(timeout_s=30)
    for server in three.ensemble.servers[:2]:
        three.ensemble.kill(server)
    three.clock.run(5)
    assert three.ensemble.leader is None
    assert client.state is not SessionState.CONNECTED
    three.ensemble.restart(three.ensemble.servers[0])
    three.until(lambda: client.state is SessionState.CONNECTED, "it serves again")


def test_a_leader_cut_off_commits_nothing(three: SimWorld) -> None:
    number = _leader(three)
    client = three.started(number, timeout_s=30)
    nodes = [server.node for server in three.ensemble.servers]
    minority = [nodes[number], three.node]
    three.net.partition(minority, [node for node in nodes if node not in minority])
    lost = client.create("/never")
    with pytest.raises(ConnectionLostError):
        three.wait(lost)
    three.until(lambda: three.ensemble.leader and _leader(three) != number, "others lead")
    three.net.heal_all()
    three.until(lambda: client.state is SessionState.CONNECTED, "it is back")
    three.wait(client.sync("/"))
    assert three.wait(client.exists("/never")) is None


def test_a_paused_leader_is_deposed(three: SimWorld) -> None:
    number = _leader(three)
    other = three.started((number + 1) % 3)
    old = three.ensemble.servers[number]
    three.ensemble.pause(old)
    three.until(lambda: three.ensemble.leader not in (None, old), "another leads")
    three.until(lambda: other.state is SessionState.CONNECTED, "clients are back")
    three.wait(other.create("/a"))
    three.ensemble.resume(old)
    three.until(lambda: three.ensemble.serving, "all follow one")
    assert three.ensemble.leader is not old


def test_a_lagging_follower_tells_old_news_until_sync(three: SimWorld) -> None:
    number = (_leader(three) + 1) % 3
    behind, ahead = three.started(number), three.started(_leader(three))
    three.wait(ahead.create("/a", b"old"))
    three.wait(behind.sync("/a"))
    three.ensemble.servers[number].lag_s = 3.0
    three.wait(ahead.set("/a", b"new"))
    assert three.wait(behind.get("/a")).data == b"old"
    began = three.clock.now
    three.wait(behind.sync("/a"))
    assert three.clock.now - began > 2.9
    assert three.wait(behind.get("/a")).data == b"new"


def test_a_client_never_joins_a_server_that_knows_less(three: SimWorld) -> None:
    number = (_leader(three) + 1) % 3
    server = three.ensemble.servers[number]
    server.lag_s = 20.0
    ahead = three.started(_leader(three), timeout_s=30)
    three.wait(ahead.create("/a"))
    late = three.client(30, server=number)
    late._session._zxid = ahead._session._zxid
    late.start()
    began = three.clock.now
    three.until(lambda: late.state is SessionState.CONNECTED, "it may join")
    assert three.clock.now - began > 15


def test_an_answer_lost_after_the_write(three: SimWorld) -> None:
    client = three.started(0)
    server = three.ensemble.servers[0]
    server.lose_answers, server.lose_only = 1, lambda request: isinstance(request, r.Create)
    three.wait(client.sync("/"))
    with pytest.raises(ConnectionLostError):
        three.wait(client.create("/a"))
    assert three.wait(client.exists("/a")) is not None


def test_a_session_is_ended_on_request(three: SimWorld) -> None:
    client, other = three.started(0), three.started(1)
    three.wait(client.create("/e", ephemeral=True))
    three.ensemble.expire(client.session_id)
    three.until(lambda: client.state is SessionState.EXPIRED, "it has expired")
    three.wait(other.sync("/"))
    assert three.wait(other.exists("/e")) is None
    with pytest.raises(SessionEndedError):
        three.wait(client.get("/"))


def test_the_leaders_clock_ends_sessions() -> None:
    world = SimWorld(1)
    server = world.ensemble.servers[0]
    client = world.started(timeout_s=10.0)
    world.clock.run(60)
    assert client.state is SessionState.CONNECTED
    server.node.step_clock(60.0)
    world.clock.run(1)
    assert client.state is not SessionState.CONNECTED


def test_sessions_have_their_whole_time_under_a_new_leader(three: SimWorld) -> None:
    client = three.started(timeout_s=4.0)
    three.wait(client.create("/e", ephemeral=True))
    for _ in range(5):
        three.ensemble.elect()
        three.until(lambda: three.ensemble.serving, "a new one leads")
        three.until(lambda: client.state is SessionState.CONNECTED, "the client is back")
    assert three.wait(client.exists("/e")) is not None


def test_a_moved_session_is_refused_at_its_old_server(three: SimWorld) -> None:
    client = three.started(0)
    thief = three.client(server=1)
    thief._session.session_id = client.session_id
    thief._session._password = client._session._password
    thief.start()
    three.until(lambda: thief.state is SessionState.CONNECTED, "the session has moved")
    with pytest.raises(ConnectionLostError):
        three.wait(client.create("/a"))
    assert three.wait(thief.exists("/a")) is None


def test_clients_speak_tls_and_are_known_by_their_certificates() -> None:
    world = SimWorld(1, tls=True)
    client = world.client(name="m1")
    client.start()
    path = world.wait(client.create("/own", b"x", r.CREATOR_ALL))
    again, other = world.client(name="m1"), world.client(name="m2")
    again.start()
    other.start()
    assert world.wait(again.get(path)).data == b"x"
    with pytest.raises(AnswerError):
        world.wait(other.get(path))
    world.close()


def test_power_cuts_lose_nothing_that_was_answered(three: SimWorld) -> None:
    client = three.started()
    for number in range(3):
        three.wait(client.create(f"/n{number}"))
        server = three.ensemble.servers[number]
        server.node.power_cut()
        three.clock.run(8)
        server.node.power_on()
        three.ensemble.restart(server)
        three.until(lambda: three.ensemble.serving, "all serve")
        three.until(lambda: client.state is SessionState.CONNECTED, "the client is back")
    assert {"n0", "n1", "n2"} <= set(three.wait(client.children("/")).children)


def _trace(seed: int) -> str:
    world = SimWorld(3, seed, Profile(jitter_s=0.01, pieces=0.5))
    clients = [world.client() for _ in range(4)]
    for client in clients:
        client.start()
    chance = world.clock.random("test")
    for number in range(60):
        chance.choice(clients).create("/s", b"", sequential=True).addErrback(lambda f: None)
        if number % 20 == 7:
            world.ensemble.elect()
        if number % 20 == 13:
            world.ensemble.disconnect(chance.choice(world.ensemble.servers))
        world.clock.run(chance.random())
    trees = [server.tree for server in world.ensemble.servers]
    world.clock.run(20)
    assert trees[0].nodes == trees[1].nodes == trees[2].nodes and len(trees[0].nodes) > 20
    return world.clock.trace()


def test_one_seed_one_trace_and_all_trees_alike() -> None:
    assert _trace(1) == _trace(1) != _trace(2)
