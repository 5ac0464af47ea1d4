"""An agent is drained, over the end of the master and of the agent itself, used again, and gone."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client import AWARE, Framework

from mesos_twisted.testing.commands import CommandLine
from mesos_twisted.testing.daemons import Daemons
from mesos_twisted.testing.processes import wait_until

AGENT = "agent-1"
#: It does not hear SIGTERM, and by its own policy it has an hour to end.
STUBBORN = "trap '' TERM; while true; do sleep 1; done"
HOUR = {"grace_period": {"nanoseconds": 3600 * 10**9}}
MASTERS = {"failover_timeout": 600, "checkpoint": True}


@pytest.fixture
def daemons() -> Iterator[Daemons]:
    """A master and one agent; whatever is left of them ends."""
    # Short: the launcher's socket lies below it, and a socket's path has few bytes.
    root = Path(tempfile.mkdtemp(prefix="drain-"))
    running = Daemons.begin(root / "c")
    yield running
    if AGENT in running.running:
        # A test that failed early leaves a task that has an hour to end.
        CommandLine(running)("agent", "drain", "localhost", "--max-grace-period=0secs")
    else:
        # What the agent left behind is ended by a new one, which is not refused.
        shutil.rmtree(root / "c" / "work" / AGENT / "meta")
        running.bring_up(AGENT)
        running.registered(1)
    running.stop()
    shutil.rmtree(root)


def agent(daemons: Daemons) -> dict[str, Any]:
    """The agent as the master shows it; empty while it is not registered."""
    found = daemons.request("GET", "/slaves").json()["slaves"]
    return dict(found[0]) if found else {}


def state_of(daemons: Daemons) -> str | None:
    """DRAINING, DRAINED or neither."""
    state: str | None = agent(daemons).get("drain_info", {}).get("state")
    return state


def test_an_agent_is_drained_used_again_and_drained_to_be_gone(daemons: Daemons) -> None:
    """Nothing that dies on the way stops it; whoever waits is told of each task."""
    operator = CommandLine(daemons)
    framework = Framework(daemons, capabilities=AWARE, **MASTERS)
    framework.run(STUBBORN, "stubborn", kill_policy=HOUR)
    framework.until("stubborn", "TASK_RUNNING")

    done = operator("agent", "drain", "localhost")
    assert (done.status, done.err) == (0, ""), done
    found = agent(daemons)
    assert (found["active"], found["deactivated"]) == (False, True)
    assert found["drain_info"] == {"state": "DRAINING", "config": {"mark_gone": False}}
    assert "draining" in operator("agent", "list").out
    refused = operator("agent", "reactivate", "localhost")
    assert refused.status == 1 and "still in the DRAINING state" in refused.err

    daemons.end(AGENT, signal.SIGKILL)
    daemons.end("master", signal.SIGKILL)
    daemons.bring_up("master")
    daemons.bring_up(AGENT)
    framework = Framework(daemons, capabilities=AWARE, id={"value": framework.id}, **MASTERS)
    wait_until(lambda: state_of(daemons) == "DRAINING", "the agent is back, to be drained")
    url = "https://localhost:" + agent(daemons)["pid"].rpartition(":")[2]
    wait_until(
        lambda: daemons.request("GET", "/state", base=url).json().get("drain_config"),
        "the agent knows that it is drained",
    )
    assert framework.statuses("stubborn") == []

    waiting = operator.start("agent", "drain", "localhost", "--max-grace-period=1secs", "--wait")
    status = framework.until("stubborn", "TASK_KILLED")
    assert status["reason"] == "REASON_AGENT_DRAINING"
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, err) == (0, b""), (out, err)
    told = out.decode().splitlines()
    assert f"task stubborn of {framework.id}: over" in told and told[-1].endswith(" is drained.")
    assert state_of(daemons) == "DRAINED"
    assert "drain_config" not in daemons.request("GET", "/state", base=url).json()
    framework.see_allocations()
    assert framework.offers() == []

    done = operator("agent", "reactivate", "localhost")
    assert (done.status, done.err) == (0, ""), done
    framework.run("sleep 1000", "next")
    framework.until("next", "TASK_RUNNING")
    waiting = operator.start("agent", "drain", "localhost", "--mark-gone", "--yes", "--wait")
    status = framework.until("next", "TASK_GONE_BY_OPERATOR")
    assert status["reason"] == "REASON_AGENT_DRAINING"
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, err) == (0, b""), (out, err)
    assert out.decode().splitlines()[-1].endswith(" is drained and marked gone.")
    assert daemons.running.pop(AGENT).wait(30) == 1
    framework.wait(lambda: framework.events("FAILURE"), "FAILURE")
    framework.leave()
