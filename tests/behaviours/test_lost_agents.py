"""What a framework sees of an agent that is lost: unreachable, gone, or not back after a failover.

Each test has a cluster of its own, because it loses its one agent.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from client import AWARE, Document, Framework

from mesos_twisted.testing.commands import CommandLine
from mesos_twisted.testing.daemons import Daemons
from mesos_twisted.testing.processes import wait_until

#: Six seconds of silence, instead of Mesos's 75.
QUICK = ("--agent_ping_timeout=2secs", "--max_agent_ping_timeouts=3")
AGENT = "agent-1"
GONE = "Agent has been marked gone"


@pytest.fixture
def daemons() -> Iterator[Daemons]:
    """A master and one agent; whatever is left of them ends."""
    # Short: the launcher's socket lies below it, and a socket's path has few bytes.
    root = Path(tempfile.mkdtemp(prefix="lost-"))
    running = Daemons.begin(root / "c", master=QUICK)
    yield running
    if AGENT not in running.running:
        # What the agent left behind is ended by a new one, which is not refused.
        shutil.rmtree(root / "c" / "work" / AGENT / "meta")
        running.bring_up(AGENT)
        running.registered(1)
    running.stop()
    shutil.rmtree(root)


class Scene:
    """Two frameworks, one partition-aware, each with a running task on the agent."""

    def __init__(self, daemons: Daemons) -> None:
        self.daemons = daemons
        self.agent_id: str = daemons.request("GET", "/slaves").json()["slaves"][0]["id"]
        self.aware = Framework(daemons, capabilities=AWARE, failover_timeout=600, checkpoint=True)
        self.aware.run("sleep 1000", "aware")
        self.aware.until("aware", "TASK_RUNNING")
        plain = ("MULTI_ROLE",)
        self.plain = Framework(daemons, capabilities=plain, failover_timeout=600, checkpoint=True)
        self.plain.run("sleep 1000", "plain")
        self.plain.until("plain", "TASK_RUNNING")

    def gone(self) -> None:
        """The operator marks the agent gone."""
        done = CommandLine(self.daemons)("agent", "gone", "--yes", self.agent_id)
        assert (done.status, done.err) == (0, ""), done

    def failures(self, framework: Framework) -> list[Document]:
        """What the framework heard of lost agents."""
        return [one["failure"] for one in framework.events("FAILURE")]

    def asked(self, framework: Framework, agent_id: str | None, name: str) -> Document:
        """The answer to a question about a task that nobody knows."""
        framework.reconcile((name, agent_id))
        found = framework.wait(lambda: framework.statuses(name), "an answer")
        status: Document = found[0]
        assert status["reason"] == "REASON_RECONCILIATION" and "uuid" not in status
        return status

    def not_answered(self, framework: Framework, *questions: tuple[str, str | None]) -> None:
        """Questions without an answer, as the one to a later question shows."""
        framework.reconcile(*questions)
        self.asked(framework, "no-such-agent", "after-" + questions[0][0])
        for name, _ in questions:
            assert framework.statuses(name) == []

    def refused(self) -> None:
        """The agent, started again under its old id, ends by itself."""
        self.daemons.bring_up(AGENT)
        self.ended()

    def ended(self) -> None:
        """The agent's process ends by itself."""
        process = self.daemons.running.pop(AGENT)
        wait_until(lambda: process.poll() is not None, "the agent ends", 30)
        assert GONE in self.daemons.logs(200)


def test_an_agent_marked_gone_ends_and_its_tasks_with_it(daemons: Daemons) -> None:
    """GONE_BY_OPERATOR or LOST, FAILURE, the agent shut down, and refused ever after."""
    scene = Scene(daemons)
    scene.gone()
    status = scene.aware.until("aware", "TASK_GONE_BY_OPERATOR")
    assert (status["reason"], status["message"], status["source"]) == (
        "REASON_AGENT_REMOVED_BY_OPERATOR",
        GONE,
        "SOURCE_MASTER",
    )
    assert "uuid" not in status and "unreachable_time" not in status
    status = scene.plain.until("plain", "TASK_LOST")
    assert (status["reason"], status["message"]) == ("REASON_AGENT_REMOVED", GONE)
    for framework in (scene.aware, scene.plain):
        framework.wait(lambda framework=framework: scene.failures(framework), "FAILURE")
        assert scene.failures(framework) == [{"agent_id": {"value": scene.agent_id}}]
    assert scene.asked(scene.aware, scene.agent_id, "x")["state"] == "TASK_GONE_BY_OPERATOR"
    assert scene.asked(scene.plain, scene.agent_id, "x")["state"] == "TASK_LOST"
    scene.ended()
    scene.refused()
    # And after a failover.
    daemons.end("master", signal.SIGKILL)
    daemons.bring_up("master")
    scene.refused()
    assert daemons.request("GET", "/slaves").json()["slaves"] == []
    assert CommandLine(daemons)("agent", "gone", "--yes", "nobody").status == 3


def test_a_silent_agent_is_unreachable_and_may_then_be_marked_gone(daemons: Daemons) -> None:
    """UNREACHABLE or LOST with the time, FAILURE; marked gone, its tasks end without another."""
    scene = Scene(daemons)
    daemons.end(AGENT, signal.SIGKILL)
    status = scene.aware.until("aware", "TASK_UNREACHABLE")
    assert status["reason"] == "REASON_AGENT_REMOVED"
    assert status["message"] == "health check timed out"
    since = status["unreachable_time"]
    status = scene.plain.until("plain", "TASK_LOST")
    assert status["unreachable_time"] == since
    for framework in (scene.aware, scene.plain):
        framework.wait(lambda framework=framework: scene.failures(framework), "FAILURE")
    answer = scene.asked(scene.aware, scene.agent_id, "x")
    assert (answer["state"], answer["unreachable_time"]) == ("TASK_UNREACHABLE", since)
    answer = scene.asked(scene.plain, scene.agent_id, "x")
    assert (answer["state"], answer["unreachable_time"]) == ("TASK_LOST", since)
    scene.gone()
    status = scene.aware.until("aware", "TASK_GONE_BY_OPERATOR")
    assert status["message"] == GONE and "unreachable_time" not in status
    assert scene.asked(scene.aware, scene.agent_id, "y")["state"] == "TASK_GONE_BY_OPERATOR"
    assert len(scene.failures(scene.aware)) == 1
    scene.refused()


def test_an_unreachable_agent_that_returns_brings_its_tasks(daemons: Daemons) -> None:
    """For everybody, told with REASON_AGENT_REREGISTERED."""
    scene = Scene(daemons)
    daemons.end(AGENT, signal.SIGKILL)
    scene.aware.until("aware", "TASK_UNREACHABLE")
    scene.plain.until("plain", "TASK_LOST")
    daemons.bring_up(AGENT)
    for framework, name in ((scene.aware, "aware"), (scene.plain, "plain")):

        def told(framework: Framework = framework, name: str = name) -> bool:
            # An update whose acknowledgement the agent did not live to read may follow.
            found = [(one["state"], one.get("reason")) for one in framework.statuses(name)]
            return ("TASK_RUNNING", "REASON_AGENT_REREGISTERED") in found

        framework.wait(told, f"{name} runs again")


def test_questions_wait_for_agents_that_may_return_after_a_failover(daemons: Daemons) -> None:
    """No answer for what such an agent may run; an agent gone meanwhile is an answer."""
    scene = Scene(daemons)
    daemons.end(AGENT, signal.SIGKILL)
    daemons.end("master", signal.SIGKILL)
    daemons.bring_up("master")
    ids = {"id": {"value": scene.aware.id}}
    back = Framework(daemons, failover_timeout=600, checkpoint=True, **ids)
    scene.not_answered(back, ("aware", scene.agent_id), ("other", None))
    page = daemons.request("GET", "/slaves").json()
    assert [one["id"] for one in page["recovered_slaves"]] == [scene.agent_id]
    scene.gone()
    back.wait(lambda: scene.failures(back), "FAILURE")
    assert scene.asked(back, scene.agent_id, "aware")["state"] == "TASK_GONE_BY_OPERATOR"
    assert scene.asked(back, None, "other")["state"] == "TASK_UNKNOWN"
    scene.refused()
