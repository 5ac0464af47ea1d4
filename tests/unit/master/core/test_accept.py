"""ACCEPT and DECLINE: what is launched, what is answered, and that nothing is lost."""

from __future__ import annotations

import msgspec
import pytest

from mesos_twisted.errors import Problem
from mesos_twisted.master.core.effects import Effect, StartTimer
from mesos_twisted.master.core.state import Agent, Framework, Policy
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.master_world import (
    World,
    command_task,
    events_to,
    framework_info,
    launch,
    resources,
    sent_to_agents,
    updates_in,
)

Kind = m.SchedulerEventType
Reason = m.TaskStatusReason
State = m.TaskState


def stage(
    info: m.FrameworkInfo | None = None, policy: Policy | None = None
) -> tuple[World, Framework, Agent, list[str]]:
    """A framework with one open offer of one agent."""
    world = World(policy)
    framework = world.framework(info)
    agent = world.agent()
    return world, framework, agent, world.offers(framework)


def first_offer(made: list[Effect]) -> m.Offer:
    """The first offer of the first OFFERS event."""
    event = events_to(made)[0]
    assert event.offers is not None
    return event.offers.offers[0]


def test_an_offer_says_all_about_its_agent() -> None:
    """Ids, host, https url, attributes, resources with the role they are for."""
    world = World()
    world.framework()
    world.agent()
    offer = first_offer(world.allocate())
    assert offer.id.value == "M-O0" and offer.agent_id.value == "M-S0"
    assert offer.url == m.URL(
        scheme="https",
        address=m.Address(hostname="h0", ip="10.0.0.0", port=5051),
        path="/slave(1)",
    )
    assert offer.attributes[0].name == "rack"
    assert offer.allocation_info == m.ResourceAllocationInfo(role="*")
    assert {one.name for one in offer.resources} == {"cpus", "mem", "disk", "ports"}
    assert {(one.role, one.allocation_info) for one in offer.resources} == {
        ("*", m.ResourceAllocationInfo(role="*"))
    }


def test_a_framework_without_multi_role_sees_no_allocation_info() -> None:
    """The old form has a role and no allocation_info, in the offer and in its resources."""
    world = World()
    world.framework(framework_info(()))
    world.agent()
    offer = first_offer(world.allocate())
    assert offer.allocation_info is None
    assert {(one.role, one.allocation_info) for one in offer.resources} == {("*", None)}


def test_one_event_holds_all_offers_of_a_cycle() -> None:
    """Two agents make two offers and one OFFERS event."""
    world = World()
    world.framework()
    world.agent(0)
    world.agent(1)
    (event,) = events_to(world.allocate())
    assert event.offers is not None and len(event.offers.offers) == 2


def test_an_unused_offer_expires() -> None:
    """After offer_timeout the offer is rescinded; one used in time is not."""
    world, framework, _, (offer,) = stage(policy=Policy(offer_timeout_s=7.0))
    made = world.fire("offer", offer)
    assert [one.type for one in events_to(made)] == [Kind.RESCIND]
    made = world.allocate()
    assert StartTimer(("offer", "M-O1"), 7.0) in made
    world.accept(framework, ["M-O1"])
    assert world.fire("offer", "M-O1") == []


@pytest.mark.parametrize(
    ("capabilities", "state"),
    [(("PARTITION_AWARE",), "TASK_DROPPED"), ((), "TASK_LOST")],
)
def test_a_stale_offer_drops_every_task_and_returns_every_offer(
    capabilities: tuple[str, ...], state: str
) -> None:
    """All offers named are returned, tasks are DROPPED or LOST, operations with an id ERROR."""
    world, framework, _, offers = stage(framework_info(capabilities))
    operation = m.OfferOperation(
        type=m.OfferOperationType.RESERVE,
        id=m.OperationID(value="op"),
        reserve=m.OfferOperationReserve(resources=()),
    )
    made = world.accept(
        framework, [*offers, "stale-O1"], launch(command_task("t", "M-S0")), operation
    )
    (status,) = updates_in(made)
    assert status.state.value == state
    assert status.reason is Reason.REASON_INVALID_OFFERS
    assert status.source is m.TaskStatusSource.SOURCE_MASTER and status.uuid is None
    assert status.agent_id == m.AgentID(value="M-S0")
    assert status.message == (
        "Task launched with invalid offers: Offer stale-O1 is no longer valid"
    )
    answer = events_to(made)[1].update_operation_status
    assert answer is not None
    assert answer.status.state is m.OperationState.OPERATION_ERROR
    assert answer.status.operation_id == m.OperationID(value="op")
    assert not framework.offers and not framework.tasks
    short = state.removeprefix("TASK_").lower()
    assert world.counts()[f"master/tasks_{short}"] == 1
    reason = f"master/task_{short}/source_master/reason_invalid_offers"
    assert world.counts()[reason] == 1


def test_offers_of_two_agents_cannot_be_merged() -> None:
    """One ACCEPT is for one agent."""
    world = World()
    framework = world.framework()
    world.agent(0)
    world.agent(1)
    offers = world.offers(framework)
    (status,) = updates_in(world.accept(framework, offers, launch(command_task("t", "M-S0"))))
    assert status.message is not None and "must be of one agent" in status.message
    assert not framework.offers


def test_offers_of_one_agent_are_merged() -> None:
    """What two offers of an agent hold can be used by one task."""
    world, framework, agent, offers = stage()
    world.accept(framework, offers, launch(command_task("a", "M-S0", "cpus:4;mem:32")))
    small = world.offers(framework)
    world.status(framework, agent, "a", "TASK_FINISHED")
    both = world.offers(framework)
    assert len(both) == len(small) + 1 or len(both) == 2
    made = world.accept(framework, both, launch(command_task("b", "M-S0", "cpus:8;mem:8000")))
    assert updates_in(made) == []
    assert "b" in framework.tasks


def test_another_frameworks_offer_is_as_good_as_none() -> None:
    """An ACCEPT of a foreign offer is refused, and the offer stays its owner's."""
    world, owner, _, offers = stage()
    thief = world.framework()
    (status,) = updates_in(world.accept(thief, offers, launch(command_task("t", "M-S0"))))
    assert status.reason is Reason.REASON_INVALID_OFFERS
    assert list(owner.offers) == offers


BAD_TASKS = [
    (
        command_task("t", "M-S0", command=None),
        "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
    ),
    (command_task("t", "other"), "Task uses invalid agent other while agent M-S0 is expected"),
    (command_task("t", "M-S0", ""), "Task uses no resources"),
    (command_task("a/b", "M-S0"), "'a/b' contains invalid characters"),
    (command_task("ok", "M-S0"), "Task has duplicate ID: ok"),
    (
        command_task(
            "t",
            "M-S0",
            kill_policy=m.KillPolicy(grace_period=m.DurationInfo(nanoseconds=-1)),
        ),
        "Task's 'kill_policy.grace_period' must be non-negative",
    ),
    (
        command_task("t", "M-S0", "cpus:9;mem:32"),
        "Total resources cpus:9; mem:32 required by task and its executor is more than available",
    ),
    (
        command_task("t", "M-S0", health_check=m.HealthCheck()),
        "Task uses invalid health check: HealthCheck must specify 'type'",
    ),
]


@pytest.mark.parametrize(("task", "message"), BAD_TASKS)
def test_a_bad_task_fails_alone(task: m.TaskInfo, message: str) -> None:
    """TASK_ERROR, REASON_TASK_INVALID for that task only; the others go ahead."""
    world, framework, _, offers = stage()
    made = world.accept(
        framework,
        offers,
        launch(command_task("ok", "M-S0"), task, command_task("later", "M-S0")),
    )
    (status,) = updates_in(made)
    assert status.state is State.TASK_ERROR and status.reason is Reason.REASON_TASK_INVALID
    assert status.message is not None and status.message.startswith(message)
    assert set(framework.tasks) == {"ok", "later"}
    assert len(sent_to_agents(made)) == 2


def test_an_unauthorized_task_fails_alone() -> None:
    """TASK_ERROR, REASON_TASK_UNAUTHORIZED with the refusal's sentence."""
    world, framework, _, offers = stage()
    made = world.accept(
        framework,
        offers,
        launch(command_task("no", "M-S0"), command_task("yes", "M-S0")),
        refusals={"no": Problem("unauthorized", "Not authorized to run as root")},
    )
    (status,) = updates_in(made)
    assert status.task_id.value == "no" and status.state is State.TASK_ERROR
    assert status.reason is Reason.REASON_TASK_UNAUTHORIZED
    assert status.message == "Not authorized to run as root"
    assert set(framework.tasks) == {"yes"}


def test_thousandths_are_exact() -> None:
    """0.1 + 0.2 cpus fit into an offer of 0.3."""
    world = World()
    framework = world.framework()
    world.agent(0, "cpus:0.3;mem:100")
    made = world.accept(
        framework,
        world.offers(framework),
        launch(
            command_task("a", "M-S0", "cpus:0.1;mem:10"),
            command_task("b", "M-S0", "cpus:0.2;mem:10"),
        ),
    )
    assert updates_in(made) == []


def test_a_health_check_without_a_type_gets_it_from_what_it_has() -> None:
    """As clients from before the type do; the agent is told the type."""
    world, framework, _, offers = stage()
    command = m.HealthCheck(command=m.CommandInfo(value="true"))
    http = m.HealthCheck(http=m.HealthCheckHTTPCheckInfo(port=80))
    made = world.accept(
        framework,
        offers,
        launch(
            command_task("a", "M-S0", health_check=command),
            command_task("b", "M-S0", health_check=http),
        ),
    )
    kinds = []
    for run in sent_to_agents(made):
        assert isinstance(run, agentlink.RunTask) and run.task.health_check is not None
        kinds.append(run.task.health_check.type)
    assert kinds == [m.HealthCheckType.COMMAND, m.HealthCheckType.HTTP]


@pytest.mark.parametrize("with_id", [True, False])
def test_an_operation_that_cannot_be_done_loses_nothing(with_id: bool) -> None:
    """OPERATION_ERROR when it has an id, silence otherwise; later operations go ahead."""
    world, framework, _, offers = stage()
    operation = m.OfferOperation(
        type=m.OfferOperationType.UNRESERVE,
        id=m.OperationID(value="op") if with_id else None,
        unreserve=m.OfferOperationUnreserve(resources=resources("cpus:1")),
    )
    made = world.accept(framework, offers, operation, launch(command_task("t", "M-S0")))
    kinds = [one.type for one in events_to(made)]
    assert kinds == ([Kind.UPDATE_OPERATION_STATUS] if with_id else [])
    assert set(framework.tasks) == {"t"}


def test_unused_resources_are_refused_for_a_while() -> None:
    """What an ACCEPT leaves is filtered as if declined, and offered when the filter expires."""
    world, framework, _, offers = stage()
    world.accept(framework, offers, launch(command_task("t", "M-S0")), refuse_seconds=5.0)
    assert world.offers(framework) == []
    world.now += 5.1
    assert len(world.offers(framework)) == 1


def test_a_refusal_of_zero_seconds_is_none() -> None:
    """refuse_seconds 0 leaves no filter."""
    world, framework, _, offers = stage()
    world.accept(framework, offers, refuse_seconds=0.0)
    assert len(world.offers(framework)) == 1


def test_an_endless_refusal_is_a_year() -> None:
    """4294967295 seconds, as some clients say, hold for 365 days."""
    world, framework, _, offers = stage()
    world.accept(framework, offers, refuse_seconds=4294967295.0)
    world.now += 365 * 86400.0 - 10
    assert world.offers(framework) == []
    world.now += 20
    assert len(world.offers(framework)) == 1


def test_decline_returns_the_offer() -> None:
    """DECLINE frees the offer for others at once; unknown ids are ignored."""
    world, framework, _, offers = stage()
    body = m.SchedulerCallDecline(offer_ids=(m.OfferID(value="never"), m.OfferID(value=offers[0])))
    world.call(framework, "DECLINE", decline=body)
    assert not framework.offers
    other = world.framework()
    assert len(world.offers(other)) == 1


def test_a_task_reusing_an_unreachable_id_is_refused() -> None:
    """The id of a task on an unreachable agent is taken."""
    world, framework, agent, _ = stage()
    world.running(framework, agent, "t")
    world.agent(1)
    for _ in range(6):
        world.fire("ping", agent.agent_id)
    world.durable()
    assert list(framework.unreachable) == ["t"]
    offers = [one for one in world.offers(framework) if framework.offers]
    made = world.accept(framework, offers[:1], launch(command_task("t", "M-S1")))
    (status,) = updates_in(made)
    assert status.message == "Task reuses the ID of an unreachable task: t"


def test_static_parts_survive_the_encoding() -> None:
    """Labels, discovery and the like are what the framework said."""
    world, framework, _, offers = stage()
    labels = m.Labels(labels=(m.Label(key="a", value="b"),))
    task = msgspec.structs.replace(command_task("t", "M-S0"), labels=labels)
    world.accept(framework, offers, launch(task))
    (record,) = framework.tasks.values()
    assert record.fixed().labels == labels and record.fixed().name == "t"
