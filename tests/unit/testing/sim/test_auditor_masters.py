"""Broken by hand, a world's masters and machines are found out: I1, I2, I7 to I18 and I20."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from twisted.logger import Logger
from twisted.python.failure import Failure

from mesos_twisted.agent.core import events as agent_events
from mesos_twisted.agent.core.state import Phase
from mesos_twisted.master.core import events as ev
from mesos_twisted.master.core import reconcile
from mesos_twisted.master.core.allocator.filters import Filters
from mesos_twisted.master.core.allocator.interface import Held
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, OfferId
from mesos_twisted.registry.operations import AGENTS, GONE, Lead, Writes, write
from mesos_twisted.testing.sim import stores
from mesos_twisted.testing.sim.auditor import Auditor
from mesos_twisted.testing.sim.auditor_registry import Registry
from mesos_twisted.testing.sim.auditor_scene import AgentTurn, MasterLife, ViolationError
from mesos_twisted.testing.sim.frameworks import Plan, SimFramework
from mesos_twisted.testing.sim.world import Exit, Shape, World


class Idle(SimFramework):
    """Keeps its offers, and acts only when a test says so."""

    keeps = True

    def offers(self, driver: object, offers: tuple[m.Offer, ...]) -> object:
        return None if self.keeps else super().offers(driver, offers)  # type: ignore[arg-type]

    def _command(self) -> str:
        return "run forever"

    def _act(self) -> None:
        pass


@pytest.fixture(name="auditor")
def _auditor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Auditor]:
    monkeypatch.setattr("mesos_twisted.testing.sim.world.SimFramework", Idle)
    world = World(1, Shape(agents=1, frameworks=(Plan("f", tasks=2, failover_timeout_s=60.0),)))
    auditor = Auditor(world)
    world.run(3)
    assert auditor.violations == []
    yield auditor
    auditor.close()


def found(auditor: Auditor) -> str:
    """All that it says, one a line."""
    return "\n".join(map(str, auditor.violations))


def master(auditor: Auditor) -> MasterLife:
    """The one that leads."""
    leader = auditor.scene.leader()
    assert leader is not None
    return leader


def stir(auditor: Auditor) -> None:
    """Something happens: the framework revives."""
    driver = auditor.world.frameworks["f"].driver
    assert driver is not None
    driver.revive()
    auditor.world.run(2)


def working(auditor: Auditor) -> None:
    """The framework takes what it is offered from now on."""
    Idle.keeps = False
    try:
        auditor.world.net.reset(auditor.world.places["f"].node, auditor.world.places["m1"].node)
        auditor.world.run(3)
    finally:
        Idle.keeps = True


def test_an_offer_made_twice(auditor: Auditor) -> None:
    """I1."""
    state = master(auditor).state
    offer = next(iter(state.offers.values()))
    twin = replace(offer, offer_id=OfferId("twin"))
    agent, framework = state.agents[offer.agent_id], state.frameworks[offer.framework_id]
    for table in (state.offers, agent.offers, framework.offers):
        table[twin.offer_id] = twin
    agent.version += 1
    stir(auditor)
    assert "is offered and in use than there is" in found(auditor)


def test_books_that_do_not_add_up(auditor: Auditor) -> None:
    """I1: what is offered is free to the allocator as well."""
    state = master(auditor).state
    offer = next(iter(state.offers.values()))
    state.allocator.recover(
        offer.framework_id, offer.agent_id, offer.resources, None, 0.0, held=Held.OFFERED
    )
    state.agents[offer.agent_id].version += 1
    stir(auditor)
    assert "lose or make resources" in found(auditor)


def test_tables_that_disagree(auditor: Auditor) -> None:
    """I1: the master's own invariants are asked once a second."""
    next(iter(master(auditor).state.frameworks.values())).offers.clear()
    auditor.world.run(20)
    assert "The master's tables disagree" in found(auditor)


def test_a_launch_that_leads_to_nothing(auditor: Auditor, monkeypatch: pytest.MonkeyPatch) -> None:
    """I2."""
    for name in ("launch", "launch_group"):
        monkeypatch.setattr(f"mesos_twisted.master.core.accept.{name}", lambda *_: None)
    working(auditor)
    assert "led to nothing" in found(auditor)


def test_a_launch_that_is_never_told(auditor: Auditor) -> None:
    """I2: after the world has healed."""
    world = auditor.world
    launch = world.ledger.launched("f.9", "f", "nowhere", "run forever", world.clock.now)
    launch.taken = True
    auditor.settled()
    assert "The framework of task f.9 was never told anything of it" in found(auditor)


def test_an_agent_that_is_not_in_the_registry(auditor: Auditor) -> None:
    """I7: nothing of it may be offered."""
    records = auditor.world.stored.records
    for key in [key for key in records if key[0] == AGENTS]:
        del records[key]
    working(auditor)
    assert "Offered is agent" in found(auditor) and "A task is sent to agent" in found(auditor)


def test_an_agent_that_registers_too_early(auditor: Auditor) -> None:
    """I7: also when it returns."""
    records = auditor.world.stored.records
    for key in [key for key in records if key[0] == AGENTS]:
        del records[key]
    auditor.world.net.reset(auditor.world.places["a1"].node, auditor.world.places["m1"].node)
    auditor.world.run(5)
    assert "was told that it is registered before the registry knew" in found(auditor)


def test_an_agent_that_is_unreachable_too_early(
    auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I7: frameworks hear of it when the registry knows."""
    working(auditor)
    monkeypatch.setattr(type(auditor.world.stored), "commit", lambda self, writes: 1)
    auditor.world.net.cut(auditor.world.places["a1"].node, auditor.world.places["m1"].node)
    auditor.world.run(100)
    assert "is unreachable, and the registry does not know" in found(auditor)


def test_two_masters_that_lead(auditor: Auditor) -> None:
    """I8."""
    other = World(2, Shape(agents=0, frameworks=()))
    other.run(1)
    service = other.services["m1"]
    auditor.world.services["m2"] = service
    auditor.scene.masters["m2"] = MasterLife(other.places["m1"], service, 0.0)
    auditor.world.run(40)
    assert "m1 and m1 have both led for 30 s" in found(auditor)


def test_a_master_that_speaks_without_leading(auditor: Auditor) -> None:
    """I9."""
    master(auditor).state.leading = False
    auditor.world.run(10)
    assert "m1 does not lead and speaks" in found(auditor)


def test_an_agent_that_obeys_a_deposed_master(auditor: Auditor) -> None:
    """I9."""
    life = auditor.scene.agents["a1"]
    check = next(one for one in auditor._checks if isinstance(one, Registry))
    assert life.state.phase is Phase.RUNNING
    for epoch in (5, 4):
        said = agentlink.Reregistered(
            agent_id="a",
            master_id=life.state.master_id,
            ping_timeout_s=1.0,
            registry_id="r",
            epoch=epoch,
        )
        check.agent_turn(life, AgentTurn(agent_events.MasterSaid(ConnectionId(1), said, 0.0)))
    assert "a1 obeys a master that was deposed" in found(auditor)


def test_a_deposed_master_that_writes(auditor: Auditor) -> None:
    """I8: the registry knows who leads, and epochs only rise."""
    records = auditor.world.stored.records
    auditor.world.run(5)
    writes: Writes = {}
    write(Lead("r", 0, m.MasterInfo(id="old", ip=0, port=5050)), writes)
    records.update({key: value for key, value in writes.items() if value is not None})
    auditor.settled()
    assert "A deposed master wrote to the registry" in found(auditor)


def test_an_agent_that_was_given_up_and_returns(auditor: Auditor) -> None:
    """I10."""
    agent_id = next(iter(master(auditor).state.agents))
    auditor.world.stored.records[GONE, agent_id] = b"\0" * 8
    auditor.world.net.reset(auditor.world.places["a1"].node, auditor.world.places["m1"].node)
    auditor.world.run(5)
    assert "was marked gone and is registered again" in found(auditor)


def test_a_reconciliation_without_answers(
    auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I12."""
    monkeypatch.setattr(reconcile, "reconcile", lambda *_: None)
    driver = auditor.world.frameworks["f"].driver
    assert driver is not None
    driver.reconcile({"no-such-task": "no-such-agent"})
    auditor.world.run(1)
    assert "was not answered once for each task: no-such-task" in found(auditor)


def test_an_offer_that_was_refused(auditor: Auditor, monkeypatch: pytest.MonkeyPatch) -> None:
    """I13."""
    monkeypatch.setattr(Filters, "add", lambda *_: None)
    auditor.world.frameworks["f"].wanted = 0
    working(auditor)
    assert "is offered again what it refused" in found(auditor)


def test_a_framework_with_two_streams(auditor: Auditor) -> None:
    """I14."""
    state = master(auditor).state
    state.framework_of[ConnectionId(999)] = next(iter(state.frameworks))
    auditor.world.run(20)
    assert "has 2 streams" in found(auditor)


def test_an_old_stream_that_stays_open(auditor: Auditor, monkeypatch: pytest.MonkeyPatch) -> None:
    """I14."""
    monkeypatch.setattr("mesos_twisted.master.core.frameworks.CloseStream", NoEffect)
    driver = auditor.world.frameworks["f"].driver
    framework = auditor.world.frameworks["f"]
    assert driver is not None
    framework._older.append(driver)
    framework.start(framework._reactor, framework._master)
    auditor.world.run(5)
    assert "has a new stream and its old one stays open" in found(auditor)


def NoEffect(connection: ConnectionId) -> object:
    """Stands for closing a stream, and does not."""
    from mesos_twisted.master.core.effects import CancelTimer

    return CancelTimer(("nobody",))


def test_a_framework_that_is_removed_too_early(auditor: Auditor) -> None:
    """I14: it has its time to return."""
    life = master(auditor)
    framework_id = next(iter(life.state.frameworks))
    auditor.world.places["f"].held = True
    auditor.world.kill(auditor.world.places["f"])
    auditor.world.run(5)
    life.service.driver.handle(ev.TimerFired(("failover", framework_id), life.service.driver.now()))
    auditor.world.run(20)
    assert "was removed before its time to return was over" in found(auditor)


def test_operators_who_are_not_told(auditor: Auditor) -> None:
    """I15."""
    working(auditor)
    assert found(auditor) == ""
    task = next(iter(master(auditor).state.tasks()))
    task.state = m.TaskState.TASK_KILLING
    task.version += 1
    auditor.world.run(20)
    assert f"Operators were not told that task {task.task_id} is TASK_KILLING" in found(auditor)


def test_operators_who_do_not_know_an_agent(auditor: Auditor) -> None:
    """I15."""
    mirror = next(iter(auditor._operator.mirrors.values()))
    mirror.agents.clear()
    auditor.settled()
    assert "Operators were not told that agent" in found(auditor)


def test_a_buffer_without_an_end(auditor: Auditor) -> None:
    """I16."""
    reactor = auditor.world.places["m1"].reactor
    assert reactor is not None
    next(iter(reactor.transports))._out_bytes = 1 << 30
    auditor.settled()
    assert "m1 holds more for one connection than --max_stream_buffer allows" in found(auditor)


def test_an_exception_that_nobody_handles(auditor: Auditor) -> None:
    """I17."""
    auditor.world.places["m1"].errors.append(Failure(ZeroDivisionError("oh")))
    auditor.world.run(20)
    assert "m1 raised what nobody handles" in found(auditor) and "oh" in found(auditor)


def test_an_exception_that_was_logged(auditor: Auditor) -> None:
    """I17: a bug that is survived is a bug."""
    Logger("somebody").failure("Ignored", Failure(ZeroDivisionError("oh")))
    assert "somebody raised what nobody handles" in found(auditor)


def test_a_process_that_leaves_without_a_reason(auditor: Auditor) -> None:
    """I17."""
    auditor.world.exits += [
        Exit(1.0, "m1", 75, "The registry was not written: full"),
        Exit(1.0, "m1", 70, "An internal error stopped the master"),
    ]
    auditor.world.run(20)
    assert [one.sentence for one in auditor.violations] == [
        "m1 left with exit code 70: An internal error stopped the master"
    ]


def test_a_master_that_reads_less_than_there_is(
    auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I18."""
    whole = stores.snapshot
    monkeypatch.setattr(stores, "snapshot", lambda version, rows: whole(version, ()))
    auditor.world.kill(auditor.world.places["m1"])
    auditor.world.run(5)
    assert "m1 leads and does not know what the registry holds" in found(auditor)


def test_a_world_that_has_not_healed(auditor: Auditor) -> None:
    """I20."""
    world = auditor.world
    world.places["f"].held = True
    world.kill(world.places["f"])
    world.net.cut(world.places["a1"].node, world.places["m1"].node)
    world.run(20)
    auditor.settled()
    assert "Agent a1 is not registered" in found(auditor)
    assert "Framework f is not subscribed" in found(auditor)
    world.services.clear()
    auditor.settled()
    assert "0 masters lead" in found(auditor)


def test_the_first_violation_may_end_the_run(auditor: Auditor) -> None:
    """For a debugger, and for shrinking."""
    auditor.scene.raises = True
    auditor.world.exits.append(Exit(1.0, "a1", 70, "oh"))
    with pytest.raises(ViolationError, match=r"I17 at .* a1 left with exit code 70: oh"):
        auditor.world.run(20)
