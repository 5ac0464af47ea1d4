"""Leading, following, recovering and stopping."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from mesos_twisted.errors import UnavailableError
from mesos_twisted.master.net import service
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.registry.operations import (
    AdmitAgent,
    MarkGone,
    MarkUnreachable,
    RegistryOperation,
    Snapshot,
)
from mesos_twisted.security.net.revocation import revoke
from mesos_twisted.testing.master_service import Certificates, Make, MasterWorld, register
from mesos_twisted.transport.listen import Listener
from mesos_twisted.transport.tls_factory import TLSServerFactory


class Follower:
    """An elector that says another leads, until the test says more."""

    def start(
        self, candidate: m.MasterInfo, changed: Callable[[m.MasterInfo | None, bool], None]
    ) -> None:
        self.changed = changed

    def stop(self) -> Deferred[None]:
        return succeed(None)


OTHER = m.MasterInfo(id="o", ip=1, port=5050, hostname="other.example", pid="master@1.1.1.1:5050")


def test_a_follower_redirects(make: Make) -> None:
    """Path and query are kept; without a leader it is 503."""
    elector = Follower()
    world = make(elector=elector)
    assert world.request("GET", "/state").status == 503
    elector.changed(OTHER, False)
    assert world.ready == 1
    answer = world.request("GET", "/state?jsonp=x")
    assert (answer.status, answer.headers) == (
        307,
        (("Location", "//other.example:5050/state?jsonp=x"),),
    )
    assert world.request("GET", "/redirect").headers[0][1] == "//other.example:5050"
    assert world.request("POST", "/api/v1/scheduler", {}).status == 307
    for path in ("/health", "/version", "/flags", "/metrics/snapshot"):
        assert world.request("GET", path).status == 200
    link, transport = world.agent()
    link.dataReceived(agentlink.frame(register()))
    assert transport.closed


def test_a_leader_that_is_not_one_any_more_stops(make: Make) -> None:
    """It cannot know what the other has decided."""
    elector = Follower()
    world = make(elector=elector)
    elector.changed(world.service.state.info, True)
    assert world.request("GET", "/slaves").status == 200
    elector.changed(OTHER, False)
    assert world.stopped == [(1, "Another master leads; this master must start afresh.")]
    assert world.service.driver.stopped and world.request("GET", "/slaves").status == 503


def test_a_leader_whose_session_ended_acts_no_more(make: Make) -> None:
    """Nor one that was about to lead; one sentence says why."""
    elector, registry = Follower(), Waiting()
    world = make(elector=elector, registry=registry)
    elector.changed(world.service.state.info, True)
    elector.changed(None, False)
    ((code, sentence),) = world.stopped
    assert code == 1 and "session in ZooKeeper by which this master led has ended" in sentence
    registry.loading.callback(Snapshot())
    assert len(world.stopped) == 1 and not world.service.state.leading


def test_a_leader_whose_registrys_session_ended_acts_no_more(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the next write, which may be long in coming."""
    monkeypatch.setattr(service, "ZooKeeperRegistry", Sessions)
    registry = Sessions()
    world = make(registry=registry)
    registry.lost("The session of the registry has ended: it was silent")
    assert world.stopped[0][0] == 1 and "has ended: it was silent" in world.stopped[0][1]
    assert world.service.driver.stopped and world.request("GET", "/slaves").status == 503


class Sessions(MemoryRegistry):
    """Tells, as the one in ZooKeeper does, when its session has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: Callable[[str], object] = lambda sentence: None


class Waiting(MemoryRegistry):
    """A registry that answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.loading: Deferred[Snapshot] = Deferred()

    def load(self) -> Deferred[Snapshot]:
        return self.loading


def test_a_master_is_not_ready_before_somebody_leads(make: Make) -> None:
    """To be elected or to see that nobody is makes nobody's calls served."""
    elector, registry = Follower(), Waiting()
    world = make(elector=elector, registry=registry)
    elector.changed(None, False)
    assert world.ready == 0
    assert world.service.standing().status == "Waiting for the election of a leader"
    elector.changed(world.service.state.info, True)
    assert world.ready == 0
    assert world.service.standing().status == "Elected: reading the registry"
    registry.loading.callback(Snapshot())
    assert world.ready == 1 and world.service.standing().status == "Leading"


def test_nothing_is_served_before_recovery(make: Make) -> None:
    """A leader that has not read its registry answers 503."""
    registry = Waiting()
    world = make(registry=registry)
    assert world.get("/state") == (503, "Master has not finished recovery")
    assert world.get("/readyz")[0] == 503 and world.ready == 0
    registry.loading.callback(Snapshot(3, (m.AgentInfo(hostname="h", id=m.AgentID(value="a")),)))
    page = world.get("/state")[1]
    assert [one["id"] for one in page["recovered_slaves"]] == ["a"]
    assert world.get("/readyz")[0] == 200 and world.ready == 1


def test_a_registry_that_does_not_answer_ends_the_master(make: Make) -> None:
    """Within the time of the flag."""
    world = make(registry=Waiting())
    world.clock.advance(61.0)
    assert world.stopped[0][0] == 75 and "--registry_fetch_timeout" in world.stopped[0][1]


class Failing(MemoryRegistry):
    """A registry whose disk is full after so many writes."""

    def __init__(self, room: int = 1) -> None:
        super().__init__()
        self.room = room

    def apply(self, operations: Sequence[RegistryOperation]) -> Deferred[int]:
        self.room -= 1
        if self.room < 0:
            return fail(UnavailableError("The disk is full"))
        return super().apply(operations)


def test_a_master_that_cannot_write_its_name_does_not_lead(make: Make) -> None:
    """Nothing is served before the registry knows who leads."""
    world = make(registry=Failing(0))
    assert world.stopped == [(75, "The disk is full")]
    assert world.get("/state")[0] == 503 and world.ready == 0


def test_each_leader_has_the_next_epoch(make: Make) -> None:
    """The registry keeps its id and counts who led."""
    registry = MemoryRegistry()
    first = make(registry=registry).service.state
    second = make(registry=MemoryRegistry(registry.records)).service.state
    assert first.registry_id == second.registry_id == first.info.id
    assert (first.epoch, second.epoch) == (1, 2)


def test_a_registry_that_fails_ends_the_master(make: Make) -> None:
    """An agent is never told what is not stored."""
    world = make(registry=Failing())
    link, transport = world.agent()
    link.dataReceived(agentlink.frame(register()))
    assert world.stopped == [(75, "The registry was not written: The disk is full")]
    assert transport.records() == []


def test_an_agent_is_known_to_the_next_master(make: Make) -> None:
    """What one admitted, the next expects back."""
    registry = MemoryRegistry()
    _, _, agent_id = make(registry=registry).registered()
    assert agent_id in make(registry=MemoryRegistry(registry.records)).service.state.recovered


def test_a_leader_that_misses_too_many_agents_ends(make: Make) -> None:
    """It says how many, and what to do."""
    registry = MemoryRegistry()
    make(registry=registry).registered()
    world = make(registry=MemoryRegistry(registry.records), recovery_agent_removal_limit="0%")
    world.clock.advance(600.1)
    ((code, sentence),) = world.stopped
    assert code == 1 and sentence.startswith("1 of 1 agents did not return within 10mins")
    assert "--recovery_agent_removal_limit" in sentence


def test_lost_agents_are_forgotten_in_time(make: Make) -> None:
    """By the registry too, at the interval of the flag."""
    registry = MemoryRegistry()
    registry.apply([MarkUnreachable(AgentId("u"), 900.0), MarkGone(AgentId("g"), 980.0)])
    world = make(registry=registry, registry_gc_interval=30.0, registry_max_agent_age=100.0)
    state = world.service.state
    world.clock.advance(30.0)
    assert (list(state.unreachable), list(state.gone)) == ([], ["g"])
    world.clock.advance(60.0)
    assert not state.gone
    assert {table for table, _ in registry.records} == {"master"}


def test_admission_needs_an_id() -> None:
    """An operation that cannot be stored is refused before anything is written."""
    registry = MemoryRegistry()
    try:
        registry.apply([AdmitAgent(m.AgentInfo(hostname="h"))])
    except Exception as error:
        assert "without an id" in str(error)
    assert registry.records == {}


def test_bodies_are_limited_by_path(make: Make) -> None:
    """Scheduler calls may be larger than anything else, under each of their spellings."""
    limit = make().service.endpoints.body_limit
    assert limit("/api/v1/scheduler") == limit("/master/api/v1/scheduler/") == 5 << 20
    assert limit("/api/v1") == limit("/api/v1/operator") == limit("/anything") == 1 << 20


def test_stopping_ends_every_stream(make: Make) -> None:
    """Schedulers and operators see the end, agents as well; the registry is let go."""
    world = make()
    _, transport, _ = world.registered()
    streams = [world.subscribe(), world.open("/api/v1", {"type": "SUBSCRIBE"})]
    assert world.close() == []
    assert transport.closed and all(stream.ended for stream in streams)


def test_counters_of_forgotten_frameworks_go(make: Make) -> None:
    """History is bounded, and so are its metrics."""
    world = make(max_completed_frameworks=0)
    world.subscribe()
    framework_id = next(iter(world.service.state.frameworks))
    counters = world.service.metrics.counters
    assert any(framework_id in name for name in counters)
    world.request("POST", "/teardown", f"frameworkId={framework_id}".encode())
    world.clock.advance(301.0)
    assert not any(framework_id in name for name in counters)


def test_the_whitelist_is_read_again(make: Make, tmp_path: Path) -> None:
    """Only the hosts in the file are offered; a change is noticed within seconds."""
    path = tmp_path / "whitelist"
    path.write_text("other.example\n")
    world = make(whitelist=str(path))
    world.registered()
    stream = world.subscribe()
    world.clock.pump([1.0, 1.0])
    assert "OFFERS" not in [event["type"] for event in stream.events()]
    path.write_text("localhost\nother.example\n")
    world.clock.pump([1.0] * 6)
    assert "OFFERS" in [event["type"] for event in stream.events()]
    path.unlink()
    world.clock.pump([1.0] * 6)
    assert world.service.state.whitelist == {"localhost", "other.example"}


class Open:
    """A connection with a certificate."""

    def __init__(self, certificate: bytes) -> None:
        self.certificate = certificate
        self.aborted = False

    def peer_certificate(self) -> bytes:
        return self.certificate

    def abortConnection(self) -> None:
        self.aborted = True


def test_connections_of_revoked_certificates_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload that brings a new revocation list ends what is on it, and nothing else."""
    certificates = Certificates.make(tmp_path)
    world = MasterWorld(certificates, tls_crl_file=str(tmp_path / "crl.pem"))
    gone, stays = Open(certificates.der("framework")), Open(certificates.der("operator"))
    factory = TLSServerFactory(world.clock, world.service.trust.contexts, {})
    monkeypatch.setattr(factory, "connections", lambda: iter([gone, stays]))
    world.service.listener = Listener(_NoPort(), factory)  # type: ignore[arg-type]
    world.service.reload()
    assert not gone.aborted
    revoke(tmp_path, "framework")
    # Nobody says so: the new list is noticed.
    world.clock.advance(31.0)
    assert gone.aborted and not stays.aborted
    assert world.close() == []


class _NoPort:
    """A port that nobody listens on."""

    def stopListening(self) -> None:
        """Nothing to stop."""
