"""A leader that hangs says nothing of having been replaced; ZooKeeper's word is enough."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_twisted.testing.commands import CommandLine
from mesos_twisted.testing.failover import Failover

TOOLS = Path(__file__).resolve().parents[2] / "tools"
#: Long for a session that ends after 6 s; five heartbeats take 75 s.
AT_ONCE_S = 45.0

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Failover]:
    """Two masters, one agent, one ZooKeeper server."""
    made = subprocess.run([TOOLS / "zookeeper.sh"], capture_output=True, text=True, timeout=110)
    assert made.returncode == 0, made.stderr
    running = Failover.assemble(tmp_path, masters=2)
    try:
        yield running
    finally:
        running.stop()


def freeze(cluster: Failover) -> str:
    """The leader hangs from now on: its connections stay, and nobody answers. Its name."""
    name = cluster.leader()
    cluster.running[name].send_signal(signal.SIGSTOP)
    return name


FRAMEWORK = """
import getpass, sys
from twisted.internet import reactor
from mesos_twisted.sdk import Scheduler, SchedulerDriver, framework_info
from mesos_twisted.sdk.connect import master_client

class Telling(Scheduler):
    times = 0
    def subscribed(self, driver, framework_id):
        print("subscribed", framework_id, flush=True)
        self.times += 1
        if self.times == 2:
            driver.stop(teardown=True)
    def disconnected(self, driver, reason):
        print("disconnected", reason, flush=True)

zk, ca, cert, key = sys.argv[1:]
info = framework_info("following", getpass.getuser(), failover_timeout_s=600)
driver = SchedulerDriver(reactor, Telling(), info, master_client(reactor, [zk], ca, cert, key))
driver.start().addCallback(lambda reason: reactor.stop())
reactor.run()
"""


def test_a_framework_leaves_a_leader_that_hangs(cluster: Failover) -> None:
    """It subscribes with the next one as soon as that one leads."""
    files = (cluster.ca, cluster.cert("framework"), cluster.key("framework"))
    words = [cluster.zk, *map(str, files)]
    process = subprocess.Popen(
        [sys.executable, "-c", FRAMEWORK, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    frozen = None
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("subscribed ")
        frozen = freeze(cluster)
        out, _ = process.communicate(timeout=AT_ONCE_S)
        why, again = out.splitlines(keepends=True)
        assert why.startswith("disconnected ") and "leads now" in why
        assert again == first
    finally:
        process.kill()
        process.wait()
        if frozen is not None:
            cluster.end(frozen, signal.SIGKILL)


def test_commands_leave_a_leader_that_hangs(cluster: Failover) -> None:
    """`run` and `task logs -f` go on: the task's output and status are told."""
    door = cluster.root / "door"
    script = f"echo begun; until [ -e {door} ]; do sleep 0.1; done; echo over"
    where = {"MESOS_TWISTED_MASTER": cluster.zk}
    running = [CommandLine(cluster, "framework").start("run", "--", script, **where)]
    frozen = None
    try:
        assert running[0].stdout is not None and running[0].stdout.readline() == b"begun\n"
        (framework,) = cluster.request("GET", "/state").json()["frameworks"]
        follow = ("task", "logs", "-f", framework["tasks"][0]["id"])
        running.append(CommandLine(cluster).start(*follow, **where))
        assert running[1].stdout is not None and running[1].stdout.readline() == b"begun\n"
        frozen = freeze(cluster)
        cluster.leader(but=frozen)
        door.touch()
        for process in running:
            out, err = process.communicate(timeout=AT_ONCE_S)
            assert (process.returncode, out) == (0, b"over\n"), err
    finally:
        for process in running:
            process.kill()
            process.wait()
        if frozen is not None:
            cluster.end(frozen, signal.SIGKILL)
