"""Rare faults, the operator, and the checks that came with them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from mesos_twisted.containerizer.zygote_messages import LaunchRequest
from mesos_twisted.testing.sim import faults, faults_rare, stores
from mesos_twisted.testing.sim.auditor import Auditor
from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.frameworks import Plan, SimFramework
from mesos_twisted.testing.sim.kernel import SimKernel
from mesos_twisted.testing.sim.operator import Order, SimOperator
from mesos_twisted.testing.sim.run import FAULTS_S, run_seed, shape_of
from mesos_twisted.testing.sim.world import Shape, World

PLANS = (Plan("f1", tasks=6), Plan("f2", tasks=6, roles=("ops", "web")))


@pytest.fixture(name="cluster", scope="module")
def _cluster() -> Iterator[World]:
    """Three masters with an ensemble, at work."""
    world = World(5, Shape(masters=3, agents=2, frameworks=PLANS))
    world.run(8.0)
    assert len(world.leaders()) == 1
    yield world


@pytest.fixture(name="operated")
def _operated() -> Iterator[Auditor]:
    world = World(3, Shape(agents=2, frameworks=PLANS, operator_s=0.5))
    auditor = Auditor(world)
    yield auditor
    auditor.close()


def operator_of(auditor: Auditor) -> SimOperator:
    """The world's."""
    operator = auditor.world.operator
    assert operator is not None
    return operator


@pytest.mark.parametrize("kind", sorted(faults_rare.KINDS))
def test_a_rare_fault_does_harm_and_is_healed(cluster: World, kind: str) -> None:
    words = faults_rare.KINDS[kind](cluster, Random(kind))
    assert words and not words.startswith(("no", "nobody"))
    cluster.run(3.0)
    faults.heal(cluster)
    cluster.run(60.0)
    assert len(cluster.leaders()) == 1
    assert len(cluster.registered()) == 2
    assert not any(host.kernel.faults.strangers for host in cluster.hosts.values())


def test_rare_faults_are_rare_and_numbered_apart() -> None:
    plans = [list(faults.rare(seed, FAULTS_S)) for seed in range(300)]
    assert {one.kind for plan in plans for one in plan} == set(faults_rare.KINDS)
    assert 0.25 < sum(bool(plan) for plan in plans) / len(plans) < 0.55
    assert all(one.number >= faults.FIRST_RARE for plan in plans for one in plan)


def test_the_number_of_an_ended_process_may_be_a_strangers() -> None:
    kernel = SimKernel(SimClock(1), Random(1), pids=2)
    kernel.faults.strangers = 1.0
    request = LaunchRequest("c1", "sh", ("run forever",))
    kernel.launch(request)
    kernel.destroy("c1")
    assert list(kernel.strangers) == [kernel.history[0].pid]
    kernel.launch(LaunchRequest("c2", "sh", ("run forever",)))
    assert kernel.history[1].pid not in kernel.strangers
    kernel.reboot()
    assert not kernel.strangers


def test_an_operator_reads_weighs_and_ends(operated: Auditor) -> None:
    operated.world.run(60.0)
    orders = operator_of(operated).orders
    assert operated.violations == []
    assert {order.what for order in orders} >= {"read", "weights", "kill"}
    assert {order.status for order in orders if order.what == "weights"} == {200}
    assert operated.probes.counts["operator's weights"] > 0


def test_a_machine_that_was_given_up_serves_again(operated: Auditor) -> None:
    world = operated.world
    world.run(5.0)
    before = {one.id.value for one in world.registered() if one.id is not None}
    lost = min(before)
    operator_of(operated)._give_up(lost)
    world.run(20.0)
    after = {one.id.value for one in world.registered() if one.id is not None}
    assert len(after) == 2 and lost not in after
    assert [one for one in operated.violations if one.invariant != "I13"] == []


def test_a_change_that_was_confirmed_and_is_not_stored_is_found(
    operated: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores.StoredRecords, "commit", lambda self, writes: 1)
    operated.world.run(3.0)
    order = Order(operated.world.clock.now, "weights", "ops", 7.0, 200)
    operator_of(operated).orders.append(order)
    heard = operator_of(operated).heard
    assert heard is not None
    heard(order)
    assert any("role ops weighs 7" in one.sentence for one in operated.violations)


def test_an_answer_that_no_operator_should_see_is_found(operated: Auditor) -> None:
    heard = operator_of(operated).heard
    assert heard is not None
    heard(Order(0.0, "read", "GET_STATE", status=500))
    assert [str(one.sentence) for one in operated.violations] == [
        "An operator's read GET_STATE was answered 500"
    ]


def test_who_is_forgotten_by_the_allocator_starves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimFramework, "_refusing_s", lambda self: 1.0)
    monkeypatch.setattr(SimFramework, "_act", lambda self: None)
    world = World(2, Shape(agents=1, frameworks=(Plan("f", tasks=1),)))
    auditor = Auditor(world)
    world.run(3.0)
    assert auditor.violations == []
    leader = auditor.scene.leader()
    assert leader is not None
    monkeypatch.setattr(leader.state.allocator, "allocate", lambda *_, **__: [])
    world.run(12.0)
    auditor.close()
    assert any("was not offered to anybody" in one.sentence for one in auditor.violations)


def test_a_seed_with_an_operator_and_rare_faults_is_repeatable() -> None:
    seed = next(
        seed
        for seed in range(200)
        if list(faults.rare(seed, FAULTS_S)) and shape_of(seed).operator_s is not None
    )
    first, second = run_seed(seed), run_seed(seed)
    assert first == second and first.good
