"""Three whole masters elect one in a simulated ZooKeeper; its end is another's beginning."""

from __future__ import annotations

import io
from typing import Any

import pytest

from mesos_twisted.logs import Logging
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.net import coordination
from mesos_twisted.master.net.service import MasterService
from mesos_twisted.security.core.principal import Role
from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.net import Profile, SimNetwork, SimNode
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.testing.sim.tls import SimAuthority, SimContexts
from mesos_twisted.testing.sim.zookeeper import SimZooKeeper


class Cluster:
    """Three servers, and a master beside each."""

    def __init__(self, seed: int) -> None:
        self.clock = SimClock(seed)
        self.net = SimNetwork(self.clock, Profile(latency_s=0.002, jitter_s=0.005, pieces=0.3))
        self.authority = SimAuthority("c")
        self.zk_nodes = [self.net.node(f"zk{number}") for number in (1, 2, 3)]
        self.zk = SimZooKeeper(self.net, self.zk_nodes)
        self.nodes = [self.net.node(f"m{number}") for number in (1, 2, 3)]
        self.ended: list[tuple[str, int]] = []
        self.masters = [self.start(node) for node in self.nodes]
        self.most = 0
        self.clock.after_each = self._count

    def start(self, node: SimNode) -> tuple[SimReactor, MasterService]:
        """One life of a master."""
        reactor = SimReactor(node, f"{node.name}/master")
        config = MasterConfig(
            cluster="c",
            ip=node.address,
            hostname=node.name,
            zk=f"zk://{self.zk.hosts}/mesos",
            zk_session_timeout=8.0,
        )
        certificate = self.authority.issue(Role.MASTER, node.name, node.name, node.address)
        contexts = SimContexts(self.authority, certificate, reactor.seconds)
        chance = self.clock.random(node.name).random

        def no_file(config: Any, reactor: Any) -> Any:
            raise AssertionError("a master with ZooKeeper keeps no registry in a file")

        elector, registry = coordination.parts(config, reactor, contexts, chance, no_file)

        def stop(code: int, sentence: str) -> None:
            self.ended.append((node.name, code))
            reactor.kill()

        service = MasterService(
            config,
            reactor,
            registry,
            elector,
            Logging(io.StringIO(), "json", "INFO"),
            reactor.seconds,
            self.clock.fresh_bytes(f"{node.name} {self.clock.now}"),
            stop,
            contexts,
            dict,
        )
        service.start(lambda: None)
        return reactor, service

    def leaders(self) -> list[str]:
        """Who acts as the leader, among those that live."""
        return [
            service.config.hostname or ""
            for reactor, service in self.masters
            if reactor.alive and service.state.leading
        ]

    def _count(self) -> None:
        """Most leaders at any one time."""
        self.most = max(self.most, len(self.leaders()))

    def followed(self) -> bool:
        """Whether one leads and all others know it."""
        alive = [service for reactor, service in self.masters if reactor.alive]
        known = {one.leadership.leader and one.leadership.leader.hostname for one in alive}
        return len(self.leaders()) == 1 and known == set(self.leaders())


@pytest.mark.parametrize("seed", range(3))
def test_a_leader_that_is_killed_or_cut_off_is_followed_by_one_other(seed: int) -> None:
    cluster = Cluster(seed)
    cluster.clock.run_until(cluster.followed, 60, "one leads")
    (first,) = cluster.leaders()
    number = [node.name for node in cluster.nodes].index(first)
    cluster.masters[number][0].kill()
    cluster.clock.run_until(cluster.followed, 60, "another leads")
    (second,) = cluster.leaders()
    assert second != first
    cluster.masters[number] = cluster.start(cluster.nodes[number])
    cluster.clock.run_until(cluster.followed, 60, "the first follows")
    assert cluster.leaders() == [second]
    node = cluster.net.nodes[second]
    cluster.net.partition([node], cluster.zk_nodes)
    cluster.clock.run_until(
        lambda: cluster.leaders() not in ([second], []), 60, "the one cut off is followed"
    )
    # It must stop by itself: nobody who leads can tell it.
    cluster.clock.run(10)
    assert cluster.leaders() not in ([second], []) and len(cluster.leaders()) == 1
    assert [who for who, code in cluster.ended] == [second]
    assert cluster.most == 1


def test_one_seed_one_trace() -> None:
    traces = []
    for _ in range(2):
        cluster = Cluster(9)
        cluster.clock.run(20)
        cluster.zk.elect()
        cluster.clock.run(20)
        traces.append(cluster.clock.trace())
    assert traces[0] == traces[1]
