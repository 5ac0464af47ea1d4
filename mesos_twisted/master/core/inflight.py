"""Registry operations in flight: asked for here, gone on with where RegistryApplied is handled."""

from __future__ import annotations

from mesos_twisted.master.core.changes import InFlight
from mesos_twisted.master.core.effects import ApplyRegistry, Effect, RegistryOperation
from mesos_twisted.master.core.state import MasterState


def apply_registry(
    state: MasterState, what: InFlight, operation: RegistryOperation, out: list[Effect]
) -> int:
    """Ask for the operation; `what` says how to go on when it is durable."""
    number, state.next_registry = state.next_registry, state.next_registry + 1
    state.in_flight[number] = what
    out.append(ApplyRegistry(number, operation))
    return number
