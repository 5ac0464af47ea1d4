"""What a connector's announcement in ZooKeeper promises to clients that look there."""

from __future__ import annotations

import json
from typing import Any

from mesos_twisted.clock import Timers
from mesos_twisted.connect.core.announcement import master_info
from mesos_twisted.connect.net.announcer import Announcer
from mesos_twisted.security.core.secret import Secret
from mesos_twisted.testing.suites.election import Contender, Follower
from mesos_twisted.testing.suites.zookeeper import ALICE, EnsembleSuite, ZooKeeperWorld, steal
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.net.client import ZooKeeperClient


class Connector:
    """An announcer, and what it said."""

    def __init__(
        self,
        world: ZooKeeperWorld,
        path: str,
        name: str,
        port: int = 5050,
        acl: Any = r.OPEN_ACL,
        credentials: Secret | None = None,
    ) -> None:
        self.refusals: list[str] = []
        self.clients: list[ZooKeeperClient] = []
        self.world = world
        self.credentials = credentials
        info = master_info("127.0.0.1", port, name)
        timers = Timers(world.reactor)
        self.announcer = Announcer(self.connect, path, acl, timers, info, self.refusals.append)
        self.announcer.start()

    def connect(self) -> ZooKeeperClient:
        """One more session."""
        self.clients.append(self.world.client(credentials=self.credentials))
        return self.clients[-1]

    def stop(self) -> None:
        """It is gone, and its node."""
        self.world.wait(self.announcer.stop())


class AnnouncerSuite(EnsembleSuite):
    """Connectors at one path."""

    def names(self, world: ZooKeeperWorld, path: str, count: int) -> tuple[str, ...]:
        """The nodes at the path, once there are so many."""
        client = self.started(world)
        for _ in range(1000):
            world.wait(client.sync(path))
            if world.wait(client.exists(path)) is None:
                continue
            found = world.wait(client.children(path)).children
            if len(found) == count:
                world.wait(client.close())
                return tuple(sorted(found))
        raise AssertionError(f"there are never {count} nodes at {path}")

    def test_it_is_found_as_a_master_is(self, world: ZooKeeperWorld, root: str) -> None:
        """Name, kind and content of its node, which goes with it."""
        path = f"{root}/mesos-local"
        one = Connector(world, path, "one")
        (name,) = self.names(world, path, 1)
        assert name == "json.info_0000000000"
        client = self.started(world)
        node = world.wait(client.get(f"{path}/{name}"))
        assert node.stat.ephemeral_owner == one.clients[0].session_id
        assert json.loads(node.data) == {
            "id": "one",
            "ip": 16777343,
            "port": 5050,
            "pid": "connect@127.0.0.1:5050",
            "hostname": "127.0.0.1",
            "address": {"hostname": "127.0.0.1", "ip": "127.0.0.1", "port": 5050},
        }
        one.stop()
        assert self.names(world, path, 0) == ()
        assert one.refusals == []

    def test_connectors_of_several_machines_announce_the_same(
        self, world: ZooKeeperWorld, root: str
    ) -> None:
        """One that goes leaves the others' nodes; who looks hears the same address."""
        one, two = Connector(world, root, "one"), Connector(world, root, "two")
        self.names(world, root, 2)
        follower = Follower(world, root)
        world.until(lambda: follower.said, "one is found")
        one.stop()
        self.names(world, root, 1)
        two.stop()
        world.until(lambda: follower.said[-1] is None, "none is found")
        assert set(follower.said[:-1]) == {"127.0.0.1"}
        world.wait(follower.detector.stop())

    def test_a_node_that_was_lost_is_made_again(self, world: ZooKeeperWorld, root: str) -> None:
        """With its session, or by somebody's hand."""
        one = Connector(world, root, "one")
        (first,) = self.names(world, root, 1)
        steal(world, one.clients[0])
        world.until(lambda: len(one.clients) == 2, "it has another session")
        world.until(lambda: one.announcer.node != f"{root}/{first}", "it has another node")
        (second,) = self.names(world, root, 1)
        client = self.started(world)
        world.wait(client.delete(f"{root}/{second}"))
        world.until(lambda: one.announcer.node != f"{root}/{second}", "it has another node")
        (third,) = self.names(world, root, 1)
        assert len({first, second, third}) == 3 and len(one.clients) == 2
        one.stop()

    def test_it_keeps_away_from_masters(self, world: ZooKeeperWorld, root: str) -> None:
        """Their clients would take it for a master of theirs."""
        a = Contender(world, root, "a")
        a.expects("a", True)
        one = Connector(world, root, "one")
        world.until(lambda: one.refusals, "it refuses")
        assert "Masters contend at" in one.refusals[0] and root in one.refusals[0]
        assert len(self.names(world, root, 1)) == 1
        one.stop()
        world.wait(a.elector.stop())

    def test_all_announce_the_same_address(self, world: ZooKeeperWorld, root: str) -> None:
        """A client takes the first address for one of its own machine."""
        one = Connector(world, root, "one")
        self.names(world, root, 1)
        two = Connector(world, root, "two", port=6060)
        world.until(lambda: two.refusals, "it refuses")
        assert "announces 127.0.0.1:5050" in two.refusals[0] and "127.0.0.1:6060" in two.refusals[0]
        two.stop()
        one.stop()

    def test_a_path_of_something_else_is_left_alone(self, world: ZooKeeperWorld, root: str) -> None:
        """A registry, say."""
        client = self.started(world)
        world.wait(client.create(f"{root}/agents"))
        one = Connector(world, root, "one")
        world.until(lambda: one.refusals, "it refuses")
        assert "holds other nodes (agents)" in one.refusals[0]
        one.stop()

    def test_everybody_reads_and_the_maker_writes(self, world: ZooKeeperWorld, root: str) -> None:
        """Clients without credentials find it; who shares the credentials may announce too."""
        path, acl = f"{root}/mesos-local", r.EVERYONE_READ_CREATOR_ALL
        one = Connector(world, path, "one", acl=acl, credentials=ALICE)
        self.names(world, path, 1)
        two = Connector(world, path, "two", acl=acl, credentials=ALICE)
        self.names(world, path, 2)
        stranger = Connector(world, path, "stranger")
        world.until(lambda: stranger.announcer._failures, "the stranger is refused")
        assert len(self.names(world, path, 2)) == 2
        for each in (stranger, one, two):
            each.stop()
