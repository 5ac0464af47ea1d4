"""Agent attributes: names with a typed value, written by operators, read by frameworks.

Several attributes may share a name. Order is kept; equality ignores it, as in Mesos.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mesos_twisted.errors import MalformedError, Problem
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.parse import format_value, parse_value
from mesos_twisted.resources.values import Kind, Ranges, Value, kind_of, to_float, to_thousandths


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute; a `str` value is a text, others are as in resources."""

    name: str
    value: Value | str

    @property
    def kind(self) -> Kind:
        """The type of the value."""
        return Kind.TEXT if isinstance(self.value, str) else kind_of(self.value)

    def text(self) -> str:
        """The value as an operator would write it."""
        return self.value if isinstance(self.value, str) else format_value(self.value)


class Attributes:
    """All attributes of one agent. Immutable."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[Attribute] = ()) -> None:
        self._items = tuple(items)

    def __iter__(self) -> Iterator[Attribute]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Attributes):
            return NotImplemented
        return len(self) == len(other) and set(self._items) == set(other._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items))

    def __repr__(self) -> str:
        return f"Attributes({format_attributes(self)!r})"

    def named(self, name: str) -> tuple[Attribute, ...]:
        """Every attribute called `name`."""
        return tuple([one for one in self._items if one.name == name])


NO_ATTRIBUTES: Final = Attributes()


def parse_attributes(text: str) -> Attributes | Problem:
    """Read `rack:abc;level:10;zones:[1-3]`."""
    found: list[Attribute] = []
    for token in text.replace("\n", ";").split(";"):
        if not token:
            continue
        name, _, written = token.partition(":")
        if not name.strip() or not written.strip():
            return _bad(f"'{token}' must be a name, a ':' and a value, as in 'rack:abc'.")
        value = parse_value(written)
        if isinstance(value, Problem):
            return _bad(f"Attribute '{name}' cannot be read: {value.sentence}")
        if isinstance(value, frozenset):
            return _bad(f"Attribute '{name}' is a set; use a number, [ranges] or a word.")
        found.append(Attribute(name, value))
    return Attributes(found)


def format_attributes(attributes: Attributes) -> str:
    """Text that `parse_attributes` reads back."""
    return ";".join(f"{one.name}:{one.text()}" for one in attributes)


def attributes_from_messages(messages: Iterable[m.Attribute]) -> Attributes | Problem:
    """The attributes of `messages`, or what is wrong with the first bad one."""
    found: list[Attribute] = []
    for message in messages:
        value = _value_from(message)
        if not message.name or value is None:
            return _bad(f"Attribute '{message.name}' lacks its name or the value of its type.")
        found.append(Attribute(message.name, value))
    return Attributes(found)


def attributes_to_messages(attributes: Attributes) -> tuple[m.Attribute, ...]:
    """The messages of `attributes`, in order."""
    return tuple([_to_message(one) for one in attributes])


def _value_from(message: m.Attribute) -> Value | str | None:
    try:
        match message.type:
            case m.ValueType.SCALAR if message.scalar is not None:
                return to_thousandths(message.scalar.value)
            case m.ValueType.RANGES if message.ranges is not None:
                return Ranges((one.begin, one.end) for one in message.ranges.range)
            case m.ValueType.TEXT if message.text is not None:
                return message.text.value
            case m.ValueType.SET if message.set is not None:
                return frozenset(message.set.item)
    except MalformedError:
        return None
    return None


def _to_message(one: Attribute) -> m.Attribute:
    value = one.value
    kind = m.ValueType(one.kind.value)
    if isinstance(value, str):
        return m.Attribute(name=one.name, type=kind, text=m.ValueText(value=value))
    if isinstance(value, int):
        return m.Attribute(name=one.name, type=kind, scalar=m.ValueScalar(value=to_float(value)))
    if isinstance(value, Ranges):
        pairs = tuple([m.ValueRange(begin=begin, end=end) for begin, end in value.pairs])
        return m.Attribute(name=one.name, type=kind, ranges=m.ValueRanges(range=pairs))
    return m.Attribute(name=one.name, type=kind, set=m.ValueSet(item=tuple(sorted(value))))


def _bad(sentence: str) -> Problem:
    return Problem("attributes_invalid", sentence)
