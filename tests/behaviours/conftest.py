"""A real cluster over TLS for the whole session, and frameworks that leave it as it was."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from mesos_twisted.testing.processes import RunningCluster

# The modules beside the tests of this folder can be imported by name.
sys.path.append(str(Path(__file__).parent))

from client import Framework

Join = Callable[..., Framework]


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunningCluster]:
    """A master and two agents over mutual TLS, up for the whole session."""
    # Short: the launcher's socket lies below it, and a socket's path has few bytes.
    root = Path(tempfile.mkdtemp(prefix="behaviours-"))
    running = RunningCluster.start(root / "c")
    yield running
    running.stop()
    rmtree(root)


@pytest.fixture
def join(cluster: RunningCluster) -> Iterator[Join]:
    """Subscribe a framework; it is torn down when the test ends."""
    joined: list[Framework] = []

    def subscribe(**more: Any) -> Framework:
        joined.append(Framework(cluster, **more))
        return joined[-1]

    yield subscribe
    for framework in joined:
        framework.leave()


@pytest.fixture
def framework(join: Join) -> Framework:
    """A subscribed framework with the usual capabilities."""
    return join()
