"""Whatever happens in whatever order, a master's tables agree and no resource is lost or made."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mesos_twisted.master.core import events
from mesos_twisted.master.core.changes import Drained
from mesos_twisted.master.core.effects import SendEvent, SendToAgent
from mesos_twisted.master.core.invariants import check
from mesos_twisted.master.core.state import Agent, Framework, Policy
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ConnectionId, OfferId
from mesos_twisted.testing.master_world import (
    World,
    agent_info,
    command_task,
    framework_info,
    launch,
    resources,
)

AGENT_STATES = ("TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_FINISHED", "TASK_FAILED")
CAPABILITIES = ((), ("PARTITION_AWARE",), ("MULTI_ROLE",), ("MULTI_ROLE", "PARTITION_AWARE"))
NEEDS = ("cpus:1;mem:32", "cpus:3;mem:64", "cpus:9;mem:32", "", "cpus:0.1;ports:[31000-31001]")
numbers = st.integers(0, 1 << 30)


class Master(RuleBasedStateMachine):
    """Random frameworks and agents; what an agent runs is not modelled, so it may say anything."""

    @initialize(slowly=st.booleans())
    def begin(self, slowly: bool) -> None:
        policy = Policy(
            publish_per_framework_metrics=False,
            removal_interval_s=90.0 if slowly else 0.0,
            registry_max_agent_age_s=150.0,
        )
        self.world = World(policy, checks=False)
        self.state = self.world.state
        self.tasks = 0
        for capabilities in CAPABILITIES[1:3]:
            self.world.subscribe(framework_info(capabilities))
        self.world.agent(0)
        self.world.agent(1)
        self.world.allocate()

    def framework(self, number: int) -> Framework | None:
        found = list(self.state.frameworks.values())
        return found[number % len(found)] if found else None

    def agent(self, number: int) -> Agent | None:
        found = list(self.state.agents.values())
        return found[number % len(found)] if found else None

    @rule(
        capabilities=st.sampled_from(CAPABILITIES),
        checkpoint=st.booleans(),
        timeout=st.sampled_from((0.0, 60.0)),
    )
    def subscribe(self, capabilities: tuple[str, ...], checkpoint: bool, timeout: float) -> None:
        if len(self.state.frameworks) < 3:
            info = framework_info(capabilities, checkpoint=checkpoint, failover_timeout=timeout)
            self.world.subscribe(info)

    @rule(number=numbers, capabilities=st.sampled_from(CAPABILITIES))
    def subscribe_again(self, number: int, capabilities: tuple[str, ...]) -> None:
        known = [*self.state.frameworks, *self.state.completed, "unheard-of"]
        name = known[number % len(known)]
        self.world.subscribe(framework_info(capabilities, framework_id=name))

    @rule(number=numbers)
    def close_stream(self, number: int) -> None:
        found = self.framework(number)
        if found is not None and found.connection is not None:
            self.world.do(events.SchedulerClosed(found.connection, self.world.now))

    @rule(number=numbers)
    def failover_timeout(self, number: int) -> None:
        found = self.framework(number)
        if found is not None and number % 2:
            self.world.fire("failover", found.framework_id)

    @rule(number=numbers)
    def tear_down_framework(self, number: int) -> None:
        found = self.framework(number)
        if found is not None and number % 5 == 0:
            self.world.do(events.TeardownAsked(found.framework_id, self.world.now))

    @rule(number=numbers, kind=st.sampled_from(("REVIVE", "SUPPRESS", "RECONCILE")))
    def plain_call(self, number: int, kind: str) -> None:
        found = self.framework(number)
        if found is not None:
            self.world.call(found, kind, reconcile=m.SchedulerCallReconcile())

    @rule()
    def allocate(self) -> None:
        self.world.allocate()

    @rule(seconds=st.sampled_from((0.5, 6.0, 100.0)))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(
        number=numbers,
        seed=numbers,
        needs=st.lists(st.sampled_from(NEEDS), max_size=3),
        stale=st.booleans(),
        executor=st.booleans(),
        refuse=st.sampled_from((0.0, 5.0)),
    )
    def accept(
        self, number: int, seed: int, needs: list[str], stale: bool, executor: bool, refuse: float
    ) -> None:
        found = self.framework(number)
        if found is None:
            return
        chosen = [str(one) for one in found.offers]
        random.Random(seed).shuffle(chosen)
        chosen = chosen[: 1 + seed % 2] + (["stale"] if stale and seed % 3 == 0 else [])
        offer = found.offers.get(OfferId(chosen[0])) if chosen else None
        name = "nowhere" if offer is None else offer.agent_id
        tasks = []
        for need in needs:
            self.tasks += 1
            task = command_task(f"t{self.tasks}", name, need)
            if executor:
                info = m.ExecutorInfo(
                    executor_id=m.ExecutorID(value=f"e{seed % 2}"),
                    command=m.CommandInfo(value="run"),
                    resources=resources("cpus:0.5;mem:32"),
                )
                task = command_task(f"t{self.tasks}", name, need, command=None, executor=info)
            tasks.append(task)
        self.world.accept(found, chosen, launch(*tasks), refuse_seconds=refuse)

    @rule(number=numbers, need=st.sampled_from(NEEDS[:2]), count=st.integers(1, 3))
    def run(self, number: int, need: str, count: int) -> None:
        """A well-behaved launch, so that there is something to go wrong."""
        found = self.framework(number)
        if found is None:
            return
        for name in self.world.offers(found)[:1]:
            self.tasks += count
            agent_id = self.state.offers[OfferId(name)].agent_id
            made = [command_task(f"t{self.tasks - n}", agent_id, need) for n in range(count)]
            self.world.accept(found, [name], launch(*made), refuse_seconds=0.0)

    @rule(number=numbers)
    def decline(self, number: int) -> None:
        found = self.framework(number)
        if found is not None:
            ids = tuple(m.OfferID(value=one) for one in found.offers)
            self.world.call(found, "DECLINE", decline=m.SchedulerCallDecline(offer_ids=ids))

    @rule(number=numbers)
    def kill(self, number: int) -> None:
        found = self.framework(number)
        if found is not None:
            known = [*found.tasks, *found.unreachable, "unknown"]
            body = m.SchedulerCallKill(task_id=m.TaskID(value=known[number % len(known)]))
            self.world.call(found, "KILL", kill=body)

    @rule(
        number=numbers,
        state=st.sampled_from(AGENT_STATES),
        latest=st.sampled_from(AGENT_STATES),
    )
    def status(self, number: int, state: str, latest: str) -> None:
        known = list(self.state.tasks())
        if known:
            task = known[number % len(known)]
            agent = self.state.agents[task.agent_id]
            framework = self.state.frameworks[task.framework_id]
            if agent.link is not None:
                self.world.status(framework, agent, task.task_id, state, latest)

    @rule(number=numbers)
    def acknowledge(self, number: int) -> None:
        known = [one for one in self.state.tasks() if one.forwarded is not None]
        if known:
            task = known[number % len(known)]
            framework = self.state.frameworks[task.framework_id]
            uuid = task.forwarded_uuid or b"0" * 16
            self.world.ack(framework, task.agent_id, task.task_id, uuid)

    @rule(number=numbers)
    def executor_exits(self, number: int) -> None:
        found = self.agent(number)
        if found is None or found.link is None:
            return
        for framework_id, executors in found.executors.items():
            executor_id = next(iter(executors))
            said = agentlink.ExitedExecutor(
                framework_id=framework_id, executor_id=executor_id, status=0
            )
            self.world.say(found.link, said)
            return

    @rule(number=st.integers(0, 3), late=st.booleans())
    def register(self, number: int, late: bool) -> None:
        if len(self.state.agents) < 4:
            said = agentlink.Register(info=agent_info(number), pid=f"p{number}", version="1")
            self.world.say(self.world.connection(), said)
            if not late:
                self.world.durable()

    @rule(number=numbers)
    def close_link(self, number: int) -> None:
        links = [*self.state.agent_of, *self.state.joining]
        if links:
            link = ConnectionId(links[number % len(links)])
            self.world.do(events.AgentLinkClosed(link, self.world.now))

    @rule(number=numbers)
    def unregister(self, number: int) -> None:
        found = self.agent(number)
        if found is not None and found.link is not None and number % 5 == 0:
            self.world.say(found.link, agentlink.Unregister())

    @rule(number=numbers)
    def ping(self, number: int) -> None:
        found = self.agent(number)
        if found is not None:
            for _ in range(1 + number % 4):
                self.world.fire("ping", found.agent_id)

    @rule(number=numbers)
    def pong(self, number: int) -> None:
        found = self.agent(number)
        if found is not None and found.link is not None:
            self.world.say(found.link, agentlink.Pong())

    @rule(
        number=numbers,
        table=st.sampled_from(("agents", "unreachable", "recovered")),
        late=st.booleans(),
    )
    def mark_gone(self, number: int, table: str, late: bool) -> None:
        known = [*getattr(self.state, table), "nobody"]
        if number % 2 == 0 or table != "agents":
            agent_id = AgentId(known[number % len(known)])
            self.world.do(events.AgentGoneAsked(agent_id, "ops", self.world.now))
            if not late:
                self.world.durable()

    @rule(
        number=numbers,
        table=st.sampled_from(("agents", "unreachable", "recovered")),
        wish=st.sampled_from(("drain", "drain", "gone", "deactivate", "reactivate")),
        late=st.booleans(),
    )
    def wish(self, number: int, table: str, wish: str, late: bool) -> None:
        known = [*getattr(self.state, table), "nobody"]
        agent_id = AgentId(known[number % len(known)])
        if wish == "deactivate":
            self.world.do(events.AgentDeactivationAsked(agent_id, "ops", self.world.now))
        elif wish == "reactivate":
            self.world.do(events.AgentReactivationAsked(agent_id, "ops", self.world.now))
        else:
            config = m.DrainConfig(mark_gone=wish == "gone")
            self.world.do(events.AgentDrainAsked(agent_id, config, "ops", self.world.now))
        if not late:
            self.world.durable()

    @rule(number=numbers, late=st.booleans())
    def fall_silent(self, number: int, late: bool) -> None:
        found = self.agent(number)
        if found is not None:
            for _ in range(6):
                self.world.fire("ping", found.agent_id)
            if not late:
                self.world.durable()

    @rule()
    def forget_lost_agents(self) -> None:
        self.world.do(events.RegistryGcDue(self.world.now))

    @rule()
    def removal_is_due(self) -> None:
        if self.state.removals:
            self.world.fire("removal")

    @rule(number=numbers)
    def not_back(self, number: int) -> None:
        known = [*self.state.agents, *self.state.recovered]
        if known and number % 2:
            self.world.fire("reregister", known[number % len(known)])

    @rule(number=numbers, some=st.booleans(), ended=st.booleans(), late=st.booleans())
    def reregister(self, number: int, some: bool, ended: bool, late: bool) -> None:
        known = [
            *self.state.agents,
            *self.state.unreachable,
            *self.state.recovered,
            *self.state.gone,
            f"old-S{number % 2}",
        ]
        agent_id = known[number % len(known)]
        infos = [one.info for one in self.state.frameworks.values()]
        infos.append(framework_info(framework_id="recovered-0", failover_timeout=1.0))
        reports = []
        for framework in list(self.state.frameworks.values()):
            live = [one for one in framework.tasks.values() if one.agent_id == agent_id]
            lost = [one for one in framework.unreachable.values() if one.agent_id == agent_id]
            for task in (live + lost)[:: 2 if some else 1]:
                state = m.TaskState.TASK_FINISHED if ended else m.TaskState.TASK_RUNNING
                reports.append(self._report(task.framework_id, task.task_id, agent_id, state))
        if number % 7 == 0:  # Somebody else's task, and one twice.
            for task in list(self.state.tasks())[:2]:
                running = m.TaskState.TASK_RUNNING
                report = self._report(task.framework_id, task.task_id, agent_id, running)
                reports += [report, report]
        executors = []
        agent = self.state.agents.get(AgentId(agent_id))
        if agent is not None and not some:
            for framework_id, held in agent.executors.items():
                for one in held.values():
                    executors.append(
                        agentlink.LinkExecutor(framework_id=framework_id, info=one.info)
                    )
        if agent is None and number % 2:
            self.tasks += 1
            running = m.TaskState.TASK_RUNNING
            reports.append(self._report("recovered-0", f"t{self.tasks}", agent_id, running))
        self.world.reregister(
            agent_id,
            number % 4,
            frameworks=tuple(infos),
            tasks=tuple(reports),
            executors=tuple(executors),
            owing=("recovered-0", "unheard-of")[: number % 3],
            capabilities=("AGENT_DRAINING",),
            drains=number % 3 > 0,
            draining=number % 5 == 0,
        )
        if not late:
            self.world.durable()

    def _report(self, framework_id: str, task_id: str, agent_id: str, state: m.TaskState) -> m.Task:
        return m.Task(
            name=task_id,
            task_id=m.TaskID(value=task_id),
            framework_id=m.FrameworkID(value=framework_id),
            agent_id=m.AgentID(value=agent_id),
            state=state,
            resources=resources("cpus:0.1;mem:32"),
        )

    @rule(number=numbers)
    def durable(self, number: int) -> None:
        if self.state.in_flight:
            which = list(self.state.in_flight)[number % len(self.state.in_flight)]
            self.world.do(events.RegistryApplied(which, self.world.now))

    @rule(weight=st.sampled_from((0.5, 2.0)))
    def weigh(self, weight: float) -> None:
        self.world.do(events.WeightsUpdated({"*": weight}, self.world.now))

    @rule()
    def fail_over(self) -> None:
        self.world.fire("recovered")

    @invariant()
    def gone_is_for_good(self) -> None:
        for effect in self.world.last:
            if isinstance(effect, SendToAgent):
                assert self.state.agent_of.get(effect.link) not in self.state.gone

    @invariant()
    def empty_agents_to_be_drained_are_about_to_be(self) -> None:
        for agent in self.state.agents.values():
            if agent.draining is None or agent.tasks or agent.leaving:
                continue
            if agent.draining.state is m.DrainState.DRAINING:
                assert Drained(agent.agent_id) in self.state.in_flight.values()

    @invariant()
    def no_offers_of_deactivated_agents(self) -> None:
        for offer in self.state.offers.values():
            assert offer.agent_id not in self.state.deactivated

    @invariant()
    def tables_agree(self) -> None:
        check(self.state)

    @invariant()
    def events_go_to_open_streams_or_say_goodbye(self) -> None:
        for effect in self.world.last:
            if isinstance(effect, SendEvent) and effect.connection not in self.state.framework_of:
                assert effect.event.type in (
                    m.SchedulerEventType.ERROR,
                    m.SchedulerEventType.RESCIND,
                    m.SchedulerEventType.UPDATE,
                    m.SchedulerEventType.FAILURE,
                )


Master.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMaster = Master.TestCase
