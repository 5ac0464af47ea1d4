"""Fills the probes: rare states, seen in events and in what outlives the processes."""

from __future__ import annotations

from mesos_twisted.agent.core import events as agent_events
from mesos_twisted.agent.core.words import wait_words
from mesos_twisted.master.core import events as ev
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.sim.agent import SimHost
from mesos_twisted.testing.sim.auditor_scene import (
    AgentLife,
    AgentTurn,
    Check,
    MasterLife,
    MasterTurn,
    Scene,
)
from mesos_twisted.testing.sim.ledger import Launch, Seen

_Reason = m.TaskStatusReason
_State = m.TaskState


class Probing(Check):
    """See the module's head."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._boots: dict[SimHost, int] = {}
        self._lost: dict[SimHost, int] = {}
        self._unreachable: dict[MasterLife, int] = {}
        self._torn: set[AgentLife] = set()
        self._strangers: set[SimHost] = set()
        self._slow: set[str] = set()

    def master_turn(self, life: MasterLife, turn: MasterTurn) -> None:
        """What masters go through."""
        sometimes = self.scene.probes.sometimes
        match turn.event:
            case ev.AgentLinkClosed():
                sometimes("agent disconnected")
            case ev.AgentGoneAsked():
                sometimes("agent marked gone")
            case ev.AgentSaid(message=agentlink.Unregister()):
                sometimes("agent unregistered")
            case ev.AgentSaid(message=agentlink.Reregister()):
                if life.state.admitted_before and turn.ordered:
                    sometimes("agent returned after failover")
            case ev.Recovered():
                self._unreachable[life] = len(life.state.unreachable)
                if life.state.unreachable:
                    sometimes("failover with unreachable agents")
            case ev.RegistryApplied():
                marked = len(life.state.unreachable)
                if marked > self._unreachable.get(life, 0):
                    sometimes("agent marked unreachable")
                    for framework in life.state.frameworks.values():
                        if framework.unreachable and not framework.connected:
                            sometimes("agent lost while its framework was away")
                self._unreachable[life] = marked
                if life.state.in_flight and not turn.ordered and not turn.told:
                    sometimes("agent admitted late")

    def agent_turn(self, life: AgentLife, turn: AgentTurn) -> None:
        """What agents go through."""
        if isinstance(turn.event, agent_events.Recovered):
            self._torn.discard(life)

    def told(self, launch: Launch, seen: Seen) -> None:
        """What frameworks hear."""
        reason = seen.reason
        if reason is _Reason.REASON_AGENT_RESTARTED or (
            reason is _Reason.REASON_RECONCILIATION and seen.state is _State.TASK_DROPPED
        ):
            self.scene.probes.sometimes("launch dropped by restart")
        if seen.message == f"Command {wait_words(9)}" and launch.kill_asked is None:
            self.scene.probes.sometimes("process killed by the kernel")

    def second(self) -> None:
        """What machines go through."""
        sometimes = self.scene.probes.sometimes
        for host in self.scene.world.hosts.values():
            if host.kernel.boots != self._boots.setdefault(host, 1):
                self._boots[host] = host.kernel.boots
                sometimes("power cut")
            if host.rows.lost != self._lost.setdefault(host, 0):
                self._lost[host] = host.rows.lost
                sometimes("power cut with lost rows")
            if host.kernel.strangers and host not in self._strangers:
                self._strangers.add(host)
                sometimes("pid taken by a stranger")
            for process in host.kernel.running():
                if process.dying and process.container_id not in self._slow:
                    self._slow.add(process.container_id)
                    sometimes("slow process")
        for life in self.scene.agents.values():
            if life.torn and life not in self._torn:
                self._torn.add(life)
                if not any(left.who == life.place.name for left in self.scene.world.exits[-3:]):
                    sometimes("crash in a write")
