"""Debian's server and the simulated one answer alike, to the version and the zxid."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesos_twisted.security.core.secret import Secret
from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.net import SimNetwork
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.testing.sim.zookeeper import SimZooKeeper
from mesos_twisted.testing.zookeeper import RealEnsemble, RealWorld
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.core.events import SessionState
from mesos_twisted.zookeeper.errors import AnswerError
from mesos_twisted.zookeeper.net.client import ZooKeeperClient

pytestmark = pytest.mark.system
TOOLS = Path(__file__).resolve().parents[2] / "tools"
CALLS = 1000
STRANGE = ("a/b", "", "//a", "{}/", "{}/./a", "{}/..", "{}/a\0b", "/none/a")
#: Of nodes that all tests share only what changes nothing there.
REFUSED = tuple(
    make(path)
    for path in ("/", "/zookeeper", "/zookeeper/quota", "")
    for make in (
        lambda path: r.Create(path, b"", sequential=False),
        lambda path: r.Delete(path),
        lambda path: r.SetData(path, b"", 99),
        lambda path: r.SetAcl(path, r.OPEN_ACL, 99),
        lambda path: r.Multi((r.Check(path, 99),)),
    )
)
ACLS = (
    r.OPEN_ACL,
    r.OPEN_ACL,
    r.OPEN_ACL,
    r.EVERYONE_READ_CREATOR_ALL,
    r.CREATOR_ALL,
    (r.Acl(r.READ, "world", "anyone"),),
    (r.Acl(r.ALL & ~r.DELETE, "world", "anyone"),),
    (r.Acl(r.ALL, "world", "somebody"),),
    (r.Acl(r.ALL, "digest", "nobody"),),
    (),
)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealEnsemble]:
    made = subprocess.run([TOOLS / "zookeeper.sh"], capture_output=True, text=True, timeout=110)
    assert made.returncode == 0, made.stderr
    ensemble = RealEnsemble.start(tmp_path_factory.mktemp("zookeeper"), 1)
    yield ensemble
    ensemble.stop()


def _path(chance: random.Random, root: str) -> str:
    if chance.random() < 0.04:
        return chance.choice(STRANGE).format(root)
    depth = chance.choice((1, 1, 1, 2, 2, 3))
    return "/".join([root, *(chance.choice("abc") for _ in range(depth))])


def _part(chance: random.Random, root: str) -> Any:
    path, version = _path(chance, root), chance.choice((-1, -1, -1, 0, 1, 2))
    match chance.randrange(5):
        case 0:
            return r.Delete(path, version)
        case 1:
            return r.SetData(path, bytes(chance.randrange(4)), version)
        case 2:
            return r.Check(path, version)
        case _:
            return r.Create(
                path,
                bytes(chance.randrange(4)),
                chance.choice(ACLS),
                chance.random() < 0.2,
                chance.random() < 0.2,
                chance.random() < 0.3,
            )


def _request(chance: random.Random, root: str) -> Any:
    path = _path(chance, root)
    match chance.randrange(12):
        case 0 | 1 | 2 | 3:
            part = _part(chance, root)
            return r.Exists(path) if isinstance(part, r.Check) else part
        case 4:
            return r.Multi(tuple(_part(chance, root) for _ in range(chance.randint(0, 4))))
        case 5:
            return r.SetAcl(path, chance.choice(ACLS), chance.choice((-1, 0, 1)))
        case 6:
            return r.GetAcl(path)
        case 7:
            return r.GetData(path, chance.random() < 0.5)
        case 8:
            return r.GetChildren(path, chance.random() < 0.5, chance.random() < 0.5)
        case 9:
            return r.Delete(path)
        case 10:
            return r.Sync(path)
        case _:
            return r.Exists(path, chance.random() < 0.5)


class Told:
    """One side: calls and what came of them, with zxids counted from the root's."""

    def __init__(self, world: Any, client: ZooKeeperClient, root: str) -> None:
        self.world, self.client = world, client
        client.start()
        world.until(lambda: client.state is SessionState.CONNECTED, "it is connected")
        made = world.wait(client.call(r.Create(root, b"", with_stat=True)))
        self._first: int = made.stat.czxid
        self._events: list[r.WatchEvent] = []

    def call(self, request: Any) -> Any:
        """What it was answered, and which watches had fired by then."""
        watch = self._events.append if getattr(request, "watch", False) else None
        try:
            answer = self._plain(self.world.wait(self.client.call(request, watch)))
        except AnswerError as error:
            answer = error.code
        if getattr(request, "path", None) in ("", "/") and not isinstance(answer, int):
            answer = None  # what else has happened there is not alike
        events, self._events[:] = sorted((e.path, e.kind) for e in self._events), []
        return answer, events

    def _plain(self, reply: Any) -> Any:
        match reply:
            case r.MultiReply(results):
                return [self._plain(result) for result in results]
            case r.Children(names, stat):
                return sorted(names), stat and self._stat(stat)
            case r.Data(data, stat):
                return data, self._stat(stat)
            case r.Acls(acl, stat):
                return sorted(map(repr, acl)), self._stat(stat)
            case r.Created(path, stat):
                return path, stat and self._stat(stat)
            case r.Stated(stat):
                return self._stat(stat)
        return reply

    def _stat(self, stat: r.Stat) -> Any:
        zxids = [number - self._first for number in (stat.czxid, stat.mzxid, stat.pzxid)]
        own = stat.ephemeral_owner and stat.ephemeral_owner == self.client.session_id
        counts = (stat.version, stat.cversion, stat.aversion, stat.data_length, stat.num_children)
        return zxids, counts, own


class SimSide:
    """Time of a simulated world."""

    def __init__(self) -> None:
        self.clock = SimClock()
        network = SimNetwork(self.clock)
        self.ensemble = SimZooKeeper(network, [network.node("zk")], max_timeout_s=60.0)
        self.reactor = SimReactor(network.node("client"), "client")

    def until(self, ready: Any, what: str) -> Any:
        return self.clock.run_until(ready, 60, what)

    def wait(self, deferred: Any) -> Any:
        got: list[Any] = []
        deferred.addBoth(got.append)
        self.clock.run_until(lambda: got, 60, "a Deferred fires")
        if hasattr(got[0], "raiseException"):
            got[0].raiseException()
        return got[0]


@pytest.mark.parametrize("seed", range(6))
def test_both_answer_alike(ensemble: RealEnsemble, seed: int) -> None:
    """Errors, paths, data, lists, versions, zxids and watches."""
    real_world, sim_world = RealWorld(ensemble), SimSide()
    jitter = random.Random(seed).random
    name = Secret(b"alice:wonder") if seed % 2 else None
    root = f"/alike{seed}"
    real = Told(real_world, real_world.client(20.0, name), root)
    sim_client = ZooKeeperClient(
        sim_world.reactor, sim_world.ensemble.addresses, 20.0, jitter, credentials=name
    )
    sim = Told(sim_world, sim_client, root)
    chance, said = random.Random(f"alike {seed}"), []
    for number in range(len(REFUSED) + CALLS):
        request = REFUSED[number] if number < len(REFUSED) else _request(chance, root)
        expected, got = real.call(request), sim.call(request)
        assert got == expected, (number, request)
        said.append(type(expected[0]))
    assert len(set(said)) >= 4
    real_world.close()
