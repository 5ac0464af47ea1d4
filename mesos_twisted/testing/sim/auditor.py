"""Looks at a simulated world after every event, and says which promise is broken.

    auditor = Auditor(world)
    world.run(120)                  faults, heal, quiet
    auditor.settled()               what must hold in a healed, quiet world
    auditor.violations              empty, or what went wrong: invariant, time, sentence
    auditor.probes.counts           which rare states this world went through
    auditor.close()                 it hears no more

Checks look only at what changed: a core that handled an event, an agent whose record has a new
version, an update that came, a process that started. The whole is looked at once a second and at
the end. A world with an auditor has the trace of one without.

| invariants | where |
|---|---|
| I1 resources, I13 filters | `auditor_offers` |
| I13 nobody starves | `auditor_starving` |
| I2 launches, I12 reconciliation, I14 streams | `auditor_frameworks` |
| I3 updates, I4 ended tasks, I5 one start, truth of ends, I11 kills | `auditor_tasks` |
| I4, I6 owners, I18 recovery | `auditor_agents`, `auditor_exits` |
| I7 durable first, I8, I9 one leader, I10 gone | `auditor_registry`, `auditor_fence` |
| I15 operators' stream | `auditor_operator` |
| I7, I10, I17 operators' orders | `auditor_orders` |
| I16 buffers, I17 bugs and exits | `auditor_processes` |
| I20 liveness | `auditor_settled` |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from mesos_twisted.testing.sim.agent import SimHost
from mesos_twisted.testing.sim.auditor_agents import Agents
from mesos_twisted.testing.sim.auditor_exits import Exits
from mesos_twisted.testing.sim.auditor_fence import Fence
from mesos_twisted.testing.sim.auditor_frameworks import Frameworks
from mesos_twisted.testing.sim.auditor_offers import Offers
from mesos_twisted.testing.sim.auditor_operator import Operator
from mesos_twisted.testing.sim.auditor_orders import Orders
from mesos_twisted.testing.sim.auditor_probes import Probing
from mesos_twisted.testing.sim.auditor_processes import Processes
from mesos_twisted.testing.sim.auditor_registry import Records, Registry
from mesos_twisted.testing.sim.auditor_scene import AgentLife, Check, MasterLife, Scene, Violation
from mesos_twisted.testing.sim.auditor_settled import Settled
from mesos_twisted.testing.sim.auditor_starving import Starving
from mesos_twisted.testing.sim.auditor_taps import Life, tap_agent, tap_master
from mesos_twisted.testing.sim.auditor_tasks import Tasks
from mesos_twisted.testing.sim.kernel import Process
from mesos_twisted.testing.sim.ledger import Launch, Seen
from mesos_twisted.testing.sim.probes import Probes
from mesos_twisted.testing.sim.world import Place, World


class Auditor:
    """See the module's head.

    With `raises` the first violation is raised out of the world's run. `records` gives what the
    registry durably holds, the world's own store unless told. `reasons` are further pairs of exit
    code and beginning of a sentence with which processes may leave.
    """

    def __init__(
        self,
        world: World,
        raises: bool = False,
        records: Callable[[], Records] | None = None,
        reasons: Iterable[tuple[int, str]] = (),
    ) -> None:
        self.scene = scene = Scene(world, raises)
        self.world = world
        stored = world.stored
        self._tasks = Tasks(scene)
        self._offers, self._agents = Offers(scene), Agents(scene)
        self._operator, self._processes = Operator(scene), Processes(scene, reasons)
        durable = records or (lambda: stored.records)
        self._checks: tuple[Check, ...] = (
            self._offers,
            Starving(scene, self._offers.refusals),
            Frameworks(scene),
            self._tasks,
            self._agents,
            Registry(scene, durable),
            Orders(scene, durable),
            Exits(scene),
            Fence(scene),
            self._operator,
            self._processes,
            Probing(scene),
            Settled(scene, self._tasks),
        )
        self._master_turn = self._who("master_turn")
        self._agent_turn = self._who("agent_turn")
        self._second = self._who("second")
        self._dirty: list[Life] = []
        self._next = world.clock.now + 1.0
        self._exits = len(world.exits)
        world.clock.after_each = self.look
        world.ledger.heard = self._told
        world.begun = self._begun
        for name, host in world.hosts.items():
            host.kernel.heard = partial(self._started, host, name)
        for place in world.places.values():
            self._begun(place)
        self._log = _Log(self._processes)
        globalLogPublisher.addObserver(self._log)

    @property
    def violations(self) -> list[Violation]:
        """What was found so far."""
        return self.scene.violations

    @property
    def probes(self) -> Probes:
        """Rare states that were reached."""
        return self.scene.probes

    def close(self) -> None:
        """Nothing is heard any more."""
        self.world.clock.after_each = self.world.ledger.heard = self.world.begun = None
        if self.world.operator is not None:
            self.world.operator.heard = None
        for host in self.world.hosts.values():
            host.kernel.heard = None
        globalLogPublisher.removeObserver(self._log)

    def look(self) -> None:
        """After an event of the world."""
        dirty = self._dirty
        if dirty:
            for life in dirty:
                if isinstance(life, MasterLife):
                    self._look_at_master(life)
                else:
                    self._look_at_agent(life)
            dirty.clear()
        if len(self.world.exits) != self._exits:
            self._exits = len(self.world.exits)
            self._processes.look()
        if self.world.clock.now >= self._next:
            self._next = self.world.clock.now + 1.0
            for second in self._second:
                second()

    def settled(self) -> None:
        """The world was healed and has been quiet: liveness, and every check once more."""
        for check in self._checks:
            check.second()
        for check in self._checks:
            check.settled()

    def _who(self, moment: str) -> list[Any]:
        """The checks that look at this moment."""
        nothing = getattr(Check, moment)
        return [
            getattr(check, moment)
            for check in self._checks
            if getattr(type(check), moment) is not nothing
        ]

    def _look_at_master(self, life: MasterLife) -> None:
        turns = life.turns
        if self.world.services.get(life.place.name) is life.service:
            if not life.service.driver.stopped:
                for turn in turns:
                    for look in self._master_turn:
                        look(life, turn)
                self._offers.settle(life)
                self._operator.keep(life)
        turns.clear()

    def _look_at_agent(self, life: AgentLife) -> None:
        turns = life.turns
        if life.agent.alive and not life.torn:
            for turn in turns:
                for look in self._agent_turn:
                    look(life, turn)
            self._agents.settle(life)
        turns.clear()

    def _begun(self, place: Place) -> None:
        world, now = self.world, self.world.clock.now
        for check in self._checks:
            check.begun(place)
        service, agent = world.services.get(place.name), world.agents.get(place.name)
        if service is not None:
            life = MasterLife(place, service, now)
            self.scene.masters[place.name] = life
            tap_master(life, self._dirty, partial(self._operator.published, life))
            self._operator.listen(life)
        elif agent is not None:
            boots = agent.host.kernel.boots
            one = self.scene.agents[place.name] = AgentLife(place, agent, now, boots)
            tap_agent(one, self._dirty)

    def _told(self, launch: Launch, seen: Seen) -> None:
        for check in self._checks:
            check.told(launch, seen)

    def _started(self, host: SimHost, name: str, process: Process) -> None:
        for check in self._checks:
            check.started(host, name, process)


@implementer(ILogObserver)
class _Log:
    """Failures that were logged are bugs that somebody survived."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            name = str(event.get("log_namespace", "a process"))
            self._processes.raised(name, failure.getTraceback())
