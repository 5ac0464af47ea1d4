"""One ACCEPT: offers in, launches and refusals out, no resource lost on the way.

Operations are done in their order, each with what is left of the offers. In the end one call to the
allocator says what was launched; all the rest is free again, with the framework's filter.
Who may launch what was judged before and comes in as `refusals`: by task id, or `operation:2` for
the third operation of the list.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mesos_twisted.errors import Problem
from mesos_twisted.master.core import notify, offers
from mesos_twisted.master.core.effects import Count, Effect
from mesos_twisted.master.core.launching import Ledger, Refusals, fail, launch, launch_group
from mesos_twisted.master.core.state import Framework, MasterState, Offer
from mesos_twisted.master.core.validation.offer import check_offers
from mesos_twisted.master.core.validation.operation import LAUNCHES, check_operation
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import OfferId, TaskId
from mesos_twisted.resources.algebra import Resources

State = m.TaskState
Reason = m.TaskStatusReason


def accept(
    state: MasterState,
    framework: Framework,
    call: m.SchedulerCallAccept,
    refusals: Refusals,
    now: float,
    out: list[Effect],
) -> None:
    """ACCEPT: every offer named is used up, every task launched or answered for."""
    _count(call, out)
    offer_ids = [OfferId(one.value) for one in call.offer_ids]
    problem = check_offers(state, framework, offer_ids)
    if problem is not None:
        _reject(state, framework, call, problem, now, out)
        return
    taken = [state.offers[one] for one in offer_ids]
    ledger = Ledger(
        state,
        framework,
        state.agents[taken[0].agent_id],
        taken[0].role,
        _sum(taken),
        refusals,
        now,
        out,
    )
    offered = ledger.left
    for offer in taken:
        offers.take(state, offer, out)
    if framework.metrics:
        out.append(Count(framework.metrics + "offers/accepted", len(taken)))
    for index, operation in enumerate(call.operations):
        _operate(ledger, index, operation)
    state.allocator.settle(
        framework.framework_id,
        ledger.agent.agent_id,
        offered,
        ledger.launched,
        offers.refusal_of(call.filters),
        now,
    )


def _sum(taken: Sequence[Offer]) -> Resources:
    total = taken[0].resources
    for offer in taken[1:]:
        total = total.add(offer.resources)
    return total


def _count(call: m.SchedulerCallAccept, out: list[Effect]) -> None:
    for operation in call.operations:
        if operation.type is m.OfferOperationType.LAUNCH and operation.launch is not None:
            what = "launch_tasks" if operation.launch.task_infos else "decline_offers"
            out.append(notify.count("master/messages_" + what))


def _tasks_of(operation: m.OfferOperation) -> tuple[m.TaskInfo, ...]:
    if operation.launch is not None and operation.type is m.OfferOperationType.LAUNCH:
        return operation.launch.task_infos
    if operation.launch_group is not None:
        return operation.launch_group.task_group.tasks
    return ()


def _reject(
    state: MasterState,
    framework: Framework,
    call: m.SchedulerCallAccept,
    problem: Problem,
    now: float,
    out: list[Effect],
) -> None:
    """Offers that still stand are free again; every task is DROPPED (or LOST)."""
    for one in call.offer_ids:
        offer = framework.offers.get(OfferId(one.value))
        if offer is not None:
            offers.discard(state, offer, now, out)
    ended = State.TASK_DROPPED if framework.partition_aware else State.TASK_LOST
    for operation in call.operations:
        if operation.type not in LAUNCHES:
            text = f"Operation attempted with invalid offers: {problem.sentence}"
            notify.drop_operation(framework, operation, text, out)
            continue
        for task in _tasks_of(operation):
            status = notify.master_status(
                TaskId(task.task_id.value),
                None,
                ended,
                f"Task launched with invalid offers: {problem.sentence}",
                Reason.REASON_INVALID_OFFERS,
                now,
            )
            status = msgspec.structs.replace(status, agent_id=task.agent_id)
            notify.count_end(None, status, out)
            notify.send_update(framework, status, out)


def _operate(ledger: Ledger, index: int, operation: m.OfferOperation) -> None:
    refusal = ledger.refusals.get(f"operation:{index}") if ledger.refusals else None
    problem = refusal or check_operation(operation)
    if problem is not None:
        if operation.type not in LAUNCHES:
            notify.drop_operation(ledger.framework, operation, problem.sentence, ledger.out)
            return
        reason = Reason.REASON_TASK_INVALID
        if operation.type is m.OfferOperationType.LAUNCH_GROUP:
            reason = Reason.REASON_TASK_GROUP_INVALID
        for task in _tasks_of(operation):
            fail(ledger, task, problem.sentence, reason)
    elif operation.type is m.OfferOperationType.LAUNCH:
        for task in _tasks_of(operation):
            launch(ledger, task)
    elif operation.launch_group is not None:
        launch_group(ledger, operation.launch_group)
