"""What `agent drain --wait` tells, from what masters say."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from mesos_twisted.cli.client import NotFoundError
from mesos_twisted.cli.commands.agent import agent
from mesos_twisted.cli.drain import ASK_S, LEADERLESS_S, LOOK_S, Waiting, find_agent
from mesos_twisted.clock import Timers
from mesos_twisted.daemons import AGENT_VERBS, is_daemon
from mesos_twisted.errors import MesosError, RefusedError, UnavailableError
from mesos_twisted.protocol.generated import messages as m

UNREACHABLE = UnavailableError("no master")


def document(drain: str | None = "DRAINING", here: bool = True, **tasks: str) -> dict[str, Any]:
    """A `/state` with the agent S0, unless it is not `here`, and its tasks of framework F."""
    agent: dict[str, Any] = {"id": "S0", "hostname": "h"}
    if drain is not None:
        agent["drain_info"] = {"state": drain}
    listed = [
        {"id": name, "slave_id": "S0", "state": f"TASK_{state}"} for name, state in tasks.items()
    ]
    listed.append({"id": "elsewhere", "slave_id": "S1", "state": "TASK_RUNNING"})
    return {"slaves": [agent] if here else [], "frameworks": [{"id": "F", "tasks": listed}]}


class Master:
    """A master that says these things, one at each look."""

    def __init__(self, *says: dict[str, Any] | MesosError, again: MesosError | None = None) -> None:
        self.says = list(says)
        self.again = again
        self.asked = 0

    def state(self) -> Deferred[dict[str, Any]]:
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        return fail(said) if isinstance(said, MesosError) else succeed(said)

    def call(self, call: m.MasterCall) -> Deferred[m.MasterResponse]:
        self.asked += 1
        return succeed(m.MasterResponse()) if self.again is None else fail(self.again)


def waited(master: Master, seconds: float, mark_gone: bool = False) -> tuple[list[str], list[Any]]:
    """The lines told within so many seconds, and the end if there was one."""
    clock, lines, ends = Clock(), [], []  # type: ignore[var-annotated]  # lists of what comes
    asked = m.MasterCallDrainAgent(agent_id=m.AgentID(value="S0"), mark_gone=mark_gone)
    call = m.MasterCall(type=m.MasterCallType.DRAIN_AGENT, drain_agent=asked)
    waiting = Waiting(master, Timers(clock), "S0", call, lines.append)  # type: ignore[arg-type]  # what it needs of a cluster
    Deferred.fromCoroutine(waiting.wait()).addBoth(ends.append)
    clock.pump([LOOK_S] * round(seconds / LOOK_S))
    return lines, [getattr(end, "value", end) for end in ends]


def test_each_change_of_a_task_is_a_line() -> None:
    """Until the master says that the agent is drained; other agents' tasks are not told."""
    master = Master(
        document(a="RUNNING", b="KILLING"),
        document(a="RUNNING", b="KILLING"),
        document(a="KILLED"),
        document("DRAINED"),
    )
    lines, ends = waited(master, 5)
    assert lines == [
        "task a of F: RUNNING",
        "task b of F: KILLING",
        "task a of F: KILLED, which its framework has not acknowledged",
        "task b of F: over",
        "task a of F: over",
        "The agent S0 is drained.",
    ]
    assert ends == [None]


def test_waiting_survives_the_masters_change_but_not_their_absence() -> None:
    """A minute without any is too long."""
    assert waited(Master(UNREACHABLE, UNREACHABLE, document("DRAINED")), 3)[1] == [None]
    assert waited(Master(UNREACHABLE), LEADERLESS_S)[1] == []
    assert waited(Master(UNREACHABLE), LEADERLESS_S + 2)[1] == [UNREACHABLE]


def test_an_agent_that_is_away_is_waited_for() -> None:
    """And one that somebody else put in use again is not."""
    master = Master(
        document(here=False), document(here=False), document(a="KILLING"), document(None)
    )
    lines, (end,) = waited(master, 5)
    assert lines == [
        "The agent S0 is not registered now; it is drained when it is back.",
        "The agent S0 is back.",
        "task a of F: KILLING",
        "task a of F: over",
    ]
    assert isinstance(end, RefusedError) and "in use again" in str(end) and master.asked == 0


def test_an_agent_to_be_marked_gone_is_gone_when_nobody_knows_it() -> None:
    """Asked of the master now and then, as one that is unreachable is not listed either."""
    lost = Master(document(a="KILLING"), document(here=False))
    assert waited(lost, ASK_S * 3, mark_gone=True)[1] == [] and lost.asked == 3
    gone = Master(document(a="RUNNING"), document(here=False), again=RefusedError("Unknown agent"))
    lines, ends = waited(gone, ASK_S * 2, mark_gone=True)
    assert lines[-2:] == ["task a of F: over", "The agent S0 is drained and marked gone."]
    assert ends == [None]


def test_each_command_of_agents_is_known_from_the_daemon_s_flags() -> None:
    """`agent` alone starts the daemon, and so does what is no command."""
    assert set(AGENT_VERBS) == set(agent.commands)
    assert not is_daemon(["agent", "drain", "S0"]) and is_daemon(["agent", "--drain"])


def test_agents_by_host() -> None:
    """An id comes first; a host with several must be told by id."""
    state = {"slaves": [{"id": "S0", "hostname": "h"}, {"id": "S1", "hostname": "i"}]}
    assert [find_agent(state, name) for name in ("S0", "i", "S9")] == ["S0", "S1", "S9"]
    state["slaves"].append({"id": "S2", "hostname": "i"})
    with pytest.raises(NotFoundError, match="S1, S2"):
        find_agent(state, "i")
