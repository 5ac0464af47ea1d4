"""Daemons hold as many connections as the system lets them; tasks have the limit of before."""

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_twisted.testing.commands import CommandLine
from mesos_twisted.testing.processes import RunningCluster

pytestmark = pytest.mark.system
SOFT = 600


def soft_limit(pid: int) -> int:
    """The kernel's word on a process."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Max open files")).split()[3])


@pytest.fixture
def root() -> Iterator[Path]:
    # Named unlike pytest's directories, which no daemon is looked for in.
    with tempfile.TemporaryDirectory(prefix="limits") as directory:
        yield Path(directory)


def test_daemons_have_the_hard_limit_and_tasks_the_soft_one(root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > SOFT
    resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT, hard))
    try:
        running = RunningCluster.start(root / "c", agents=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        limits = {name: soft_limit(running.daemon_pid(name)) for name in ("master", "agent-1")}
        assert limits == {"master": hard, "agent-1": hard}
        done = CommandLine(running)("run", "--", "ulimit -S -n; ulimit -H -n")
        assert (done.status, done.out) == (0, f"{SOFT}\n{hard}\n"), done
    finally:
        running.stop()
