"""What operators set at run time: role weights and the whitelist of hosts."""

from __future__ import annotations

from collections.abc import Mapping

from mesos_twisted.errors import BugError
from mesos_twisted.master.core import offers
from mesos_twisted.master.core.books import REQUEST_ALLOCATION
from mesos_twisted.master.core.changes import Weighing
from mesos_twisted.master.core.effects import Effect, StoreWeights
from mesos_twisted.master.core.events import WeightsUpdated
from mesos_twisted.master.core.inflight import apply_registry
from mesos_twisted.master.core.state import MasterState
from mesos_twisted.resources.roles import is_strict_subrole


def update(state: MasterState, event: WeightsUpdated, out: list[Effect]) -> None:
    """The weights are stored, and used once they are."""
    store(state, event.weights, out)


def store(state: MasterState, weights: Mapping[str, float], out: list[Effect]) -> None:
    """These weights and those known join the registry."""
    given = tuple(sorted(weights.items()))
    kept = dict(state.weights)
    for what in state.in_flight.values():
        if isinstance(what, Weighing):
            kept.update(what.weights)
    kept.update(given)
    apply_registry(state, Weighing(given), StoreWeights(tuple(sorted(kept.items()))), out)


def stored(state: MasterState, number: int, now: float, out: list[Effect]) -> None:
    """The weights hold from now on; when they concern any framework, every offer is rescinded."""
    what = state.in_flight.pop(number)
    if not isinstance(what, Weighing):
        raise BugError(f"Registry operation {number} is no change of weights.")
    state.weights.update(what.weights)
    state.allocator.set_weights(dict(what.weights))
    if any(_concerns(state, role) for role, _ in what.weights):
        offers.rescind_all(state, state.offers.values(), now, out)
    out.append(REQUEST_ALLOCATION)


def _concerns(state: MasterState, role: str) -> bool:
    return any(
        one == role or is_strict_subrole(one, role)
        for framework in state.frameworks.values()
        for one in framework.roles
    )


def whitelist(state: MasterState, hostnames: frozenset[str] | None, out: list[Effect]) -> None:
    """Only these hosts are offered from now on; None means all."""
    if hostnames != state.whitelist:
        state.whitelist = hostnames
        state.allocator.set_whitelist(hostnames)
        out.append(REQUEST_ALLOCATION)
