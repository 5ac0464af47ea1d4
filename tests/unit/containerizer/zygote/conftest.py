"""Both launchers, each in a fresh directory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_twisted.containerizer.zygote.build import build, command
from mesos_twisted.testing.launcher import Launcher


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("launcher")


@pytest.fixture(params=["c", "python"])
def launcher(request: pytest.FixtureRequest, cache: Path) -> Iterator[Launcher]:
    if request.param == "c" and build(cache) is None:
        pytest.skip("no C compiler here; the Python launcher is what runs on such a host")
    with tempfile.TemporaryDirectory(prefix="z") as directory:
        os.chmod(directory, 0o755)
        made = Launcher(command(cache, request.param), Path(directory))
        yield made
        made.stop()
