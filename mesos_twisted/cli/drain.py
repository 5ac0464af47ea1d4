"""Waiting until an agent is drained, and telling of each task that is left on it.

The master's word counts: drained is an agent of which it says so, with every end acknowledged.
While masters change, or the agent is away, the draining goes on and so does the waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from mesos_twisted.cli.client import Cluster, NotFoundError
from mesos_twisted.clock import Timers
from mesos_twisted.errors import RefusedError, UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import is_terminal

#: Between two looks, and between two questions whether an agent that is not listed is gone.
LOOK_S = 1.0
ASK_S = 10.0
#: How long to wait without a master.
LEADERLESS_S = 60.0

#: (framework id, task id) -> what is left to do.
Left = Mapping[tuple[str, str], str]


def find_agent(state: Mapping[str, Any], name: str) -> str:
    """The id of the registered agent of that id or host name; a name that nobody has is an id.

    Raises NotFoundError when a host has several agents.
    """
    hosts = [one["id"] for one in state["slaves"] if one["hostname"] == name]
    if any(one["id"] == name for one in state["slaves"]) or not hosts:
        return name
    if len(hosts) > 1:
        raise NotFoundError(f"Several agents are at {name}: {', '.join(sorted(hosts))}")
    return str(hosts[0])


def left_on(state: Mapping[str, Any], agent_id: str) -> Left:
    """What of the `/state` document is on the agent, and not over."""
    return {
        (framework["id"], task["id"]): _words(task["state"])
        for framework in state["frameworks"]
        for task in framework["tasks"]
        if task["slave_id"] == agent_id
    }


def _words(state: str) -> str:
    short = state.removeprefix("TASK_")
    if is_terminal(m.TaskState(state)):
        return f"{short}, which its framework has not acknowledged"
    return short


def changes(before: Left, now: Left) -> Iterator[str]:
    """A line for each task that is not as it was."""
    for key, words in now.items():
        if before.get(key) != words:
            yield f"task {key[1]} of {key[0]}: {words}"
    for key in before:
        if key not in now:
            yield f"task {key[1]} of {key[0]}: over"


class Waiting:
    """`say` gets the lines; `again` is the call that asked for the drain."""

    def __init__(
        self,
        cluster: Cluster,
        timers: Timers,
        agent_id: str,
        again: m.MasterCall,
        say: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._timers = timers
        self._agent_id = agent_id
        self._again = again
        self._say = say
        self._left: Left = {}
        self._away = False
        self._asked_at = timers.seconds()

    async def wait(self) -> None:
        """The agent is drained, or gone. Raises RefusedError when it is in use again."""
        heard_at = self._timers.seconds()
        while True:
            try:
                if await self._look():
                    return
                heard_at = self._timers.seconds()
            except UnavailableError:
                if self._timers.seconds() - heard_at > LEADERLESS_S:
                    raise
            paused: Deferred[None] = Deferred()
            self._timers.after(LOOK_S, paused.callback, None)
            await paused

    async def _look(self) -> bool:
        state = await self._cluster.state()
        found = next((one for one in state["slaves"] if one["id"] == self._agent_id), None)
        if found is None:
            return await self._missing()
        if self._away:
            self._away = False
            self._say(f"The agent {self._agent_id} is back.")
        left = left_on(state, self._agent_id)
        for line in changes(self._left, left):
            self._say(line)
        self._left = left
        drain = found.get("drain_info")
        if drain is None:
            raise RefusedError(f"The agent {self._agent_id} is in use again; it is not drained.")
        if drain["state"] == "DRAINED":
            self._say(f"The agent {self._agent_id} is drained.")
            return True
        return False

    async def _missing(self) -> bool:
        """Of an agent that is to be marked gone the master is asked: draining what is being drained
        changes nothing, and nobody knows one that is gone."""
        drain, now = self._again.drain_agent, self._timers.seconds()
        due = not self._away or now - self._asked_at >= ASK_S
        if drain is not None and drain.mark_gone and due:
            self._asked_at = now
            try:
                await self._cluster.call(self._again)
            except RefusedError as error:
                if "Unknown agent" not in str(error):
                    raise
                for line in changes(self._left, {}):
                    self._say(line)
                self._say(f"The agent {self._agent_id} is drained and marked gone.")
                return True
        if not self._away:
            self._away = True
            self._say(
                f"The agent {self._agent_id} is not registered now; it is drained when it is back."
            )
        return False
