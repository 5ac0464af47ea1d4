"""One event in, effects out: who deals with what, and nothing else."""

from __future__ import annotations

from typing import assert_never

from mesos_twisted.errors import BugError
from mesos_twisted.master.core import (
    accept,
    agents,
    drain,
    events,
    frameworks,
    gone,
    liveness,
    notify,
    offers,
    reconcile,
    removals,
    tasks,
    weights,
    wishes,
)
from mesos_twisted.master.core.changes import (
    Deactivating,
    Drained,
    Draining,
    Reactivating,
    Weighing,
)
from mesos_twisted.master.core.effects import Effect
from mesos_twisted.master.core.state import Framework, MasterState
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, FrameworkId, OfferId

Call = m.SchedulerCallType


def decide(state: MasterState, event: events.Event) -> list[Effect]:
    """Change `state` by one event; what is to be done about it comes back in order."""
    out: list[Effect] = []
    match event:
        case events.AgentSaid():
            _agent_said(state, event, out)
        case events.SchedulerCalled():
            framework = state.frameworks.get(event.framework_id)
            if framework is not None:
                _called(state, framework, event, out)
        case events.AllocationDue(now, seed):
            if state.leading:
                offers.allocate(state, now, seed, out)
        case events.TimerFired():
            _timer_fired(state, event, out)
        case events.RegistryApplied(number, now):
            _applied(state, number, now, out)
        case events.SchedulerSubscribed():
            frameworks.subscribe(state, event, out)
        case events.SchedulerClosed(connection, now):
            frameworks.closed(state, connection, now, out)
        case events.AgentLinkClosed(link, now):
            liveness.closed(state, link, now, out)
        case events.FrameworkUpdated():
            frameworks.update(state, event, out)
        case events.TeardownAsked(framework_id, now):
            frameworks.teardown(state, framework_id, now, out)
        case events.TaskKillAsked():
            tasks.kill_for_operator(state, event, out)
        case events.AgentGoneAsked():
            gone.ask(state, event, out)
        case events.AgentDrainAsked():
            drain.ask(state, event, out)
        case events.AgentDeactivationAsked():
            drain.ask_deactivation(state, event, out)
        case events.AgentReactivationAsked():
            drain.ask_reactivation(state, event, out)
        case events.RegistryGcDue(now):
            gone.prune(state, now, out)
        case events.WeightsUpdated():
            weights.update(state, event, out)
        case events.WhitelistRead(hostnames):
            weights.whitelist(state, hostnames, out)
        case events.Recovered():
            agents.lead(state, event, out)
        case _:
            assert_never(event)
    if state.emptied:
        drain.settle(state, out)
    return out


def _applied(state: MasterState, number: int, now: float, out: list[Effect]) -> None:
    match state.in_flight.get(number):
        case None:
            pass
        case Weighing():
            weights.stored(state, number, now, out)
        case Draining() | Drained() | Deactivating() | Reactivating() as wish:
            del state.in_flight[number]
            drain.applied(state, wish, now, out)
        case _:
            agents.applied(state, number, now, out)


def _called(
    state: MasterState, framework: Framework, event: events.SchedulerCalled, out: list[Effect]
) -> None:
    call, now = event.call, event.now
    kind = call.type
    if kind is None:
        return
    notify.count_call(framework, kind, out)
    if kind is Call.ACKNOWLEDGE and call.acknowledge is not None:
        tasks.acknowledge(state, framework, call.acknowledge, now, out)
    elif kind is Call.ACCEPT and call.accept is not None:
        accept.accept(state, framework, call.accept, event.refusals, now, out)
    elif kind is Call.DECLINE and call.decline is not None:
        offers.decline(state, framework, call.decline, now, out)
    elif kind is Call.KILL and call.kill is not None:
        tasks.kill(state, framework, call.kill, now, out)
    elif kind is Call.RECONCILE and call.reconcile is not None:
        reconcile.reconcile(state, framework, call.reconcile, now, out)
    elif kind is Call.RECONCILE_OPERATIONS and call.reconcile_operations is not None:
        reconcile.reconcile_operations(state, framework, call.reconcile_operations, out)
    elif kind is Call.REVIVE:
        roles = () if call.revive is None else call.revive.roles
        wishes.revive(state, framework, roles, out)
    elif kind is Call.SUPPRESS:
        roles = () if call.suppress is None else call.suppress.roles
        wishes.suppress(state, framework, roles, out)
    elif kind is Call.MESSAGE and call.message is not None:
        tasks.message_executor(state, framework, call.message, out)
    elif kind is Call.SHUTDOWN and call.shutdown is not None:
        tasks.shutdown_executor(state, framework, call.shutdown, out)
    elif kind is Call.TEARDOWN:
        frameworks.teardown(state, framework.framework_id, now, out)
    elif kind is Call.REQUEST and call.request is not None:
        out.append(notify.count("master/messages_resource_request"))
        state.allocator.request(framework.framework_id, call.request.requests)
    elif kind is Call.SUBSCRIBE or kind is Call.UPDATE_FRAMEWORK:
        raise BugError(f"{kind.value} has an event of its own.")
    # The rest speaks of inverse offers and finished operations, of which there are none.


def _agent_said(state: MasterState, event: events.AgentSaid, out: list[Effect]) -> None:
    said = event.message
    if isinstance(said, agentlink.Register):
        agents.register(state, event, said, out)
        return
    if isinstance(said, agentlink.Reregister):
        agents.reregister(state, event, said, out)
        return
    agent = state.agents.get(state.agent_of.get(event.link, AgentId("")))
    if agent is None:
        out.append(notify.count("master/dropped_messages"))
        return
    match said:
        case agentlink.StatusUpdate():
            tasks.update(state, agent, said, event.now, out)
        case agentlink.Pong():
            liveness.ponged(state, agent, out)
        case agentlink.ExecutorMessage():
            tasks.message_framework(state, agent, said, out)
        case agentlink.ExitedExecutor():
            tasks.executor_exited(state, agent, said, event.now, out)
        case agentlink.Standby():
            pass  # answered below the core
        case agentlink.Unregister():
            out.append(notify.count("master/messages_unregister_slave"))
            liveness.leave(state, agent, out)
        case _:
            assert_never(said)


def _timer_fired(state: MasterState, event: events.TimerFired, out: list[Effect]) -> None:
    now = event.now
    match event.key:
        case ("ping", agent_id):
            liveness.ping_due(state, AgentId(agent_id), now, out)
        case ("offer", offer_id):
            offers.expire(state, OfferId(offer_id), now, out)
        case ("failover", framework_id):
            frameworks.timed_out(state, FrameworkId(framework_id), now, out)
        case ("reregister", agent_id):
            liveness.not_back(state, AgentId(agent_id), now, out)
        case ("removal",):
            removals.due(state, now, out)
        case ("recovered",):
            liveness.none_back(state, now, out)
        case _:
            raise BugError(f"Nobody asked for the timer {event.key!r}.")
