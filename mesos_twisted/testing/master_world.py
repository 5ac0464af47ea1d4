"""A master's core with the smallest possible world around it: frameworks and agents as numbers.

Each call makes one event, checks the invariants and gives the effects without counts and logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import effects, events
from mesos_twisted.master.core.allocator.hierarchical import HierarchicalAllocator
from mesos_twisted.master.core.decide import decide
from mesos_twisted.master.core.effects import Effect
from mesos_twisted.master.core.invariants import check
from mesos_twisted.master.core.state import Agent, Framework, MasterState, Policy, new_state
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ConnectionId, FrameworkId
from mesos_twisted.resources.convert import to_messages
from mesos_twisted.resources.parse import resources_from_text

MASTER = m.MasterInfo(id="M", ip=16777343, port=5050, hostname="localhost", version="1.12.0")
AWARE = ("MULTI_ROLE", "PARTITION_AWARE", "TASK_KILLING_STATE")
TOTAL = "cpus:8;mem:8000;disk:10000;ports:[31000-32000]"


def resources(text: str, refined: bool = False) -> tuple[m.Resource, ...]:
    """Resource messages from text such as `cpus:1;mem:32`."""
    return to_messages(resources_from_text(text), refined=refined)


def framework_info(
    capabilities: Sequence[str] = AWARE,
    roles: Sequence[str] = ("*",),
    framework_id: str | None = None,
    failover_timeout: float = 60.0,
    checkpoint: bool = True,
    user: str = "root",
    principal: str | None = None,
    role: str | None = None,
    name: str = "f",
) -> m.FrameworkInfo:
    """A framework that can do what `capabilities` say."""
    return m.FrameworkInfo(
        user=user,
        name=name,
        id=None if framework_id is None else m.FrameworkID(value=framework_id),
        failover_timeout=failover_timeout,
        checkpoint=checkpoint,
        roles=tuple(roles) if "MULTI_ROLE" in capabilities else (),
        role=role,
        principal=principal,
        capabilities=tuple(
            m.FrameworkInfoCapability(type=m.FrameworkInfoCapabilityType(one))
            for one in capabilities
        ),
    )


def agent_info(number: int = 0, total: str = TOTAL, agent_id: str | None = None) -> m.AgentInfo:
    """An agent on host h<number>."""
    return m.AgentInfo(
        hostname=f"h{number}",
        port=5051,
        resources=resources(total),
        attributes=(m.Attribute(name="rack", type=m.ValueType.TEXT, text=m.ValueText(value="r1")),),
        id=None if agent_id is None else m.AgentID(value=agent_id),
    )


def command_task(
    task_id: str, agent_id: str, need: str = "cpus:0.1;mem:32", **more: object
) -> m.TaskInfo:
    """A task that runs `true`."""
    given: dict[str, object] = {"command": m.CommandInfo(value="true"), **more}
    return m.TaskInfo(
        name=task_id,
        task_id=m.TaskID(value=task_id),
        agent_id=m.AgentID(value=agent_id),
        resources=resources(need),
        **given,  # type: ignore[arg-type]  # a test's own fields, checked by the constructor
    )


def launch(*tasks: m.TaskInfo) -> m.OfferOperation:
    """A LAUNCH of these tasks."""
    return m.OfferOperation(
        type=m.OfferOperationType.LAUNCH, launch=m.OfferOperationLaunch(task_infos=tasks)
    )


class World:
    """The core, a clock that only events move, and counters for connections."""

    def __init__(self, policy: Policy | None = None, checks: bool = True) -> None:
        policy = policy or Policy(publish_per_framework_metrics=False)
        self.state: MasterState = new_state(MASTER, policy, HierarchicalAllocator())
        self.now = 1000.0
        self.checks = checks
        self.last: list[Effect] = []
        self._connections = 0
        self._seed = 0
        self.do(events.Recovered(self.now))

    def do(self, event: events.Event) -> list[Effect]:
        """One event; the effects but counts, logs and requests for an allocation."""
        self.last = decide(self.state, event)
        if self.checks:
            check(self.state)
        quiet = (effects.Count, effects.Log, effects.RequestAllocation)
        return [one for one in self.last if not isinstance(one, quiet)]

    def counts(self) -> dict[str, int]:
        """What the last event counted."""
        found: dict[str, int] = {}
        for one in self.last:
            if isinstance(one, effects.Count):
                found[one.name] = found.get(one.name, 0) + one.amount
        return found

    def connection(self) -> ConnectionId:
        """A number never used before."""
        self._connections += 1
        return ConnectionId(self._connections)

    # Frameworks

    def subscribe(
        self,
        info: m.FrameworkInfo | None = None,
        suppressed: Sequence[str] = (),
        principal: str | None = None,
        refusal: Problem | None = None,
        connection: ConnectionId | None = None,
        constraints: m.SchedulerOfferConstraints | None = None,
    ) -> list[Effect]:
        """SUBSCRIBE on a fresh stream."""
        connection = connection or self.connection()
        call = m.SchedulerCallSubscribe(
            framework_info=info or framework_info(),
            suppressed_roles=tuple(suppressed),
            offer_constraints=constraints,
        )
        return self.do(
            events.SchedulerSubscribed(
                connection, f"stream-{connection}", call, principal, refusal, self.now
            )
        )

    def framework(self, info: m.FrameworkInfo | None = None) -> Framework:
        """A subscribed framework."""
        self.subscribe(info)
        return list(self.state.frameworks.values())[-1]

    def call(
        self,
        framework: Framework,
        kind: str,
        refusals: Mapping[str, Problem] | None = None,
        **body: object,
    ) -> list[Effect]:
        """A call of the framework; `body` is the one field of its type."""
        call = m.SchedulerCall(
            framework_id=m.FrameworkID(value=framework.framework_id),
            type=m.SchedulerCallType(kind),
            **body,  # type: ignore[arg-type]  # a test's own field, checked by the constructor
        )
        return self.do(
            events.SchedulerCalled(framework.framework_id, call, self.now, refusals or {})
        )

    def accept(
        self,
        framework: Framework,
        offer_ids: Iterable[str],
        *operations: m.OfferOperation,
        refuse_seconds: float = 5.0,
        refusals: Mapping[str, Problem] | None = None,
    ) -> list[Effect]:
        """ACCEPT."""
        body = m.SchedulerCallAccept(
            offer_ids=tuple(m.OfferID(value=one) for one in offer_ids),
            operations=operations,
            filters=m.Filters(refuse_seconds=refuse_seconds),
        )
        return self.call(framework, "ACCEPT", refusals, accept=body)

    def allocate(self) -> list[Effect]:
        """An allocation cycle."""
        self._seed += 1
        return self.do(events.AllocationDue(self.now, self._seed))

    def offers(self, framework: Framework) -> list[str]:
        """The framework's open offers after an allocation cycle."""
        self.allocate()
        return [str(one) for one in framework.offers]

    # Agents

    def say(
        self,
        link: ConnectionId,
        message: agentlink.FromAgent,
        address: str = "127.0.0.1",
        refusal: Problem | None = None,
    ) -> list[Effect]:
        """A record from an agent."""
        return self.do(events.AgentSaid(link, message, self.now, address, refusal))

    def durable(self) -> list[Effect]:
        """Every registry operation in flight is durable."""
        made: list[Effect] = []
        for number in list(self.state.in_flight):
            made += self.do(events.RegistryApplied(number, self.now))
        return made

    def agent(self, number: int = 0, total: str = TOTAL) -> Agent:
        """A registered agent."""
        info = agent_info(number, total)
        said = agentlink.Register(
            info=info,
            pid=f"slave(1)@10.0.0.{number}:5051",
            version="1.12.0",
            capabilities=("AGENT_DRAINING",),
            drains=True,
        )
        self.say(self.connection(), said)
        self.durable()
        return list(self.state.agents.values())[-1]

    def reregister(
        self,
        agent_id: str,
        number: int = 0,
        total: str = TOTAL,
        link: ConnectionId | None = None,
        **more: object,
    ) -> list[Effect]:
        """A returning agent, on a fresh link."""
        said = agentlink.Reregister(
            info=agent_info(number, total, agent_id),
            pid=f"slave(1)@10.0.0.{number}:5051",
            version="1.12.0",
            **more,  # type: ignore[arg-type]  # a test's own fields, checked by the constructor
        )
        return self.say(link or self.connection(), said)

    def status(
        self,
        framework: Framework,
        agent: Agent,
        task_id: str,
        state: str,
        latest: str | None = None,
        uuid: bytes | None = None,
        **more: object,
    ) -> list[Effect]:
        """A status update of a task; its uuid says the state unless given."""
        task_state = m.TaskState(state)
        status = m.TaskStatus(
            task_id=m.TaskID(value=task_id),
            state=task_state,
            source=m.TaskStatusSource.SOURCE_EXECUTOR,
            agent_id=m.AgentID(value=agent.agent_id),
            timestamp=self.now,
            uuid=uuid or uuid_of(task_id, state),
            **more,  # type: ignore[arg-type]  # a test's own fields, checked by the constructor
        )
        assert agent.link is not None
        return self.say(
            agent.link,
            agentlink.StatusUpdate(
                framework_id=framework.framework_id,
                status=status,
                latest_state=m.TaskState(latest or state),
            ),
        )

    def ack(self, framework: Framework, agent_id: str, task_id: str, uuid: bytes) -> list[Effect]:
        """ACKNOWLEDGE."""
        body = m.SchedulerCallAcknowledge(
            agent_id=m.AgentID(value=agent_id), task_id=m.TaskID(value=task_id), uuid=uuid
        )
        return self.call(framework, "ACKNOWLEDGE", acknowledge=body)

    def fire(self, *key: str) -> list[Effect]:
        """A timer runs out."""
        return self.do(events.TimerFired(key, self.now))

    def running(self, framework: Framework, agent: Agent, *task_ids: str) -> None:
        """These tasks run on the agent, launched from a fresh offer."""
        offer_ids = self.offers(framework)
        tasks = [command_task(one, agent.agent_id) for one in task_ids]
        self.accept(framework, offer_ids, launch(*tasks), refuse_seconds=0.0)
        for one in task_ids:
            self.status(framework, agent, one, "TASK_RUNNING")
            self.ack(framework, agent.agent_id, one, uuid_of(one, "TASK_RUNNING"))


def uuid_of(task_id: str, state: str) -> bytes:
    """16 bytes that tell the updates of a task apart."""
    return (task_id + state).encode().ljust(16, b"-")[-16:]


def events_to(
    made: Iterable[Effect], connection: ConnectionId | None = None
) -> list[m.SchedulerEvent]:
    """The scheduler events among the effects (on one stream)."""
    return [
        one.event
        for one in made
        if isinstance(one, effects.SendEvent) and connection in (None, one.connection)
    ]


def updates_in(made: Iterable[Effect]) -> list[m.TaskStatus]:
    """The task statuses sent to frameworks."""
    return [one.update.status for one in events_to(made) if one.update is not None]


def sent_to_agents(made: Iterable[Effect]) -> list[agentlink.FromMaster]:
    """The records sent to agents."""
    return [one.message for one in made if isinstance(one, effects.SendToAgent)]


def framework_id_of(made: Iterable[Effect]) -> FrameworkId:
    """The id in the SUBSCRIBED among the effects."""
    for one in events_to(made):
        if one.subscribed is not None:
            return FrameworkId(one.subscribed.framework_id.value)
    raise AssertionError("nobody subscribed")


def agent_ids(world: World) -> list[AgentId]:
    """The registered agents."""
    return list(world.state.agents)
