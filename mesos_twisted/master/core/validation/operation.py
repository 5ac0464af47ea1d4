"""Why an operation of an ACCEPT cannot be done.

Launches are checked task by task elsewhere. Every other operation changes what an agent has; this
master asks no agent to do that yet, so a well-formed one is refused too, and nothing is lost.
"""

from __future__ import annotations

from mesos_twisted.errors import Problem
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import check_id

LAUNCHES = frozenset({m.OfferOperationType.LAUNCH, m.OfferOperationType.LAUNCH_GROUP})


def check_operation(operation: m.OfferOperation) -> Problem | None:
    """What is wrong with an operation, or None for one that can be done."""
    return (
        _check_type(operation)
        or _check_id(operation)
        or _check_body(operation)
        or _check_can(operation)
    )


def _check_type(operation: m.OfferOperation) -> Problem | None:
    if operation.type is None or operation.type is m.OfferOperationType.UNKNOWN:
        return _bad("Unknown operation type")
    return None


def _check_id(operation: m.OfferOperation) -> Problem | None:
    if operation.id is None:
        return None
    if operation.type in LAUNCHES:
        # The tasks' own updates tell how a launch went.
        return _bad(f"The `id` field cannot be set on {operation.type.value} operations")
    return check_id(operation.id.value)


def _check_body(operation: m.OfferOperation) -> Problem | None:
    assert operation.type is not None
    name = operation.type.value.lower()
    if getattr(operation, name) is None:
        return _bad(f"Expecting '{name}' to be present")
    return None


def _check_can(operation: m.OfferOperation) -> Problem | None:
    if operation.type in LAUNCHES:
        return None
    assert operation.type is not None
    return _bad(f"Operation {operation.type.value} is not supported by this master")


def _bad(sentence: str) -> Problem:
    return Problem("operation_invalid", sentence)
