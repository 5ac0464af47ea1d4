"""The registry before the word: I7, I8, I9, I10.

What a master says of agents is durable when it says so; one master leads; nobody who was given up
comes back. What is durable is read from what outlives the masters, not from what they believe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from mesos_twisted.agent.core import events as agent_events
from mesos_twisted.agent.core.state import Phase
from mesos_twisted.master.core import events as ev
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.registry.operations import AGENTS, GONE, MASTER, UNREACHABLE, LeaderRecord
from mesos_twisted.testing.sim.auditor_scene import (
    AgentLife,
    AgentTurn,
    Check,
    MasterLife,
    MasterTurn,
    Scene,
)
from mesos_twisted.testing.sim.world import Place

_State = m.TaskState
#: Two masters may believe that they lead until the older one's session is over.
TWO_LEADERS_S = 30.0
Records = Mapping[tuple[str, str], bytes]
_decode = msgspec.msgpack.Decoder(LeaderRecord).decode


class Registry(Check):
    """See the module's head. `records` gives what is durable now."""

    def __init__(self, scene: Scene, records: Callable[[], Records]) -> None:
        super().__init__(scene)
        self._records = records
        self._two_since: float | None = None
        #: What each life of an agent obeys: the registry and the epoch.
        self._obeys: dict[AgentLife, tuple[str, int]] = {}
        self._last_leader: MasterLife | None = None
        #: Who leads by the registry, and the epoch.
        self._leader, self._epoch = b"", 0

    def begun(self, place: Place) -> None:
        """A new life obeys nobody yet."""
        self._obeys = {life: has for life, has in self._obeys.items() if life.agent.alive}

    # I7, I10

    def master_turn(self, life: MasterLife, turn: MasterTurn) -> None:
        """What the master said, to agents and to frameworks."""
        if not turn.told and not turn.ordered:
            if isinstance(turn.event, ev.Recovered):
                self._leads(life)
            return
        records = self._records()
        if not life.state.leading:
            self.scene.violated("I9", f"{life.place.name} does not lead and speaks")
        for agent_id, message in turn.ordered:
            if isinstance(message, agentlink.Registered | agentlink.Reregistered):
                self._admitted(records, AgentId(message.agent_id), message)
            elif agent_id is not None and isinstance(
                message, agentlink.RunTask | agentlink.RunTaskGroup
            ):
                self._served(records, agent_id, "A task is sent to")
            elif agent_id is None and isinstance(message, agentlink.Shutdown):
                self.scene.probes.sometimes("agent refused as gone")
        for _, event in turn.told:
            if event.offers is not None:
                for offer in event.offers.offers:
                    self._served(records, AgentId(offer.agent_id.value), "Offered is")
            elif event.update is not None:
                self._told(life, records, event.update.status)

    def _admitted(
        self,
        records: Records,
        agent_id: AgentId,
        message: agentlink.Registered | agentlink.Reregistered,
    ) -> None:
        if (AGENTS, agent_id) not in records:
            self.scene.violated(
                "I7", f"Agent {agent_id} was told that it is registered before the registry knew"
            )
        if (GONE, agent_id) in records:
            self.scene.violated("I10", f"Agent {agent_id} was marked gone and is registered again")

    def _served(self, records: Records, agent_id: AgentId, what: str) -> None:
        if (AGENTS, agent_id) not in records:
            self.scene.violated(
                "I7", f"{what} agent {agent_id}, which the registry has not admitted"
            )

    def _told(self, life: MasterLife, records: Records, status: m.TaskStatus) -> None:
        if status.agent_id is None:
            return
        agent_id = AgentId(status.agent_id.value)
        if status.state is _State.TASK_UNREACHABLE:
            # While its return is being written it may be in either table.
            if (AGENTS, agent_id) in records and agent_id not in life.state.changing:
                self.scene.violated(
                    "I7",
                    f"A framework heard that agent {agent_id} is unreachable, "
                    "and the registry does not know",
                )
        elif status.state is _State.TASK_GONE_BY_OPERATOR and (GONE, agent_id) not in records:
            self.scene.violated(
                "I7",
                f"A framework heard that agent {agent_id} is gone, and the registry does not know",
            )

    # I8, I9

    def _leads(self, life: MasterLife) -> None:
        if self._last_leader is not None and self._last_leader is not life:
            self.scene.probes.sometimes("leader changed")
        self._last_leader = life
        records, state = self._records(), life.state
        for table, known in (
            (AGENTS, state.recovered),
            (UNREACHABLE, state.unreachable),
            (GONE, state.gone),
        ):
            stored = {AgentId(key) for kind, key in records if kind == table}
            if stored != set(known):
                self.scene.violated(
                    "I18",
                    f"{life.place.name} leads and does not know what the registry holds",
                    f"{table}: {sorted(stored ^ set(known))}",
                )

    def second(self) -> None:
        """Who leads, and who led: epochs only rise."""
        record = self._records().get((MASTER, MASTER))
        if record is not None and record != self._leader:
            self._leader, epoch = record, _decode(record).epoch
            if epoch < self._epoch:
                self.scene.violated(
                    "I8", "A deposed master wrote to the registry", f"{epoch} after {self._epoch}"
                )
            self._epoch = epoch
        leading = self.scene.leading()
        if len(leading) < 2:
            self._two_since = None
            return
        self.scene.probes.sometimes("two leaders")
        if self._two_since is None:
            self._two_since = self.scene.now
        elif self.scene.now - self._two_since > TWO_LEADERS_S:
            names = " and ".join(life.place.name for life in leading)
            self.scene.violated("I8", f"{names} have both led for {TWO_LEADERS_S:g} s")

    def agent_turn(self, life: AgentLife, turn: AgentTurn) -> None:
        """Whom the agent obeys."""
        event = turn.event
        if not isinstance(event, agent_events.MasterSaid):
            return
        said = event.message
        if not isinstance(said, agentlink.Registered | agentlink.Reregistered):
            return
        state = life.state
        obeyed = state.phase is Phase.RUNNING and state.master_id == said.master_id
        if not obeyed or not said.registry_id:
            return
        before = self._obeys.get(life)
        if before is not None and before[0] == said.registry_id and said.epoch < before[1]:
            self.scene.violated(
                "I9",
                f"{life.place.name} obeys a master that was deposed",
                f"epoch {said.epoch} after {before[1]}",
            )
        self._obeys[life] = (said.registry_id, said.epoch)
