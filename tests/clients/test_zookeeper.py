"""Clients nobody here wrote, given `zk://` and nothing else: they find a connector by themselves.

Three masters and one ZooKeeper server. The connector announces itself at `/mesos-local`; the
clients' own detectors (kazoo) look there, and the leader is killed whatever is under way.
"""

import json
import subprocess
import threading

import pytest

from mesos_twisted.testing.processes import wait_until
from tests.clients.conftest import three_masters

pytestmark = [pytest.mark.clients, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def found():
    """A cluster whose connector announces itself."""
    with three_masters() as running:
        yield running


def test_pymesos_outlives_the_leader(found, survive):
    """It finds the connector, subscribes again with the next leader, and its task still runs."""
    survive(found, found.kill_leader, found.local)


def test_a_job_of_dpark_is_done(found, run_program):
    """The leader is killed while offers are being taken; every result is right all the same."""
    begun, go = found.root / "begun", found.root / "go"
    begun.mkdir()
    begun.chmod(0o1777)
    killed = []

    def leads():
        try:
            return found.state()["leader_info"]
        except (subprocess.SubprocessError, ValueError):
            return None

    def kill():
        wait_until(lambda: len(list(begun.iterdir())) >= 2, "the first parts run", 60)
        killed.append(found.kill_leader())
        wait_until(leads, "another leads", 60)
        go.touch()

    killer = threading.Thread(target=kill)
    killer.start()
    seen = run_program(
        "dpark",
        "dpark_slow.py",
        found.local,
        str(begun),
        str(go),
        user="nobody",
        env={"DPARK_CONF": str(found.dpark_conf), "HOME": str(found.root)},
        timeout_s=240,
    )
    killer.join()
    assert killed
    parts = range(seen["parts"])
    assert seen["total"] == sum(n * n for n in parts)
    assert seen["again"] == sum(parts)


def test_the_connectors_end_takes_its_announcement_away(found):
    """And its start brings it back."""
    log = found.root / "logs" / "connect-framework.log"

    def announcements():
        words = [json.loads(line)["message"] for line in log.read_text().splitlines()]
        return sum(word.startswith("Announced in ZooKeeper as /mesos-local/") for word in words)

    before = announcements()
    found.restart("connect-framework")
    wait_until(lambda: announcements() == before + 1, "it is announced again", 30)
