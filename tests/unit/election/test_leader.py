"""The leader's address, for those who connect to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from mesos_twisted.clock import Timers
from mesos_twisted.election.leader import ElectedMasters, LeaderWatch, find_masters
from mesos_twisted.errors import MalformedError, UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.transport.leader import NamedMasters

A = m.MasterInfo(id="a", ip=1, port=5050, hostname="a")
B = m.MasterInfo(id="b", ip=1, port=5050, hostname="b")
A_AGAIN = m.MasterInfo(id="a2", ip=1, port=5050, hostname="a")


class FakeDetector:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.started = 0
        self.stopped = False
        self.tell: Callable[[m.MasterInfo | None], None] = lambda info: None

    def start(self, changed: Callable[[m.MasterInfo | None], None]) -> None:
        self.started += 1
        self.tell = changed

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)


class World:
    """A watch and its time."""

    def __init__(self) -> None:
        self.clock, self.detector = Clock(), FakeDetector()
        self.watch = LeaderWatch(self.detector, Timers(self.clock), "zk://x/m")
        self.changes = 0

    def changed(self) -> None:
        self.changes += 1


def results(deferred: Deferred[Any]) -> list[Any]:
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found


def test_candidates_follow_the_detector() -> None:
    """None, one, another; one more master at the same address is another, the same one is not."""
    world = World()
    world.watch.start(world.changed)
    world.watch.start(world.changed)
    assert world.detector.started == 1
    assert world.watch.candidates() == ()
    for info, candidates, changes in (
        (A, (("a", 5050),), 1),
        (A, (("a", 5050),), 1),
        (A_AGAIN, (("a", 5050),), 2),
        (B, (("b", 5050),), 3),
        (None, (), 4),
    ):
        world.detector.tell(info)
        assert (world.watch.candidates(), world.changes) == (candidates, changes)


def test_who_asks_waits_for_a_leader() -> None:
    """The first to ask starts the detector; later ones hear at once."""
    world = World()
    masters = ElectedMasters(world.watch, 5.0)
    first = results(masters.find())
    assert (first, world.detector.started) == ([], 1)
    world.detector.tell(A)
    assert first == [("a:5050",)]
    assert results(masters.find()) == [("a:5050",)]
    assert world.clock.getDelayedCalls() == []


def test_nobody_waits_for_ever() -> None:
    """After the patience, or when it is stopped, with a sentence."""
    world = World()
    late, stopped = results(world.watch.find(5.0)), results(world.watch.find(9.0))
    world.clock.advance(5.0)
    assert late[0].type is UnavailableError and "zk://x/m" in late[0].getErrorMessage()
    assert stopped == []
    world.watch.stop()
    assert stopped[0].type is UnavailableError
    assert world.detector.stopped
    assert world.clock.getDelayedCalls() == []


def test_a_wait_that_is_cancelled_is_forgotten() -> None:
    """The leader that comes later is told to nobody who left."""
    world = World()
    gone = world.watch.find(5.0)
    gone.addErrback(lambda failure: None)
    gone.cancel()
    world.detector.tell(A)
    assert world.clock.getDelayedCalls() == []


def test_followers_hear_of_another_master() -> None:
    """Not of the first, nor of one that was out of sight for a while; before those who wait."""
    world = World()
    masters = ElectedMasters(world.watch, 5.0)
    heard: list[str] = []
    masters.follow(heard.append)
    world.watch.start()
    for info, words in (
        (A, []),
        (None, []),
        (A, []),
        (B, ["b:5050"]),
        (None, ["b:5050"]),
        (A, ["b:5050", "a:5050"]),
        (A_AGAIN, ["b:5050", "a:5050", "a:5050"]),
    ):
        world.detector.tell(info)
        assert heard == words
    world.detector.tell(None)
    masters.find().addCallback(lambda found: heard.append("found"))
    world.detector.tell(B)
    assert heard[-2:] == ["b:5050", "found"]


def test_what_master_means() -> None:
    """Addresses, or the pieces of a URL that was split at its commas."""
    assert isinstance(find_masters(Clock(), ("a:1", "b:2"), lambda: 0.5), NamedMasters)
    found = find_masters(Clock(), ("zk://a:1", "b:2/mesos"), lambda: 0.5)
    assert isinstance(found, ElectedMasters)
    with pytest.raises(MalformedError):
        find_masters(Clock(), ("zk://a:1", "b:2"), lambda: 0.5)
