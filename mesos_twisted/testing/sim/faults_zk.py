"""What goes wrong with a world's ZooKeeper ensemble; nothing does in a world without one."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mesos_twisted.testing.sim.world import World
from mesos_twisted.testing.sim.zk_server import ZkServer
from mesos_twisted.testing.sim.zookeeper import SimZooKeeper

_NONE = "no ensemble"
_LONGEST_S = 25.0


def _some(world: World, random: Random) -> tuple[SimZooKeeper, ZkServer] | None:
    if world.zookeeper is None:
        return None
    return world.zookeeper, random.choice(world.zookeeper.servers)


def zk_kill(world: World, random: Random) -> str:
    """One server is killed, and started again later."""
    found = _some(world, random)
    if found is None:
        return _NONE
    ensemble, server = found
    seconds = round(random.random() * _LONGEST_S, 2)
    ensemble.kill(server)
    world.clock.callLater(seconds, restart, ensemble, server)
    return f"kill -9 {server.node.name} for {seconds} s"


def restart(ensemble: SimZooKeeper, server: ZkServer) -> None:
    """Start it, unless it runs or its machine is off."""
    if server.process is not None and not server.process.alive:
        server.look()
        server.process = None
    if server.process is None and server.node.up:
        ensemble.restart(server)


def zk_kill_leader(world: World, random: Random) -> str:
    """The ensemble's leader is killed."""
    ensemble = world.zookeeper
    leader = None if ensemble is None else ensemble.leader
    if ensemble is None or leader is None:
        return _NONE
    ensemble.kill(leader)
    world.clock.callLater(1.0 + random.random() * _LONGEST_S, restart, ensemble, leader)
    return f"kill -9 {leader.node.name}, which leads"


def zk_pause(world: World, random: Random) -> str:
    """One server is stopped and continued."""
    found = _some(world, random)
    if found is None:
        return _NONE
    ensemble, server = found
    seconds = round(random.random() * _LONGEST_S, 2)
    ensemble.pause(server)
    world.clock.callLater(seconds, ensemble.resume, server)
    return f"stop {server.node.name} for {seconds} s"


def zk_elect(world: World, random: Random) -> str:
    """Another server leads."""
    if world.zookeeper is None:
        return _NONE
    world.zookeeper.elect()
    return "ZooKeeper elects"


def zk_expire(world: World, random: Random) -> str:
    """A session ends though its client lives."""
    ensemble = world.zookeeper
    leader = None if ensemble is None else ensemble.leader
    if ensemble is None or leader is None:
        return _NONE
    sessions = sorted(leader.tree.sessions)
    if not sessions:
        return "no session to end"
    session = random.choice(sessions)
    ensemble.expire(session)
    return f"session {session:x} expires"


def zk_lose_answers(world: World, random: Random) -> str:
    """The next writes through one server happen, and their answers are lost."""
    found = _some(world, random)
    if found is None:
        return _NONE
    found[1].lose_answers = random.randint(1, 4)
    return f"{found[1].node.name} loses answers"


def zk_lag(world: World, random: Random) -> str:
    """What one server tells its clients is old."""
    found = _some(world, random)
    if found is None:
        return _NONE
    server = found[1]
    server.lag_s = random.random() * 10.0
    world.clock.callLater(20.0, setattr, server, "lag_s", 0.0)
    return f"{server.node.name} lags by {server.lag_s:.1f} s"


def zk_disconnect(world: World, random: Random) -> str:
    """The clients of one server lose their connections."""
    found = _some(world, random)
    if found is None:
        return _NONE
    found[0].disconnect(found[1])
    return f"clients of {found[1].node.name} are disconnected"


KINDS: dict[str, Callable[[World, Random], str]] = {
    function.__name__: function
    for function in (
        zk_kill,
        zk_kill_leader,
        zk_pause,
        zk_elect,
        zk_expire,
        zk_lose_answers,
        zk_lag,
        zk_disconnect,
    )
}


def heal(world: World) -> None:
    """Every server runs and tells what is new."""
    ensemble = world.zookeeper
    if ensemble is None:
        return
    for server in ensemble.servers:
        server.lag_s, server.lose_answers = 0.0, 0
        if not server.node.up:
            server.node.power_on()
        ensemble.resume(server)
        restart(ensemble, server)
