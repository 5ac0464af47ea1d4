"""Whatever happens to the simulated servers: what was answered holds, once, and all agree."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.net import Cut, Profile, SimNetwork
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.testing.sim.zookeeper import SimZooKeeper
from mesos_twisted.zookeeper.core.events import SessionState
from mesos_twisted.zookeeper.errors import ConnectionLostError, SessionEndedError
from mesos_twisted.zookeeper.net.client import ZooKeeperClient

CLIENTS = 4
ROUNDS = 40


class Storm:
    """Three servers, clients that write and read, and faults."""

    def __init__(self, seed: int) -> None:
        self.clock = SimClock(seed)
        self.net = SimNetwork(self.clock, Profile(latency_s=0.002, jitter_s=0.01, pieces=0.2))
        nodes = [self.net.node(f"zk{number}") for number in range(3)]
        self.zk = SimZooKeeper(self.net, nodes, tick_s=0.5, lost_s=2.0)
        self.chance = self.clock.random("test")
        self.reactors = [
            SimReactor(self.net.node(f"c{number}"), f"c{number}") for number in range(CLIENTS)
        ]
        self.clients = [self._client(number) for number in range(CLIENTS)]
        self.held: list[str] = []
        self.refused: list[str] = []
        self.reads: list[list[int]] = [[] for _ in range(CLIENTS)]
        self.written = 0

    def _client(self, number: int) -> ZooKeeperClient:
        chance = Random(self.chance.getrandbits(32)).random
        client = ZooKeeperClient(self.reactors[number], self.zk.addresses, 8.0, chance)
        client.start()
        return client

    def work(self) -> None:
        """Each client writes one node and reads how many there are."""
        for number, client in enumerate(self.clients):
            if client._session.over:
                self.clients[number] = client = self._client(number)
                self.reads.append(self.reads[number])
                self.reads[number] = []
            name = f"/n-{self.written}-"
            self.written += 1
            made = client.create(name, sequential=True)
            made.addCallbacks(self.held.append, self._failed, errbackArgs=(name,))
            seen = self.reads[number]
            client.exists("/").addCallbacks(
                lambda stat, seen=seen: seen.append(stat.pzxid), lambda failure: None
            )

    def _failed(self, failure: Any, name: str) -> None:
        if failure.check(SessionEndedError):
            self.refused.append(name)
        else:
            failure.trap(ConnectionLostError)

    def fault(self) -> None:
        """One of them."""
        chance, zk, net = self.chance, self.zk, self.net
        server = chance.choice(zk.servers)
        nodes = list(net.nodes.values())
        match chance.randrange(10):
            case 0 if server.process is not None:
                zk.kill(server)
            case 1 if server.running:
                zk.pause(server)
            case 2:
                server.node.power_cut()
            case 3:
                net.cut(*chance.sample(nodes, 2), how=chance.choice(list(Cut)))
            case 4:
                chance.shuffle(nodes)
                net.partition(nodes[:3], nodes[3:])
            case 5:
                server.lose_answers = 3
            case 6:
                server.lag_s = chance.uniform(0.0, 3.0)
            case 7:
                zk.elect()
            case 8:
                server.node.step_clock(chance.uniform(-2.0, 2.0))
            case _:
                self.heal()

    def heal(self) -> None:
        """Everything is well again."""
        self.net.heal_all()
        for server in self.zk.servers:
            server.lag_s, server.lose_answers = 0.0, 0
            if not server.node.up:
                server.node.power_on()
            if server.process is None or not server.process.alive:
                self.zk.restart(server)
            elif server.process.paused:
                self.zk.resume(server)


def run(seed: int) -> Storm:
    """Faults and work in turn, and quiet at the end."""
    storm = Storm(seed)
    for number in range(ROUNDS):
        storm.work()
        storm.clock.run(storm.chance.uniform(0.0, 1.5))
        if number % 2:
            storm.fault()
    storm.heal()
    storm.clock.run(400.0)
    return storm


@pytest.mark.parametrize("seed", range(8))
def test_what_was_answered_holds_once_and_all_agree(seed: int) -> None:
    storm = run(seed)
    trees = [server.tree for server in storm.zk.servers]
    assert storm.zk.serving
    assert trees[0].nodes == trees[1].nodes == trees[2].nodes
    assert trees[0].sessions == trees[1].sessions == trees[2].sessions
    names = [f"/{name}" for name in trees[0].nodes["/"].children if name.startswith("n-")]
    written = [name[:-10] for name in names]
    assert len(written) == len(set(written)), "a write happened twice"
    assert set(storm.held) <= set(names) and len(storm.held) == len(set(storm.held)) > 20
    assert not set(storm.refused) & set(written)
    # Nobody's view goes backwards within a session, whichever servers he was with.
    for seen in storm.reads:
        assert seen == sorted(seen)
    over = [client for client in storm.clients if client.state is not SessionState.CONNECTED]
    assert all(client._session.over for client in over)
    zxids = [entry.zxid for entry in storm.zk.log]
    assert zxids == sorted(set(zxids))
