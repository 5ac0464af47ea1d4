"""What a registry in ZooKeeper promises beyond the others: fenced writes, each exactly once."""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred

from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.registry import raw
from mesos_twisted.registry.layout import RESTORING
from mesos_twisted.registry.operations import (
    AdmitAgent,
    Snapshot,
    StoreWeights,
    Writes,
    next_lead,
    write,
)
from mesos_twisted.registry.zookeeper import ZooKeeperRegistry
from mesos_twisted.registry.zookeeper_records import ZooKeeperRecords
from mesos_twisted.security.core.secret import Secret
from mesos_twisted.testing.suites.registry import RegistrySuite, agent
from mesos_twisted.testing.suites.zookeeper import (
    ALICE,
    MALLORY,
    EnsembleSuite,
    ZooKeeperWorld,
    cut,
)
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core.events import SessionState

T = TypeVar("T")


def large(name: str, size: int) -> m.AgentInfo:
    """An agent whose record has about so many bytes."""
    return m.AgentInfo(hostname="h" * size, port=5051, id=m.AgentID(value=name))


class ZooKeeperRegistrySuite(EnsembleSuite, RegistrySuite):
    """Mix into a test class with a fixture `world`."""

    world: ZooKeeperWorld
    root: str  # type: ignore[assignment]  # of this test; the fixture of that name makes it

    @pytest.fixture(autouse=True)
    def _somewhere(self, world: ZooKeeperWorld, request: Any) -> None:
        self.world = world
        self.where = f"/{type(self).__name__}/{request.node.originalname}"
        self.masters = itertools.count(1)

    def place(self, tmp_path: Any) -> Any:
        """A path of the test's own."""
        return self.where

    def make(
        self,
        place: Any,
        credentials: Secret | None = None,
        contender: str | None = None,
    ) -> ZooKeeperRegistry:
        """A registry of one more master."""
        acl = r.OPEN_ACL if credentials is None else r.EVERYONE_READ_CREATOR_ALL
        client = self.world.client(credentials=credentials)
        name = f"master-{next(self.masters)}"
        return ZooKeeperRegistry(client, place, acl, name, lambda: contender)

    def wait(self, deferred: Deferred[T]) -> T:
        """Let time pass until it fires."""
        return self.world.wait(deferred)

    def loaded(self, **options: Any) -> ZooKeeperRegistry:
        """A registry that may write."""
        registry = self.make(self.where, **options)
        self.wait(registry.load())
        return registry

    def names(self) -> set[str]:
        """The agents that are stored, read by one more master."""
        return {info.id.value for info in self.reopened(self.where).agents}

    def records(self, election: str = "/nobody") -> ZooKeeperRecords:
        """An operator's view of what is stored."""
        return ZooKeeperRecords(self.world.client(), self.where, r.OPEN_ACL, election)

    def test_records_are_read_while_a_master_writes(self) -> None:
        """A backup has one moment of the registry, and a closed session leaves nothing."""
        registry = self.loaded()
        writing = [registry.apply([AdmitAgent(agent(f"n{i}"))]) for i in range(20)]
        records = self.records()
        found = self.wait(records.read())
        for each in writing:
            self.wait(each)
        whole = self.wait(records.read())
        self.wait(records.close())
        names = [info.hostname for info in raw.read(found).agents]
        assert set(names) <= {f"n{i}.example" for i in range(20)}
        assert len(raw.read(whole).agents) == 20 and found.version <= whole.version

    def test_a_backup_is_put_in_place(self) -> None:
        """The master that led cannot write any more, and the next one finds a new registry."""
        registry = self.loaded()
        master = m.MasterInfo(id="m1", ip=1, port=5050, hostname="h")
        lead = next_lead(Snapshot(), master)
        weights = tuple((f"role/{i}", 2.0) for i in range(3))
        self.wait(registry.apply([lead, StoreWeights(weights), AdmitAgent(agent("a"))]))
        records = self.records()
        saved = raw.decode(raw.encode(self.wait(records.read())))
        future = ("tomorrows", "a", b"soon")
        saved = raw.Raw(saved.schema, saved.version, (*saved.records, future))
        self.wait(registry.apply([AdmitAgent(large(f"l{i}", 30_000)) for i in range(20)]))
        self.wait(records.replace(saved))
        with pytest.raises(UnavailableError, match="another master leads"):
            self.wait(registry.apply([AdmitAgent(agent("late"))]))
        found = self.reopened(self.where)
        assert [info.hostname for info in found.agents] == ["a.example"]
        assert found.weights == dict(weights) and found.registry_id == ""
        assert future in self.wait(records.read()).records
        # And back to the many, in more than one transaction.
        many = [AdmitAgent(large(f"l{i}", 30_000)) for i in range(20)]
        writes: Writes = {}
        for operation in many:
            write(operation, writes)
        stored = [(*place, value) for place, value in writes.items() if value is not None]
        self.wait(records.replace(raw.Raw(1, 0, tuple(stored))))
        assert len(self.names()) == 20

    def test_nothing_is_put_in_place_while_masters_contend(self) -> None:
        """They would begin to lead on what is being replaced."""
        registry = self.loaded()
        self.wait(registry.apply([AdmitAgent(agent("a"))]))
        client = self.world.client()
        client.start()
        self.wait(client.create(f"{self.where}/election"))
        self.wait(client.create(f"{self.where}/election/json.info_0000000001", ephemeral=True))
        records = self.records(f"{self.where}/election")
        with pytest.raises(UnavailableError, match="stop them all first"):
            self.wait(records.replace(raw.Raw(1, 0, ())))
        self.wait(registry.apply([AdmitAgent(agent("b"))]))

    def test_no_master_starts_on_half_a_registry(self) -> None:
        """A replacement that is cut short is begun again."""
        self.wait(self.loaded().close())
        client = self.world.client()
        client.start()
        self.wait(client.set(f"{self.where}/meta", RESTORING))
        with pytest.raises(MalformedError, match="restore it again"):
            self.wait(self.make(self.where).load())
        with pytest.raises(MalformedError, match="restore it again"):
            self.wait(self.records().read())
        self.wait(self.records().replace(raw.Raw(1, 0, ())))
        assert self.names() == set()

    def test_records_of_no_registry_are_not_found(self) -> None:
        """A mistyped path is told, not made."""
        with pytest.raises(UnavailableError, match="There is no registry"):
            self.wait(self.records().read())

    def more(self, fired: list[int], seen: int) -> None:
        """Wait until more than so many writes hold."""
        self.world.until(lambda: len(fired) > seen, "one more write holds")

    def test_a_new_leader_shuts_the_old_one_out(self) -> None:
        """From its load on; the old one's writes fail, for ever, and leave nothing."""
        old = self.loaded()
        self.wait(old.apply([AdmitAgent(agent("a"))]))
        new = self.loaded()
        for name in ("b", "c"):
            with pytest.raises(UnavailableError, match="another master leads"):
                self.wait(old.apply([AdmitAgent(agent(name))]))
        self.wait(new.apply([AdmitAgent(agent("d"))]))
        self.wait(new.close())
        self.wait(old.close())
        assert self.names() == {"a", "d"}

    def test_writes_under_way_fail_with_the_one_shut_out(self) -> None:
        """Everyone who waits hears of it."""
        old = self.loaded()
        self.wait(self.loaded().close())
        said: list[Any] = []
        for number in range(3000):
            done = old.apply([AdmitAgent(large(f"n{number}", 1000))])
            done.addCallbacks(lambda _: said.append("held"), lambda f: said.append(f.type))
        self.world.until(lambda: len(said) == 3000, "everyone was told")
        assert set(said) == {UnavailableError}
        self.wait(old.close())
        assert self.names() == set()

    def test_who_does_not_lead_takes_nothing_over(self) -> None:
        """A master whose node has gone is stopped, and the one that leads goes on."""
        client = self.started(self.world)
        self.wait(client.create(f"/contender-{type(self).__name__}"))
        leads = self.loaded(contender=f"/contender-{type(self).__name__}")
        late = self.make(self.where, contender="/contender-gone")
        with pytest.raises(UnavailableError, match="does not lead"):
            self.wait(late.load())
        self.wait(late.close())
        self.wait(leads.apply([AdmitAgent(agent("a"))]))
        self.wait(leads.close())
        self.wait(client.delete(f"/contender-{type(self).__name__}"))

    @pytest.mark.parametrize("after", [0, 1, 2])
    def test_lost_answers_lose_and_double_nothing(self, after: int, request: Any) -> None:
        """The connection breaks again and again while writes are under way."""
        self.where += f"-{after}"
        registry = self.loaded()
        client = registry._client
        fired: list[int] = []
        for number in range(60):
            done = registry.apply([AdmitAgent(large(f"n{number}", 40_000))])
            done.addCallback(fired.append)
            if number % 12 == 3:
                # Before anything was sent, after it was sent, or once some was answered.
                seen = len(fired)
                if after:
                    client.flush()
                if after == 2:
                    self.more(fired, seen)
                if client.state is SessionState.CONNECTED:
                    cut(client)
        self.world.until(lambda: len(fired) == 60, "every write holds")
        assert fired == sorted(fired)
        held = registry._held_version
        node = self.wait(self.started(self.world).get(f"{self.where}/version"))
        assert node.stat.version == held == fired[-1]
        self.wait(registry.close())
        assert self.names() == {f"n{number}" for number in range(60)}

    def test_a_leader_that_was_cut_off_and_followed_learns_it(self) -> None:
        """A write whose answer was lost is not sent again after another has led."""
        old = self.loaded()
        said: list[Any] = []
        asked = old.apply([AdmitAgent(agent("a"))])
        asked.addCallbacks(said.append, lambda failure: said.append(failure.type))
        client, dials = old._client, list[int]()
        client._connect = dials.append  # type: ignore[assignment,method-assign]  # not before the other leads
        cut(client)
        new = self.loaded()
        del client._connect
        client._connect(dials[0])
        self.world.until(lambda: said, "it learns it")
        assert said == [UnavailableError]
        self.wait(old.close())
        self.wait(new.close())
        assert self.names() <= {"a"}

    def test_many_large_writes_are_cut_in_pieces(self) -> None:
        """Each is small enough for a server, and all hold."""
        registry = self.loaded()
        asked = [registry.apply([AdmitAgent(large(f"n{i}", 3000))]) for i in range(600)]
        versions = [self.wait(each) for each in asked]
        assert 3 <= len(set(versions)) <= 10
        self.wait(registry.close())
        assert len(self.names()) == 600

    def test_a_write_that_no_server_would_take_is_refused(self) -> None:
        """With a sentence, instead of a connection that breaks for ever."""
        registry = self.loaded()
        with pytest.raises(UnavailableError, match="too large"):
            self.wait(registry.apply([AdmitAgent(large("n", 1_100_000))]))
        self.wait(registry.close())

    def test_another_layout_is_left_alone(self) -> None:
        """A newer release's registry is not touched."""
        self.wait(self.loaded().close())
        client = self.started(self.world)
        self.wait(client.set(f"{self.where}/meta", b'{"schema": 99}'))
        with pytest.raises(MalformedError, match="layout 99"):
            self.wait(self.make(self.where).load())

    def test_strangers_write_nothing(self) -> None:
        """A registry made with credentials is its owners' to write."""
        owner = self.loaded(credentials=ALICE)
        self.wait(owner.apply([AdmitAgent(agent("a"))]))
        self.wait(owner.close())
        for credentials in (None, MALLORY):
            with pytest.raises(UnavailableError, match="no auth"):
                self.wait(self.make(self.where, credentials=credentials).load())
        assert len(self.wait(self.make(self.where, credentials=ALICE).load()).agents) == 1

    def test_a_session_that_ends_is_told_at_once(self) -> None:
        """Not with the next write only; what waits fails after that. A closed one tells nothing."""
        registry, told = self.loaded(), list[str]()
        registry.lost = told.append
        thief = self.world.client()
        thief._session.session_id = registry._client._session.session_id
        thief._session._password = registry._client._session._password
        thief.start()
        self.world.until(lambda: thief.state is SessionState.CONNECTED, "the session is shared")
        self.wait(thief.close())
        self.world.until(lambda: told, "the master is told")
        assert len(told) == 1 and "has ended" in told[0]
        with pytest.raises(UnavailableError, match="has ended"):
            self.wait(registry.apply([AdmitAgent(agent("a"))]))
        self.wait(registry.close())
        other = self.loaded()
        other.lost = told.append
        self.wait(other.close())
        assert len(told) == 1

    def test_a_master_without_a_session_writes_nothing(self) -> None:
        """An expired session ends the registry."""
        registry = self.loaded()
        self.wait(registry._client.close())
        with pytest.raises(UnavailableError):
            self.wait(registry.apply([AdmitAgent(agent("a"))]))
        self.wait(registry.close())
