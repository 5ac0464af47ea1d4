"""Our client against real servers."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred

from mesos_twisted.security.core.secret import Secret
from mesos_twisted.testing.suites.zookeeper import ZooKeeperSuite
from mesos_twisted.testing.zookeeper import RealEnsemble, TurnedReactor
from mesos_twisted.zookeeper.net.client import ZooKeeperClient

T = TypeVar("T")
TOOLS = Path(__file__).resolve().parents[2] / "tools"

pytestmark = pytest.mark.system


class RealWorld:
    """Real servers in real time."""

    def __init__(self, ensemble: RealEnsemble) -> None:
        self.ensemble = ensemble
        self.turned = TurnedReactor()
        self.clients: list[ZooKeeperClient] = []

    def client(self, timeout_s: float = 6.0, credentials: Secret | None = None) -> ZooKeeperClient:
        # Each begins with another server.
        chance = random.Random(len(self.clients)).random
        client = ZooKeeperClient(
            self.turned.reactor,
            self.ensemble.addresses,
            timeout_s,
            chance,
            credentials=credentials,
        )
        self.clients.append(client)
        return client

    def wait(self, deferred: Deferred[T]) -> T:
        return self.turned.wait(deferred)

    def until(self, ready: Callable[[], Any], what: str) -> Any:
        return self.turned.until(ready, what)

    def close(self) -> None:
        for client in self.clients:
            self.wait(client.close())
        self.turned.close()


@pytest.fixture(scope="module")
def installed() -> None:
    """Debian's ZooKeeper is there."""
    made = subprocess.run([TOOLS / "zookeeper.sh"], capture_output=True, text=True, timeout=110)
    assert made.returncode == 0, made.stderr


@pytest.fixture(scope="module", params=[1, 3], ids=["one-server", "three-servers"])
def ensemble(
    request: Any, installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealEnsemble]:
    ensemble = RealEnsemble.start(tmp_path_factory.mktemp("zookeeper"), request.param)
    yield ensemble
    ensemble.stop()


@pytest.fixture
def world(ensemble: RealEnsemble) -> Iterator[RealWorld]:
    world = RealWorld(ensemble)
    yield world
    world.close()


class TestRealZooKeeper(ZooKeeperSuite):
    """Debian's servers and our client keep the suite's promises."""
