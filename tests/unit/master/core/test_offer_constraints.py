"""Offer constraints in the master's core: who is offered what, and how wrong ones are refused."""

from __future__ import annotations

import msgspec

from mesos_twisted.master.core import events
from mesos_twisted.master.core.effects import CloseStream
from mesos_twisted.master.core.state import Framework
from mesos_twisted.master.core.validation.framework import check_update
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.testing.master_world import World, events_to, framework_info


def on_host(pattern: str, role: str = "*") -> m.SchedulerOfferConstraints:
    """Only agents whose host name matches."""
    one = {
        "selector": {"pseudoattribute_type": "HOSTNAME"},
        "predicate": {"text_matches": {"regex": pattern}},
    }
    groups = [{"attribute_constraints": [one]}]
    return msgspec.convert(
        {"role_constraints": {role: {"groups": groups}}}, m.SchedulerOfferConstraints
    )


def hosts(world: World, framework: Framework) -> list[str]:
    """Where the framework now has offers, after an allocation."""
    world.offers(framework)
    found = [world.state.agents[one.agent_id].hostname for one in framework.offers.values()]
    return sorted(found)


def test_offers_come_from_allowed_agents_only() -> None:
    """And from others once an update allows them; nothing is rescinded for it."""
    world = World()
    for n in range(3):
        world.agent(n)
    names = sorted(agent.hostname for agent in world.state.agents.values())
    world.subscribe(constraints=on_host(names[0]))
    (framework,) = world.state.frameworks.values()
    assert hosts(world, framework) == names[:1]
    info = framework_info(framework_id=framework.framework_id)
    update = m.SchedulerCallUpdateFramework(
        framework_info=info, offer_constraints=on_host(names[1])
    )
    assert check_update(world.state, framework, update) is None
    made = world.do(events.FrameworkUpdated(framework.framework_id, update, world.now))
    assert events_to(made) == []
    assert hosts(world, framework) == names[:2]
    free = m.SchedulerCallUpdateFramework(framework_info=info)
    world.do(events.FrameworkUpdated(framework.framework_id, free, world.now))
    assert hosts(world, framework) == names


def test_a_resubscription_brings_its_own_constraints() -> None:
    """Those of before are forgotten with the old stream."""
    world = World()
    agent = world.agent()
    world.subscribe(constraints=on_host("elsewhere"))
    (framework,) = world.state.frameworks.values()
    assert hosts(world, framework) == []
    world.subscribe(framework_info(framework_id=framework.framework_id))
    assert framework.offer_constraints is None
    assert hosts(world, framework) == [agent.hostname]


def test_wrong_constraints_are_an_error_event() -> None:
    """The framework is not known afterwards."""
    world = World()
    for constraints, sentence in (
        (
            on_host("a("),
            "Offer constraints are not valid: A role * has an invalid 'AttributeConstraint': "
            "Failed to construct regex from pattern 'a(': missing ): a(",
        ),
        (
            on_host("a", "strange"),
            "Offer constraints specify `role_constraints` for a role 'strange'"
            "not contained in the set of roles",
        ),
    ):
        made = world.subscribe(constraints=constraints)
        (event,) = events_to(made)
        assert event.error is not None and event.error.message == sentence
        assert isinstance(made[-1], CloseStream)
    assert not world.state.frameworks


def test_a_wrong_update_changes_nothing() -> None:
    """It is answered 400 before it comes to the core's state."""
    world = World()
    framework = world.framework()
    info = framework_info(framework_id=framework.framework_id)
    update = m.SchedulerCallUpdateFramework(framework_info=info, offer_constraints=on_host("["))
    problem = check_update(world.state, framework, update)
    assert problem is not None and problem.code == "400"
    assert problem.sentence.startswith(
        "'UpdateFramework' call is not valid: Offer constraints are not valid: A role * has"
    )
    bad = msgspec.structs.replace(info, roles=("/x",))
    problem = check_update(
        world.state, framework, m.SchedulerCallUpdateFramework(framework_info=bad)
    )
    assert problem is not None
    assert problem.sentence.startswith("Supplied FrameworkInfo is not valid: ")
