"""Offers: made from what the allocator hands out, taken, rescinded, expired.

An offer's resources are with the allocator as offered for as long as the offer stands in the
tables. Who gets what is the allocator's decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from mesos_twisted.master.core import notify
from mesos_twisted.master.core.allocator.interface import Allocation, Held
from mesos_twisted.master.core.books import REQUEST_ALLOCATION
from mesos_twisted.master.core.effects import CancelTimer, Count, Effect, StartTimer
from mesos_twisted.master.core.state import Agent, Framework, MasterState, Offer, OfferParts
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId, OfferId
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.convert import to_messages

#: Agents listen with TLS, so an offer's url says so (Mesos always writes http here).
URL_SCHEME = "https"


def parts_of(info: m.AgentInfo, pid: str, address: str) -> OfferParts:
    """What all offers of this agent say; `pid` is `slave(1)@ip:port`, `address` the peer's IP."""
    assert info.id is not None
    name, _, place = pid.rpartition("@")
    ip, _, port = place.rpartition(":")
    return OfferParts(
        agent_id=m.AgentID(value=info.id.value),
        hostname=info.hostname,
        url=m.URL(
            scheme=URL_SCHEME,
            address=m.Address(
                hostname=info.hostname,
                ip=ip or address or None,
                port=int(port) if port.isdecimal() else info.port,
            ),
            path="/" + (name or "slave(1)"),
        ),
        attributes=info.attributes,
        domain=info.domain,
    )


@lru_cache(4096)
def _resource_messages(
    resources: Resources, refined: bool, allocation: bool
) -> tuple[m.Resource, ...]:
    return to_messages(resources, refined=refined, allocation=allocation)


@lru_cache(1024)
def _allocation_info(role: str) -> m.ResourceAllocationInfo:
    return m.ResourceAllocationInfo(role=role)


def offer_message(framework: Framework, agent: Agent, offer: Offer) -> m.Offer:
    """The offer in the form that this framework understands."""
    parts = agent.parts
    executors = agent.executors.get(framework.framework_id)
    return m.Offer(
        id=m.OfferID(value=offer.offer_id),
        framework_id=m.FrameworkID(value=framework.framework_id),
        agent_id=parts.agent_id,
        hostname=parts.hostname,
        url=parts.url,
        domain=parts.domain,
        resources=_resource_messages(offer.resources, framework.refined, framework.multi_role),
        attributes=parts.attributes,
        executor_ids=(tuple([m.ExecutorID(value=one) for one in executors]) if executors else ()),
        allocation_info=_allocation_info(offer.role) if framework.multi_role else None,
    )


def allocate(state: MasterState, now: float, seed: int, out: list[Effect]) -> None:
    """Everything the allocator hands out now is offered, in one event for each framework."""
    out.append(notify.count("allocator/mesos/allocation_runs"))
    made: dict[FrameworkId, list[m.Offer]] = {}
    timeout = state.policy.offer_timeout_s
    for allocation in state.allocator.allocate(now, seed, state.policy.allocation_budget):
        framework = state.frameworks.get(allocation.framework_id)
        agent = state.agents.get(allocation.agent_id)
        if framework is None or agent is None or not framework.connected or not agent.active:
            _give_back(state, allocation, now)
            continue
        offer = Offer(
            state.new_offer_id(),
            allocation.framework_id,
            allocation.agent_id,
            allocation.role,
            allocation.resources,
        )
        state.offers[offer.offer_id] = offer
        framework.offers[offer.offer_id] = offer
        agent.offers[offer.offer_id] = offer
        framework.version += 1
        agent.version += 1
        if timeout is not None:
            out.append(StartTimer(("offer", offer.offer_id), timeout))
        message = offer_message(framework, agent, offer)
        made.setdefault(allocation.framework_id, []).append(message)
    for framework_id, messages in made.items():
        framework = state.frameworks[framework_id]
        event = m.SchedulerEvent(
            type=notify.Kind.OFFERS, offers=m.SchedulerEventOffers(offers=tuple(messages))
        )
        notify.send(framework, event, out)
        if framework.metrics:
            out.append(Count(framework.metrics + "offers/sent", len(messages)))
    if state.allocator.pending:
        out.append(REQUEST_ALLOCATION)


def _give_back(state: MasterState, allocation: Allocation, now: float) -> None:
    state.allocator.recover(
        allocation.framework_id,
        allocation.agent_id,
        allocation.resources,
        None,
        now,
        held=Held.OFFERED,
    )


def take(state: MasterState, offer: Offer, out: list[Effect]) -> None:
    """The offer is out of the tables; its resources must be settled by the caller."""
    del state.offers[offer.offer_id]
    framework = state.frameworks[offer.framework_id]
    del framework.offers[offer.offer_id]
    framework.version += 1
    agent = state.agents[offer.agent_id]
    del agent.offers[offer.offer_id]
    agent.version += 1
    if state.policy.offer_timeout_s is not None:
        out.append(CancelTimer(("offer", offer.offer_id)))


def discard(
    state: MasterState,
    offer: Offer,
    now: float,
    out: list[Effect],
    refuse_s: float | None = None,
) -> None:
    """The offer is gone and its resources free; the framework is not told."""
    take(state, offer, out)
    state.allocator.recover(
        offer.framework_id, offer.agent_id, offer.resources, refuse_s, now, held=Held.OFFERED
    )


def rescind(state: MasterState, offer: Offer, now: float, out: list[Effect]) -> None:
    """The offer is gone, its resources are free and the framework knows."""
    discard(state, offer, now, out)
    notify.send_rescind(state.frameworks[offer.framework_id], offer, out)


def rescind_all(state: MasterState, offers: Iterable[Offer], now: float, out: list[Effect]) -> None:
    """All of them are rescinded."""
    for offer in list(offers):
        rescind(state, offer, now, out)


def discard_all(state: MasterState, offers: Iterable[Offer], now: float, out: list[Effect]) -> None:
    """All of them are discarded."""
    for offer in list(offers):
        discard(state, offer, now, out)


def expire(state: MasterState, offer_id: OfferId, now: float, out: list[Effect]) -> None:
    """An offer's time is up; unknown ones were used in time."""
    offer = state.offers.get(offer_id)
    if offer is not None:
        rescind(state, offer, now, out)
        out.append(REQUEST_ALLOCATION)


def decline(
    state: MasterState,
    framework: Framework,
    call: m.SchedulerCallDecline,
    now: float,
    out: list[Effect],
) -> None:
    """DECLINE: the framework's own offers among those named are free, with the filter."""
    out.append(notify.count("master/messages_decline_offers"))
    refuse_s = refusal_of(call.filters)
    stale: list[str] = []
    for offer_id in call.offer_ids:
        offer = framework.offers.get(OfferId(offer_id.value))
        if offer is None:
            stale.append(offer_id.value)
        else:
            discard(state, offer, now, out, refuse_s)
    if stale:
        # Common: the decline crossed its rescind. One line a call, however many there are.
        notify.log(
            out,
            "debug",
            "Ignoring decline of {count} offers that are no longer valid, first {offer_id}",
            count=len(stale),
            offer_id=stale[0],
            framework_id=framework.framework_id,
        )
    declined = len(call.offer_ids) - len(stale)
    if declined and framework.metrics:
        out.append(Count(framework.metrics + "offers/declined", declined))


def refusal_of(filters: m.Filters | None) -> float:
    """Seconds for which what was refused shall not be offered again (the protocol's default 5)."""
    return 5.0 if filters is None else filters.refuse_seconds
