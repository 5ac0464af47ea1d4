"""Which clients' constraints allow which agents: each is asked once, the answers are kept as bits.

Agents with the same region, zone and attributes share their answers; only constraints on host names
are asked of every agent. An answer is forgotten when the client's constraints change or its bit
goes to another client. Knows no resources and no order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from weakref import WeakValueDictionary

from mesos_twisted.master.core.allocator.agents import AgentState
from mesos_twisted.master.core.allocator.clients import Clients
from mesos_twisted.master.core.allocator.constraints import Attributes, Facts, facts_of
from mesos_twisted.master.core.allocator.nodes import Client
from mesos_twisted.master.core.allocator.verdicts import Verdicts

Likeness = tuple[str | None, str | None, Attributes]


class Judgements:
    """The answers of all clients about all agents. `asked` counts up until it is reset."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._alike: WeakValueDictionary[Likeness, Verdicts] = WeakValueDictionary()
        self.asked = 0

    def refresh(self, agents: Iterable[AgentState]) -> None:
        """Forget what is no longer true; must come before `excluded`."""
        stale = self._clients.take_stale()
        if stale:
            for agent in agents:
                if agent.own is not None:
                    agent.own.forget(stale)
            for verdicts in self._alike.values():
                verdicts.forget(stale)

    def excluded(self, agent: AgentState, constrained: int) -> int:
        """Those of the clients `constrained` that do not want the agent (and maybe others)."""
        by_host = constrained & self._clients.by_host
        alike = agent.alike
        if alike is None:
            alike = agent.alike = self._verdicts_of(agent)
        unknown = constrained & ~by_host & ~alike.judged
        if unknown:
            self._ask(alike, agent, unknown)
        if not by_host:
            return alike.excluded
        own = agent.own
        if own is None:
            own = agent.own = Verdicts()
        unknown = by_host & ~own.judged
        if unknown:
            self._ask(own, agent, unknown)
        return alike.excluded | own.excluded

    def _verdicts_of(self, agent: AgentState) -> Verdicts:
        likeness = (agent.spec.region, agent.spec.zone, agent.spec.attributes)
        found = self._alike.get(likeness)
        if found is None:
            found = self._alike[likeness] = Verdicts()
        return found

    def _ask(self, verdicts: Verdicts, agent: AgentState, clients: int) -> None:
        spec = agent.spec
        facts = facts_of(spec.hostname, spec.region, spec.zone, spec.attributes)
        self.asked += clients.bit_count()
        verdicts.judged |= clients
        verdicts.excluded |= _refusing(facts, self._clients.by_slot, clients)


def _refusing(facts: Facts, by_slot: Sequence[Client | None], clients: int) -> int:
    """Those of `clients` that do not allow an agent with these facts."""
    found = 0
    for slot in _slots(clients):
        client = by_slot[slot]
        if client is not None and client.constraints is not None:
            if not client.constraints.allow(facts):
                found |= client.bit
    return found


def _slots(clients: int) -> Iterator[int]:
    # Of many clients most are wanted here: searching digits beats taking bits from a long number.
    digits = bin(clients)[:1:-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)
