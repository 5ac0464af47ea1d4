"""What every check of the auditor works with: the world, the lives of its processes, a verdict.

    Violation   a broken promise: which invariant, when, in a sentence, and what shows it
    Scene       the world under audit, the lives of its processes, what was found so far
    Check       the moments at which a check may look; it overrides those that it needs

A moment comes after the event of the world that it belongs to, so that what a check sees is what
the processes would see: never a state in the middle of a change.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mesos_twisted.agent.core import events as agent_events
from mesos_twisted.agent.core.state import AgentState
from mesos_twisted.master.core import events as master_events
from mesos_twisted.master.core.state import MasterState, Offer
from mesos_twisted.master.net.service import MasterService
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ConnectionId, FrameworkId
from mesos_twisted.testing.sim.agent import SimAgent, SimHost
from mesos_twisted.testing.sim.kernel import Process
from mesos_twisted.testing.sim.ledger import Launch, Seen
from mesos_twisted.testing.sim.probes import Probes
from mesos_twisted.testing.sim.world import Place, World

#: A broken world breaks the same promise again and again: so many findings are enough.
MOST = 50


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise. `at` is the world's time in seconds."""

    invariant: str
    at: float
    sentence: str
    details: str = ""

    def __str__(self) -> str:
        shown = f" ({self.details})" if self.details else ""
        return f"{self.invariant} at {self.at:.3f} s: {self.sentence}{shown}"


class ViolationError(AssertionError):
    """Raised at the first violation when that was asked for."""


@dataclass(slots=True)
class MasterTurn:
    """One event that a master's core handled, and what went out because of it, in order."""

    event: master_events.Event
    #: Offers that stood before it and that its ACCEPT or DECLINE names.
    standing: tuple[Offer, ...] = ()
    #: How often its RECONCILE must be answered, by task.
    answers: Counter[str] | None = None
    #: The framework's stream before a SUBSCRIBE.
    stream: ConnectionId | None = None
    told: list[tuple[FrameworkId | None, m.SchedulerEvent]] = field(default_factory=list)
    ordered: list[tuple[AgentId | None, agentlink.FromMaster]] = field(default_factory=list)
    closed: list[ConnectionId] = field(default_factory=list)


@dataclass(slots=True)
class AgentTurn:
    """One event that an agent's core handled; `said` is with the last event of its round."""

    event: agent_events.Event
    said: list[agentlink.FromAgent] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class MasterLife:
    """One life of a master's process, from start to kill."""

    place: Place
    service: MasterService
    began: float
    turns: list[MasterTurn] = field(default_factory=list)

    @property
    def state(self) -> MasterState:
        """Its core's."""
        return self.service.state


@dataclass(slots=True, eq=False)
class AgentLife:
    """One life of an agent's process. `torn`: a write of its rows failed or was cut short."""

    place: Place
    agent: SimAgent
    began: float
    boots: int
    turns: list[AgentTurn] = field(default_factory=list)
    torn: bool = False

    @property
    def state(self) -> AgentState:
        """Its core's."""
        return self.agent.state

    @property
    def host(self) -> SimHost:
        """Its machine."""
        return self.agent.host


class Scene:
    """See the module's head. With `raises` the first violation ends the run."""

    def __init__(self, world: World, raises: bool = False) -> None:
        self.world = world
        self.raises = raises
        self.violations: list[Violation] = []
        self.probes = Probes()
        self.masters: dict[str, MasterLife] = {}
        self.agents: dict[str, AgentLife] = {}
        self._said: set[tuple[str, str]] = set()

    @property
    def now(self) -> float:
        """The world's time."""
        return self.world.clock.now

    def violated(self, invariant: str, sentence: str, details: str = "") -> None:
        """A promise is broken. The same sentence is noted once."""
        key = (invariant, sentence)
        if key in self._said or len(self.violations) >= MOST:
            return
        self._said.add(key)
        violation = Violation(invariant, self.now, sentence, details)
        self.violations.append(violation)
        if self.raises:
            raise ViolationError(str(violation))

    def leading(self) -> list[MasterLife]:
        """Masters that live and believe that they lead."""
        services = self.world.services
        return [
            life
            for name, life in self.masters.items()
            if services.get(name) is life.service and life.state.leading
        ]

    def leader(self) -> MasterLife | None:
        """The only one that leads."""
        leading = self.leading()
        return leading[0] if len(leading) == 1 else None

    def living(self) -> list[AgentLife]:
        """Agents whose process lives and has recovered."""
        return [life for life in self.agents.values() if life.agent.alive]


class Check:
    """The moments. A check keeps what it must remember; it changes nothing of the world."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def begun(self, place: Place) -> None:
        """A process was started; what the last one on the machine was may still be looked up."""

    def master_turn(self, life: MasterLife, turn: MasterTurn) -> None:
        """A master's core handled an event, and all of its effects were performed."""

    def agent_turn(self, life: AgentLife, turn: AgentTurn) -> None:
        """The same of an agent's."""

    def started(self, host: SimHost, name: str, process: Process) -> None:
        """A container's process starts on the machine of that name."""

    def told(self, launch: Launch, seen: Seen) -> None:
        """A framework got an update of a task of its own."""

    def second(self) -> None:
        """A second of the world's time has passed in which something happened."""

    def settled(self) -> None:
        """The world healed some time ago, and nothing new was asked of it."""
