"""What a role tree consists of: roles, and the frameworks subscribed to each.

Plain records; `holdings` keeps what they hold, `sorter` their orders.
"""

from __future__ import annotations

from collections.abc import Mapping

from mesos_twisted.master.core.allocator.constraints import RoleConstraints
from mesos_twisted.protocol.ids import FrameworkId

ClientEntry = tuple[float, int, str, "Client"]
RoleEntry = tuple[float, float, int, str, "RoleNode"]


class Client:
    """One framework under one role.

    `held` sums the scalars it holds (thousandths by name); `entries` counts the agents' book lines
    that name it; `strip` are the traits of resources it must not see; `constraints` say on which
    agents it wants offers.
    """

    __slots__ = (
        "active",
        "allocated",
        "bit",
        "constraints",
        "count",
        "entries",
        "entry",
        "filtered",
        "framework_id",
        "held",
        "minimum",
        "node",
        "role",
        "serial",
        "slot",
        "strip",
        "subscribed",
    )

    def __init__(self, framework_id: FrameworkId, role: str, serial: int) -> None:
        self.framework_id = framework_id
        self.role = role
        self.serial = serial
        self.node: RoleNode | None = None
        self.slot = -1
        self.bit = 0
        self.held: dict[str, int] = {}
        self.allocated: dict[str, int] = {}
        self.entries = 0
        self.count = 0
        self.active = False
        self.subscribed = False
        self.filtered = False
        self.strip = 0
        self.minimum: tuple[Mapping[str, int], ...] | None = None
        self.constraints: RoleConstraints | None = None
        self.entry: ClientEntry = (0.0, 0, framework_id, self)


class RoleNode:
    """One role. `held` counts its own clients and all below it, `own_held` its own clients."""

    __slots__ = (
        "children",
        "clients",
        "count",
        "entry",
        "held",
        "mask",
        "order",
        "own_count",
        "own_entry",
        "own_held",
        "own_mask",
        "own_order",
        "parent",
        "path",
        "serial",
        "stale",
        "weight",
    )

    def __init__(self, path: str, parent: RoleNode | None, serial: int, weight: float) -> None:
        self.path = path
        self.parent = parent
        self.serial = serial
        self.weight = weight
        self.children: dict[str, RoleNode] = {}
        self.clients: dict[FrameworkId, Client] = {}
        self.held: dict[str, int] = {}
        self.own_held: dict[str, int] = {}
        self.count = 0
        self.own_count = 0
        self.mask = 0
        self.own_mask = 0
        self.order: list[RoleEntry] = []
        self.own_order: list[ClientEntry] = []
        self.stale = False
        self.entry: RoleEntry = (0.0, 0.0, 0, path, self)
        self.own_entry: RoleEntry = (0.0, 0.0, 0, path + "/.", self)
