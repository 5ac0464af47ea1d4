"""The agents of `service_world`, on a reactor that is turned by hand."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.epollreactor import EPollReactor

from mesos_twisted.local.layout import Layout, prepare

# The modules beside the tests of this folder can be imported by name.
sys.path.append(str(Path(__file__).parent))

from service_world import World


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("cluster"), 1)
    prepare(layout)
    return layout


@pytest.fixture(scope="module")
def reactor() -> Iterator[EPollReactor]:
    """A reactor of our own, turned by hand, never run."""
    made = EPollReactor()
    made.startRunning(installSignalHandlers=True)
    yield made
    made.fireSystemEvent("shutdown")
    made.iterate(0)


@pytest.fixture
def world(reactor: EPollReactor, certificates: Layout) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="a") as directory:
        made = World(reactor, certificates, Path(directory))
        yield made
        made.stop()
