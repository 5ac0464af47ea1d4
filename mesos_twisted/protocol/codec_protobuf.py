"""Messages to protobuf bytes and back, from the table of field numbers.

A plan per message type is built on first use. Fields that no type here knows are kept as raw
bytes in `unknown_wire` and written out again, so a newer client's fields survive the way through
the master and the agent. The codec refuses truncated input, groups, and nesting deeper than 100.
Source: the protobuf encoding of proto2 (optional fields carry presence, unknown enum numbers count
as unknown fields, a singular message given twice is merged).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import Any, TypeVar

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol.generated import messages
from mesos_twisted.protocol.generated.messages import Message
from mesos_twisted.protocol.generated.wire import ENUMS, FIELDS

MAX_DEPTH = 100
_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5
_WIRE_TYPE = {
    "double": _I64,
    "float": _I32,
    "string": _LEN,
    "bytes": _LEN,
}
_SIGNED = {"int32", "int64"}
_INTEGER = {"int32", "int64", "uint32", "uint64"}
_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")
_U64 = (1 << 64) - 1

M = TypeVar("M", bound=Message)
Append = Callable[[bytes], None]
FieldEncoder = Callable[[Any, Append], None]


def varint(value: int) -> bytes:
    """The base-128 form of an unsigned integer below 2**64."""
    if value < 0x80:
        return _SMALL[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL = [bytes([i]) for i in range(128)]
_ENCODERS: dict[type[Message], tuple[tuple[str, object, FieldEncoder], ...]] = {}
_DECODERS: dict[type[Message], dict[int, _FieldDecoder]] = {}
_REQUIRED: dict[type[Message], tuple[str, ...]] = {}


def encode(message: Message) -> bytes:
    """The protobuf bytes of a message; fields equal to their proto default are left out."""
    parts: list[bytes] = []
    _encode_into(message, parts.append)
    return b"".join(parts)


def _encode_into(message: Message, append: Append) -> None:
    kind = type(message)
    plan = _ENCODERS.get(kind)
    if plan is None:
        plan = _ENCODERS[kind] = _encode_plan(kind)
    for name, default, write in plan:
        value = getattr(message, name)
        if value is not None and value != default:
            write(value, append)
    if message.unknown_wire:
        append(message.unknown_wire)


def _encode_plan(kind: type[Message]) -> tuple[tuple[str, object, FieldEncoder], ...]:
    out: list[tuple[str, object, FieldEncoder]] = []
    for number, name, type_name, cardinality, default, packed in sorted(
        FIELDS[kind], key=lambda row: row[0]
    ):
        if cardinality == "map":
            out.append((name, {}, _map_encoder(number, type_name)))
        elif cardinality == "repeated":
            single = _value_encoder(number, type_name)
            out.append((name, (), _packed(number, type_name) if packed else _repeated(single)))
        else:
            out.append((name, default, _value_encoder(number, type_name)))
    return tuple(out)


def _repeated(single: FieldEncoder) -> FieldEncoder:
    def write(values: Any, append: Append) -> None:
        for value in values:
            single(value, append)

    return write


def _packed(number: int, type_name: str) -> FieldEncoder:
    tag = varint(number << 3 | _LEN)
    raw = _raw_encoder(type_name)

    def write(values: Any, append: Append) -> None:
        body = b"".join(raw(value) for value in values)
        append(tag + varint(len(body)) + body)

    return write


def _raw_encoder(type_name: str) -> Callable[[Any], bytes]:
    if type_name in _INTEGER:
        return lambda value: varint(value & _U64)
    if type_name == "bool":
        return lambda value: b"\x01" if value else b"\x00"
    if type_name == "double":
        return _DOUBLE.pack
    if type_name == "float":
        return _FLOAT.pack
    if type_name == "string":
        return _raw_text
    if type_name == "bytes":
        return lambda value: varint(len(value)) + value
    kind = getattr(messages, type_name)
    if issubclass(kind, enum.Enum):
        numbers = {member: varint(ENUMS[kind][member.value]) for member in kind}
        return numbers.__getitem__
    return _message_raw


def _raw_text(value: str) -> bytes:
    data = value.encode()
    return varint(len(data)) + data


def _message_raw(value: Message) -> bytes:
    parts: list[bytes] = []
    _encode_into(value, parts.append)
    body = b"".join(parts)
    return varint(len(body)) + body


def _wire_type(type_name: str) -> int:
    if type_name in _WIRE_TYPE:
        return _WIRE_TYPE[type_name]
    if type_name in _INTEGER or type_name == "bool":
        return _VARINT
    return _VARINT if issubclass(getattr(messages, type_name), enum.Enum) else _LEN


def _value_encoder(number: int, type_name: str) -> FieldEncoder:
    tag = varint(number << 3 | _wire_type(type_name))
    raw = _raw_encoder(type_name)

    def write(value: Any, append: Append) -> None:
        append(tag)
        append(raw(value))

    return write


def _map_encoder(number: int, type_name: str) -> FieldEncoder:
    tag = varint(number << 3 | _LEN)
    key_type, value_type = type_name[4:-1].split(",")
    write_key, write_value = _value_encoder(1, key_type), _value_encoder(2, value_type)

    def write(entries: Any, append: Append) -> None:
        for key, value in entries.items():
            parts: list[bytes] = []
            write_key(key, parts.append)
            write_value(value, parts.append)
            body = b"".join(parts)
            append(tag + varint(len(body)) + body)

    return write


class _FieldDecoder:
    """How the value of one field is read: its name, wire type, and the making of the value."""

    __slots__ = ("cardinality", "map_types", "message", "name", "read", "wire_type")

    def __init__(self, name: str, type_name: str, cardinality: str) -> None:
        self.name, self.cardinality = name, cardinality
        self.message: type[Message] | None = None
        self.map_types: tuple[_FieldDecoder, _FieldDecoder] | None = None
        self.read: Callable[[Any], Any] = _same
        if cardinality == "map":
            key_type, value_type = type_name[4:-1].split(",")
            self.map_types = (
                _FieldDecoder("key", key_type, "optional"),
                _FieldDecoder("value", value_type, "optional"),
            )
            self.wire_type = _LEN
            return
        self.wire_type = _wire_type(type_name)
        if type_name in _READERS:
            self.read = _READERS[type_name]
            return
        if type_name in _INTEGER:
            return
        kind = getattr(messages, type_name)
        if issubclass(kind, enum.Enum):
            # `get` gives None for a number nobody knows: the field then counts as unknown.
            self.read = {number & _U64: kind(text) for text, number in ENUMS[kind].items()}.get
        else:
            self.message = kind


def _same(value: Any) -> Any:
    return value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise MalformedError("A string field holds bytes that are not UTF-8") from None


_READERS: dict[str, Callable[[Any], Any]] = {
    "int32": lambda value: ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000,
    "int64": _signed,
    "uint32": lambda value: value & 0xFFFFFFFF,
    "bool": bool,
    "double": lambda raw: _DOUBLE.unpack(raw)[0],
    "float": lambda raw: _FLOAT.unpack(raw)[0],
    "string": _text,
    "bytes": bytes,
}


def decode(kind: type[M], data: bytes) -> M:
    """The message in `data`. Raises MalformedError; missing required fields are all named."""
    missing: list[str] = []
    message = _decode(kind, bytes(data), 0, "", missing)
    if missing:
        raise MalformedError(f"Missing required fields: {', '.join(missing)}")
    assert message is not None
    return message


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        try:
            byte = data[at]
        except IndexError:
            raise MalformedError("The message ends inside a number") from None
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & _U64, at
        shift += 7
        if shift >= 70:
            raise MalformedError("A number is longer than ten bytes")


def _read_field(data: bytes, at: int, wire_type: int) -> tuple[Any, int]:
    """The raw value at `at`: an int for varints, bytes for everything else; and where it ends."""
    if wire_type == _VARINT:
        return _read_varint(data, at)
    if wire_type == _LEN:
        size, at = _read_varint(data, at)
        end = at + size
    elif wire_type == _I64:
        end = at + 8
    elif wire_type == _I32:
        end = at + 4
    else:
        raise MalformedError(f"Wire type {wire_type} is not supported")
    if end > len(data):
        raise MalformedError("The message ends inside a field")
    return data[at:end], end


def _decode(kind: type[M], data: bytes, depth: int, path: str, missing: list[str]) -> M | None:
    if depth > MAX_DEPTH:
        raise MalformedError(f"The message is nested deeper than {MAX_DEPTH} levels")
    plan = _DECODERS.get(kind)
    if plan is None:
        plan = _DECODERS[kind] = {
            row[0]: _FieldDecoder(row[1], row[2], row[3]) for row in FIELDS[kind]
        }
        _REQUIRED[kind] = tuple(row[1] for row in FIELDS[kind] if row[3] == "required")
    values: dict[str, Any] = {}
    nested: dict[str, tuple[type[Message], bytes]] = {}
    unknown: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        start = at
        tag, at = _read_varint(data, at)
        wire_type = tag & 7
        if tag >> 3 == 0:
            raise MalformedError("Field number 0 is not allowed")
        raw, at = _read_field(data, at, wire_type)
        slot = plan.get(tag >> 3)
        if slot is None or not _take(slot, raw, wire_type, depth, path, values, nested, missing):
            unknown.append(data[start:at])
    for name, (message, raw) in nested.items():
        values[name] = _decode(message, raw, depth + 1, f"{path}{name}.", missing)
    for name in _REQUIRED[kind]:
        if name not in values:
            missing.append(path + name)
    if missing:
        return None
    for name, value in values.items():
        if type(value) is list:
            values[name] = tuple(value)
    if unknown:
        values["unknown_wire"] = b"".join(unknown)
    return kind(**values)


def _take(
    slot: _FieldDecoder,
    raw: Any,
    wire_type: int,
    depth: int,
    path: str,
    values: dict[str, Any],
    nested: dict[str, tuple[type[Message], bytes]],
    missing: list[str],
) -> bool:
    """Store one field; False when its wire type or enum number is not the known one."""
    name = slot.name
    if wire_type != slot.wire_type:
        if wire_type == _LEN and slot.cardinality == "repeated" and slot.message is None:
            return _take_packed(slot, raw, values)
        return False
    if slot.map_types is not None:
        key, value = _decode_entry(slot.map_types, raw, depth, path, missing)
        values.setdefault(name, {})[key] = value
        return True
    if slot.message is not None:
        if slot.cardinality == "repeated":
            items = values.setdefault(name, [])
            items.append(
                _decode(slot.message, raw, depth + 1, f"{path}{name}[{len(items)}].", missing)
            )
        else:
            before = nested.get(name)
            nested[name] = (slot.message, before[1] + raw if before else raw)
        return True
    value = slot.read(raw)
    if value is None:
        return False
    if slot.cardinality == "repeated":
        values.setdefault(name, []).append(value)
    else:
        values[name] = value
    return True


def _take_packed(slot: _FieldDecoder, raw: bytes, values: dict[str, Any]) -> bool:
    items = values.setdefault(slot.name, [])
    at = 0
    while at < len(raw):
        value, at = _read_field(raw, at, slot.wire_type)
        known = slot.read(value)
        if known is not None:
            items.append(known)
    return True


def _decode_entry(
    types: tuple[_FieldDecoder, _FieldDecoder],
    raw: bytes,
    depth: int,
    path: str,
    missing: list[str],
) -> tuple[Any, Any]:
    found: dict[int, Any] = {}
    at = 0
    while at < len(raw):
        tag, at = _read_varint(raw, at)
        value, at = _read_field(raw, at, tag & 7)
        if tag >> 3 in (1, 2):
            found[tag >> 3] = value
    out: list[Any] = []
    for number, slot in enumerate(types, 1):
        value = found.get(number, b"")
        if slot.message is not None:
            out.append(_decode(slot.message, value, depth + 1, f"{path}{slot.name}.", missing))
        else:
            out.append(slot.read(value))
    return out[0], out[1]
