"""What is true of the state between any two events; for tests and for a careful master."""

from __future__ import annotations

from mesos_twisted.errors import BugError
from mesos_twisted.master.core.state import Agent, Framework, MasterState
from mesos_twisted.protocol.ids import FrameworkId
from mesos_twisted.resources.algebra import NOTHING, Resources


def check(state: MasterState) -> None:
    """Raise BugError with the first promise that is broken."""
    for agent in state.agents.values():
        _check_agent(state, agent)
    for framework in state.frameworks.values():
        _check_framework(state, framework)
    _check_connections(state)
    for offer_id, offer in state.offers.items():
        if not (
            state.frameworks[offer.framework_id].offers.get(offer_id) is offer
            and state.agents[offer.agent_id].offers.get(offer_id) is offer
        ):
            raise _disagree(f"offer {offer_id} is not in both indexes")
    offered = sum(len(one.offers) for one in state.frameworks.values())
    if offered != len(state.offers):
        raise _disagree("a framework has an offer that nobody else knows")
    offered = sum(len(one.offers) for one in state.agents.values())
    if offered != len(state.offers):
        raise _disagree("an agent has an offer that nobody else knows")
    _check_agent_tables(state)


def _disagree(how: str) -> BugError:
    return BugError(f"The master's tables disagree: {how}.")


def _check_agent_tables(state: MasterState) -> None:
    tables = [set(state.agents), set(state.recovered), set(state.unreachable), set(state.gone)]
    if not (state.alone.keys() <= state.recovered.keys()):
        raise _disagree("an agent is awaited that is not recovered")
    wanted = state.agents.keys() | state.recovered.keys() | state.unreachable.keys()
    if not (state.draining.keys() <= state.deactivated.keys() <= wanted):
        raise _disagree("an agent is draining and active, or deactivated and nowhere")
    for agent_id in state.removals:
        here = agent_id in state.agents or agent_id in state.recovered
        if not here:
            raise _disagree(f"agent {agent_id} waits to be removed and is not there")
        if agent_id in state.changing:
            raise _disagree(f"agent {agent_id} waits to be removed and is leaving")
    for at, table in enumerate(tables):
        for other in tables[at + 1 :]:
            if table & other:
                raise _disagree("an agent is in two of the agents' tables")


def _check_connections(state: MasterState) -> None:
    for connection, framework_id in state.framework_of.items():
        framework = state.frameworks.get(framework_id)
        if not (framework is not None and framework.connection == connection):
            raise _disagree(
                f"connection {connection} leads to {framework_id}, which does not know it"
            )
    for link, agent_id in state.agent_of.items():
        agent = state.agents.get(agent_id)
        if not (agent is not None and agent.link == link):
            raise _disagree(f"link {link} leads to {agent_id}, which does not know it")


def _check_framework(state: MasterState, framework: Framework) -> None:
    name = framework.framework_id
    if not (framework.connection is None or state.framework_of.get(framework.connection) == name):
        raise _disagree(f"framework {name} has a stream that leads elsewhere")
    if framework.connected != framework.active:
        raise _disagree(f"framework {name} is active without a stream, or the other way round")
    if not (framework.connected or not framework.offers):
        raise _disagree(f"{name} has offers and no stream")
    for task_id, task in framework.tasks.items():
        agent = state.agents.get(task.agent_id)
        if not (agent is not None and agent.tasks.get((name, task_id)) is task):
            raise _disagree(f"task {task_id} of {name} is not on its agent")
        if task.charged == task.terminal:
            raise _disagree(f"task {task_id} of {name} is charged wrongly")
        if task_id in framework.unreachable:
            raise _disagree(f"task {task_id} is live and unreachable")
    for task_id, task in framework.unreachable.items():
        if (name, task_id) not in state.unreachable_tasks.get(task.agent_id, {}):
            raise _disagree(f"unreachable task {task_id} of {name} is not noted with its agent")
    for agent_id, executors in framework.executors.items():
        if state.agents[agent_id].executors.get(name) != executors:
            raise _disagree(f"executors of {name} on {agent_id} differ")
    for agent_id in framework.known_on:
        if agent_id not in state.agents:
            raise _disagree(f"{name} is known on {agent_id}, which is no more")
    for agent_id in framework.used:
        if agent_id not in framework.known_on:
            raise _disagree(f"{name} holds something of {agent_id}, unknown there")
        if agent_id not in state.agents:
            raise _disagree(f"{name} holds something of {agent_id}, which is no more")


def _check_agent(state: MasterState, agent: Agent) -> None:
    name = agent.agent_id
    if agent.deactivated != (name in state.deactivated) or (
        agent.draining != state.draining.get(name)
    ):
        raise _disagree(f"agent {name} is not as an operator wants it")
    used: dict[FrameworkId, Resources] = {}
    for (framework_id, task_id), task in agent.tasks.items():
        framework = state.frameworks.get(framework_id)
        if not (framework is not None and framework.tasks.get(task_id) is task):
            raise _disagree(f"task {task_id} on {name} is not its framework's")
        if task.charged:
            used[framework_id] = used.get(framework_id, NOTHING).add(task.resources)
    for framework_id, executors in agent.executors.items():
        if state.frameworks[framework_id].executors.get(name) != executors:
            raise _disagree(f"executors of {framework_id} on {name} differ")
        for executor in executors.values():
            used[framework_id] = used.get(framework_id, NOTHING).add(executor.resources)
    for framework in state.frameworks.values():
        mine = used.get(framework.framework_id, NOTHING)
        held = framework.used.get(name, NOTHING)
        if held != mine:
            raise _disagree(f"{framework.framework_id} uses {held!r} of {name}, not {mine!r}")
    _check_books(state, agent, used)


def _check_books(state: MasterState, agent: Agent, used: dict[FrameworkId, Resources]) -> None:
    name = agent.agent_id
    books = state.allocator.books(name)
    allocated: dict[FrameworkId, Resources] = {}
    total = books.free
    for (framework_id, _), resources in books.allocated.items():
        allocated[framework_id] = allocated.get(framework_id, NOTHING).add(resources)
        total = total.add(resources.unallocate())
    for framework_id in used.keys() | allocated.keys():
        if used.get(framework_id, NOTHING) != allocated.get(framework_id, NOTHING):
            raise _disagree(
                f"the allocator's books of {framework_id} on {name} differ from its tasks"
            )
    offered = NOTHING
    for resources in books.offered.values():
        offered = offered.add(resources)
        total = total.add(resources.unallocate())
    if offered != agent.offered():
        raise _disagree(f"the allocator's books of offers on {name} differ")
    if agent.total.contains(total) or total == books.total:
        if total != books.total:
            raise _disagree(f"resources of {name} were lost or made")
    if not agent.active:
        if not (not agent.offers or agent.leaving):
            raise _disagree(f"offers of {name} outlived its link")
