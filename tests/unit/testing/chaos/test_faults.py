"""A fault counts only if it held, and all of them are undone: planted breaches are seen."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mesos_twisted.testing.chaos import faults as chaos
from mesos_twisted.testing.chaos import sessions
from mesos_twisted.testing.chaos.cluster import Cluster, Member
from mesos_twisted.testing.chaos.enclosure import Node
from mesos_twisted.testing.chaos.faults import Faults, state
from mesos_twisted.testing.chaos.plan import LEADER, Fault, Kind
from mesos_twisted.testing.processes import wait_until
from mesos_twisted.testing.zookeeper import RealEnsemble, RealServer

NAMES = ("zookeeper-1", "master-1", "agent-1")


class Wires:
    """As the enclosure's network; a broken one lets everything through."""

    def __init__(self) -> None:
        self.nodes = {name: Node(name, f"10.0.0.{n}", ()) for n, name in enumerate(NAMES, 1)}
        self.cuts: set[tuple[str, str]] = set()
        self.broken = False

    def cut(self, source: str, target: str) -> None:
        self.cuts.add((source, target))

    def heal(self, source: str, target: str) -> None:
        self.cuts.discard((source, target))

    def passes(self, source: str, target: str) -> bool:
        return self.broken or (source, target) not in self.cuts


class Platter:
    """As a disk; a broken one keeps what it is."""

    def __init__(self) -> None:
        self.full = self.frozen = self.broken = False
        self.freezes, self.frozen_s = True, 0.0

    def fill(self) -> None:
        self.full = not self.broken

    def is_full(self) -> bool:
        return self.full

    def empty(self) -> None:
        self.full = self.broken

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False


class World:
    """A member of each kind, none of which runs anything of ours."""

    def __init__(self, root: Path) -> None:
        self.wires, self.platter = Wires(), Platter()
        network: Any = self.wires
        server = RealServer(root, 1)
        self.cluster = Cluster(root, network, Random(1), RealEnsemble([server]))
        disks: Any = {"agent-1": self.platter}
        self.cluster.disks = disks
        for name in NAMES:
            member = Member(
                name, name[:-2], self.wires.nodes[name], ["sleep", "60"], root / name, root
            )
            member.start()
            self.cluster.members[name] = member
        self.faults = Faults(self.cluster, lambda: "master-1", lambda: None)

    def do(self, kind: Kind, target: str = "agent-1", other: str = "", for_s: float = 60.0) -> str:
        return self.faults.do(Fault(0.0, kind, target, other, for_s))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for member in made.cluster.members.values():
        if member.process is not None:
            member.process.kill()
            member.process.wait()


def process(world: World, name: str = "agent-1") -> subprocess.Popen[bytes]:
    found = world.cluster.members[name].process
    assert found is not None
    return found


def test_a_killed_process_is_dead_and_a_stopped_one_goes_on(world: World) -> None:
    world.do(Kind.PAUSE)
    assert state(process(world)) == "T"
    assert world.faults.heal() == []
    wait_until(lambda: state(process(world)) != "T", "it goes on")
    assert "master-1: kill -9" in world.do(Kind.KILL, LEADER)
    assert process(world, "master-1").wait(10) == -signal.SIGKILL
    assert world.faults.done == {(Kind.PAUSE, "agent"): 1, (Kind.KILL, "master"): 1}
    assert not world.faults.void


def test_who_is_down_is_not_struck(world: World) -> None:
    process(world).kill()
    process(world).wait()
    for kind in (Kind.KILL, Kind.STOP, Kind.PAUSE):
        assert "not done" in world.do(kind)
        assert world.faults.missed[kind] == 1
    assert not world.faults.done


def test_a_signal_without_effect_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos, "HOLDS_S", 0.05)
    monkeypatch.setattr(Member, "send", lambda *_: True)
    world.do(Kind.PAUSE)
    world.do(Kind.KILL)
    assert len(world.faults.void) == 2 and "did not hold" in world.faults.void[0]


def test_a_cut_that_lets_through_is_told(world: World) -> None:
    world.do(Kind.CUT, "agent-1", "master-1")
    assert world.wires.cuts == {("agent-1", "master-1")} and not world.faults.void
    world.do(Kind.PART, "zookeeper-1", "master-1")
    assert len(world.wires.cuts) == 3
    world.do(Kind.ISOLATE, "agent-1")
    assert len(world.wires.cuts) == 6
    world.wires.broken = True
    world.do(Kind.PART, "agent-1", "master-1")
    assert "agent-1 still reaches master-1" in world.faults.void[0]
    world.wires.broken = False
    assert world.faults.heal() == [] and not world.wires.cuts


def test_only_zookeeper_is_out_of_sight(world: World) -> None:
    world.do(Kind.BLIND)
    assert world.wires.cuts == {("agent-1", "zookeeper-1"), ("zookeeper-1", "agent-1")}


def test_what_is_not_healed_is_told(world: World) -> None:
    world.do(Kind.FULL)
    world.wires.cuts.add(("master-1", "agent-1"))
    process(world, "master-1").send_signal(signal.SIGSTOP)
    wait_until(lambda: state(process(world, "master-1")) == "T", "it is stopped")
    world.platter.broken = True
    assert world.faults.heal() == [
        "the disk of agent-1 is full after all was healed",
        "master-1 does not reach agent-1 after all was healed",
        "master-1 is stopped after all was healed",
    ]


def test_a_disk_with_room_is_told(world: World) -> None:
    world.do(Kind.FULL)
    assert not world.faults.void and len(world.faults.disk_trouble["agent-1"]) == 1
    world.platter.broken = True
    world.do(Kind.FULL)
    assert "there was room left" in world.faults.void[0]


def test_a_disk_that_cannot_be_frozen_is_not_slow(world: World) -> None:
    world.platter.freezes = False
    assert "not done" in world.do(Kind.SLOW)
    world.platter.freezes = True
    assert "not done" not in world.do(Kind.SLOW)

    def frozen() -> bool:
        world.faults.turn()
        return world.platter.frozen

    wait_until(frozen, "it is frozen")
    world.faults.heal()
    assert not world.platter.frozen


def test_only_faults_of_zookeeper_excuse_it(world: World) -> None:
    world.do(Kind.ISOLATE, "agent-1")
    world.do(Kind.KILL, "master-1")
    assert world.faults.ensemble_disturbed_until == 0.0
    world.do(Kind.KILL, "zookeeper-1")
    assert world.faults.ensemble_disturbed_until > 0.0


def test_every_session_of_a_member_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    def end(ensemble: RealEnsemble, server: RealServer, session: int) -> bool:
        ended.append(session)
        return True

    held = [("10.0.0.3", 5), ("10.0.0.2", 6), ("10.0.0.3", 7)]
    monkeypatch.setattr(sessions, "sessions", lambda *_: held)
    monkeypatch.setattr(sessions, "end", end)
    world.do(Kind.EXPIRE)
    world.do(Kind.EXPIRE, "zookeeper-1")
    world.faults.heal()
    assert ended == [5, 7]
    assert world.faults.done == {(Kind.EXPIRE, "agent"): 1}
    assert world.faults.missed == {Kind.EXPIRE: 1}
