"""A document of the operator API: a tree of named groups whose leaves are rendered messages.

The same tree is written as JSON or as protobuf, in pieces, and its size is known beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from mesos_twisted.master.views.fragments import BATCH, joined
from mesos_twisted.protocol import codec_protobuf
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.generated.messages import Message
from mesos_twisted.protocol.generated.wire import FIELDS
from mesos_twisted.protocol.media import Media


class Items:
    """Rendered messages of one list, with the sums that tell its size in either encoding."""

    __slots__ = ("all", "heads", "size")

    def __init__(self, some: Iterable[bytes] = ()) -> None:
        self.all: list[bytes] = []
        #: Bytes of the messages, and of the lengths before each in protobuf.
        self.size = self.heads = 0
        self.add(list(some))

    def add(self, some: list[bytes]) -> None:
        """More of them."""
        sizes = list(map(len, some))
        self.all += some
        self.size += sum(sizes)
        self.heads += sum([(size.bit_length() + 6) // 7 or 1 for size in sizes])


@dataclass(frozen=True, slots=True)
class Group:
    """A message whose fields are lists of rendered messages, or further groups.

    `kept` names the lists that JSON shows even when empty, as Mesos does.
    """

    kind: type[Message]
    lists: tuple[tuple[str, Items], ...] = ()
    groups: tuple[tuple[str, Group], ...] = ()
    kept: tuple[str, ...] = ()


@cache
def field_number(kind: type[Message], name: str) -> int:
    """The number of a field by its name."""
    return next(row[0] for row in FIELDS[kind] if row[1] == name)


def json_pieces(group: Group) -> Iterator[bytes]:
    """The group as a JSON object, in pieces."""
    lead = b"{"
    for name, inner in group.groups:
        yield lead + b'"' + name.encode() + b'":'
        yield from json_pieces(inner)
        lead = b","
    for name, items in group.lists:
        if items.all or name in group.kept:
            yield from joined(items.all, lead + b'"' + name.encode() + b'":[', b"]")
            lead = b","
    yield b"}" if lead == b"," else b"{}"


def json_size(group: Group) -> int:
    """Bytes of the group as JSON."""
    size = 2
    members = 0
    for name, inner in group.groups:
        size += len(name) + 3 + json_size(inner)
        members += 1
    for name, items in group.lists:
        if items.all or name in group.kept:
            size += len(name) + 5 + items.size + max(0, len(items.all) - 1)
            members += 1
    return size + max(0, members - 1)


def wire_size(group: Group) -> int:
    """Bytes of the group as protobuf."""
    varint = codec_protobuf.varint
    size = 0
    for name, inner in group.groups:
        inner_size = wire_size(inner)
        head = varint(field_number(group.kind, name) << 3 | 2) + varint(inner_size)
        size += len(head) + inner_size
    for name, items in group.lists:
        tag = len(varint(field_number(group.kind, name) << 3 | 2))
        size += tag * len(items.all) + items.heads + items.size
    return size


def wire_pieces(group: Group) -> Iterator[bytes]:
    """The group as protobuf, without its own tag and length, in pieces."""
    varint = codec_protobuf.varint
    for name, inner in group.groups:
        yield varint(field_number(group.kind, name) << 3 | 2) + varint(wire_size(inner))
        yield from wire_pieces(inner)
    for name, items in group.lists:
        tag = varint(field_number(group.kind, name) << 3 | 2)
        for at in range(0, len(items.all), BATCH):
            batch = items.all[at : at + BATCH]
            yield b"".join([part for item in batch for part in (tag, varint(len(item)), item)])


def response_pieces(
    call: m.MasterResponseType, name: str, group: Group, media: Media
) -> Iterator[bytes]:
    """A MasterResponse that holds this one group."""
    if media is Media.JSON:
        yield f'{{"type":"{call.value}","{name}":'.encode()
        yield from json_pieces(group)
        yield b"}"
        return
    varint = codec_protobuf.varint
    yield codec_protobuf.encode(m.MasterResponse(type=call))
    yield varint(field_number(m.MasterResponse, name) << 3 | 2) + varint(wire_size(group))
    yield from wire_pieces(group)


def subscribed_pieces(state: Group, heartbeat_s: float, media: Media) -> Iterator[bytes]:
    """The first event of an operator's stream: the whole state."""
    if media is Media.JSON:
        yield b'{"type":"SUBSCRIBED","subscribed":{"get_state":'
        yield from json_pieces(state)
        yield f',"heartbeat_interval_seconds":{heartbeat_s!r}}}}}'.encode()
        return
    varint = codec_protobuf.varint
    rest = codec_protobuf.encode(m.MasterEventSubscribed(heartbeat_interval_seconds=heartbeat_s))
    size = wire_size(state)
    head = varint(field_number(m.MasterEventSubscribed, "get_state") << 3 | 2) + varint(size)
    whole = len(head) + size + len(rest)
    yield codec_protobuf.encode(m.MasterEvent(type=m.MasterEventType.SUBSCRIBED))
    yield varint(field_number(m.MasterEvent, "subscribed") << 3 | 2) + varint(whole) + head
    yield from wire_pieces(state)
    yield rest


def subscribed_size(state: Group, heartbeat_s: float, media: Media) -> int:
    """Bytes of `subscribed_pieces`."""
    frame = Group(state.kind)
    empty = sum(map(len, subscribed_pieces(frame, heartbeat_s, media)))
    if media is Media.JSON:
        return empty - 2 + json_size(state)
    varint, size = codec_protobuf.varint, wire_size(state)
    rest = len(
        codec_protobuf.encode(m.MasterEventSubscribed(heartbeat_interval_seconds=heartbeat_s))
    )
    grown = len(varint(size)) - 1
    inner = 1 + 1 + rest
    return empty + size + grown + len(varint(inner + size + grown)) - len(varint(inner))
