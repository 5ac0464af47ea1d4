"""Messages to JSON bytes and back, with the leniency real clients rely on.

Decoding tries the exact typed path first. What that refuses is read again by the rules Mesos's JSON
parser has: unknown keys and `null` are ignored, an unknown enum text is dropped unless the field is
required, numbers and booleans may come as strings (also "Infinity"), a bare value stands for a
repeated field of one. An array for a singular field stays an error. camelCase is not recognised.
Encoding gives pure ASCII without a raw newline; infinities are written as strings.
Source: stout's protobuf.hpp and scheduler-http-api.md.
"""

from __future__ import annotations

import base64
import binascii
import enum
import functools
import json
import math
import re
from typing import Any, TypeVar

import msgspec

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol.generated import messages
from mesos_twisted.protocol.generated.messages import Message
from mesos_twisted.protocol.generated.wire import FIELDS

M = TypeVar("M", bound=Message)
MAX_DEPTH = 64
#: Characters of a faulty body that are told back.
_NEAR = 80
_encoder = msgspec.json.Encoder()
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_INTEGERS = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
}


def encode(message: Message) -> bytes:
    """The message as one line of ASCII JSON, v1 spelling."""
    out = _encoder.encode(message)
    if b"null" in out or b'"unknown_wire"' in out:
        out = _encoder.encode(_plain(message))
    return out if out.isascii() else ascii_only(out)


def ascii_only(data: bytes) -> bytes:
    r"""JSON with everything outside ASCII as \uXXXX (surrogate pairs above U+FFFF)."""
    return _NOT_ASCII.sub(_escape, data.decode()).encode("ascii")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 | code >> 10:04x}\\u{0xDC00 | code & 0x3FF:04x}"


def to_plain(message: Message) -> dict[str, Any]:
    """The message as dicts and lists, ready for any JSON writer."""
    plain = _plain(message)
    assert isinstance(plain, dict)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        builtin = msgspec.structs.asdict(value)
        builtin.pop("unknown_wire")
        return {
            name: _plain(item)
            for name, item in builtin.items()
            if item is not None and item != () and item != {}
        }
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


@functools.cache
def _decoder(kind: type[Message]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(kind: type[M], data: bytes) -> M:
    """The message in `data`. Raises MalformedError with the sentence Mesos's clients know."""
    try:
        message: M = _decoder(kind).decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return from_plain(kind, parse(data))
    if b"unknown_wire" in data:
        return from_plain(kind, parse(data))
    return message


def parse(data: bytes) -> Any:
    """Any JSON value. Raises MalformedError; nesting beyond 64 levels is refused."""
    try:
        value = msgspec.json.decode(data)
    except RecursionError:
        raise MalformedError(
            f"Failed to parse body into JSON: nested deeper than {MAX_DEPTH} levels"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedError(f"Failed to parse body into JSON: {_where(data, error)}") from None
    return value


def _where(data: bytes, error: Exception) -> str:
    """The line and what stands there, or the strict parser's words where another sees no fault."""
    try:
        json.loads(data)
    except json.JSONDecodeError as found:
        near = found.doc[found.pos :].partition("\n")[0][:_NEAR]
        return f"syntax error at line {found.lineno} near: {near}"
    except (ValueError, RecursionError):
        pass
    return f"syntax error at line 1 ({error})"


def from_plain(kind: type[M], value: Any) -> M:
    """The message that dicts and lists describe, by the lenient rules. Raises MalformedError."""
    name = _call_name(kind)
    if not isinstance(value, dict):
        raise MalformedError(
            f"Failed to convert JSON into {name} protobuf: Expecting a JSON object"
        )
    missing: list[str] = []
    message = _message(kind, value, "", missing, 0)
    if missing:
        raise MalformedError(
            f"Failed to convert JSON into {name} protobuf: "
            f"Missing required fields: {', '.join(missing)}"
        )
    assert isinstance(message, kind)
    return message


def _call_name(kind: type[Message]) -> str:
    """`Call` for SchedulerCall and its like: the name the API's documents use."""
    name = kind.__name__
    for prefix in ("Scheduler", "Executor", "Master", "Agent"):
        if name == prefix + "Call":
            return "Call"
    return name


def _message(
    kind: type[Message], value: dict[str, Any], path: str, missing: list[str], depth: int
) -> Message | None:
    if depth > MAX_DEPTH:
        raise MalformedError(f"The JSON is nested deeper than {MAX_DEPTH} levels")
    values: dict[str, Any] = {}
    known_missing = len(missing)
    for _, name, type_name, cardinality, _, _ in FIELDS[kind]:
        item = value.get(name)
        if item is None:
            if cardinality == "required":
                missing.append(path + name)
            continue
        where = path + name
        if cardinality == "map":
            values[name] = _map(type_name, item, where, missing, depth)
        elif cardinality == "repeated":
            items = item if isinstance(item, list) else [item]
            read = (
                _value(type_name, one, f"{where}[{i}]", False, missing, depth)
                for i, one in enumerate(items)
                if one is not None
            )
            values[name] = tuple(one for one in read if one is not None)
        else:
            if isinstance(item, list):
                raise MalformedError(f"Not expecting a JSON array for field '{where}'")
            one = _value(type_name, item, where, cardinality == "required", missing, depth)
            if one is not None:
                values[name] = one
    if len(missing) > known_missing:
        return None
    return kind(**values)


def _map(type_name: str, item: Any, where: str, missing: list[str], depth: int) -> dict[Any, Any]:
    if not isinstance(item, dict):
        raise MalformedError(f"Expecting a JSON object for map field '{where}'")
    key_type, value_type = type_name[4:-1].split(",")
    return {
        _value(key_type, key, where, True, missing, depth): _value(
            value_type, value, f"{where}.{key}", True, missing, depth
        )
        for key, value in item.items()
    }


def _value(
    type_name: str, item: Any, where: str, required: bool, missing: list[str], depth: int
) -> Any:
    if isinstance(item, list):
        raise MalformedError(f"Not expecting a JSON array for field '{where}'")
    if type_name in ("string", "bytes"):
        if not isinstance(item, str):
            raise MalformedError(f"Expecting a JSON string for field '{where}'")
        return item if type_name == "string" else _bytes(item, where)
    if type_name == "bool":
        return _bool(item, where)
    if type_name in _INTEGERS or type_name in ("double", "float"):
        return _number(type_name, item, where)
    kind = getattr(messages, type_name)
    if issubclass(kind, enum.Enum):
        if not isinstance(item, str):
            raise MalformedError(f"Expecting an enum's name as a string for field '{where}'")
        if item in kind._value2member_map_:
            return kind(item)
        if required:
            raise MalformedError(f"Failed to find enum for '{item}' in field '{where}'")
        return None
    if not isinstance(item, dict):
        raise MalformedError(f"Expecting a JSON object for field '{where}'")
    return _message(kind, item, where + ".", missing, depth + 1)


def _bytes(item: str, where: str) -> bytes:
    try:
        return base64.b64decode(
            item.rstrip("=") + "=" * (-len(item.rstrip("=")) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        raise MalformedError(f"Failed to base64 decode bytes field '{where}'") from None


def _bool(item: Any, where: str) -> bool:
    if isinstance(item, bool):
        return item
    if item in ("true", "false"):
        return bool(item == "true")
    raise MalformedError(f"Expecting a JSON boolean for field '{where}'")


def _number(type_name: str, item: Any, where: str) -> int | float:
    if isinstance(item, str):
        item = _number_text(item, where)
    if isinstance(item, bool) or not isinstance(item, int | float):
        raise MalformedError(f"Expecting a JSON number for field '{where}'")
    if type_name in ("double", "float"):
        return float(item)
    if not math.isfinite(item):
        raise MalformedError(f"Expecting an integer for field '{where}'")
    low, high = _INTEGERS[type_name]
    number = int(item)
    if not low <= number <= high:
        raise MalformedError(f"The number {number} is out of range for field '{where}'")
    return number


def _number_text(text: str, where: str) -> int | float:
    if text in ("Infinity", "-Infinity"):
        return float(text)
    try:
        value = msgspec.json.decode(text.strip())
    except msgspec.DecodeError:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedError(f"Failed to parse '{text}' as a JSON number for field '{where}'")
    return value
