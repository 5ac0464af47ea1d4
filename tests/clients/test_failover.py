"""Clients nobody here wrote, while the leading master is killed: connectors find the next one.

Three masters and one ZooKeeper server; masters, agents and connectors have `zk://` as the master.
"""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from mesos_twisted.testing.processes import wait_until
from tests.clients.conftest import three_masters

#: Parts of a job: each of the two agents has four processors, and dpark's executor needs a little.
AT_ONCE = 6
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

    dpark 0.5.0 does not ask what became of a part that it launched as the leader died, so the
    leader dies while as many run as fit at once, and is known to have been told so. They go on to
    their end once another leads; the rest follows under that one.
    """
    begun, go = followed.root / "begun", followed.root / "go"
    begun.mkdir()
    begun.chmod(0o1777)

    def run_and_are_known():
        if len(list(begun.iterdir())) < AT_ONCE:
            return False
        counters = json.loads(followed.curl(followed.url("operator", "/metrics/snapshot")))
        told = counters["master/valid_status_updates"]
        acknowledged = counters["master/valid_status_update_acknowledgements"]
        return counters["master/tasks_running"] == AT_ONCE and acknowledged == told

    def run_under_another():
        try:
            (framework,) = followed.state()["frameworks"]
        except (subprocess.SubprocessError, ValueError):
            return False  # nobody leads yet, or it has not come back
        running = [task for task in framework["tasks"] if task["state"] == "TASK_RUNNING"]
        return framework["active"] and len(running) == AT_ONCE

    def kill():
        try:
            wait_until(run_and_are_known, "the first parts run, and it is known", 60)
            followed.kill_leader()
            wait_until(run_under_another, "another master leads them", 60)
        finally:
            go.touch()

    with ThreadPoolExecutor(1) as beside:
        killed = beside.submit(kill)
        seen = run_program(
            "dpark",
            "dpark_slow.py",
            f"mesos://127.0.0.1:{followed.port['framework']}",
            str(begun),
            str(go),
            user="nobody",
            env={"DPARK_CONF": str(followed.dpark_conf), "HOME": str(followed.root)},
            timeout_s=150,
        )
        killed.result()
    parts = range(seen["parts"])
    assert len(parts) > AT_ONCE
    assert seen["total"] == sum(n * n for n in parts)
    assert seen["again"] == sum(parts)
    assert {path.read_text() for path in begun.iterdir()} == {"begun\n"}
