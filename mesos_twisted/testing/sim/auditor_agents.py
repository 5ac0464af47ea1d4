"""Agents: their tables, what they own, and what they know after a restart (I4, I6, I11, I18).

Recovery is tried twice on the rows that an agent found: what the second try makes of the rows that
the first would write must be the same. And what the last life had said is found in the next.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

from mesos_twisted.agent.core import effects as fx
from mesos_twisted.agent.core import events as ev
from mesos_twisted.agent.core import invariants
from mesos_twisted.agent.core.decide import decide
from mesos_twisted.agent.core.state import AgentState, Phase, Task, new_state
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.ids import FrameworkId, TaskId
from mesos_twisted.protocol.states import TERMINAL
from mesos_twisted.testing.sim.auditor_scene import (
    AgentLife,
    AgentTurn,
    Check,
    MasterLife,
    MasterTurn,
    Scene,
)
from mesos_twisted.testing.sim.world import Place

#: A process may be without an owner, and a task unknown to the leader, for so long.
OWNED_S = 60.0
#: A task may be unknown to its registered agent for so long, when neither process was stopped and
#: no link between them was cut for `CALM_S`: what was repeated has come by then.
UNKNOWN_S, CALM_S = 15.0, 45.0
_Key: TypeAlias = tuple[FrameworkId, TaskId]


class Agents(Check):
    """See the module's head."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._since: dict[Hashable, float] = {}
        #: The last life of an agent on each machine, while the next has not recovered.
        self._before: dict[str, AgentLife] = {}
        self._unreachable: set[str] = set()
        #: When a leader and an agent could last not speak to each other.
        self._parted: dict[str, float] = {}

    def begun(self, place: Place) -> None:
        """What the last life had said is kept for the next one's recovery."""
        life = self.scene.agents.get(place.name)
        if life is not None and life.state.phase is not Phase.RECOVERING:
            self._before[place.name] = life

    def agent_turn(self, life: AgentLife, turn: AgentTurn) -> None:
        """Recoveries."""
        if isinstance(turn.event, ev.Recovered) and not life.torn:
            self._recovered(life, turn.event)
        elif isinstance(turn.event, ev.ContainerLaunchFailed):
            self.scene.probes.sometimes("launch failed")

    def settle(self, life: AgentLife) -> None:
        """After all turns of one event of the world: the agent's own invariants."""
        for sentence in invariants.breaches(life.state):
            self.scene.violated("I6", sentence, life.place.name)

    # I6: what runs is somebody's

    def _recovered(self, life: AgentLife, event: ev.Recovered) -> None:
        state = life.state
        for found in event.containers:
            mine = found.container_id in state.containers or found.container_id in state.orphans
            if found.running and not mine:
                self.scene.violated(
                    "I6",
                    f"{life.place.name} recovered and container {found.container_id} is nobody's",
                )
        if state.orphans:
            self.scene.probes.sometimes("orphan destroyed")
        if state.frameworks:
            self.scene.probes.sometimes("agent recovered tasks")
        if any(not found.running for found in event.containers):
            self.scene.probes.sometimes("task ended while the agent was down")
        self._twice(life, event)
        before = self._before.pop(life.place.name, None)
        torn = life.host.rows.torn or (before is not None and before.torn)
        if before is not None and not torn and before.boots == life.boots:
            self._remembers(before, life)

    def second(self) -> None:
        """Each process has an owner, and what runs is known to the leader."""
        alive: dict[Hashable, float] = {}
        leader = self.scene.leader()
        for life in self.scene.living():
            state = life.state
            if state.phase is Phase.RECOVERING:
                continue
            for process in life.host.kernel.running():
                container_id = process.container_id
                if container_id not in state.containers and container_id not in state.orphans:
                    self._late("I6", alive, (life, container_id), "A process has no owner")
            if leader is not None:
                self._part(leader, life)
                if state.phase is Phase.RUNNING:
                    self._known(leader, life, alive)
        self._since = alive

    def _part(self, leader: MasterLife, life: AgentLife) -> None:
        """Notes when these two could not speak to each other."""
        net, ends = self.scene.world.net, (leader.place, life.place)
        paused = any(one.reactor is None or one.reactor.paused for one in ends)
        one, other = ends[0].node, ends[1].node
        if paused or net.link(one, other).cut is not None or net.link(other, one).cut is not None:
            self._parted[life.place.name] = self.scene.now

    def _late(
        self,
        invariant: str,
        alive: dict[Hashable, float],
        key: Hashable,
        sentence: str,
        most_s: float = OWNED_S,
    ) -> None:
        now = self.scene.now
        since = alive[key] = self._since.get(key, now)
        if now - since > most_s:
            self.scene.violated(invariant, f"{sentence} for {most_s:g} s", repr(key))

    def _known(self, leader: MasterLife, life: AgentLife, alive: dict[Hashable, float]) -> None:
        """I4: what runs on a registered agent is not over to the leader. I2: and the reverse."""
        state = life.state
        agent_id = state.agent_id
        agent = None if agent_id is None else leader.state.agents.get(agent_id)
        if agent is None or not agent.connected:
            return
        name = life.place.name
        for framework_id, framework in state.frameworks.items():
            for task_id, task in framework.tasks.items():
                known = agent.tasks.get((framework_id, task_id))
                if not task.ended and (known is None or known.state in TERMINAL):
                    key = (name, framework_id, task_id)
                    self._late("I4", alive, key, "A task runs and is over to the leader")
        for framework_id, task_id in agent.tasks:
            if state.task(framework_id, task_id) is None:
                if (framework_id, task_id) not in state.streams:
                    lost = (name, framework_id, task_id, "unknown")
                    calm = self.scene.now - self._parted.get(name, -CALM_S) >= CALM_S
                    most_s = UNKNOWN_S if calm else OWNED_S
                    words = "The leader has a task that its agent has not"
                    self._late("I2", alive, lost, words, most_s)

    # I18

    def _twice(self, life: AgentLife, event: ev.Recovered) -> None:
        policy = life.host.policy
        first = new_state(policy, b"first")
        effects = decide(first, event)
        if first.stopped or first.phase is Phase.RECOVERING:
            return
        records = dict(event.records)
        for effect in effects:
            if isinstance(effect, fx.Checkpoint):
                records[effect.key] = effect.value
            elif isinstance(effect, fx.Forget) and effect.key.endswith("/"):
                for key in [key for key in records if key.startswith(effect.key)]:
                    del records[key]
            elif isinstance(effect, fx.Forget):
                records.pop(effect.key, None)
        second = new_state(policy, b"second")
        again = ev.Recovered(
            **{
                name: getattr(event, name)
                for name in event.__dataclass_fields__
                if name != "records"
            },
            records=records,
        )
        decide(second, again)
        one, other = signature(first), signature(second)
        if one != other:
            differ = [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)]
            some = sorted(map(repr, differ))[:3]
            self.scene.violated(
                "I18", f"{life.place.name} would recover differently a second time", "; ".join(some)
            )

    def _remembers(self, before: AgentLife, life: AgentLife) -> None:
        old, new = before.state, life.state
        if old.agent_id is not None and old.agent_id != new.agent_id and not old.stopped:
            self.scene.violated("I18", f"{life.place.name} forgot that it is agent {old.agent_id}")
        for key, stream in old.streams.items():
            kept = new.streams.get(key)
            had = [status.uuid for status in stream.pending]
            has = [] if kept is None else [status.uuid for status in kept.pending]
            if had != has[: len(had)]:
                self.scene.violated(
                    "I18",
                    f"{life.place.name} forgot updates of task {key[1]}",
                    f"had {[s.state.value for s in stream.pending]}, has {len(has)}",
                )
            elif had:
                self.scene.probes.sometimes("update of an older life")
        for key, task in tasks_of(old).items():
            if key not in tasks_of(new) and key not in new.streams and not task.ended:
                self.scene.violated("I18", f"{life.place.name} forgot task {key[1]}")

    # Probes of what agents and masters go through

    def master_turn(self, life: MasterLife, turn: MasterTurn) -> None:
        """Agents that come back."""
        for agent_id, message in turn.ordered:
            if agent_id is None:
                continue
            if isinstance(message, agentlink.Reregistered):
                if agent_id in self._unreachable:
                    self._unreachable.discard(agent_id)
                    self.scene.probes.sometimes("agent returned")
        self._unreachable.update(life.state.unreachable)


def tasks_of(state: AgentState) -> dict[_Key, Task]:
    """Every task of an agent's tables."""
    return {
        (framework_id, task_id): task
        for framework_id, framework in state.frameworks.items()
        for task_id, task in framework.tasks.items()
    }


def signature(state: AgentState) -> dict[tuple[str, ...], object]:
    """What two recoveries must agree on: no uuids of new updates, no times."""
    found: dict[tuple[str, ...], object] = {("agent",): state.agent_id, ("phase",): state.phase}
    for (framework_id, task_id), task in tasks_of(state).items():
        killed = task.kill is not None
        found["task", framework_id, task_id] = (task.state, killed, task.container_id)
    for (framework_id, task_id), stream in state.streams.items():
        states = tuple(status.state for status in stream.pending)
        found["stream", framework_id, task_id] = states
    for framework_id, framework in state.frameworks.items():
        for executor_id, executor in framework.executors.items():
            found["executor", framework_id, executor_id] = (executor.kind, executor.container_id)
    for container_id in state.orphans:
        found["orphan", container_id] = True
    return found
