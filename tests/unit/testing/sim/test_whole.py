"""A whole master, agents' production parts and the SDK run on the simulated edges, repeatably.

Run as a program it prints the trace of the seed it is given.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from mesos_twisted.agent.core.state import Policy
from mesos_twisted.agent.net.leader import FixedMasters
from mesos_twisted.election.standalone import StandaloneElector
from mesos_twisted.logs import Logging
from mesos_twisted.master.config import MasterConfig
from mesos_twisted.master.net.service import MasterService
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.registry.memory import MemoryRegistry
from mesos_twisted.resources.convert import to_messages
from mesos_twisted.resources.parse import resources_from_text
from mesos_twisted.sdk.scheduler import Scheduler, SchedulerDriver
from mesos_twisted.security.core.principal import Role
from mesos_twisted.testing.sim.agent import SimAgent, SimHost
from mesos_twisted.testing.sim.clock import SimClock
from mesos_twisted.testing.sim.net import Profile, SimNetwork
from mesos_twisted.testing.sim.reactor import SimReactor
from mesos_twisted.testing.sim.tls import SimAuthority, SimContexts
from mesos_twisted.transport.client import HttpClient
from mesos_twisted.transport.leader import LeaderClient

TASKS = 12


class Framework(Scheduler):
    """Launches tasks until so many were launched, and remembers their states."""

    def __init__(self) -> None:
        self.launched = 0
        self.subscriptions = 0
        self.states: dict[str, list[str]] = {}

    def subscribed(self, driver: SchedulerDriver, framework_id: str) -> None:
        self.subscriptions += 1

    def offers(self, driver: SchedulerDriver, offers: tuple[m.Offer, ...]) -> None:
        for offer in offers:
            tasks = []
            while self.launched < TASKS and len(tasks) < 3:
                self.launched += 1
                tasks.append(
                    m.TaskInfo(
                        name="t",
                        task_id=m.TaskID(value=f"t{self.launched}"),
                        agent_id=offer.agent_id,
                        command=m.CommandInfo(value=f"run {self.launched % 4 + 1}.5 exit 0"),
                        resources=_resources("cpus:0.5;mem:64"),
                    )
                )
            call = driver.launch(offer, tasks) if tasks else driver.decline([offer])
            call.addErrback(lambda failure: None)

    def update(self, driver: SchedulerDriver, status: m.TaskStatus) -> None:
        self.states.setdefault(status.task_id.value, []).append(status.state.value)


def _resources(text: str) -> tuple[m.Resource, ...]:
    return to_messages(resources_from_text(text), refined=True)


class World:
    """One master, two agents, one framework."""

    def __init__(self, seed: int, profile: Profile) -> None:
        self.clock = clock = SimClock(seed)
        self.net = SimNetwork(clock, profile)
        self.authority = SimAuthority("c")
        self.ended: list[tuple[str, int, str]] = []
        node = self.net.node("m1", "10.0.0.1", "m1.sim")
        self.master_reactor = reactor = SimReactor(node, "m1/master")
        self.registry = MemoryRegistry()
        self.master = MasterService(
            MasterConfig(
                registry="in_memory", cluster="c", ip="10.0.0.1", hostname="m1.sim", port=5050
            ),
            reactor,
            self.registry,
            StandaloneElector(),
            Logging(io.StringIO(), "json", "INFO"),
            reactor.seconds,
            clock.fresh_bytes("m1"),
            partial(self._left, "m1"),
            self._contexts(reactor, Role.MASTER, "m1", "m1.sim", "10.0.0.1"),
            dict,
        )
        self.ready: list[float] = []
        self.master.start(lambda: self.ready.append(clock.now))
        self.hosts = [self._host(name) for name in ("a1", "a2")]
        self.agents = [self._agent(host) for host in self.hosts]
        self.framework = Framework()
        reactor = SimReactor(self.net.node("f1"), "f1/framework")
        self.http = HttpClient(reactor, self._contexts(reactor, Role.FRAMEWORK, "f1"), pipeline=8)
        info = m.FrameworkInfo(
            user="nobody",
            name="f",
            roles=("r",),
            failover_timeout=600.0,
            checkpoint=True,
            capabilities=tuple(
                m.FrameworkInfoCapability(type=m.FrameworkInfoCapabilityType(name))
                for name in ("MULTI_ROLE", "PARTITION_AWARE")
            ),
        )
        self.driver = SchedulerDriver(
            reactor,
            self.framework,
            info,
            LeaderClient(self.http, ["m1.sim:5050"]),
            jitter=clock.random("framework").random,
        )
        self.driver.start()

    def _left(self, who: str, code: int, sentence: str) -> None:
        self.ended.append((who, code, sentence))

    def _contexts(self, reactor: SimReactor, role: Role, name: str, *hosts: str) -> SimContexts:
        return SimContexts(
            self.authority, self.authority.issue(role, name, *hosts), reactor.seconds
        )

    def _host(self, name: str) -> tuple[Any, SimHost]:
        node = self.net.node(name, "", f"{name}.sim")
        policy = Policy(
            hostname=f"{name}.sim", ip=node.address, resources=_resources("cpus:4;mem:2048")
        )
        return node, SimHost(self.clock, self.clock.random(name), policy)

    def _agent(self, place: tuple[Any, SimHost]) -> tuple[SimReactor, SimAgent]:
        node, host = place
        reactor = SimReactor(node, f"{node.name}/agent")
        agent = SimAgent(
            host,
            reactor,
            self._contexts(reactor, Role.AGENT, node.name, f"{node.name}.sim", node.address),
            FixedMasters([("m1.sim", 5050)]),
            now=reactor.seconds,
            seed=self.clock.fresh_bytes(f"{node.name} {self.clock.now}"),
            jitter=self.clock.random(f"{node.name} jitter").random,
            ended=partial(self._left, node.name),
            died=reactor.kill,
        )
        agent.start()
        return reactor, agent

    def restart_agent(self, number: int) -> None:
        """SIGKILL, and a new process a moment later."""
        reactor, agent = self.agents[number]
        agent.kill()
        reactor.kill()
        self.clock.run(0.5)
        self.agents[number] = self._agent(self.hosts[number])

    def finished(self) -> bool:
        """All tasks have been launched and finished."""
        states = self.framework.states
        return len(states) == TASKS and all("TASK_FINISHED" in seen for seen in states.values())


def storm(seed: int) -> World:
    """Tasks run while links are cut, connections reset, processes killed and paused."""
    world = World(seed, Profile(latency_s=0.005, jitter_s=0.02, pieces=0.5, joined=0.1))
    clock, net = world.clock, world.net
    chance = clock.random("storm")
    nodes = list(net.nodes.values())
    for _ in range(8):
        clock.run(chance.uniform(0.2, 2.0))
        one, other = chance.sample(nodes, 2)
        match chance.randrange(4):
            case 0:
                net.cut(one, other)
            case 1:
                net.reset(one, other)
            case 2:
                world.restart_agent(chance.randrange(2))
            case 3:
                reactor = world.agents[chance.randrange(2)][0]
                reactor.pause()
                clock.run(chance.uniform(0.5, 4.0))
                reactor.resume()
    net.heal_all()
    clock.run(300)
    return world


def test_tasks_run_on_a_quiet_network() -> None:
    world = World(1, Profile())
    world.clock.run_until(world.finished, 60, "all tasks finished")
    assert world.ready == [0.0] and world.ended == []
    assert world.framework.subscriptions == 1
    for seen in world.framework.states.values():
        assert seen[-1] == "TASK_FINISHED" and seen.count("TASK_RUNNING") == 1
    page: list[Any] = []
    world.http.request("GET", "https://m1.sim:5050/health").addBoth(page.append)
    world.clock.run(1)
    assert page[0].status == 200


@pytest.mark.parametrize("seed", range(3))
def test_tasks_survive_a_storm(seed: int) -> None:
    world = storm(seed)
    assert world.ended == []
    assert len(world.framework.states) > 0 and world.framework.subscriptions >= 1
    terminal = ("TASK_FINISHED", "TASK_LOST", "TASK_DROPPED", "TASK_FAILED", "TASK_UNREACHABLE")
    assert all(seen[-1] in terminal for seen in world.framework.states.values())
    registered = [one for one in world.agents if one[1].state.agent_id is not None]
    assert len(registered) == 2


def test_a_master_that_stops_leaves_nothing() -> None:
    world = World(2, Profile())
    world.clock.run(5)
    stopped: list[Any] = []
    world.master.stop().addBoth(stopped.append)
    world.clock.run(10)
    assert stopped == [None]
    assert world.master_reactor.getDelayedCalls() == []
    assert not world.master_reactor.ports and not world.master_reactor.transports


def _trace_elsewhere(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, __file__, str(seed)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_one_seed_is_one_trace_in_any_process() -> None:
    traces = [_trace_elsewhere(5, hash_seed) for hash_seed in ("0", "1", "random")]
    assert len(traces[0]) > 32 and len(set(traces)) == 1
    assert storm(6).clock.trace() not in traces[0]


if __name__ == "__main__":
    found = storm(int(sys.argv[1]))
    print(found.clock.trace(), found.clock.events, sorted(found.framework.states.items()))
