"""A master's process is killed around every write of its registry in a real ZooKeeper.

The next one finds what was told, whole; it finds the same again; and it can write.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mesos_twisted.registry.zookeeper import ZooKeeperRegistry
from mesos_twisted.testing.registry_script import LATER, SCRIPT, STATES, held
from mesos_twisted.testing.zookeeper import RealEnsemble, RealWorld
from mesos_twisted.zookeeper import records as r

TOOLS = Path(__file__).resolve().parents[2] / "tools"
pytestmark = [pytest.mark.system, pytest.mark.timeout(200)]

#: Transactions that come before the script's: the registry is made, and taken over.
LOADING = 2


class Point(Enum):
    """When the process of a master dies, and what is known of the transaction then."""

    BEFORE = "nothing was sent"
    SENT = "it was sent, and no more is known"
    ANSWERED = "its answer came, and was not read"
    READ = "its answer was read, and nobody was told"


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealEnsemble]:
    made = subprocess.run([TOOLS / "zookeeper.sh"], capture_output=True, text=True, timeout=110)
    assert made.returncode == 0, made.stderr
    running = RealEnsemble.start(tmp_path_factory.mktemp("zookeeper"))
    yield running
    running.stop()


def die(*_: object) -> None:
    """As kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def plant(client: Any, die_at: int, point: Point) -> None:
    """The process dies around the client's transaction of that number."""
    real, count = client.multi, itertools.count(1)

    def multi(operations: Any) -> Deferred[Any]:
        if next(count) != die_at:
            return real(operations)
        if point is Point.BEFORE:
            die()
        answer: Deferred[Any] = real(operations)
        match point:
            case Point.SENT:
                # What this turn wrote has left before the next one begins.
                client._reactor.callLater(0, client._reactor.callLater, 0, die)
            case Point.ANSWERED:
                client.received = die
            case Point.READ:
                answer.addBoth(die)
        return answer

    client.multi = multi


def live(ensemble: RealEnsemble, path: str, told: int, die_at: int, point: Point) -> None:
    """In a child: the script, with each finished write told."""
    world = RealWorld(ensemble)
    client = world.client()
    plant(client, die_at, point)
    registry = ZooKeeperRegistry(client, path, r.OPEN_ACL, "first")
    world.wait(registry.load())
    for operations in SCRIPT:
        world.wait(registry.apply(operations))
        os.write(told, b".")
    world.wait(registry.close())


def killed(run: Callable[[int], None]) -> tuple[int, bool]:
    """How many writes were told before the kill, and whether there was one."""
    reading, told = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run(told)
            status = 0
        finally:
            os._exit(status)
    os.close(told)
    with os.fdopen(reading, "rb") as said:
        count = len(said.read())
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"a master ended with {status}"
    return count, status != 0


@pytest.mark.parametrize("point", Point, ids=lambda point: point.name.lower())
def test_at_every_transaction(ensemble: RealEnsemble, point: Point) -> None:
    """Until there is no transaction left to die at."""
    world = RealWorld(ensemble)
    seen = set()

    def load(path: str) -> tuple[ZooKeeperRegistry, tuple[object, ...]]:
        registry = ZooKeeperRegistry(world.client(), path, r.OPEN_ACL, f"after {path}")
        return registry, held(world.wait(registry.load()))

    for die_at in itertools.count(1):
        path = f"/{point.name.lower()}-{die_at}"
        told, died = killed(lambda told: live(ensemble, path, told, die_at, point))  # noqa: B023
        registry, state = load(path)
        world.wait(registry.close())
        found = STATES.index(state)
        registry, again = load(path)
        assert again == state, f"killed at transaction {die_at}"
        world.wait(registry.apply(LATER))
        world.wait(registry.close())
        writes = died and die_at > LOADING
        most = told + (writes and point is not Point.BEFORE)
        least = told + (writes and point in (Point.ANSWERED, Point.READ))
        assert least <= found <= most, f"killed at transaction {die_at}"
        seen.add(found)
        if not died:
            break
    world.close()
    assert die_at == LOADING + len(SCRIPT) + 1
    assert seen >= set(range(1, len(STATES))), "every state was one that a master left"
