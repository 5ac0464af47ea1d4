"""Clients nobody here wrote, while the leading master is killed: connectors find the next one.

Three masters and one ZooKeeper server; masters, agents and connectors have `zk://` as the master.
"""

import json
import threading

import pytest

from mesos_twisted.testing.processes import wait_until
from tests.clients.conftest import three_masters

pytestmark = [pytest.mark.clients, pytest.mark.timeout(900)]


@pytest.fixture
def followed():
    """The cluster of the other tests, with three masters."""
    with three_masters() as running:
        yield running


def test_pymesos_outlives_the_leader(followed, survive):
    """It subscribes again with the next leader, and its task still runs."""
    survive(followed, followed.kill_leader)


def test_a_job_of_dpark_goes_on(followed, run_program):
    """No part is lost, none is counted twice, and none runs again.

    A call that fails inside one of its callbacks ends pymesos 0.3.9, whoever is the master; so the
    leader dies while the first parts run and nothing is under way.
    """
    begun = followed.root / "begun"
    begun.mkdir()
    begun.chmod(0o1777)
    killed = []

    def acknowledged():
        counters = json.loads(followed.curl(followed.url("operator", "/metrics/snapshot")))
        told = counters["master/valid_status_updates"]
        return counters["master/valid_status_update_acknowledgements"] == told

    def kill():
        wait_until(lambda: len(list(begun.iterdir())) >= 8, "the first parts run", 60)
        wait_until(acknowledged, "that they run is acknowledged", 15)
        killed.append(followed.kill_leader())

    killer = threading.Thread(target=kill)
    killer.start()
    seen = run_program(
        "dpark",
        "dpark_slow.py",
        f"mesos://127.0.0.1:{followed.port['framework']}",
        str(begun),
        user="nobody",
        env={"DPARK_CONF": str(followed.dpark_conf), "HOME": str(followed.root)},
        timeout_s=150,
    )
    killer.join()
    assert killed
    parts = range(seen["parts"])
    assert seen["total"] == sum(n * n for n in parts)
    assert seen["again"] == sum(parts)
    assert {path.read_text() for path in begun.iterdir()} == {"begun\n"}
