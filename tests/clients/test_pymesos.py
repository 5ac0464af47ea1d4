"""pymesos 0.3.15, unmodified: schedulers, executors and operators through a connector."""

from base64 import b64decode
from pathlib import Path

import pytest

from mesos_twisted.testing.processes import wait_until

pytestmark = [pytest.mark.clients, pytest.mark.timeout(900)]
PROGRAMS = Path(__file__).parent / "programs"


SECRET = ("basic", "a secret of the tests")


@pytest.mark.parametrize(("door", "credentials"), [("framework", ()), ("secret", SECRET)])
def test_a_scheduler_and_its_executors(cluster, run_program, door, credentials):
    """Launch, messages both ways, results, reconciliation, suppression, failover, kill.

    By the connector's certificate, and by a principal and secret of pymesos's own.
    """
    seen = run_program(
        "pymesos",
        "pymesos_scheduler.py",
        f"127.0.0.1:{cluster.port[door]}",
        str(PROGRAMS / "pymesos_executor.py"),
        *credentials,
        timeout_s=120,
    )
    assert seen["agents"] == ["127.0.0.1", "localhost"]
    assert seen["result"] == "the result"
    assert "exited with status 3" in seen["failed"]
    assert "offers" not in seen["while_suppressed"]
    assert all(part.isdigit() for part in seen["version"].split("."))
    completed = {f["id"]: f for f in cluster.state()["completed_frameworks"]}
    assert seen["framework_id"] in completed
    wait_until(
        lambda: (
            not [line for line in command_lines() if str(PROGRAMS / "pymesos_executor.py") in line]
        ),
        "the executors have ended",
    )


def command_lines():
    """Of every living process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((entry / "cmdline").read_bytes().decode(errors="replace"))
            except OSError:
                continue
    return found


def test_a_scheduler_outlives_its_master(cluster, survive):
    """The stream ends with the master; pymesos subscribes again and its task still runs."""
    survive(cluster, lambda: cluster.restart("master"))
    wait_until(cluster.up, "the cluster is up")


def test_operators_read_everything(cluster, run_program):
    """Each read call answers its own type; the event stream tells of a task."""
    doors = [f"127.0.0.1:{cluster.port[name]}" for name in ("framework", "operator", "agent")]
    seen = run_program("pymesos", "pymesos_operator.py", *doors)
    common = {
        "health": "GET_HEALTH",
        "flags": "GET_FLAGS",
        "version": "GET_VERSION",
        "metrics": "GET_METRICS",
        "logging": "GET_LOGGING_LEVEL",
        "state": "GET_STATE",
        "frameworks": "GET_FRAMEWORKS",
        "executors": "GET_EXECUTORS",
        "tasks": "GET_TASKS",
    }
    only = {
        "agents": "GET_AGENTS",
        "roles": "GET_ROLES",
        "weights": "GET_WEIGHTS",
        "master": "GET_MASTER",
        "maintenance_status": "GET_MAINTENANCE_STATUS",
        "maintenance_schedule": "GET_MAINTENANCE_SCHEDULE",
        "quota": "GET_QUOTA",
    }
    assert {n: seen["master"][n]["type"] for n in (*common, *only)} == {**common, **only}
    assert {n: seen["agent"][n]["type"] for n in common} == common
    assert seen["agent"]["containers"]["type"] == "GET_CONTAINERS"
    assert seen["master"]["health"]["get_health"] == {"healthy": True}
    assert len(seen["master"]["agents"]["get_agents"]["agents"]) == 2
    assert seen["master"]["metrics"]["get_metrics"]["metrics"]
    assert {"role": "watched", "weight": 2.5} in seen["weights_after"]["get_weights"][
        "weight_infos"
    ]
    files = seen["files"]["list_files"]["file_infos"]
    assert {file["path"].rpartition("/")[2] for file in files} == {"stdout", "stderr"}
    assert b64decode(seen["file"]["read_file"]["data"]) == b"the task\n"
    events = [tuple(event) for event in seen["events"]]
    for event in (
        ("framework added", "watched"),
        ("task added", "seen", "TASK_STAGING"),
        ("task updated", "seen", "TASK_FINISHED"),
        ("framework removed", "watched"),
    ):
        assert event in events, events
