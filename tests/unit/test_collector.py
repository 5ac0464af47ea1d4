"""The collector looks at young objects only, and tells how long it took."""

import gc
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from mesos_twisted.collector import MIDDLE, OLD, YOUNG, Collector


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The process's own thresholds and generations come back."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_what_survives_twice_is_never_looked_at_again() -> None:
    """A long-lived object is set aside by the second collection, and counts in none after it."""
    collector = Collector(Clock().seconds)
    collector.start()
    try:
        assert gc.get_threshold() == (YOUNG, MIDDLE, OLD)
        kept = [[number] for number in range(100)]
        before = gc.get_freeze_count()
        gc.collect(1)
        assert gc.get_freeze_count() >= before + len(kept)
        assert not any(known is kept for known in gc.get_objects())
    finally:
        collector.stop()
    assert collector.collected not in gc.callbacks


def test_the_youngest_collection_sets_nothing_aside() -> None:
    """What is a moment old may still be garbage soon."""
    collector = Collector(Clock().seconds)
    before = gc.get_freeze_count()
    collector.collected("start", {"generation": 0})
    collector.collected("stop", {"generation": 0})
    assert gc.get_freeze_count() == before


def test_the_seconds_of_each_collection_are_told() -> None:
    """From its start to its end."""
    clock, told = Clock(), []
    collector = Collector(clock.seconds, told.append)
    for took in (0.25, 0.5):
        collector.collected("start", {"generation": 0})
        clock.advance(took)
        collector.collected("stop", {"generation": 0})
    assert told == [0.25, 0.5]
