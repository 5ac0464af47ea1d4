"""What an operator was answered holds: I7 of changes that were confirmed, I17 of all answers.

A 200 for a change means that the registry has it; a master that leads later knows it too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from mesos_twisted.registry.operations import GONE, WEIGHTS
from mesos_twisted.testing.sim.auditor_registry import Records
from mesos_twisted.testing.sim.auditor_scene import Check, Scene
from mesos_twisted.testing.sim.operator import Order
from mesos_twisted.testing.sim.world import Place

#: What a master may answer; 307 where its client does not know whom to follow.
STATUSES: Final = frozenset({200, 202, 307, 400, 404, 409, 503})
_DOUBLE: Final = struct.Struct(">d")


class Orders(Check):
    """See the module's head. `records` gives what is durable now."""

    def __init__(self, scene: Scene, records: Callable[[], Records]) -> None:
        super().__init__(scene)
        self._records = records
        if scene.world.operator is not None:
            scene.world.operator.heard = self._answered

    def begun(self, place: Place) -> None:
        """Operators' processes are not audited themselves."""

    def _answered(self, order: Order) -> None:
        if order.status not in STATUSES:
            self.scene.violated(
                "I17", f"An operator's {order.what} {order.whom} was answered {order.status}"
            )
        if order.status != 200 or order.what not in ("weights", "gone"):
            return
        self.scene.probes.sometimes(f"operator's {order.what}")
        records = self._records()
        if order.what == "gone":
            if (GONE, order.whom) not in records:
                self._lost(f"agent {order.whom} is gone")
        elif not self._weighed(records, order):
            self._lost(f"role {order.whom} weighs {order.weight:g}")

    def _weighed(self, records: Records, order: Order) -> bool:
        """It, or what was asked for later or at the same time."""
        stored = records.get((WEIGHTS, order.whom))
        weights = [
            _DOUBLE.pack(one.weight)
            for one in self._of(order.whom)
            if one is order or one.answered_at is None or one.answered_at >= order.at
        ]
        # The usual weight need not be written.
        return stored in weights or (stored is None and order.weight == 1.0)

    def _of(self, role: str) -> list[Order]:
        operator = self.scene.world.operator
        assert operator is not None
        return [one for one in operator.orders if one.what == "weights" and one.whom == role]

    def _lost(self, what: str) -> None:
        self.scene.violated(
            "I7", f"An operator was told that {what}, and the registry does not know"
        )

    def settled(self) -> None:
        """Who leads knows what was confirmed."""
        leader, operator = self.scene.leader(), self.scene.world.operator
        if leader is None or operator is None:
            return
        for order in operator.orders:
            if order.what == "gone" and order.status == 200:
                if order.whom not in leader.state.gone:
                    self.scene.violated("I10", f"Agent {order.whom} was given up, and is not gone")
        for role in dict.fromkeys(one.whom for one in operator.orders if one.what == "weights"):
            asked = self._of(role)
            held = [one for one in asked if one.status == 200]
            # Those after which no other was asked for and confirmed.
            weights = {
                one.weight
                for one in asked
                if one.answered_at is None or all(x.at <= one.answered_at for x in held)
            }
            weighs = leader.state.weights.get(role, 1.0)
            if weighs not in weights and (held or weighs != 1.0):
                self.scene.violated(
                    "I7",
                    f"The leader takes role {role} for {weighs:g}",
                    f"confirmed or possible: {sorted(weights)}",
                )
