"""Frameworks: subscribe, fail over, disconnect, update, end.

The newest stream of an id wins. What frameworks launch is decided elsewhere; here tasks only end
with their framework.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import books, notify, offers, published
from mesos_twisted.master.core.allocator.interface import Capability, FrameworkSpec
from mesos_twisted.master.core.books import REQUEST_ALLOCATION
from mesos_twisted.master.core.effects import (
    CancelTimer,
    CloseStream,
    Effect,
    SendEvent,
    SendToAgent,
    StartTimer,
)
from mesos_twisted.master.core.events import FrameworkUpdated, SchedulerSubscribed
from mesos_twisted.master.core.state import Framework, FrameworkState, MasterState
from mesos_twisted.master.core.validation.constraints import read_constraints
from mesos_twisted.master.core.validation.framework import (
    check_framework,
    check_same_principal,
    check_wishes,
    has_capability,
    is_nameless,
    roles_of,
)
from mesos_twisted.metrics import names
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId, FrameworkId
from mesos_twisted.resources.quantities import Quantities
from mesos_twisted.resources.values import to_thousandths

CapabilityType = m.FrameworkInfoCapabilityType
_KNOWN = {one.value: one for one in Capability}


def failover_key(framework_id: FrameworkId) -> tuple[str, ...]:
    """The timer after which a disconnected framework is removed."""
    return ("failover", framework_id)


def subscribe(state: MasterState, event: SchedulerSubscribed, out: list[Effect]) -> None:
    """SUBSCRIBE: the framework's stream is this one, or it gets one ERROR event and closes."""
    info = event.subscribe.framework_info
    if info.principal is None and event.principal is not None:
        info = msgspec.structs.replace(info, principal=event.principal)
    given = FrameworkId(info.id.value) if info.id is not None and info.id.value else None
    what = "register_framework" if given is None else "reregister_framework"
    out.append(notify.count("master/messages_" + what))
    suppressed = event.subscribe.suppressed_roles
    problem = (
        check_framework(state, info)
        or check_wishes(state, roles_of(info), suppressed, event.subscribe.offer_constraints)
        or event.refusal
    )
    if problem is not None:
        _refuse(event.connection, info, problem.sentence, out)
        return
    if given is None:
        framework_id = state.new_framework_id()
        info = msgspec.structs.replace(info, id=m.FrameworkID(value=framework_id))
        framework = _add(state, framework_id, info, suppressed, event)
        framework.registered_at = event.now
        _connect(state, framework, event)
        notify.count_call(framework, m.SchedulerCallType.SUBSCRIBE, out)
        notify.send_subscribed(state, framework, out)
        published.framework_added(state, framework, out)
    else:
        known = state.frameworks.get(given)
        if known is not None and not is_nameless(known.info):
            info = msgspec.structs.replace(
                info, user=known.info.user, checkpoint=known.info.checkpoint
            )
            problem = check_same_principal(known.info, info)
            if problem is not None:
                _refuse(event.connection, info, problem.sentence, out)
                return
        _resubscribe(state, given, info, event, out)
    out.append(REQUEST_ALLOCATION)


def _refuse(
    connection: ConnectionId, info: m.FrameworkInfo, sentence: str, out: list[Effect]
) -> None:
    out.append(SendEvent(connection, notify.error_event(sentence)))
    out.append(CloseStream(connection))
    notify.log(
        out, "warn", "Refusing subscription of {name}: {reason}", name=info.name, reason=sentence
    )


def _resubscribe(
    state: MasterState,
    framework_id: FrameworkId,
    info: m.FrameworkInfo,
    event: SchedulerSubscribed,
    out: list[Effect],
) -> None:
    framework = state.frameworks.get(framework_id)
    suppressed = event.subscribe.suppressed_roles
    if framework is None:
        # Subscribed to an earlier leader, and no agent that knows it is back yet.
        framework = _add(state, framework_id, info, suppressed, event)
        framework.state = FrameworkState.RECOVERED
    else:
        constraints = event.subscribe.offer_constraints
        _apply_info(state, framework, info, suppressed, constraints, event.now, out)
    was_recovered = framework.recovered
    if was_recovered:
        framework.registered_at = event.now
    framework.reregistered_at = event.now
    old = framework.connection
    if old is not None:
        notify.send(framework, notify.error_event(notify.FAILED_OVER_TEXT), out)
        out.append(CloseStream(old))
        del state.framework_of[old]
    offers.discard_all(state, framework.offers.values(), event.now, out)
    out.append(CancelTimer(failover_key(framework_id)))
    _connect(state, framework, event)
    state.allocator.activate_framework(framework_id)
    notify.count_call(framework, m.SchedulerCallType.SUBSCRIBE, out)
    notify.send_subscribed(state, framework, out)
    _tell_agents(state, framework, True, out)
    published.framework_updated(state, framework, out)


def _connect(state: MasterState, framework: Framework, event: SchedulerSubscribed) -> None:
    framework.connection = event.connection
    framework.stream_id = event.stream_id
    framework.principal = event.principal
    framework.state = FrameworkState.ACTIVE
    framework.version += 1
    state.framework_of[event.connection] = framework.framework_id


def _add(
    state: MasterState,
    framework_id: FrameworkId,
    info: m.FrameworkInfo,
    suppressed: Iterable[str],
    event: SchedulerSubscribed,
) -> Framework:
    framework = Framework(framework_id, info, suppressed=set(suppressed))
    framework.offer_constraints = event.subscribe.offer_constraints
    _derive(state, framework)
    _find_debtors(state, framework)
    state.frameworks[framework_id] = framework
    state.allocator.add_framework(framework_id, spec_of(state, framework, active=True))
    return framework


def _find_debtors(state: MasterState, framework: Framework) -> None:
    """Agents that came back before the framework was known may owe it updates all the same."""
    for agent in state.agents.values():
        if framework.framework_id in agent.owing:
            framework.known_on[agent.agent_id] = None


def recover(state: MasterState, info: m.FrameworkInfo, now: float, out: list[Effect]) -> Framework:
    """A framework that only an agent told of: known, without a stream, offered nothing.

    It has its failover_timeout to subscribe, but no less than agents have to return. (In Mesos it
    stays for good, with all it runs, until an operator tears it down.)
    """
    assert info.id is not None
    framework = Framework(FrameworkId(info.id.value), info, state=FrameworkState.RECOVERED)
    framework.registered_at = now
    _derive(state, framework)
    _find_debtors(state, framework)
    state.frameworks[framework.framework_id] = framework
    state.allocator.add_framework(framework.framework_id, spec_of(state, framework, active=False))
    wait_s = max(info.failover_timeout, state.policy.agent_reregister_timeout_s)
    out.append(StartTimer(failover_key(framework.framework_id), wait_s))
    published.framework_added(state, framework, out)
    return framework


def _derive(state: MasterState, framework: Framework) -> None:
    """The fields that follow from the info are as the info says."""
    info = framework.info
    framework.roles = roles_of(info)
    found = {one.type.value for one in info.capabilities if one.type is not None}
    framework.capabilities = frozenset(_KNOWN[name] for name in found if name in _KNOWN)
    framework.multi_role = Capability.MULTI_ROLE in framework.capabilities
    framework.refined = Capability.RESERVATION_REFINEMENT in framework.capabilities
    framework.partition_aware = has_capability(info, CapabilityType.PARTITION_AWARE)
    framework.task_killing = has_capability(info, CapabilityType.TASK_KILLING_STATE)
    if state.policy.publish_per_framework_metrics:
        framework.metrics = names.framework_prefix(info.name, framework.framework_id)


def spec_of(state: MasterState, framework: Framework, active: bool) -> FrameworkSpec:
    """What the allocator must know of it."""
    constraints = read_constraints(
        framework.roles, framework.offer_constraints, state.policy.regex_limits
    )
    assert not isinstance(constraints, Problem), "constraints are checked before they are kept"
    minimum: dict[str, tuple[Quantities, ...]] = {}
    for role, filters in framework.info.offer_filters.items():
        given = filters.min_allocatable_resources
        if given is not None:
            minimum[role] = tuple(
                Quantities({name: to_thousandths(n.value) for name, n in one.quantities.items()})
                for one in given.quantities
            )
    return FrameworkSpec(
        roles=framework.roles,
        suppressed=frozenset(framework.suppressed),
        capabilities=framework.capabilities,
        min_allocatable=minimum or None,
        active=active,
        constraints=constraints or None,
    )


def _apply_info(
    state: MasterState,
    framework: Framework,
    info: m.FrameworkInfo,
    suppressed: Iterable[str],
    constraints: m.SchedulerOfferConstraints | None,
    now: float,
    out: list[Effect],
) -> None:
    framework.info = info
    framework.suppressed = set(suppressed)
    framework.offer_constraints = constraints
    _derive(state, framework)
    framework.version += 1
    stale = [one for one in framework.offers.values() if one.role not in framework.roles]
    offers.rescind_all(state, stale, now, out)
    state.allocator.update_framework(
        framework.framework_id,
        spec_of(state, framework, framework.state is FrameworkState.ACTIVE),
    )


def update(state: MasterState, event: FrameworkUpdated, out: list[Effect]) -> None:
    """UPDATE_FRAMEWORK: the info, suppressed roles and constraints are the given ones."""
    framework = state.frameworks.get(event.framework_id)
    if framework is None:
        return
    info = event.update.framework_info
    if info.principal is None and framework.info.principal is not None:
        info = msgspec.structs.replace(info, principal=framework.info.principal)
    suppressed, constraints = event.update.suppressed_roles, event.update.offer_constraints
    changed = info != framework.info
    _apply_info(state, framework, info, suppressed, constraints, event.now, out)
    if changed:
        # Suppressed roles and constraints are between the framework and the master alone.
        _tell_agents(state, framework, False, out)
    published.framework_updated(state, framework, out)
    out.append(REQUEST_ALLOCATION)


def _tell_agents(state: MasterState, framework: Framework, resend: bool, out: list[Effect]) -> None:
    """Every agent that knows the framework has its info. Mesos tells all that are registered, which
    for many of both is most of the work of a failover."""
    message = agentlink.UpdateFramework(framework=framework.info, resend=resend)
    for agent_id in framework.known_on:
        agent = state.agents.get(agent_id)
        if agent is not None and agent.link is not None:
            out.append(SendToAgent(agent.link, message))


def closed(state: MasterState, connection: ConnectionId, now: float, out: list[Effect]) -> None:
    """A stream broke: its framework gets no offers and is removed unless it returns in time."""
    framework_id = state.framework_of.pop(connection, None)
    framework = None if framework_id is None else state.frameworks.get(framework_id)
    if framework is None:
        return
    framework.connection = None
    framework.stream_id = ""
    framework.state = FrameworkState.DISCONNECTED
    framework.version += 1
    state.allocator.deactivate_framework(framework.framework_id)
    offers.discard_all(state, framework.offers.values(), now, out)
    out.append(REQUEST_ALLOCATION)
    timeout = framework.info.failover_timeout
    notify.log(
        out,
        "info",
        "Framework {framework_id} disconnected; it has {timeout_s} seconds to return",
        framework_id=framework.framework_id,
        timeout_s=timeout,
    )
    if timeout > 0:
        published.framework_updated(state, framework, out)
        out.append(StartTimer(failover_key(framework.framework_id), timeout))
    else:
        remove(state, framework, now, out)


def timed_out(state: MasterState, framework_id: FrameworkId, now: float, out: list[Effect]) -> None:
    """The failover timeout passed: a framework still without a stream is removed."""
    framework = state.frameworks.get(framework_id)
    if framework is not None and not framework.connected:
        remove(state, framework, now, out)


def teardown(state: MasterState, framework_id: FrameworkId, now: float, out: list[Effect]) -> None:
    """The framework is over, if there is such a one."""
    framework = state.frameworks.get(framework_id)
    if framework is not None:
        out.append(notify.count("master/messages_unregister_framework"))
        remove(state, framework, now, out)


def remove(state: MasterState, framework: Framework, now: float, out: list[Effect]) -> None:
    """The framework is history: agents end what it runs, its tasks are KILLED in the books and
    nothing of that is sent to it; its id is never accepted again (while remembered)."""
    framework_id = framework.framework_id
    offers.discard_all(state, framework.offers.values(), now, out)
    shutdown = agentlink.ShutdownFramework(framework_id=framework_id)
    for agent_id in framework.known_on:
        agent = state.agents.get(agent_id)
        if agent is not None and agent.link is not None:
            out.append(SendToAgent(agent.link, shutdown))
    framework.known_on.clear()
    _end_tasks(state, framework, now, out)
    for agent_id, executors in list(framework.executors.items()):
        for executor in list(executors.values()):
            books.remove_executor(state, framework, state.agents[agent_id], executor, now)
    if framework.connection is not None:
        out.append(CloseStream(framework.connection))
        state.framework_of.pop(framework.connection, None)
        framework.connection = None
        framework.stream_id = ""
    out.append(CancelTimer(failover_key(framework_id)))
    framework.state = FrameworkState.DISCONNECTED
    framework.unregistered_at = now
    framework.version += 1
    state.allocator.remove_framework(framework_id)
    del state.frameworks[framework_id]
    state.completed[framework_id] = framework
    while len(state.completed) > state.policy.max_completed_frameworks:
        del state.completed[next(iter(state.completed))]
    published.framework_removed(state, framework, out)
    out.append(REQUEST_ALLOCATION)
    notify.log(out, "info", "Framework {framework_id} removed", framework_id=framework_id)


def _end_tasks(state: MasterState, framework: Framework, now: float, out: list[Effect]) -> None:
    for task in [*framework.tasks.values(), *framework.unreachable.values()]:
        if not task.terminal:
            status = notify.master_status(
                task.task_id,
                task.agent_id,
                m.TaskState.TASK_KILLED,
                f"Framework {framework.framework_id} removed",
                m.TaskStatusReason.REASON_FRAMEWORK_REMOVED,
                now,
                task.executor_id,
            )
            task.state = m.TaskState.TASK_KILLED
            books.note_status(state, task, status, out)
            notify.count_end(framework, status, out)
        if task.task_id in framework.unreachable:
            books.drop_unreachable(state, framework, task.task_id)
            books.remember(state, framework, task)
        else:
            books.remove_task(state, framework, task, now, out)
