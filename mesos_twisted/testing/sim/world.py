"""A whole cluster under one seed: masters, agents and frameworks on simulated machines.

    World(seed, Shape(...))   builds and starts it; every random choice follows from the seed
    world.run(60)             lets time pass
    world.masters[0].kill()   SIGKILL; its supervisor starts it again a moment later

Each machine has one `Place` (node, what outlives the process) and, while it lives, one process.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from twisted.python.failure import Failure

from mesos_twisted.agent.core.state import Policy
from mesos_twisted.agent.net.leader import FixedMasters, MasterSource
from mesos_twisted.election.leader import find_masters, watch_zookeeper
from mesos_twisted.logs import Logging
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.net import coordination
from mesos_twisted.master.net.service import MasterService
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.convert import to_messages
from mesos_twisted.resources.parse import resources_from_text
from mesos_twisted.security.core.principal import Role
from mesos_twisted.testing.sim.agent import SimAgent, SimHost
from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.frameworks import Plan, SimFramework
from mesos_twisted.testing.sim.ledger import Ledger
from mesos_twisted.testing.sim.net import Profile, SimNetwork, SimNode
from mesos_twisted.testing.sim.operator import SimOperator
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.testing.sim.stores import SimRegistry, StoredRecords
from mesos_twisted.testing.sim.tls import SimAuthority, SimContexts
from mesos_twisted.testing.sim.zookeeper import SimZooKeeper
from mesos_twisted.transport.client import HttpClient
from mesos_twisted.transport.leader import LeaderClient

CLUSTER = "sim"
PORT = 5050
#: Shorter than production's, so that minutes show what takes hours there.
PING_TIMEOUT_S = 5.0
REREGISTER_TIMEOUT_S = 60.0
SESSION_S = 6.0
#: What an agent says that leaves because it was given up.
GIVEN_UP = "marked gone"


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a world is, and how its network behaves."""

    #: One with a registry of its own, or several with an ensemble of three ZooKeeper servers.
    masters: int = 1
    agents: int = 3
    frameworks: tuple[Plan, ...] = (Plan("f1"), Plan("f2"))
    resources: str = "cpus:4;mem:1024;disk:1000"
    profile: Profile = field(default_factory=lambda: Profile(latency_s=0.002, jitter_s=0.01))
    #: A process that ended is started again after this.
    restart_s: float = 1.0
    #: An operator does something about so often, in seconds; None: there is none.
    operator_s: float | None = None
    #: So many agents, the last ones, are given the masters' names instead of ZooKeeper's.
    named: int = 0


@dataclass(slots=True)
class Exit:
    """A process that left by itself."""

    at: float
    who: str
    code: int
    sentence: str


@dataclass(slots=True)
class Place:
    """A machine and the process on it, if one lives."""

    name: str
    node: SimNode
    start: Callable[[Place], None]
    reactor: SimReactor | None = None
    #: No process is started again until the world heals.
    held: bool = False
    lives: int = 0
    errors: list[Failure] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Does a process run here?"""
        return self.reactor is not None and self.reactor.alive


class World:
    """See the module's head."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self.seed, self.shape = seed, shape
        self.clock = clock = SimClock(seed)
        self.net = SimNetwork(clock, shape.profile)
        self.authority = SimAuthority(CLUSTER)
        self.ledger = Ledger()
        self.exits: list[Exit] = []
        #: Hears of each process that was started.
        self.begun: Callable[[Place], object] | None = None
        self.places: dict[str, Place] = {}
        self.hosts: dict[str, SimHost] = {}
        self.agents: dict[str, SimAgent] = {}
        self.services: dict[str, MasterService] = {}
        self.frameworks: dict[str, SimFramework] = {}
        self.stored = StoredRecords(clock.random("registry"))
        self.zookeeper: SimZooKeeper | None = None
        if shape.masters > 1:
            nodes = [self.net.node(name, "", f"{name}.sim") for name in ("z1", "z2", "z3")]
            self.zookeeper = SimZooKeeper(self.net, nodes)
        for number in range(1, shape.masters + 1):
            self._place(f"m{number}", self._start_master)
        for number in range(1, shape.agents + 1):
            self._add_host(f"a{number}")
        for plan in shape.frameworks:
            random, habits = clock.random(plan.name), clock.random(f"{plan.name} habits")
            self.frameworks[plan.name] = SimFramework(
                plan, random, self.ledger, clock.seconds, habits
            )
            self._place(plan.name, self._start_framework)
        self.operator: SimOperator | None = None
        if shape.operator_s is not None:
            self.operator = SimOperator(clock.random("operator"), clock.seconds, shape.operator_s)
            self._place("op", self._start_operator)
        for place in self.places.values():
            self.begin(place)

    # Machines

    def _place(self, name: str, start: Callable[[Place], None]) -> Place:
        node = self.net.node(name, "", f"{name}.sim")
        place = self.places[name] = Place(name, node, start)
        return place

    def _add_host(self, name: str) -> None:
        place = self._place(name, self._start_agent)
        policy = Policy(
            hostname=f"{name}.sim",
            ip=place.node.address,
            pid=f"slave(1)@{place.node.address}:5051",
            resources=to_messages(resources_from_text(self.shape.resources), refined=True),
            switch_user=False,
        )
        self.hosts[name] = SimHost(self.clock, self.clock.random(f"host {name}"), policy)

    def begin(self, place: Place) -> None:
        """A new process, unless one lives, or none may."""
        if place.alive or place.held or not place.node.up:
            return
        place.lives += 1
        place.reactor = SimReactor(place.node, f"{place.name}.{place.lives}")
        place.reactor.on_error = place.errors.append
        place.start(place)
        if self.begun is not None:
            self.begun(place)

    def kill(self, place: Place) -> None:
        """SIGKILL; the supervisor starts it again."""
        if place.reactor is not None:
            place.reactor.kill()
        self._gone(place)
        self.clock.callLater(self.shape.restart_s, self.begin, place)

    def cut_power(self, place: Place) -> None:
        """The machine is off until `power_on`."""
        place.node.power_cut()
        self._gone(place)
        host = self.hosts.get(place.name)
        if host is not None:
            host.power_cut()

    def power_on(self, place: Place) -> None:
        """The machine boots and its process is started."""
        place.node.power_on()
        self.clock.callLater(self.shape.restart_s, self.begin, place)

    def _gone(self, place: Place) -> None:
        agent = self.agents.pop(place.name, None)
        if agent is not None:
            agent.kill()
        self.services.pop(place.name, None)
        framework = self.frameworks.get(place.name)
        if framework is not None:
            framework.die()
        if self.operator is not None and place.name == "op":
            self.operator.die()

    def _left(self, place: Place, code: int, sentence: str) -> None:
        self.exits.append(Exit(self.clock.now, place.name, code, sentence))
        if GIVEN_UP in sentence and place.name in self.hosts:
            # As the operator would who gave it up: the machine serves again, with nothing on it.
            self.hosts[place.name].clean()
        # As a process would: not in the middle of what it is doing.
        self.clock.callLater(0.0, self.kill, place)

    def contexts(self, place: Place, role: Role) -> SimContexts:
        """What the process shows of itself, and trusts."""
        assert place.reactor is not None
        hosts = (f"{place.name}.sim", place.node.address)
        certificate = self.authority.issue(role, place.name, *hosts)
        return SimContexts(self.authority, certificate, place.reactor.seconds)

    def fresh(self, place: Place) -> bytes:
        """A seed that no life had before."""
        return self.clock.fresh_bytes(f"{place.name} {place.lives}")

    # Processes

    def _start_master(self, place: Place) -> None:
        reactor = place.reactor
        assert reactor is not None
        config, contexts = self.master_config(place), self.contexts(place, Role.MASTER)
        elector, registry = coordination.parts(
            config,
            reactor,
            contexts,
            self._jitter(place),
            lambda config, reactor: self._disk(place),
        )
        service = MasterService(
            config,
            reactor,
            registry,
            elector,
            Logging(io.StringIO(), "json", "ERROR"),
            reactor.seconds,
            self.fresh(place),
            partial(self._left, place),
            contexts,
            dict,
        )
        self.services[place.name] = service
        service.start(lambda: None)

    def _disk(self, place: Place) -> SimRegistry:
        assert place.reactor is not None
        return SimRegistry(self.stored, place.reactor, self.clock)

    def _jitter(self, place: Place) -> Callable[[], float]:
        return self.clock.random(f"{place.name} jitter").random

    @property
    def zk(self) -> str | None:
        """The URL of the election, or None for a sole master."""
        if self.zookeeper is None:
            return None
        hosts = ",".join(f"{server.node.name}.sim:2181" for server in self.zookeeper.servers)
        return f"zk://{hosts}/mesos"

    def master_config(self, place: Place) -> MasterConfig:
        """The flags of one master."""
        return MasterConfig(
            zk=self.zk,
            zk_session_timeout=SESSION_S,
            cluster=CLUSTER,
            ip=place.node.address,
            hostname=f"{place.name}.sim",
            port=PORT,
            agent_ping_timeout=PING_TIMEOUT_S,
            max_agent_ping_timeouts=3,
            agent_reregister_timeout=REREGISTER_TIMEOUT_S,
        )

    def _start_agent(self, place: Place) -> None:
        reactor = place.reactor
        assert reactor is not None
        self.agents[place.name] = agent = SimAgent(
            self.hosts[place.name],
            reactor,
            self.contexts(place, Role.AGENT),
            self._masters(place),
            now=reactor.seconds,
            seed=self.fresh(place),
            jitter=self._jitter(place),
            ended=partial(self._left, place),
            died=partial(self.kill, place),
        )
        agent.start()

    def _masters(self, place: Place) -> MasterSource:
        if self.zk is None:
            return FixedMasters([("m1.sim", PORT)])
        if int(place.name.removeprefix("a")) > self.shape.agents - self.shape.named:
            names = [f"m{number}.sim" for number in range(1, self.shape.masters + 1)]
            self.clock.random(f"{place.name} masters").shuffle(names)
            return FixedMasters([(name, PORT) for name in names])
        return watch_zookeeper(place.reactor, self.zk, self._jitter(place), None, SESSION_S)

    def _start_framework(self, place: Place) -> None:
        self.frameworks[place.name].start(place.reactor, self.client(place))

    def _start_operator(self, place: Place) -> None:
        assert self.operator is not None
        self.operator.start(place.reactor, self.client(place, Role.OPERATOR))

    def client(self, place: Place, role: Role = Role.FRAMEWORK) -> Any:
        """The leading master, for a framework's or an operator's process."""
        http = HttpClient(place.reactor, self.contexts(place, role), pipeline=8)
        named = [f"m1.sim:{PORT}"] if self.zk is None else self.zk.split(",")
        return LeaderClient(http, find_masters(place.reactor, named, self._jitter(place)))

    # Time, and what is asked of a world

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self.clock.run(seconds)

    def leaders(self) -> list[str]:
        """Masters that believe that they lead, and have recovered."""
        return [name for name, one in self.services.items() if one.state.leading]

    def leader(self) -> MasterService | None:
        """The only one that leads."""
        leaders = self.leaders()
        return self.services[leaders[0]] if len(leaders) == 1 else None

    def registered(self) -> list[m.AgentInfo]:
        """Agents that the leader has, connected and not leaving."""
        leader = self.leader()
        if leader is None:
            return []
        return [
            one.info for one in leader.state.agents.values() if one.connected and not one.leaving
        ]
