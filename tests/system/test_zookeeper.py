"""Our client against real servers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesos_twisted.testing.suites.announcer import AnnouncerSuite
from mesos_twisted.testing.suites.election import ElectionSuite
from mesos_twisted.testing.suites.registry_zookeeper import ZooKeeperRegistrySuite
from mesos_twisted.testing.suites.zookeeper import ZooKeeperSuite
from mesos_twisted.testing.zookeeper import RealEnsemble, RealWorld

TOOLS = Path(__file__).resolve().parents[2] / "tools"

pytestmark = pytest.mark.system


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


class TestRealElection(ElectionSuite):
    """Elections in Debian's servers keep the suite's promises."""


class TestRealAnnouncer(AnnouncerSuite):
    """Announcements in Debian's servers keep the suite's promises."""


class TestRealRegistry(ZooKeeperRegistrySuite):
    """A registry in Debian's servers keeps the suite's promises."""
