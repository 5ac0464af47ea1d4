"""The books of one agent: what is free, offered and allocated. Knows no order and no policy."""

from __future__ import annotations

from collections.abc import Mapping

from mesos_twisted.errors import BugError
from mesos_twisted.master.core.allocator.filters import Refusals
from mesos_twisted.master.core.allocator.interface import AgentBooks, AgentSpec, Held
from mesos_twisted.master.core.allocator.nodes import Client
from mesos_twisted.master.core.allocator.verdicts import Verdicts
from mesos_twisted.protocol.ids import AgentId
from mesos_twisted.resources.algebra import NOTHING, Resources
from mesos_twisted.resources.resource import SHARED

Book = dict[Client, Resources]


class AgentState:
    """One agent. Books hold resources without allocation role; shared volumes are never `free`.

    `serial` says how manieth agent it is; with a seed it decides when the agent's turn comes.
    After the agent shrank below what is held, `free` is what the total leaves over. What
    constraints on host names say of it is in `own`, what the others say is shared in `alike`.
    """

    __slots__ = (
        "active",
        "agent_id",
        "alike",
        "allocated",
        "free",
        "has_gpus",
        "offered",
        "overdrawn",
        "own",
        "refusals",
        "remote",
        "serial",
        "shared",
        "spec",
        "total",
    )

    def __init__(self, agent_id: AgentId, serial: int) -> None:
        self.agent_id = agent_id
        self.serial = serial
        self.active = True
        self.spec = AgentSpec("", NOTHING)
        self.total = NOTHING
        self.free = NOTHING
        self.shared = NOTHING
        self.offered: Book = {}
        self.allocated: Book = {}
        self.refusals = Refusals()
        self.overdrawn = False
        self.has_gpus = False
        self.remote = False
        self.own: Verdicts | None = None
        self.alike: Verdicts | None = None

    def set_spec(self, spec: AgentSpec, region: str | None) -> None:
        """Take over a new spec and find out again what is free."""
        old, self.spec = self.spec, spec
        if (old.hostname, old.region, old.zone, old.attributes) != (
            spec.hostname,
            spec.region,
            spec.zone,
            spec.attributes,
        ):
            self.own = self.alike = None
        self.remote = None not in (spec.region, region) and spec.region != region
        self.set_total(spec.total)

    def set_total(self, total: Resources) -> None:
        """Take over a new total and find out again what is free."""
        self.total = total
        self.shared = total.shared()
        self.has_gpus = total.scalar("gpus") > 0
        self.recount()

    def note(self, book: Book, client: Client, resources: Resources) -> Mapping[str, int]:
        """Add to one line of a book; what is free stays until `recount`.

        Returns the scalars by which the line grew: a shared volume counts once in a line.
        """
        line = book.get(client)
        if line is None:
            book[client] = resources
            client.entries += 1
            return resources.quantities().amounts
        book[client] = more = line.add(resources)
        return _growth(line, more, resources)

    def take_back(
        self, held: Held, client: Client, resources: Resources
    ) -> tuple[Resources, Mapping[str, int]]:
        """Cross `resources` out of a book and free them; as `strike`."""
        taken, amounts = self.strike(held, client, resources)
        self.set_free(taken)
        return taken, amounts

    def set_free(self, resources: Resources) -> None:
        """Free what was struck from a book."""
        if self.overdrawn:
            self.recount()
        else:
            back = resources.non_shared()
            self.free = self.free.add(back) if self.free else back

    def strike(
        self, held: Held, client: Client, resources: Resources
    ) -> tuple[Resources, Mapping[str, int]]:
        """Cross `resources` out of a book without freeing them.

        Returns them (the book's own object if possible) and the scalars by which the line shrank.
        Raises BugError when the client does not hold them.
        """
        book = self.book(held)
        line = book.get(client)
        if line is not None:
            if line == resources:
                del book[client]
                client.entries -= 1
                return line, line.quantities().amounts
            left = line.try_subtract(resources)
            if left is not None:
                book[client] = left
                return resources, _growth(left, line, resources)
        raise BugError(
            f"Framework {client.framework_id} gives back {resources!r} on agent {self.agent_id},"
            f" of which only {line!r} is {held.value}."
        )

    def book(self, held: Held) -> Book:
        """The book of what is held in that way."""
        return self.offered if held is Held.OFFERED else self.allocated

    def books(self) -> AgentBooks:
        """A view for others."""
        return AgentBooks(
            self.total,
            self.free.add(self.shared),
            {(c.framework_id, c.role): held.allocate(c.role) for c, held in self.offered.items()},
            {(c.framework_id, c.role): held.allocate(c.role) for c, held in self.allocated.items()},
        )

    def recount(self) -> None:
        """What is free is the total without what is in the books."""
        used = Resources.sum([*self.offered.values(), *self.allocated.values()]).non_shared()
        left = self.total.non_shared().try_subtract(used)
        self.overdrawn = left is None
        self.free = self.total.non_shared().subtract_clipped(used) if left is None else left


def _growth(less: Resources, more: Resources, between: Resources) -> Mapping[str, int]:
    if between.traits & SHARED:
        return more.quantities().subtract(less.quantities()).amounts
    return between.quantities().amounts
