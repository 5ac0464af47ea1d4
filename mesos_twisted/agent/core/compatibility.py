"""May a restarted agent with these flags still be the agent that it was?

`equal`: everything a framework may have relied on must be the same. `additive`: resources,
attributes and the domain may grow. Otherwise tasks could hold what the agent no longer has.
Source: compatibility.cpp, agent-recovery.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mesos_twisted.errors import Problem
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.attributes import Attribute, Attributes, attributes_from_messages
from mesos_twisted.resources.convert import from_messages
from mesos_twisted.resources.parse import format_resources
from mesos_twisted.resources.values import Ranges

#: How to go on without deleting anything by hand.
START_ANEW = (
    "start it once with --recover=cleanup, which ends its tasks, gives up its id and leaves, and "
    "then as usual: it registers anew"
)


def check(policy: str, before: m.AgentInfo, now: m.AgentInfo) -> Problem | None:
    """Why the agent may not go on under its old id, with every change that is in the way; or
    None."""
    grow = policy == "additive"
    changes = [*_places(before, now, grow), *_resources(before, now, grow)]
    changes += _attributes(before, now, grow)
    if not changes:
        return None
    more = ""
    if not grow and check("additive", before, now) is None:
        more = " or allow the change with --reconfiguration_policy=additive,"
    comma = "," if more else ""
    return Problem(
        "incompatible",
        "This agent is not as it was when it was admitted, which "
        f"--reconfiguration_policy={policy} does not allow: {'; '.join(changes)}. Restore what "
        f"it had to keep its id and its tasks{comma}{more} or {START_ANEW}.",
    )


def _changed(what: str, before: object, now: object) -> str:
    return f"{what} was {_shown(before)} and is {_shown(now)}"


def _shown(value: object) -> str:
    return "not set" if value is None or value == "" else str(value)


def _places(before: m.AgentInfo, now: m.AgentInfo, grow: bool) -> Iterator[str]:
    if before.hostname != now.hostname:
        yield _changed("--hostname", before.hostname, now.hostname)
    if before.port != now.port:
        yield _changed("the port", before.port, now.port)
    if before.domain != now.domain and not (grow and before.domain is None):
        yield _changed("--domain", _domain(before.domain), _domain(now.domain))


def _domain(domain: m.DomainInfo | None) -> str | None:
    place = None if domain is None else domain.fault_domain
    if place is None:
        return None
    return f"region {place.region.name}, zone {place.zone.name}"


def _resources(before: m.AgentInfo, now: m.AgentInfo, grow: bool) -> Iterator[str]:
    old, new = from_messages(before.resources), from_messages(now.resources)
    if isinstance(old, Problem) or isinstance(new, Problem):
        if before.resources != now.resources:
            broken = old if isinstance(old, Problem) else new
            assert isinstance(broken, Problem)
            yield f"--resources cannot be compared: {broken.sentence.rstrip('.')}"
        return
    had, has = dict(old.items()), dict(new.items())
    for key in sorted({*had, *has}, key=lambda key: (key.name, repr(key))):
        one = Resources.from_amounts({key: had[key]} if key in had else {})
        other = Resources.from_amounts({key: has[key]} if key in has else {})
        if one == other or (grow and other.contains(one)):
            continue
        yield _changed(
            f"the resource {key.name}",
            format_resources(one) if one else None,
            format_resources(other) if other else None,
        )


def _attributes(before: m.AgentInfo, now: m.AgentInfo, grow: bool) -> Iterator[str]:
    old, new = attributes_from_messages(before.attributes), attributes_from_messages(now.attributes)
    if isinstance(old, Problem) or isinstance(new, Problem):
        if before.attributes != now.attributes:
            yield "--attributes cannot be compared with those of before"
        return
    for name in dict.fromkeys(one.name for one in (*old, *new)):
        one, other = old.named(name), new.named(name)
        if Attributes(one) == Attributes(other):
            continue
        if grow and all(any(_holds(kept, had) for kept in other) for had in one):
            continue
        yield _changed(f"the attribute {name}", _texts(one), _texts(other))


def _texts(attributes: Iterable[Attribute]) -> str:
    return ", ".join(sorted(one.text() for one in attributes))


def _holds(now: Attribute, before: Attribute) -> bool:
    """Ranges may grow, anything else is the same."""
    if isinstance(now.value, Ranges) and isinstance(before.value, Ranges):
        return now.value.contains(before.value)
    return now.kind is before.kind and now.value == before.value
