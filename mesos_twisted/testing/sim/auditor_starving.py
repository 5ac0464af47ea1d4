"""No framework starves (I13): what is free and nobody refused is offered soon to who wants it.

What stays free on an agent for `FREE_S` seconds, untouched, was offered to nobody in that time. If
a framework was subscribed all the while, did not suppress its offers, and had not refused as much
on that agent, the allocator has forgotten it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesos_twisted.master.core.state import Agent
from mesos_twisted.protocol.ids import AgentId, FrameworkId
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.testing.sim.auditor_offers import Refusal
from mesos_twisted.testing.sim.auditor_scene import Check, MasterLife, Scene

#: Several allocations, each of which looks at every agent.
FREE_S: Final = 6
#: Offers hold as much at least: a hundredth of a CPU, or 32 MB.
_LEAST_CPUS_MILLI, _LEAST_MEM_MILLI = 10, 32000


@dataclass(slots=True)
class _Idle:
    """Of one agent: since which change, for how many seconds, and who could have had what is free
    all the time."""

    agent: Agent
    version: int
    seconds: int
    starving: set[tuple[FrameworkId, str]]


class Starving(Check):
    """See the module's head. `refusals` are those that hold, by master, framework and agent."""

    def __init__(
        self,
        scene: Scene,
        refusals: Mapping[MasterLife, Mapping[tuple[FrameworkId, AgentId], Sequence[Refusal]]],
    ) -> None:
        super().__init__(scene)
        self._refusals = refusals
        self._idle: dict[AgentId, _Idle] = {}
        self._life: MasterLife | None = None

    def second(self) -> None:
        """Compares with the last second."""
        life = self.scene.leader()
        reactor = None if life is None else life.place.reactor
        if life is None or life is not self._life or reactor is None or reactor.paused:
            self._idle.clear()
            self._life = life
            return
        wanting = list(self._wanting(life))
        last, self._idle = self._idle, {}
        for agent_id, agent in life.state.agents.items():
            if agent.active and wanting:
                self._look(life, agent_id, agent, wanting, last.get(agent_id))

    def _look(
        self,
        life: MasterLife,
        agent_id: AgentId,
        agent: Agent,
        wanting: list[tuple[FrameworkId, str]],
        last: _Idle | None,
    ) -> None:
        free = life.state.allocator.books(agent_id).free
        amounts = free.quantities().amounts
        if amounts.get("cpus", 0) < _LEAST_CPUS_MILLI and amounts.get("mem", 0) < _LEAST_MEM_MILLI:
            return
        starving = {one for one in wanting if not self._refused(life, agent_id, one, free)}
        seconds = 0
        if last is not None and last.agent is agent and last.version == agent.version:
            seconds = last.seconds + 1
            starving &= last.starving
        if starving:
            self._idle[agent_id] = _Idle(agent, agent.version, seconds, starving)
        if starving and seconds > FREE_S:
            framework_id, role = min(starving)
            self.scene.violated(
                "I13",
                f"Framework {framework_id} wants offers for role {role}, and what is free on "
                f"agent {agent_id} was not offered to anybody for {FREE_S} s",
                repr(free),
            )

    def _wanting(self, life: MasterLife) -> Iterator[tuple[FrameworkId, str]]:
        for framework_id, framework in life.state.frameworks.items():
            if framework.connected and framework.active:
                for role in framework.roles:
                    if role not in framework.suppressed:
                        yield framework_id, role

    def _refused(
        self,
        life: MasterLife,
        agent_id: AgentId,
        who: tuple[FrameworkId, str],
        free: Resources,
    ) -> bool:
        framework_id, role = who
        held = self._refusals.get(life, {}).get((framework_id, agent_id), ())
        assert life.place.reactor is not None
        now = life.place.reactor.seconds()
        return any(
            one.role == role and one.until > now and one.resources.unallocate().contains(free)
            for one in held
        )
