"""Faults that must meet others to do harm: what takes long, and what happens meanwhile.

A seed has none of them, or one or two, beside its other faults. Each lets chance decide what it
hits and for how long, and what else goes wrong in that time.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mesos_twisted.testing.sim.world import Place, World
from mesos_twisted.testing.sim.zk_server import ZkServer
from mesos_twisted.zookeeper import records as r

_ELECTION = "/mesos"


def _some(world: World, random: Random, kind: str) -> Place | None:
    places = [one for name, one in world.places.items() if name.startswith(kind) and one.alive]
    return random.choice(places) if places else None


def _leading(world: World) -> Place | None:
    leaders = world.leaders()
    place = world.places[leaders[0]] if leaders else None
    return place if place is not None and place.alive else None


def _begin(world: World, place: Place) -> None:
    place.held = False
    world.begin(place)


def _away(world: World, place: Place, seconds: float) -> None:
    """Killed, and not started again for so long."""
    place.held = True
    world.kill(place)
    world.clock.callLater(seconds, _begin, world, place)


def _cut_off(world: World, place: Place, seconds: float, whom: Callable[[str], bool]) -> None:
    for node in world.net.nodes.values():
        if node is not place.node and whom(node.name):
            for one, other in ((place.node, node), (node, place.node)):
                world.net.cut(one, other)
                world.clock.callLater(seconds, world.net.heal, one, other)


def framework_away(world: World, random: Random) -> str:
    """A framework is gone for a while, perhaps for longer than its time to return; sometimes an
    agent is cut off at the same time."""
    place = _some(world, random, "f")
    if place is None:
        return "no framework to stop"
    seconds = round(5.0 + random.random() * 35.0, 2)
    _away(world, place, seconds)
    agent = _some(world, random, "a")
    if agent is None or random.random() < 0.4:
        return f"{place.name} is away for {seconds} s"
    _cut_off(world, agent, seconds, lambda name: True)
    return f"{place.name} is away and {agent.name} cut off for {seconds} s"


def agent_cut_off(world: World, random: Random) -> str:
    """An agent cannot be reached for so long that it is given up, and the leader is killed while
    that is so, or just before or after."""
    place = _some(world, random, "a")
    if place is None:
        return "no agent to cut off"
    seconds = round(20.0 + random.random() * 30.0, 2)
    _cut_off(world, place, seconds, lambda name: True)
    later = round(random.random() * (seconds + 10.0), 2)
    world.clock.callLater(later, _kill_leader, world)
    return f"{place.name} is cut off for {seconds} s, and the leader killed after {later} s"


def _kill_leader(world: World) -> None:
    place = _leading(world)
    if place is not None:
        world.kill(place)


def leader_cut_off(world: World, random: Random) -> str:
    """The leader is cut off from ZooKeeper's servers, or from everybody, for long."""
    place = _leading(world)
    if place is None:
        return "nobody leads"
    seconds = round(10.0 + random.random() * 30.0, 2)
    all_of_them = random.random() < 0.3
    _cut_off(world, place, seconds, lambda name: all_of_them or name.startswith("z"))
    return f"{place.name} is cut off from {'all' if all_of_them else 'ZooKeeper'} for {seconds} s"


def leader_deposed(world: World, random: Random) -> str:
    """Somebody removes the leader's node, and the server that would tell it so lags; agents are
    restarted and lose their connections meanwhile."""
    ensemble = world.zookeeper
    place = _leading(world)
    if ensemble is None or place is None:
        return "nobody to depose"
    servers = [one for one in ensemble.servers if one.leader is not one and one.running]
    leader = ensemble.leader
    if leader is None or not servers:
        return "no server that follows"
    nodes = [path for path in leader.tree.nodes if path.startswith(f"{_ELECTION}/json.info_")]
    if not nodes:
        return "no node to remove"
    owner = leader.tree.nodes[min(nodes)].owner
    seconds = round(2.0 + random.random() * 10.0, 2)
    for server in servers:
        if server.serves(owner) or random.random() < 0.2:
            server.lag_s = seconds
            world.clock.callLater(2 * seconds, _lag_no_more, server)
    leader.administer(r.Delete(min(nodes), r.ANY_VERSION))
    agents = [one for name, one in world.places.items() if name.startswith("a") and one.alive]
    for agent in agents:
        for _ in range(random.randrange(6)):
            harm = random.choice((_kill_if_alive, _disconnect, _disconnect, _disconnect))
            world.clock.callLater(random.random() * seconds, harm, world, agent)
    if world.operator is not None:
        for _ in range(random.randrange(6)):
            world.clock.callLater(random.random() * seconds, world.operator.weigh)
    return f"{min(nodes)} is removed, and servers lag by {seconds} s"


def _lag_no_more(server: ZkServer) -> None:
    server.lag_s = 0.0


def _kill_if_alive(world: World, place: Place) -> None:
    if place.alive:
        world.kill(place)


def _disconnect(world: World, place: Place) -> None:
    for name, one in world.places.items():
        if name.startswith("m"):
            world.net.reset(place.node, one.node)


def agent_away(world: World, random: Random) -> str:
    """An agent is down for a while; processes on its machine end meanwhile, and their numbers are
    taken by others."""
    place = _some(world, random, "a")
    if place is None:
        return "no agent to stop"
    kernel = world.hosts[place.name].kernel
    kernel.faults.strangers = random.random()
    seconds = round(2.0 + random.random() * 15.0, 2)
    _away(world, place, seconds)
    for _ in range(random.randrange(3)):
        world.clock.callLater(random.random() * seconds, kernel.oom)
    world.clock.callLater(seconds, setattr, kernel.faults, "strangers", 0.0)
    return f"{place.name} is away for {seconds} s"


def answers_lost_at_start(world: World, random: Random) -> str:
    """A master starts again, and ZooKeeper's first answers to it are lost."""
    ensemble = world.zookeeper
    place = _leading(world) or _some(world, random, "m")
    if ensemble is None or place is None:
        return "no master that contends"
    world.kill(place)
    for server in ensemble.servers:
        server.lose_answers = random.randint(0, 3)
    return f"{place.name} is killed, and servers lose answers"


def session_replaced(world: World, random: Random) -> str:
    """The sessions of a master end, while the servers that would tell it lag."""
    ensemble = world.zookeeper
    leader = None if ensemble is None else ensemble.leader
    if ensemble is None or leader is None:
        return "no ensemble that leads"
    seconds = round(random.random() * 20.0, 2)
    for server in ensemble.servers:
        if server is not leader and random.random() < 0.7:
            server.lag_s = seconds
            world.clock.callLater(2 * seconds, _lag_no_more, server)
    nodes = leader.tree.nodes
    owners = [node.owner for path, node in nodes.items() if path.startswith(f"{_ELECTION}/")]
    for owner in owners:
        if owner and random.random() < 0.6:
            ensemble.expire(owner)
    return f"sessions of masters expire, and servers lag by {seconds} s"


def master_power(world: World, random: Random) -> str:
    """A master's machine restarts, and no connection to it hears of it."""
    place = _leading(world) or _some(world, random, "m")
    if place is None:
        return "no master to switch off"
    seconds = round(random.random() * 20.0, 2)
    world.cut_power(place)
    world.clock.callLater(seconds, world.power_on, place)
    return f"power of {place.name} off for {seconds} s"


def slow_sandboxes(world: World, random: Random) -> str:
    """Sandboxes take their time, on most machines, until the world heals."""
    seconds = round(0.2 + random.random() * 4.0, 2)
    for host in world.hosts.values():
        host.kernel.faults.sandbox_s = seconds if random.random() < 0.7 else 0.0
    return f"sandboxes take up to {seconds} s"


def torn_rows(world: World, random: Random) -> str:
    """Several rows of an agent are cut short at once, and it is killed."""
    place = _some(world, random, "a")
    if place is None:
        return "no agent with rows"
    host = world.hosts[place.name]
    host.lenient()
    keys = [host.rows.tear() for _ in range(random.randint(1, 6))]
    world.kill(place)
    return f"{len(keys)} rows of {place.name} are torn"


KINDS: dict[str, Callable[[World, Random], str]] = {
    function.__name__: function
    for function in (
        framework_away,
        agent_cut_off,
        leader_cut_off,
        leader_deposed,
        agent_away,
        answers_lost_at_start,
        session_replaced,
        master_power,
        slow_sandboxes,
        torn_rows,
    )
}


def heal(world: World) -> None:
    """Sandboxes are quick, and numbers of processes are left alone."""
    for host in world.hosts.values():
        host.kernel.faults.sandbox_s = host.kernel.faults.strangers = 0.0
