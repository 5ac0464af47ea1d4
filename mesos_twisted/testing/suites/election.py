"""What an election in ZooKeeper promises to masters, agents and frameworks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from mesos_twisted.clock import Timers
from mesos_twisted.election.membership import encode_info
from mesos_twisted.election.zookeeper import ZooKeeperDetector, ZooKeeperElector
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.suites.zookeeper import (
    EnsembleSuite,
    ZooKeeperWorld,
    becomes,
    cut,
    steal,
)
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core.events import SessionState
from mesos_twisted.zookeeper.errors import ConnectionLostError
from mesos_twisted.zookeeper.net.client import ZooKeeperClient


def master(name: str) -> m.MasterInfo:
    """A master on its host."""
    return m.MasterInfo(
        id=f"id-{name}",
        ip=16777343,
        port=5050,
        pid="master@127.0.0.1:5050",
        hostname=f"{name}.example",
        address=m.Address(hostname=f"{name}.example", ip="127.0.0.1", port=5050),
    )


class Contender:
    """An elector, and what it said."""

    def __init__(self, world: ZooKeeperWorld, path: str, name: str, acl: Any = r.OPEN_ACL) -> None:
        self.said: list[tuple[str | None, bool]] = []
        self.clients: list[ZooKeeperClient] = []
        self.world = world
        self.info = master(name)
        self.elector = ZooKeeperElector(self.connect, path, acl, Timers(world.reactor))
        self.elector.start(self.info, self.heard)

    def connect(self) -> ZooKeeperClient:
        """One more session."""
        self.clients.append(self.world.client())
        return self.clients[-1]

    def heard(self, info: m.MasterInfo | None, is_us: bool) -> None:
        """The elector's word."""
        self.said.append((None if info is None else info.hostname, is_us))

    def expects(self, name: str | None, is_us: bool = False) -> None:
        """Wait until the last word was this."""
        word = (None if name is None else f"{name}.example", is_us)
        self.world.until(lambda: self.said[-1:] == [word], f"it says {word}, not {self.said}")


class Follower:
    """A detector, and what it said."""

    def __init__(self, world: ZooKeeperWorld, path: str) -> None:
        self.said: list[str | None] = []
        self.contending: list[str] = []
        self.clients: list[ZooKeeperClient] = []
        self.world = world
        self.detector = ZooKeeperDetector(self.connect, path, Timers(world.reactor))
        self.detector.start(self.heard, self.others)

    def connect(self) -> ZooKeeperClient:
        """One more session."""
        self.clients.append(self.world.client())
        return self.clients[-1]

    def heard(self, info: m.MasterInfo | None) -> None:
        """The detector's word."""
        self.said.append(None if info is None else info.hostname)

    def others(self, infos: Sequence[m.MasterInfo]) -> None:
        """The detector's word on who contends."""
        self.contending = [info.hostname.partition(".")[0] for info in infos if info.hostname]

    def expects_all(self, names: str) -> None:
        """Wait until those contend, in the order of their coming."""
        self.world.until(
            lambda: "".join(self.contending) == names, f"{names} contend, not {self.contending}"
        )

    def expects(self, name: str | None) -> None:
        """Wait until the last word was this."""
        word = None if name is None else f"{name}.example"
        self.world.until(lambda: self.said[-1:] == [word], f"it says {word}, not {self.said}")


class ElectionSuite(EnsembleSuite):
    """Contenders and detectors over one path."""

    def test_one_leads_and_the_next_inherits(self, world: ZooKeeperWorld, root: str) -> None:
        """In the order of coming; a leader that stops is followed at once."""
        path = f"{root}/mesos"
        follower = Follower(world, path)
        a = Contender(world, path, "a")
        a.expects("a", True)
        follower.expects("a")
        b = Contender(world, path, "b")
        b.expects("a")
        c = Contender(world, path, "c")
        c.expects("a")
        world.wait(a.elector.stop())
        b.expects("b", True)
        c.expects("b")
        follower.expects("b")
        assert a.said == [("a.example", True)]
        world.wait(c.elector.stop())
        world.wait(b.elector.stop())
        follower.expects(None)
        world.wait(follower.detector.stop())

    def test_who_contends_is_known(self, world: ZooKeeperWorld, root: str) -> None:
        """Who comes and who goes, and what is no master's is left out; also over a new session."""
        follower = Follower(world, root)
        a = Contender(world, root, "a")
        follower.expects_all("a")
        client = self.started(world)
        world.wait(client.create(f"{root}/json.info_", b"nobody", sequential=True))
        world.wait(client.create(f"{root}/log_replicas"))
        b = Contender(world, root, "b")
        follower.expects_all("ab")
        steal(world, follower.clients[0])
        follower.expects("a")
        c = Contender(world, root, "c")
        follower.expects_all("abc")
        world.wait(a.elector.stop())
        follower.expects_all("bc")
        for each in (b, c):
            world.wait(each.elector.stop())
        follower.expects_all("")
        world.wait(follower.detector.stop())

    def test_nodes_are_as_mesos_writes_them(self, world: ZooKeeperWorld, root: str) -> None:
        """Name, JSON and kind: whatever reads Mesos's nodes reads ours."""
        a = Contender(world, root, "a")
        a.expects("a", True)
        client = self.started(world)
        assert world.wait(client.children(root)).children == ("json.info_0000000000",)
        node = world.wait(client.get(f"{root}/json.info_0000000000"))
        assert node.stat.ephemeral_owner == a.clients[0].session_id
        assert json.loads(node.data) == {
            "id": "id-a",
            "ip": 16777343,
            "port": 5050,
            "pid": "master@127.0.0.1:5050",
            "hostname": "a.example",
            "address": {"hostname": "a.example", "ip": "127.0.0.1", "port": 5050},
        }
        world.wait(a.elector.stop())

    def test_a_leader_that_expires_says_so_and_ends(self, world: ZooKeeperWorld, root: str) -> None:
        """It does not contend again: its process must start afresh."""
        a, b = Contender(world, root, "a"), None
        a.expects("a", True)
        b = Contender(world, root, "b")
        b.expects("a")
        steal(world, a.clients[0])
        a.expects(None)
        b.expects("b", True)
        assert len(a.clients) == 1
        world.wait(a.elector.stop())
        world.wait(b.elector.stop())

    def test_a_standby_that_expires_contends_again(self, world: ZooKeeperWorld, root: str) -> None:
        """It has nothing to lose."""
        a = Contender(world, root, "a")
        a.expects("a", True)
        b = Contender(world, root, "b")
        b.expects("a")
        steal(world, b.clients[0])
        world.until(lambda: len(b.clients) == 2, "it has a new session")
        b.expects("a")
        world.wait(a.elector.stop())
        b.expects("b", True)
        assert ("b.example", True) not in b.said[:-1]
        world.wait(b.elector.stop())

    def test_a_lost_connection_changes_nothing(self, world: ZooKeeperWorld, root: str) -> None:
        """Nobody hears of it while the session lives; later changes are told all the same."""
        a = Contender(world, root, "a")
        a.expects("a", True)
        follower = Follower(world, root)
        follower.expects("a")
        for client in (a.clients[0], follower.clients[0]):
            cut(client)
            becomes(world, client, SessionState.SUSPENDED)
            becomes(world, client, SessionState.CONNECTED)
        assert a.said == [("a.example", True)]
        assert follower.said == ["a.example"]
        world.wait(a.elector.stop())
        follower.expects(None)
        b = Contender(world, root, "b")
        follower.expects("b")
        world.wait(b.elector.stop())
        world.wait(follower.detector.stop())

    def test_a_detector_whose_session_ended_begins_again(
        self, world: ZooKeeperWorld, root: str
    ) -> None:
        """Between the two it knows of no leader."""
        a = Contender(world, root, "a")
        follower = Follower(world, root)
        follower.expects("a")
        steal(world, follower.clients[0])
        world.until(lambda: len(follower.said) == 3, "it begins again")
        assert follower.said == ["a.example", None, "a.example"]
        world.wait(a.elector.stop())
        follower.expects(None)
        world.wait(follower.detector.stop())

    def test_a_node_taken_from_a_standby_is_made_again(
        self, world: ZooKeeperWorld, root: str
    ) -> None:
        """It stays an heir."""
        a = Contender(world, root, "a")
        a.expects("a", True)
        b = Contender(world, root, "b")
        b.expects("a")
        client = self.started(world)
        world.wait(client.delete(f"{root}/json.info_0000000001"))
        world.wait(client.sync(root))
        world.until(lambda: b.elector._own == "json.info_0000000002", "it has another node")
        world.wait(a.elector.stop())
        b.expects("b", True)
        world.wait(b.elector.stop())

    def test_a_leader_whose_node_is_taken_steps_down(
        self, world: ZooKeeperWorld, root: str
    ) -> None:
        """Another may lead from that moment."""
        a = Contender(world, root, "a")
        a.expects("a", True)
        client = self.started(world)
        world.wait(client.delete(f"{root}/json.info_0000000000"))
        a.expects(None)
        world.wait(a.elector.stop())
        world.wait(client.sync(root))
        assert world.wait(client.children(root)).children == ()

    def test_a_create_without_an_answer_leaves_one_node(
        self, world: ZooKeeperWorld, root: str
    ) -> None:
        """It looks for its own before it makes another."""

        class Forgetful(Contender):
            def connect(self) -> ZooKeeperClient:
                client = super().connect()
                create = client.create

                def forget(path: str, *args: Any, **kwargs: Any) -> Deferred[str]:
                    client.create = create  # type: ignore[method-assign]  # once
                    made = create(path, *args, **kwargs)

                    def lose(_: str) -> str:
                        raise ConnectionLostError("the answer was lost")

                    return made.addCallback(lose)

                client.create = forget  # type: ignore[method-assign]  # what is tested
                return client

        a = Forgetful(world, root, "a")
        a.expects("a", True)
        client = self.started(world)
        assert world.wait(client.children(root)).children == ("json.info_0000000000",)
        world.wait(a.elector.stop())

    def test_other_names_are_no_contenders(self, world: ZooKeeperWorld, root: str) -> None:
        """What Mesos keeps there beside them does not lead."""
        client = self.started(world)
        world.wait(client.create(f"{root}/log_replicas"))
        world.wait(client.create(f"{root}/json.info_1"))
        a = Contender(world, root, "a")
        a.expects("a", True)
        world.wait(a.elector.stop())

    def test_a_leader_of_an_unknown_form_is_not_overtaken(
        self, world: ZooKeeperWorld, root: str
    ) -> None:
        """Who it is cannot be told, yet it leads."""
        client = self.started(world)
        old = world.wait(client.create(f"{root}/info_", b"\x0a", sequential=True))
        bad = world.wait(client.create(f"{root}/json.info_", b"{", sequential=True))
        a = Contender(world, root, "a")
        follower = Follower(world, root)
        world.until(lambda: a.elector._own, "it contends")
        world.wait(client.delete(old))
        world.wait(client.set(bad, encode_info(master("z"))))
        # The data of a contender do not change in Mesos, and are not watched.
        late = Follower(world, root)
        late.expects("z")
        assert ("a.example", True) not in a.said
        world.wait(client.delete(bad))
        a.expects("a", True)
        follower.expects("a")
        for done in (a.elector.stop(), follower.detector.stop(), late.detector.stop()):
            world.wait(done)
