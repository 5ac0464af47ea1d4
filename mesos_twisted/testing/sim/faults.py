"""What goes wrong in a world, and when: a schedule drawn from the seed.

    seed -> a random subset of the kinds of fault (a swarm) -> faults for some minutes -> heal

A kind is a function of the world and a stream of chance; it does its harm now, and where that has
an end it arranges for it. `heal` ends everything that is still wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from mesos_twisted.testing.sim import faults_rare, faults_zk
from mesos_twisted.testing.sim.net import Cut, Profile
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.testing.sim.world import Place, World

Fault = Callable[[World, Random], str]


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that happened. `at` is the world's time."""

    at: float
    kind: str
    words: str


def _live(world: World, random: Random, kind: str = "") -> Place | None:
    """A machine with a live process whose name begins with `kind`."""
    alive = [one for name, one in world.places.items() if one.alive and name.startswith(kind)]
    return random.choice(alive) if alive else None


def _reactor(place: Place) -> SimReactor:
    assert place.reactor is not None
    return place.reactor


def kill(world: World, random: Random) -> str:
    """SIGKILL of any process."""
    place = _live(world, random)
    if place is None:
        return "nobody to kill"
    world.kill(place)
    return f"kill -9 {place.name}"


def kill_agent(world: World, random: Random) -> str:
    """SIGKILL of an agent."""
    place = _live(world, random, "a")
    if place is None:
        return "no agent to kill"
    world.kill(place)
    return f"kill -9 {place.name}"


def kill_master(world: World, random: Random) -> str:
    """SIGKILL of a master, the leader if there is one."""
    leaders = world.leaders()
    place = world.places[leaders[0]] if leaders else _live(world, random, "m")
    if place is None or not place.alive:
        return "no master to kill"
    world.kill(place)
    return f"kill -9 {place.name}"


def stop_and_continue(world: World, random: Random) -> str:
    """SIGSTOP of any process, SIGCONT later."""
    place = _live(world, random)
    if place is None:
        return "nobody to stop"
    reactor, seconds = _reactor(place), round(random.choice((1.0, 8.0, 30.0)) * random.random(), 2)
    if reactor.paused:
        return f"{place.name} is stopped already"
    reactor.pause()
    world.clock.callLater(seconds, _resume, reactor)
    return f"stop {place.name} for {seconds} s"


def _resume(reactor: SimReactor) -> None:
    if reactor.alive and reactor.paused:
        reactor.resume()


def cut(world: World, random: Random) -> str:
    """Packets of one machine to another are lost or refused for a while; the other way may work."""
    one, other = random.sample(list(world.net.nodes.values()), 2)
    how = random.choice((Cut.BLACK_HOLE, Cut.BLACK_HOLE, Cut.RESET))
    seconds = round(random.choice((2.0, 15.0, 60.0)) * random.random(), 2)
    both = random.random() < 0.5
    pairs = [(one, other), (other, one)] if both else [(one, other)]
    for source, target in pairs:
        world.net.cut(source, target, how)
        world.clock.callLater(seconds, world.net.heal, source, target)
    arrow = "and" if both else "to"
    return f"cut {one.name} {arrow} {other.name} ({how.value}) for {seconds} s"


def isolate(world: World, random: Random) -> str:
    """One machine is cut from all others for a while."""
    nodes = list(world.net.nodes.values())
    alone = random.choice(nodes)
    seconds = round(random.choice((5.0, 40.0)) * random.random(), 2)
    rest = [node for node in nodes if node is not alone]
    world.net.partition([alone], rest)
    for node in rest:
        world.clock.callLater(seconds, world.net.heal, alone, node)
        world.clock.callLater(seconds, world.net.heal, node, alone)
    return f"isolate {alone.name} for {seconds} s"


def reset(world: World, random: Random) -> str:
    """Every connection between two machines breaks."""
    one, other = random.sample(list(world.net.nodes.values()), 2)
    world.net.reset(one, other)
    return f"reset {one.name} and {other.name}"


def slow_link(world: World, random: Random) -> str:
    """One direction gets slow, cuts writes into pieces, or is narrow."""
    one, other = random.sample(list(world.net.nodes.values()), 2)
    profile = Profile(
        latency_s=random.choice((0.001, 0.05, 0.5)),
        jitter_s=random.random() * 0.2,
        bytes_per_s=random.choice((None, 20_000.0, 500_000.0)),
        pieces=random.random(),
        joined=random.random() * 0.3,
    )
    world.net.shape(one, other, profile)
    return f"{one.name} to {other.name} becomes slow"


def power(world: World, random: Random) -> str:
    """A machine loses power; it boots some seconds later."""
    place = _live(world, random)
    if place is None:
        return "no machine to switch off"
    seconds = round(1.0 + random.random() * 20.0, 2)
    world.cut_power(place)
    world.clock.callLater(seconds, world.power_on, place)
    return f"power of {place.name} off for {seconds} s"


def full_disk(world: World, random: Random) -> str:
    """An agent's disk is full for a while."""
    name = random.choice(list(world.hosts))
    faults = world.hosts[name].rows.faults
    faults.full = True
    world.clock.callLater(1.0 + random.random() * 10.0, setattr, faults, "full", False)
    return f"disk of {name} full"


def crash_in_write(world: World, random: Random) -> str:
    """An agent is killed in the middle of one of its next writes."""
    name = random.choice(list(world.hosts))
    count = random.randrange(12)
    world.hosts[name].rows.faults.crash_after_writes = count
    return f"{name} dies in its write number {count} from now"


def torn_row(world: World, random: Random) -> str:
    """A row of an agent is cut short, and the agent is killed; from its next start on, as an
    operator would have it, it does without what it cannot read."""
    place = _live(world, random, "a")
    if place is None:
        return "no agent with rows"
    host = world.hosts[place.name]
    host.lenient()
    key = host.rows.tear()
    world.kill(place)
    return f"row {key} of {place.name} is torn"


def registry_fault(world: World, random: Random) -> str:
    """The registry's disk is slow, or full, for a while."""
    stored = world.stored
    if random.random() < 0.6:
        stored.flush_s = random.random() * 3.0
        world.clock.callLater(10.0, setattr, stored, "flush_s", 0.005)
        return "registry's disk slow"
    stored.faults.full = True
    world.clock.callLater(5.0, setattr, stored.faults, "full", False)
    return "registry's disk full"


def oom(world: World, random: Random) -> str:
    """The kernel of an agent's machine kills a task."""
    name = random.choice(list(world.hosts))
    victim = world.hosts[name].kernel.oom()
    return f"oom on {name}: {victim.task_id if victim else 'nothing runs'}"


def slow_kernel(world: World, random: Random) -> str:
    """Launches fail, ends are told late, processes are stuck, on one machine."""
    name = random.choice(list(world.hosts))
    faults = world.hosts[name].kernel.faults
    faults.launch_fails = random.choice((0.0, 0.3))
    faults.delay_s = random.choice((0.002, 0.5))
    faults.late_exit_s = random.choice((0.0, 5.0))
    faults.stuck_s = random.choice((0.0, 8.0))
    return f"kernel of {name} misbehaves"


def lose_launcher(world: World, random: Random) -> str:
    """The launcher of an agent's machine loses its connection, and the agent is restarted."""
    place = _live(world, random, "a")
    if place is None:
        return "no agent with a launcher"
    world.hosts[place.name].kernel.lose_launcher()
    world.clock.callLater(random.random() * 3.0, _kill_if_alive, world, place)
    return f"launcher of {place.name} lost"


def _kill_if_alive(world: World, place: Place) -> None:
    if place.alive:
        world.kill(place)


def clock_step(world: World, random: Random) -> str:
    """A machine's clock is set, or runs fast or slow from now on."""
    node = random.choice(list(world.net.nodes.values()))
    if random.random() < 0.5:
        node.set_rate(random.choice((0.9, 0.99, 1.01, 1.1)))
        return f"clock of {node.name} drifts"
    step = random.choice((-30.0, -1.0, 1.0, 30.0))
    node.step_clock(step)
    return f"clock of {node.name} steps by {step:g} s"


def no_names(world: World, random: Random) -> str:
    """A machine finds no host names for a while."""
    node = random.choice(list(world.net.nodes.values()))
    node.dns_down = True
    world.clock.callLater(random.random() * 15.0, setattr, node, "dns_down", False)
    return f"no names on {node.name}"


def stop_gracefully(world: World, random: Random) -> str:
    """SIGTERM to a master, as an upgrade does; it is started again."""
    place = _live(world, random, "m")
    if place is None:
        return "no master to stop"
    service = world.services[place.name]
    service.stop().addBoth(lambda _: world.kill(place) if place.alive else None)
    return f"SIGTERM to {place.name}"


KINDS: dict[str, Fault] = {
    function.__name__: function
    for function in (
        kill,
        kill_agent,
        kill_master,
        stop_and_continue,
        cut,
        isolate,
        reset,
        slow_link,
        power,
        full_disk,
        crash_in_write,
        torn_row,
        registry_fault,
        oom,
        slow_kernel,
        lose_launcher,
        clock_step,
        no_names,
        stop_gracefully,
    )
} | faults_zk.KINDS

#: In so many of ten seeds something rare happens too.
_RARE_IN_TEN = 4
EVERY: dict[str, Fault] = KINDS | faults_rare.KINDS


#: Rare faults are numbered from here on.
FIRST_RARE = 1000


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault to come: its number names its own stream of chance, so leaving out another
    changes nothing of it."""

    number: int
    at: float
    kind: str


def plan(seed: int, seconds: float, kinds: dict[str, Fault] | None = None) -> list[Planned]:
    """The faults of one seed: a few kinds only, at random instants, more in bad worlds."""
    random = Random(f"faults {seed}")
    every = sorted(kinds or KINDS)
    some = random.sample(every, random.randint(1, min(7, len(every))))
    gap_s = random.choice((3.0, 6.0, 12.0, 30.0))
    planned = list(_drawn(random, some, gap_s, seconds))
    return planned if kinds else sorted([*planned, *rare(seed, seconds)], key=lambda one: one.at)


def rare(seed: int, seconds: float) -> Iterator[Planned]:
    """Mostly nothing, else one or two rare faults early enough to have consequences."""
    random = Random(f"rare faults {seed}")
    if random.random() * 10 < _RARE_IN_TEN:
        for number in range(random.choice((1, 2))):
            at = 4.0 + random.random() * 0.5 * seconds
            yield Planned(FIRST_RARE + number, at, random.choice(sorted(faults_rare.KINDS)))


def _drawn(random: Random, kinds: list[str], gap_s: float, seconds: float) -> Iterator[Planned]:
    at, number = 2.0 + random.random() * gap_s, 0
    while at < seconds:
        yield Planned(number, at, random.choice(kinds))
        at += random.expovariate(1.0 / gap_s)
        number += 1


def heal(world: World) -> None:
    """Nothing is wrong any more: links are whole, disks good, machines on, processes running."""
    world.net.heal_all()
    faults_zk.heal(world)
    faults_rare.heal(world)
    for node in world.net.nodes.values():
        node.dns_down = False
        node.set_rate(1.0)
    for one in list(world.net.nodes.values()):
        for other in list(world.net.nodes.values()):
            if one is not other:
                world.net.shape(one, other, world.shape.profile)
    for host in world.hosts.values():
        host.rows.faults.full = host.rows.faults.broken = False
        host.rows.faults.crash_after_writes = None
        host.kernel.faults.launch_fails = host.kernel.faults.late_exit_s = 0.0
        host.kernel.faults.stuck_s, host.kernel.faults.delay_s = 0.0, 0.002
    world.stored.faults.full, world.stored.flush_s = False, 0.005
    for place in world.places.values():
        place.held = False
        if place.reactor is not None:
            _resume(place.reactor)
        if not place.node.up:
            world.power_on(place)
        else:
            world.begin(place)
