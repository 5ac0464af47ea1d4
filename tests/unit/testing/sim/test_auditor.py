"""The auditor finds nothing in worlds that keep their promises, and changes nothing in them."""

from __future__ import annotations

import pytest

from mesos_twisted.errors import BugError
from mesos_twisted.testing.sim.auditor import Auditor
from mesos_twisted.testing.sim.frameworks import Manners, Plan
from mesos_twisted.testing.sim.probes import NAMES, Probes, missing
from mesos_twisted.testing.sim.world import Shape, World

PLANS = (
    Plan("f1", tasks=6),
    Plan("f2", Manners.DOUBLED, tasks=6),
    Plan("f3", Manners.SILENT, tasks=4, partition_aware=False),
    Plan("f4", Manners.BUGGY, tasks=4, checkpoint=False),
)


def storm(seed: int, kinds: str, audited: bool = True) -> tuple[World, Auditor | None]:
    """Half a minute of faults: kills, cuts and resets, stops, power cuts; then all heals."""
    world = World(seed, Shape(agents=2, frameworks=PLANS))
    auditor = Auditor(world) if audited else None
    chance, places = world.clock.random("storm"), list(world.places.values())
    while kinds and world.clock.now < 30:
        world.run(chance.uniform(0.5, 4.0))
        one, other = chance.sample(places, 2)
        kind = chance.choice(kinds)
        if kind == "k" and one.alive:
            world.kill(one)
        elif kind == "c":
            world.net.cut(one.node, other.node)
            world.clock.callLater(chance.uniform(1, 20), world.net.heal, one.node, other.node)
        elif kind == "r":
            world.net.reset(one.node, other.node)
        elif kind == "p" and one.name in world.hosts and one.node.up:
            world.cut_power(one)
            world.clock.callLater(chance.uniform(1, 20), world.power_on, one)
    world.run(30)
    world.net.heal_all()
    for framework in world.frameworks.values():
        framework.quieten()
    world.run(90)
    if auditor is not None:
        auditor.settled()
        auditor.close()
    return world, auditor


@pytest.mark.parametrize("kinds", ["", "k", "cr", "kcrp"])
@pytest.mark.parametrize("seed", range(3))
def test_a_world_that_keeps_its_promises(seed: int, kinds: str) -> None:
    """Kills, cuts and power cuts break no promise, and launches are there to be judged."""
    world, auditor = storm(seed, kinds)
    assert auditor is not None
    assert [str(one) for one in auditor.violations] == []
    assert len(world.ledger.launches) >= 20


def test_an_audited_world_has_the_same_trace() -> None:
    """Looking changes nothing."""
    assert storm(7, "kcrp")[0].clock.trace() == storm(7, "kcrp", audited=False)[0].clock.trace()


def test_storms_reach_rare_states() -> None:
    """The probes count what a storm leads to."""
    total = Probes()
    for seed in range(2):
        auditor = storm(seed, "kcrp")[1]
        assert auditor is not None
        total.add(auditor.probes.counts)
    reached = NAMES.keys() - set(missing(total.counts))
    assert {"agent disconnected", "double subscription", "offer declined", "power cut"} <= reached


def test_a_probe_must_be_declared() -> None:
    """A misspelt probe would never be missed."""
    with pytest.raises(BugError, match="not declared"):
        Probes().sometimes("task lots")
