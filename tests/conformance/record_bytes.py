"""Write golden_bytes.json anew from Apache Mesos's own definitions of its v1 API.

    protoc -I include --include_imports --descriptor_set_out=v1.bin \\
        include/mesos/v1/{scheduler/scheduler,executor/executor,master/master,agent/agent}.proto
    python tests/conformance/record_bytes.py v1.bin

The messages are built and encoded by Google's protobuf from those definitions; nothing of ours has
a part in the bytes. One case for every type of call, event and answer, with its part filled; one
for every message below them, with every field set (for a `oneof`, one case for each member). The
JSON text is ours, and is written only if Google's reader finds the same message in it. The numbers
of all enum texts are kept as well.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from mesos_twisted.protocol import codec_json, codec_protobuf
from mesos_twisted.protocol.generated import messages

DATA = Path(__file__).parent / "golden_bytes.json"
TOPS = (
    "scheduler.Call",
    "scheduler.Event",
    "scheduler.Response",
    "executor.Call",
    "executor.Event",
    "master.Call",
    "master.Response",
    "master.Event",
    "agent.Call",
    "agent.Response",
    "agent.ProcessIO",
)
_PREFIXED = ("scheduler", "executor", "master", "agent", "maintenance")


def our_name(full_name: str) -> str:
    """`mesos.v1.scheduler.Call.Kill` is SchedulerCallKill; `mesos.v1.quota.QuotaInfo` QuotaInfo."""
    parts = full_name.removeprefix("mesos.v1.").removeprefix("google.protobuf.").split(".")
    if parts[0] in _PREFIXED:
        parts[0] = parts[0].capitalize()
    return "".join(part for part in parts if not part[0].islower())


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def scalar(field: Any) -> Any:
    """A value that tells its field, by the field's type."""
    kind = field.cpp_type
    if kind == field.CPPTYPE_ENUM:
        numbers = [one.number for one in field.enum_type.values]
        if field.has_default_value and len(numbers) > 1:
            numbers.remove(field.default_value)
        return numbers[field.number % len(numbers)]
    if kind == field.CPPTYPE_BOOL:
        # Ours leaves out what is equal to the default; see codec_protobuf.encode.
        return not field.default_value
    if kind in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
        return field.number + 0.5
    if kind in (field.CPPTYPE_INT32, field.CPPTYPE_INT64):
        return -field.number
    if kind in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64):
        return (1 << 31) + field.number
    if field.type == field.TYPE_BYTES:
        return field.name.encode() + b"\x00\xff"
    return f'{field.name} "\u00fc\u2028" /'


def fill(message: Any, everything: bool, skip: frozenset[str] = frozenset()) -> None:
    """Set every field, or the required ones (the first where none is)."""
    fields = list(message.DESCRIPTOR.fields)
    if not everything:
        fields = [one for one in fields if one.is_required] or fields[:1]
    for field in fields:
        if field.name not in skip:
            set_field(message, field, False)


def set_field(message: Any, field: Any, everything: bool) -> None:
    """Set one field; a message in it is filled."""
    if _is_map(field):
        value = field.message_type.fields_by_name["value"]
        entries = getattr(message, field.name)
        if value.message_type is not None:
            fill(entries["key"], everything)
        else:
            entries["key"] = scalar(value)
    elif field.message_type is not None:
        place = getattr(message, field.name)
        inner = place.add() if field.is_repeated else place
        inner.SetInParent()
        fill(inner, everything)
    elif field.is_repeated:
        getattr(message, field.name).extend([scalar(field)] * 2)
    else:
        setattr(message, field.name, scalar(field))


def of_types(pool: Any, top: str) -> Iterator[tuple[str, Any]]:
    """One message for each type of a call or its like."""
    descriptor = pool.FindMessageTypeByName(f"mesos.v1.{top}")
    for value in descriptor.fields_by_name["type"].enum_type.values:
        message: Any = message_factory.GetMessageClass(descriptor)()
        for field in descriptor.fields:
            if field.is_required:
                set_field(message, field, False)
            elif field.name in (value.name.lower(), "framework_id", "executor_id"):
                set_field(message, field, True)
        message.type = value.number
        yield value.name, message


def with_every_field(descriptor: Any) -> Iterator[tuple[str, Any]]:
    """The message with all its fields set; of a `oneof`, each member in turn."""
    choices = [one for one in descriptor.oneofs if len(one.fields) > 1]
    variants = [frozenset(one.name for one in choices for one in one.fields)] if choices else []
    cases = [("", variants[0] if variants else frozenset())]
    cases += [(m.name, variants[0] - {m.name}) for one in choices for m in one.fields]
    for name, skip in cases:
        message = message_factory.GetMessageClass(descriptor)()
        fill(message, True, skip)
        yield f"every field {name}".strip(), message


def reachable(pool: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every message and enum below the tops, by full name."""
    found: dict[str, Any] = {}
    enums: dict[str, Any] = {}
    waiting = [pool.FindMessageTypeByName(f"mesos.v1.{top}") for top in TOPS]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in found:
            continue
        found[descriptor.full_name] = descriptor
        for field in descriptor.fields:
            if field.enum_type is not None:
                enums[field.enum_type.full_name] = field.enum_type
            if field.message_type is not None:
                inner = field.message_type
                if _is_map(field):
                    inner = inner.fields_by_name["value"].message_type
                if inner is not None:
                    waiting.append(inner)
    return found, enums


def case(name: str, of: str, message: Any) -> dict[str, str]:
    """One entry. Raises AssertionError when another reader finds another message in our JSON."""
    data = message.SerializeToString(deterministic=True)
    kind = getattr(messages, name)
    text = codec_json.encode(codec_protobuf.decode(kind, data)).decode()
    again = type(message)()
    plain = json.loads(text)
    if message.DESCRIPTOR.full_name != "google.protobuf.Duration":
        json_format.ParseDict(_without_defaults(kind, plain, message), again)
        assert again == message, (name, text, message)
    return {"message": name, "case": of, "json": text, "hex": data.hex()}


def _without_defaults(kind: Any, plain: Any, message: Any) -> Any:
    """JSON shows defaults that the message leaves unset; Google's reader would set them."""
    return _strip(plain, message)


def _strip(plain: Any, message: Any) -> Any:
    kept = {}
    for name, value in plain.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.message_type is not None and not _is_map(field):
            inner = getattr(message, name)
            if field.message_type.full_name == "google.protobuf.Duration":
                nanos = value.get("seconds", 0) * 10**9 + value.get("nanos", 0)
                kept[name] = inner.ToJsonString() if inner.ToNanoseconds() == nanos else "?"
            elif field.is_repeated:
                kept[name] = [_strip(one, item) for one, item in zip(value, inner, strict=True)]
            else:
                kept[name] = _strip(value, inner)
        elif _is_map(field) or field.is_repeated or message.HasField(name):
            kept[name] = value
    return kept


def main(descriptors: str) -> None:
    """Write the file."""
    files = descriptor_pb2.FileDescriptorSet.FromString(Path(descriptors).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    cases = []
    for top in TOPS:
        for of, message in of_types(pool, top):
            cases.append(case(our_name(f"mesos.v1.{top}"), of, message))
    found, enums = reachable(pool)
    for full_name in sorted(found):
        for of, message in with_every_field(found[full_name]):
            cases.append(case(our_name(full_name), of, message))
    numbers = {
        our_name(name): {value.name: value.number for value in enums[name].values}
        for name in sorted(enums)
    }
    DATA.write_text(json.dumps({"cases": cases, "enums": numbers}, indent=1) + "\n")
    print(f"{len(cases)} cases, {len(numbers)} enums")


if __name__ == "__main__":
    main(sys.argv[1])
