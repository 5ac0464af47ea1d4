"""Offer constraints: on which agents a framework wants offers for a role.

A role has groups of constraints; an agent is wanted when all constraints of at least one group
hold. A constraint checks one fact of the agent: its host name, region, zone, or the first attribute
of a name. A fact that is there but no text passes every check of text: the framework decides
itself. Knows no resources and no messages.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mesos_twisted.master.core.allocator.regexes import Regex


class Pseudo(enum.Enum):
    """Facts of an agent that are not attributes."""

    HOSTNAME = "HOSTNAME"
    REGION = "REGION"
    ZONE = "ZONE"


class Check(enum.Enum):
    """What is asked of a fact."""

    EXISTS = "exists"
    TEXT_EQUALS = "text_equals"
    TEXT_MATCHES = "text_matches"


class NotText(enum.Enum):
    """The value of an attribute that is a scalar, ranges or a set."""

    NOT_TEXT = "not text"


NOT_TEXT: Final = NotText.NOT_TEXT
Fact = str | NotText
#: What is known of one agent; attributes go by name.
Facts = Mapping[str | Pseudo, Fact]
#: An agent's attributes in its order; the value of one that is no text is None.
Attributes = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Constraint:
    """One check of one fact, or (`negated`) of its opposite; `text` is the value or the pattern."""

    key: str | Pseudo
    check: Check
    negated: bool = False
    text: str = ""
    regex: Regex | None = field(default=None, compare=False)

    def holds(self, facts: Facts) -> bool:
        """Whether the agent passes."""
        fact = facts.get(self.key)
        if fact is None:
            return self.negated
        check = self.check
        if check is Check.EXISTS:
            return not self.negated
        if fact is NOT_TEXT:
            return True
        if check is Check.TEXT_EQUALS:
            return (fact == self.text) is not self.negated
        assert self.regex is not None
        return (self.regex.fullmatch(fact) is not None) is not self.negated


@dataclass(frozen=True, slots=True)
class RoleConstraints:
    """The groups of one role. Equal when the same is asked in the same order."""

    groups: tuple[tuple[Constraint, ...], ...]

    @property
    def by_host(self) -> bool:
        """Whether the host name, which hardly two agents share, is asked."""
        return any(one.key is Pseudo.HOSTNAME for group in self.groups for one in group)

    def allow(self, facts: Facts) -> bool:
        """Whether the agent is wanted."""
        for group in self.groups:
            for constraint in group:
                if not constraint.holds(facts):
                    break
            else:
                return True
        return False


def facts_of(
    hostname: str,
    region: str | None,
    zone: str | None,
    attributes: Iterable[tuple[str, str | None]],
) -> Facts:
    """An agent's facts; of several attributes with one name the first counts."""
    facts: dict[str | Pseudo, Fact] = {Pseudo.HOSTNAME: hostname}
    if region is not None:
        facts[Pseudo.REGION] = region
    if zone is not None:
        facts[Pseudo.ZONE] = zone
    for name, text in attributes:
        facts.setdefault(name, NOT_TEXT if text is None else text)
    return facts
