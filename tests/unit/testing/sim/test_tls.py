"""Production's TLS layer runs over the null cipher: same identities, same refusals, same pieces."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.protocol import ClientFactory, Protocol

from mesos_twisted.agent.core import events as agent_events
from mesos_twisted.agent.net.leader import FixedMasters
from mesos_twisted.agent.net.master_link import MasterLink
from mesos_twisted.clock import Timers
from mesos_twisted.master.core import events as master_events
from mesos_twisted.master.net.agent_links import AgentLinks
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId
from mesos_twisted.security.core.authorizer import Authorizer, OwnThings
from mesos_twisted.security.core.principal import Role
from mesos_twisted.security.net.identity import IdentityCache, Side, only
from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.net import EPOCH, Profile, SimNetwork
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.testing.sim.tls import SimAuthority, SimContexts
from mesos_twisted.transport.batch import FlushBatch
from mesos_twisted.transport.client import ClientResponse, HttpClient
from mesos_twisted.transport.http1 import HttpServer
from mesos_twisted.transport.listen import listen_tls
from mesos_twisted.transport.messages import Request, Response
from mesos_twisted.transport.tls_factory import HTTP, TlsLimits


class Counts:
    """A handshake observer."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def handshake_done(self, peer: str) -> None:
        self.seen.append("done")

    def handshake_failed(self, reason: str, peer: str) -> None:
        self.seen.append(reason)


class World:
    """A server and a client of one cluster."""

    def __init__(self, seed: int = 1, **profile: float) -> None:
        self.clock = SimClock(seed)
        self.net = SimNetwork(self.clock, Profile(**profile) if profile else None)
        self.server = SimReactor(self.net.node("m1", "10.0.0.1", "m1.sim"), "master")
        self.client = SimReactor(self.net.node("c1", "10.0.0.2"), "client")
        self.authority = SimAuthority("c")
        self.certificate = self.authority.issue(Role.MASTER, "m1", "m1.sim", "10.0.0.1")
        self.contexts = SimContexts(self.authority, self.certificate, self.server.seconds)
        self.counts = Counts()
        self.peers: list[Any] = []

    def serve(self, alpn: dict[bytes, Any] | None = None) -> None:
        def handle(request: Request) -> Response:
            self.peers.append(request.peer)
            return Response(200, request.body[::-1], "text/plain")

        listen_tls(
            self.server,
            "0.0.0.0",
            5050,
            self.contexts,
            alpn or {HTTP: HttpServer(self.server, handle)},
            TlsLimits(handshaking=10, handshake_s=5),
            self.counts,
        )

    def own(self, certificate: Any) -> SimContexts:
        return SimContexts(self.authority, certificate, self.client.seconds)

    def ask(self, contexts: SimContexts, body: bytes = b"hello", host: str = "m1.sim") -> Any:
        """The answer, or the failure."""
        got: list[Any] = []
        http = HttpClient(self.client, contexts, vet=only(Role.MASTER, "c"))
        http.request("POST", f"https://{host}:5050/x", (), body, 20.0).addBoth(got.append)
        self.clock.run_until(lambda: got, 120, "an answer")
        http.close()
        self.clock.run(1)
        return got[0] if isinstance(got[0], ClientResponse) else got[0].getErrorMessage()


def _operator(world: World, **more: Any) -> SimContexts:
    return world.own(world.authority.issue(Role.OPERATOR, "joe", **more))


@pytest.mark.parametrize("host", ["m1.sim", "10.0.0.1"])
def test_http_over_it(host: str) -> None:
    world = World()
    world.serve()
    answer = world.ask(_operator(world), host=host)
    assert (answer.status, answer.body) == (200, b"olleh")
    assert world.counts.seen == ["done"]


@pytest.mark.parametrize("seed", range(3))
def test_long_bodies_in_any_pieces(seed: int) -> None:
    world = World(seed, jitter_s=0.01, pieces=0.8, joined=0.2)
    world.serve()
    body = bytes(range(256)) * 2000
    answer = world.ask(_operator(world), body)
    assert answer.body == body[::-1]


def test_the_peers_identity_is_productions() -> None:
    world = World()
    world.serve()
    contexts = _operator(world)
    world.ask(contexts)
    assert contexts.shown is not None
    (peer,) = world.peers
    assert peer.certificate == contexts.shown.der
    found = IdentityCache(Side.CLIENT, "c").identify(peer.certificate)
    assert (found.principal.name, found.principal.role) == ("joe", Role.OPERATOR)


@pytest.mark.parametrize(
    ("words", "contexts"),
    [
        ("unable to get local issuer", lambda w: SimContexts(SimAuthority("d"), None, lambda: 0.0)),
        ("has expired", lambda w: w.own(None)),
        ("Hostname mismatch", lambda w: _operator(w)),
        ("not a master", lambda w: _operator(w)),
    ],
    ids=["authority", "dates", "host", "role"],
)
def test_a_client_refuses_a_server(
    words: str, contexts: Callable[[World], SimContexts], request: Any
) -> None:
    world = World()
    case = request.node.callspec.id
    shown = {
        "authority": world.certificate,
        "dates": world.authority.issue(Role.MASTER, "m1", "m1.sim", not_after=EPOCH - 1),
        "host": world.authority.issue(Role.MASTER, "m1", "other.sim"),
        "role": world.authority.issue(Role.AGENT, "a1", "m1.sim"),
    }[case]
    world.contexts.certificate = shown
    world.contexts.reload()
    world.serve()
    said = world.ask(contexts(world))
    assert isinstance(said, str)
    if case == "role":
        assert "role" in said
    else:
        assert words in said and world.counts.seen == ["peer_alert"]


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("certificate_expired", lambda w: {"not_after": EPOCH - 1}),
        ("certificate_not_yet_valid", lambda w: {"not_before": EPOCH + 900}),
        ("certificate_revoked", lambda w: {}),
    ],
)
def test_a_server_refuses_a_client_which_learns_it_by_reading(
    reason: str, spoil: Callable[[World], dict[str, float]]
) -> None:
    world = World()
    world.serve()
    certificate = world.authority.issue(Role.OPERATOR, "joe", **spoil(world))
    if reason == "certificate_revoked":
        world.authority.revoke(certificate)
        world.contexts.reload()
    said = world.ask(SimContexts(world.authority, certificate, world.client.seconds))
    assert "refused with the TLS alert" in said
    assert world.counts.seen == [reason]
    assert world.peers == []


def test_a_clients_clock_decides_what_it_accepts() -> None:
    world = World()
    world.serve()
    world.client.node.step_clock(366 * 86400)
    assert "has expired" in world.ask(world.own(None))


def test_a_silent_peer_and_one_that_speaks_plaintext() -> None:
    world = World()
    world.serve()

    class Talker(Protocol):
        def connectionMade(self) -> None:
            if self.factory.words:  # type: ignore[union-attr]
                self.transport.write(self.factory.words)

    for words in (b"", b"GET / HTTP/1.1\r\n\r\n"):
        factory = ClientFactory.forProtocol(Talker)
        factory.noisy = False
        factory.words = words
        world.client.connectTCP("m1", 5050, factory)
        world.clock.run(8)
    assert world.counts.seen == ["timeout", "plaintext"]


def test_a_new_certificate_and_a_revoked_one() -> None:
    authority = SimAuthority("c")
    one = authority.issue(Role.AGENT, "a", "a.sim")
    contexts = SimContexts(authority, one, lambda: EPOCH)
    again = authority.issue(Role.AGENT, "a", "a.sim", generation=1)
    assert again.serial != one.serial and one == SimAuthority("c").issue(Role.AGENT, "a", "a.sim")
    contexts.certificate = again
    authority.revoke(one)
    assert contexts.shown == one and not contexts.is_revoked(one.der)
    assert contexts.reload() is None
    assert contexts.shown == again and contexts.is_revoked(one.der)
    assert not contexts.is_revoked(again.der)


def test_records_are_read_one_by_one_as_openssl_does() -> None:
    authority = SimAuthority("c")
    own = SimContexts(authority, authority.issue(Role.MASTER, "m", "m"), lambda: EPOCH)
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    client: Any = own.client_context().wrap_bio(a, b, server_hostname="m")
    server: Any = own.server_context().wrap_bio(b, a, server_side=True)
    for each in (client, server):
        with pytest.raises(ssl.SSLWantReadError):
            each.do_handshake()
    client.do_handshake()
    server.do_handshake()
    assert client.selected_alpn_protocol() == server.selected_alpn_protocol() == "http/1.1"
    assert client.write(bytes(40_000)) == 16384
    client.write(b"second")
    assert len(server.read(1000)) == 1000 and server.pending() == 15384 and b.pending > 0
    assert len(server.read()) == 15384 and server.read() == b"second"
    with pytest.raises(ssl.SSLWantReadError):
        client.unwrap()
    assert server.read() == b""


def test_an_agents_link_and_a_masters_speak_over_it() -> None:
    world = World()
    heard: list[Any] = []
    numbers = itertools.count(1)
    links = AgentLinks(
        IdentityCache(Side.CLIENT, "c"),
        Authorizer(OwnThings(None)),
        heard.append,
        world.server.seconds,
        lambda: next(numbers),
        lambda: None,
        1 << 20,
    )
    world.serve({agentlink.ALPN: links})
    said: list[Any] = []
    timers = Timers(world.client)
    link = MasterLink(
        world.client,
        timers,
        world.own(world.authority.issue(Role.AGENT, "a1", "c1")),
        FixedMasters([("m1.sim", 5050)]),
        FlushBatch(world.client),
        handle=said.append,
        now=world.client.seconds,
        fresh=lambda: ConnectionId(next(numbers)),
        jitter=world.clock.random("jitter").random,
        count=lambda name, amount: None,
    )
    link.start()
    world.clock.run(1)
    assert isinstance(said[0], agent_events.LinkOpened)
    link.send(agentlink.Register(info=m.AgentInfo(hostname="c1"), pid="p", version="1"))
    world.clock.run(1)
    (event,) = [one for one in heard if isinstance(one, master_events.AgentSaid)]
    assert isinstance(event.message, agentlink.Register) and event.message.info.hostname == "c1"
    links.send(event.link, agentlink.Registered(agent_id="S0", master_id="M", ping_timeout_s=9.0))
    world.clock.run(1)
    told = [one.message for one in said if isinstance(one, agent_events.MasterSaid)]
    assert [one.agent_id for one in told if isinstance(one, agentlink.Registered)] == ["S0"]
    world.net.reset(world.server.node, world.client.node)
    world.clock.run(30)
    assert sum(isinstance(one, agent_events.LinkOpened) for one in said) == 2
    link.stop()
    world.clock.run(5)
    assert world.client.getDelayedCalls() == []
