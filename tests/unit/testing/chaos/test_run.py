"""What is left of processes is seen."""

import subprocess
from collections.abc import Iterator

import pytest

from mesos_twisted.testing.chaos import run


@pytest.fixture
def left() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "4321"])
    yield process
    process.kill()
    process.wait()


def test_an_orphan_is_seen(left: subprocess.Popen[bytes]) -> None:
    assert f"{left.pid} sleep 4321" in run.others(set())
    assert f"{left.pid} sleep 4321" not in run.others({left.pid})


def test_a_process_is_known_by_its_birth(left: subprocess.Popen[bytes]) -> None:
    """So that another one of its number is not taken for it, nor a zombie for alive."""
    assert run.born(left.pid).isdigit()
    left.kill()
    left.wait()
    assert run.born(left.pid) == ""
