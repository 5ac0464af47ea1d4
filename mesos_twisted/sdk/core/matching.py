"""Does a task fit an offer, and if not, why: every reason is a value an author can print."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mesos_twisted.protocol.generated import messages as m


@dataclass(frozen=True, slots=True)
class Shortage:
    """The offer holds too little of one resource."""

    name: str
    wanted: float
    offered: float

    def __str__(self) -> str:
        return f"{self.name}: wants {self.wanted:g}, the offer has {self.offered:g}"


@dataclass(frozen=True, slots=True)
class WrongAttribute:
    """The agent's attribute is not the wanted one."""

    name: str
    wanted: str
    found: str | None

    def __str__(self) -> str:
        return f"attribute {self.name}: wants {self.wanted}, the agent has {self.found or 'none'}"


Reason = Shortage | WrongAttribute


def why_not(
    offer: m.Offer, scalars: dict[str, float], attributes: dict[str, str] | None = None
) -> list[Reason]:
    """Every reason this offer does not suit; an empty list: it fits. Amounts are compared in
    thousandths, as the master does."""
    reasons: list[Reason] = []
    for name, wanted in scalars.items():
        offered = sum(
            round(r.scalar.value * 1000)
            for r in offer.resources
            if r.name == name and r.scalar is not None
        )
        if round(wanted * 1000) > offered:
            reasons.append(Shortage(name, wanted, offered / 1000))
    for name, text in (attributes or {}).items():
        found = next((a.text.value for a in offer.attributes if a.name == name and a.text), None)
        if found != text:
            reasons.append(WrongAttribute(name, text, found))
    return reasons


def take_ports(resources: Iterable[m.Resource], count: int) -> tuple[int, ...] | None:
    """The lowest `count` offered ports, or None when there are fewer."""
    ports: list[int] = []
    for resource in resources:
        if resource.name != "ports" or resource.ranges is None:
            continue
        for pair in resource.ranges.range:
            room = count - len(ports)
            ports.extend(range(pair.begin, min(pair.end + 1, pair.begin + room)))
    return tuple(ports) if len(ports) >= count else None
