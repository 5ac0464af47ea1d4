"""Do the offers of an ACCEPT still stand, and do they belong together?"""

from __future__ import annotations

from collections.abc import Sequence

from mesos_twisted.errors import Problem
from mesos_twisted.master.core.state import Framework, MasterState
from mesos_twisted.protocol.ids import OfferId


def check_offers(
    state: MasterState, framework: Framework, offer_ids: Sequence[OfferId]
) -> Problem | None:
    """Why these offers cannot be accepted as one, or None."""
    return (
        _check_some(offer_ids)
        or _check_unique(offer_ids)
        or _check_valid(state, framework, offer_ids)
        or _check_together(state, offer_ids)
    )


def _check_some(offer_ids: Sequence[OfferId]) -> Problem | None:
    return None if offer_ids else _bad("No offers specified")


def _check_unique(offer_ids: Sequence[OfferId]) -> Problem | None:
    if len(offer_ids) > 1 and len(set(offer_ids)) != len(offer_ids):
        twice = next(one for one in offer_ids if offer_ids.count(one) > 1)
        return _bad(f"Duplicate offer {twice} in offer list")
    return None


def _check_valid(
    state: MasterState, framework: Framework, offer_ids: Sequence[OfferId]
) -> Problem | None:
    for offer_id in offer_ids:
        # Another framework's offer is answered like one that never was, so that none can be probed.
        if offer_id not in framework.offers:
            return _bad(f"Offer {offer_id} is no longer valid")
    return None


def _check_together(state: MasterState, offer_ids: Sequence[OfferId]) -> Problem | None:
    first = state.offers[offer_ids[0]]
    for offer_id in offer_ids[1:]:
        offer = state.offers[offer_id]
        if offer.role != first.role:
            return _bad(
                f"Offers of one ACCEPT must be for one role: {offer_id} is for '{offer.role}',"
                f" {first.offer_id} for '{first.role}'"
            )
        if offer.agent_id != first.agent_id:
            return _bad(
                f"Offers of one ACCEPT must be of one agent: {offer_id} is of {offer.agent_id},"
                f" {first.offer_id} of {first.agent_id}"
            )
    return None


def _bad(sentence: str) -> Problem:
    return Problem("invalid_offers", sentence)
