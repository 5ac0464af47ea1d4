"""One seed, from its world's shape to a verdict: faults, heal, quiet, and what the auditor found.

run_seed(7)                     the same verdict each time, in any process
run_seed(7, without={3, 4})     the same world without its faults number 3 and 4
minimise(7)                     the fewest of its faults that still break the same promise
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

from mesos_twisted.registry.layout import key_of
from mesos_twisted.registry.operations import TABLES
from mesos_twisted.testing.sim import faults
from mesos_twisted.testing.sim.auditor import Auditor
from mesos_twisted.testing.sim.auditor_scene import Violation, ViolationError
from mesos_twisted.testing.sim.faults import Done, Planned
from mesos_twisted.testing.sim.frameworks import Manners, Plan
from mesos_twisted.testing.sim.net import Profile
from mesos_twisted.testing.sim.world import Shape, World

FAULTS_S: Final = 60.0
#: After healing: at least and at most so long until the world must be quiet.
QUIET_S: Final = (20.0, 90.0)
_STEP_S: Final = 5.0
#: The share of worlds with an operator that does something.
OPERATED: Final = 0.3
#: The share of worlds in which some agents are given the masters' names.
NAMED: Final = 0.2
#: Runs that a minimisation may take.
TRIES: Final = 60
REGISTRY: Final = "/mesos_registry/"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a seed. `trace` is equal for equal runs."""

    seed: int
    violations: tuple[Violation, ...]
    faults: tuple[Done, ...]
    planned: tuple[Planned, ...]
    events: int
    seconds: float
    launches: int
    trace: str
    probes: Mapping[str, int] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Was every promise kept?"""
        return not self.violations


def shape_of(seed: int) -> Shape:
    """The world of a seed: masters, agents, frameworks, network."""
    random, roles = Random(f"shape {seed}"), Random(f"roles {seed}")
    operator, named = Random(f"operator {seed}"), Random(f"named {seed}")
    plans = tuple(
        Plan(
            f"f{number}",
            random.choice(list(Manners)),
            tasks=random.randint(3, 14),
            longest_s=random.choice((3.0, 20.0, 60.0)),
            act_every_s=random.choice((1.0, 3.0, 8.0)),
            failover_timeout_s=random.choice((600.0, 600.0, 600.0, 10.0)),
            checkpoint=random.random() < 0.85,
            partition_aware=random.random() < 0.7,
            roles=roles.choice((("*",), ("*",), ("ops", "web"))),
        )
        for number in range(1, random.randint(2, 5))
    )
    return Shape(
        masters=random.choice((1, 3, 3)),
        agents=random.randint(2, 5),
        frameworks=plans,
        profile=Profile(
            latency_s=random.choice((0.0005, 0.005, 0.05)),
            jitter_s=random.random() * 0.05,
            pieces=random.choice((0.0, 0.0, 0.3)),
            joined=random.choice((0.0, 0.1)),
        ),
        restart_s=random.choice((0.2, 1.0, 5.0)),
        named=named.randint(1, 3) if named.random() < NAMED else 0,
        operator_s=operator.choice((1.0, 3.0, 8.0)) if operator.random() < OPERATED else None,
    )


def run_seed(
    seed: int,
    *,
    without: Collection[int] = (),
    begun: Callable[[World], object] = lambda world: None,
    shape: Shape | None = None,
    until_broken: bool = False,
    ended: Callable[[], object] = lambda: None,
) -> Verdict:
    """One world, to its end, or until a promise is broken. `begun(world)` may listen before
    anything happens; `ended()` is called when all has happened, while the auditor still hears."""
    world = World(seed, shape or shape_of(seed))
    auditor = Auditor(
        world, until_broken, records=None if world.zookeeper is None else _Records(world)
    )
    begun(world)
    planned = faults.plan(seed, FAULTS_S)
    done: list[Done] = []
    for each in planned:
        if each.number not in without:
            world.clock.callLater(each.at, _harm, world, each, done)
    try:
        world.run(FAULTS_S)
        faults.heal(world)
        for framework in world.frameworks.values():
            framework.quieten()
        if world.operator is not None:
            world.operator.quieten()
        least, most = QUIET_S
        world.run(least)
        waited = least
        while waited < most and not _quiet(world):
            world.run(_STEP_S)
            waited += _STEP_S
        auditor.settled()
        ended()
    except ViolationError:
        # Among the auditor's: nothing more is asked of this world.
        pass
    finally:
        auditor.close()
    return Verdict(
        seed,
        tuple(auditor.violations),
        tuple(done),
        tuple(planned),
        world.clock.events,
        world.clock.now,
        len(world.ledger.launches),
        world.clock.trace(),
        dict(auditor.probes.counts),
    )


def _harm(world: World, planned: Planned, done: list[Done]) -> None:
    random = Random(f"{world.seed} {planned.number}")
    words = faults.EVERY[planned.kind](world, random)
    done.append(Done(world.clock.now, planned.kind, words))
    world.clock.note("fault", words)


def _quiet(world: World) -> bool:
    """Is nothing left to do? All are back, tasks over, their updates acknowledged."""
    leader = world.leader()
    if leader is None or len(world.registered()) != len(world.hosts):
        return False
    there = {one.info.name for one in leader.state.frameworks.values() if one.connected}
    for name, framework in world.frameworks.items():
        if framework.over is None and name not in there:
            return False
    if any(host.kernel.running() for host in world.hosts.values()):
        return False
    if any(one.taken and not one.over for one in world.ledger.launches.values()):
        return False
    return not any(agent.state.streams for agent in world.agents.values())


class _Records:
    """The registry's records as the ensemble has committed them: (table, key) to bytes."""

    def __init__(self, world: World) -> None:
        assert world.zookeeper is not None
        self._ensemble = world.zookeeper
        self._seen: tuple[object, int] = (None, -1)
        self._records: dict[tuple[str, str], bytes] = {}

    def __call__(self) -> Mapping[tuple[str, str], bytes]:
        tree = max((one.tree for one in self._ensemble.servers), key=lambda one: one.zxid)
        if (tree, tree.zxid) != self._seen:
            self._seen = (tree, tree.zxid)
            self._records = {}
            for path, node in tree.nodes.items():
                parts = path.removeprefix(REGISTRY).split("/")
                if path.startswith(REGISTRY) and len(parts) == 3 and parts[0] in TABLES:
                    self._records[parts[0], key_of(parts[2])] = node.data
        return self._records


def minimise(seed: int, tell: Callable[[str], object] = lambda words: None) -> tuple[int, ...]:
    """Numbers of the faults that are needed to break the promise that the seed broke first."""
    first = run_seed(seed)
    if first.good:
        return ()
    broken = first.violations[0].invariant
    needed = [each.number for each in first.planned]
    tries, size = 0, max(1, len(needed) // 2)
    while size and tries < TRIES:
        at = 0
        while at < len(needed) and tries < TRIES:
            kept = needed[:at] + needed[at + size :]
            left_out = {each.number for each in first.planned} - set(kept)
            tries += 1
            found = run_seed(seed, without=left_out)
            if any(each.invariant == broken for each in found.violations):
                needed = kept
                tell(f"{len(needed)} of {len(first.planned)} faults are enough so far")
            else:
                at += size
        size //= 2
    return tuple(needed)


def sum_of(verdicts: Collection[Verdict]) -> Counter[str]:
    """How often each rare state was reached."""
    total: Counter[str] = Counter()
    for verdict in verdicts:
        total.update(verdict.probes)
    return total
