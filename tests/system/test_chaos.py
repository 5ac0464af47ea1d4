"""Faults at random instants on real processes: every promise is held, and takeovers are quick."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesos_twisted.testing.chaos import sessions
from mesos_twisted.testing.failover import Failover
from mesos_twisted.testing.zookeeper import RealEnsemble, RealWorld
from mesos_twisted.zookeeper.core.events import SessionState

TOOLS = Path(__file__).resolve().parents[2] / "tools"
CHAOS = [sys.executable, "-m", "mesos_twisted.testing.chaos"]
#: A run by hand, or at night, may be longer: see docs/reliability.md.
#: This seed has every kind of fault.
MINUTES, SEED = 1.0, 179
SESSION_S = 3.0
#: After the session: the next leader reads the registry and serves.
SERVES_S = 2.0

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Debian's ZooKeeper is there."""
    made = subprocess.run([TOOLS / "zookeeper.sh"], capture_output=True, text=True, timeout=110)
    assert made.returncode == 0, made.stderr


def test_a_cluster_under_faults_keeps_its_promises() -> None:
    """Three ZooKeeper servers, masters and agents, two frameworks; see the command's report."""
    command = [*CHAOS, f"--minutes={MINUTES}", f"--seed={SEED}", "--gap=3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=380)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every promise was held" in done.stdout
    assert "0 x kill -9" not in done.stdout and "0 x SIGSTOP" not in done.stdout


def test_the_plan_is_shown_without_a_cluster() -> None:
    """As a normal user too: nothing is started."""
    command = [*CHAOS, "--plan", "--minutes=5", "--seed=7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 40
    assert "kill -9" in done.stdout and "full disk" in done.stdout


def test_the_run_sees_and_ends_sessions_by_itself(tmp_path: Path) -> None:
    """Of a real server, which says nothing while it is stopped."""
    ensemble = RealEnsemble.start(tmp_path)
    world = RealWorld(ensemble)
    (server,) = ensemble.servers
    try:
        assert sessions.commits(ensemble, server)
        assert sessions.mode(ensemble, server) == "standalone"
        client = world.client()
        states: list[SessionState] = []
        client.listen(lambda state, *_: states.append(state))
        client.start()
        world.until(lambda: SessionState.CONNECTED in states, "it is connected")
        ((address, session),) = sessions.sessions(ensemble, server)
        assert address == "127.0.0.1"
        assert not sessions.end(ensemble, server, session + 1)
        assert sessions.end(ensemble, server, session)
        assert not sessions.end(ensemble, server, session), "it is over"
        world.until(lambda: SessionState.EXPIRED in states, "the client hears of it")
        world.close()
        ensemble.pause(server)
        assert not sessions.commits(ensemble, server)
        ensemble.resume(server)
    finally:
        ensemble.stop()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Failover]:
    session = f"--zk_session_timeout={SESSION_S:g}secs"
    running = Failover.assemble(
        tmp_path, masters=3, servers=3, agents=1, master=(session,), agent=(session,)
    )
    try:
        yield running
    finally:
        running.stop()


def taken_over(cluster: Failover, leader: str, signo: signal.Signals) -> float:
    """Seconds from the leader's end to the first answer of the next one."""
    begin = time.monotonic()
    cluster.running.pop(leader).send_signal(signo)
    cluster.leader(but=leader)
    assert cluster.request("GET", "/slaves").status == 200
    return time.monotonic() - begin


def test_another_leads_within_the_session_and_two_seconds(cluster: Failover) -> None:
    """After kill -9 the session must end first; after SIGTERM the next leads at once."""
    first = cluster.leader()
    process = cluster.running[first]
    killed = taken_over(cluster, first, signal.SIGKILL)
    process.wait(10)
    cluster.registered(1)
    second = cluster.leader()
    process = cluster.running[second]
    stopped = taken_over(cluster, second, signal.SIGTERM)
    assert process.wait(30) == 0
    cluster.registered(1)
    print(f"another leads {killed:.2f} s after kill -9, {stopped:.2f} s after SIGTERM")
    assert killed <= SESSION_S + SERVES_S
    assert stopped <= SESSION_S, "it did not wait for the session's end"
