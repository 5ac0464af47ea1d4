"""An idle link to every contender; the leader's is the agent's own once both sides say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.net import link as link_module
from mesos_twisted.agent.net import warm_links as warm
from mesos_twisted.agent.net.link import LinkProtocol
from mesos_twisted.agent.net.master_link import MasterLink
from mesos_twisted.clock import Timers
from mesos_twisted.election.interfaces import Contender
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net import authority
from mesos_twisted.transport.batch import FlushBatch

A, B, C = (Contender(name, 5050, f"id of {name}") for name in "abc")
LEADS, STANDS_BY = agentlink.Standing(leads=True), agentlink.Standing(leads=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """DER of a master's."""
    root = tmp_path_factory.mktemp("pki")
    authority.make_authority(root, "c")
    issued = authority.issue(root, Role.MASTER, "master", ["h"])
    pem = Path(issued.cert).read_bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


class Election:
    """Whoever leads and contends, as a test says."""

    elected = True

    def __init__(self) -> None:
        self.who: Contender | None = None
        self.all: tuple[Contender, ...] = ()
        self.changed: Callable[[], object] = lambda: None

    def start(self, changed: Callable[[], object], *, standbys: bool = False) -> None:
        assert standbys
        self.changed = changed

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def candidates(self) -> Sequence[tuple[str, int]]:
        return () if self.who is None else ((self.who.host, self.who.port),)

    def leader(self) -> Contender | None:
        return self.who

    def contenders(self) -> Sequence[Contender]:
        return self.all

    def says(self, who: Contender | None, *everyone: Contender) -> None:
        self.who, self.all = who, everyone
        self.changed()


class Wire:
    """A try to connect, and the master's end of what comes of it."""

    def __init__(self, world: World, host: str, factory: Any) -> None:
        self.world, self.host, self.factory = world, host, factory
        self.link: LinkProtocol | None = None
        self.closed = False
        self._deframer = agentlink.Deframer()
        self._records: list[Any] = []

    def open(self) -> Wire:
        """The handshake is done."""
        owner = self.factory._owner
        self.link = LinkProtocol(self.world.own.dialer, owner, ConnectionId(len(self.world.wires)))
        self.link.makeConnection(self)  # type: ignore[arg-type]  # what a link uses of one
        return self

    def say(self, *messages: Any) -> None:
        assert self.link is not None
        self.link.dataReceived(b"".join(map(agentlink.frame, messages)))

    def end(self) -> None:
        assert self.link is not None
        self.closed = True
        self.link.connectionLost(Failure(ConnectionLost()))  # type: ignore[no-untyped-call]

    def said(self) -> list[str]:
        """What the agent said since the last call, by type."""
        records, self._records = self._records, []
        return [type(one).__name__ for one in records]

    # For the link

    def disconnect(self) -> None:
        self.factory.clientConnectionFailed(self, Failure(ConnectionLost()))  # type: ignore[no-untyped-call]

    def peer_certificate(self) -> bytes:
        return self.world.certificate

    def getPeer(self) -> object:
        return object()

    def write(self, data: bytes) -> None:
        self._records += [agentlink.from_agent(body) for body in self._deframer.feed(data)]

    def abortConnection(self) -> None:
        self.end()

    loseConnection = abortConnection


class World:
    """An agent's links over a reactor that only remembers; chance is in the middle."""

    def __init__(self, patch: pytest.MonkeyPatch, certificate: bytes) -> None:
        self.certificate, self.clock, self.election = certificate, Clock(), Election()
        self.wires: list[Wire] = []
        self.events: list[ev.Event] = []
        self.counts: list[str] = []
        patch.setattr(link_module, "connect_tcp", self.connect)
        self.own = MasterLink(
            self.clock,
            Timers(self.clock),
            None,  # type: ignore[arg-type]  # TLS is not reached here
            self.election,
            FlushBatch(self.clock),
            handle=self.events.append,
            now=lambda: 1.0,
            fresh=lambda: ConnectionId(0),
            jitter=lambda: 0.5,
            count=lambda name, amount: self.counts.append(name),
        )
        self.own.start()

    def connect(self, reactor: Any, host: str, port: int, factory: Any, timeout_s: float) -> Wire:
        self.wires.append(Wire(self, host, factory))
        return self.wires[-1]

    @property
    def tried(self) -> str:
        return "".join(wire.host for wire in self.wires)

    def turn(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))

    def kinds(self) -> list[str]:
        """The events since the last call, by type."""
        events, self.events[:] = list(self.events), []
        return [type(one).__name__ for one in events]

    def standing(self) -> tuple[Wire, Wire, Wire]:
        """A leads and has the agent's link, B and C stand by."""
        self.election.says(A, A, B, C)
        self.turn(warm.SPREAD_S)
        a, b, c = sorted(self.wires, key=lambda wire: wire.host)
        a.open().say(LEADS)
        for wire in (b, c):
            wire.open().say(STANDS_BY)
        assert self.kinds() == ["LinkOpened"] and self.own.standbys == 2
        for wire in (a, b, c):
            assert wire.said() == ["Standby"]
        return a, b, c


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, certificate: bytes) -> World:
    return World(monkeypatch, certificate)


def test_the_leader_is_connected_to_at_once_and_the_others_within_a_while(world: World) -> None:
    """A standby that starts is not met by all agents in one moment."""
    world.election.says(A, A)
    world.turn(1)
    assert world.tried == "a"
    world.election.says(A, A, B)
    world.turn(10)
    assert world.tried == "a"
    world.turn(10)
    assert world.tried == "ab"


def test_the_next_leaders_open_link_is_used_at_once(world: World) -> None:
    """No handshake, and the old link is nobody's any more."""
    a, b, _ = world.standing()
    world.election.says(B, B, C)
    assert a.closed and world.kinds() == ["LinkClosed"] and b.said() == []
    b.say(LEADS)
    assert world.kinds() == ["LinkOpened"] and world.own.standbys == 1
    assert world.counts == ["slave/standby_links_used"]
    b.say(agentlink.Ping())
    world.own.send(agentlink.Pong())
    assert world.kinds() == ["MasterSaid"] and b.said() == ["Pong"]
    assert world.tried == "abc"


def test_a_master_that_leads_before_zookeeper_says_so_is_not_followed_yet(world: World) -> None:
    """Its word counts once there is the other one."""
    a, b, _ = world.standing()
    b.say(LEADS)
    assert world.kinds() == [] and world.own.standbys == 2
    a.end()
    assert world.kinds() == ["LinkClosed"]
    world.election.says(B, B, C)
    assert world.kinds() == ["LinkOpened"]


def test_an_elected_master_that_has_not_recovered_is_waited_for(world: World) -> None:
    """And cut when it does not answer, sooner than one that only stands by."""
    _, b, c = world.standing()
    world.election.says(B, B, C)
    world.kinds()
    for _ in range(4):
        world.turn(warm.LEADER_BEAT_S)
        if b.said() == ["Standby"]:
            b.say(STANDS_BY)
    assert not b.closed and world.kinds() == []
    world.turn(2 * warm.LEADER_BEAT_S + 1)
    assert b.closed and not c.closed
    world.turn(1)
    assert world.tried == "abcb"


def test_a_leader_of_an_older_release_is_believed_after_a_while(world: World) -> None:
    """It skips what it does not know."""
    world.election.says(A)
    world.turn(1)
    world.wires[0].open()
    assert world.kinds() == []
    world.turn(warm.PATIENCE_S)
    assert world.kinds() == ["LinkOpened"] and world.counts == []


def test_an_idle_link_is_kept_alive_and_a_dead_one_noticed(world: World) -> None:
    _, b, c = world.standing()
    world.turn(warm.BEAT_S)
    assert b.said() == c.said() == ["Standby"]
    b.say(STANDS_BY)
    world.turn(warm.BEAT_S)
    assert b.said() == ["Standby"] and not b.closed and c.closed
    assert world.own.standbys == 1


def test_a_lost_standby_is_tried_again_later_each_time(world: World) -> None:
    """While it contends, and never sooner than the leader."""
    _, b, _ = world.standing()
    b.end()
    for wait_s in (5, 10, 20):
        world.turn(wait_s / 2)
        before = len(world.wires)
        world.turn(wait_s / 2)
        assert len(world.wires) == before + 1
        world.wires[-1].factory.clientConnectionFailed(None, Failure(ConnectionLost()))  # type: ignore[no-untyped-call]
    world.election.says(A, A, C)
    before = world.tried.count("b")
    world.turn(200)
    assert world.tried.count("b") == before


def test_who_contends_no_more_is_let_go(world: World) -> None:
    _, b, c = world.standing()
    world.election.says(A, A, C)
    assert b.closed and not c.closed


def test_the_same_leader_again_keeps_its_link(world: World) -> None:
    """ZooKeeper was away for a while; a master started anew at the same address is another."""
    a, _, _ = world.standing()
    world.election.says(None, A, B, C)
    world.election.says(A, A, B, C)
    assert not a.closed and world.kinds() == []
    anew = Contender(A.host, A.port, "another id")
    world.election.says(anew, anew, B, C)
    assert a.closed and world.kinds() == ["LinkClosed"]
    world.turn(1)
    assert world.tried[-1] == "a"


def test_a_link_of_ours_that_breaks_comes_back(world: World) -> None:
    """Later each time, until one lasts."""
    a, _, _ = world.standing()
    a.end()
    assert world.kinds() == ["LinkClosed"]
    world.turn(1)
    again = world.wires[-1].open()
    again.say(LEADS)
    assert world.kinds() == ["LinkOpened"]
    again.end()
    world.turn(0.5)
    assert world.wires[-1] is again
    world.turn(0.5)
    assert world.wires[-1] is not again


def test_nothing_but_its_standing_is_heard_of_a_standby(world: World) -> None:
    _, b, _ = world.standing()
    b.say(agentlink.Shutdown(message="x"), agentlink.Ping())
    assert world.kinds() == [] and not b.closed
    assert world.counts == ["slave/invalid_framework_messages"] * 2


def test_revoked_masters_are_left(world: World) -> None:
    _, b, c = world.standing()
    world.own.drop_revoked(lambda certificate: True)
    assert b.closed and c.closed


def test_nothing_is_left_after_the_end(world: World) -> None:
    """Links, tries and timers."""
    a, b, c = world.standing()
    world.election.says(A, A, B, C, Contender("d", 1, "d"))
    world.own.stop()
    assert a.closed and b.closed and c.closed
    world.turn(300)
    assert len(world.wires) == 3 and not world.clock.getDelayedCalls()
