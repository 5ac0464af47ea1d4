"""Where something happens on the agent: at one executor, now, with the effects it has."""

from __future__ import annotations

from dataclasses import dataclass

from mesos_twisted.agent.core.effects import Effect
from mesos_twisted.agent.core.state import AgentState, Executor, Framework


@dataclass(slots=True)
class Scene:
    """One event at one executor; `out` grows by what must be done. Times in seconds since 1970.

    Made where an event finds its executor, and good for that event alone.
    """

    state: AgentState
    out: list[Effect]
    framework: Framework
    executor: Executor
    now: float

    @property
    def stands(self) -> bool:
        """Is the executor still in the tables?"""
        return self.framework.executors.get(self.executor.id) is self.executor
