"""The operator's text for resources, and back: `cpus:4;mem(web):1024;ports:[31000-32000]`, or JSON.

The grammar is that of Mesos's `--resources`. Text that cannot be understood gives a Problem.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from mesos_twisted.errors import MalformedError, Problem
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.convert import from_message
from mesos_twisted.resources.resource import (
    DiskInfo,
    Reservation,
    ReservationType,
    Resource,
)
from mesos_twisted.resources.roles import ANY_ROLE, check_role
from mesos_twisted.resources.values import (
    Kind,
    Ranges,
    Value,
    format_scalar,
    to_thousandths,
)

_NUMBER: Final = re.compile(r"\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def parse_resources(text: str, default_role: str = ANY_ROLE) -> Resources | Problem:
    """Read a JSON array of resources or the short text form.

    A resource without a role gets `default_role`. A name used with two types is refused, and so is
    what only a running cluster can make: volumes, dynamic reservations, revocable resources.
    """
    stripped = text.strip()
    found = (
        _from_json(stripped, default_role)
        if stripped.startswith("[")
        else _from_text(stripped, default_role)
    )
    if isinstance(found, Problem):
        return found
    kinds: dict[str, Kind] = {}
    for one in found:
        if kinds.setdefault(one.name, one.kind) is not one.kind:
            return _bad(f"Resource '{one.name}' is given with two types; use one type for a name.")
        if one.disk is not None and one.disk.persistence_id is not None:
            return _bad("A persistent volume cannot be given as text; create it with CREATE.")
        if one.revocable:
            return _bad(f"Resource '{one.name}' is revocable; only an estimator can offer that.")
        if any(held.type is ReservationType.DYNAMIC for held in one.reservations):
            return _bad(f"Resource '{one.name}' is dynamically reserved; use RESERVE for that.")
    return Resources.of(found)


def resources_from_text(text: str, default_role: str = ANY_ROLE) -> Resources:
    """As `parse_resources`, but raises MalformedError with the same sentence."""
    found = parse_resources(text, default_role)
    if isinstance(found, Problem):
        raise MalformedError(found.sentence)
    return found


def parse_value(text: str) -> Value | str | Problem:
    """Read `4`, `[1-3,5-9]`, `{a,b}`; anything else is a text, returned as it stands.

    Blanks never count, as in Mesos.
    """
    packed = text.replace(" ", "")
    if not packed:
        return _bad("A value is empty; write a number, [ranges], {a,set} or a word.")
    if any(packed.count(left) != packed.count(right) for left, right in ("{}", "[]", "()")):
        return _bad(f"The brackets in '{text.strip()}' do not match.")
    if packed.startswith("["):
        return _parse_ranges(packed)
    if packed.startswith("{"):
        return frozenset(item for item in re.split(r"[{},\n]", packed) if item)
    if "[" in packed or "{" in packed:
        return _bad(f"'{text.strip()}' has a bracket in its middle; begin ranges or sets with it.")
    if _NUMBER.fullmatch(packed):
        try:
            return to_thousandths(float(packed))
        except MalformedError as error:
            return _bad(str(error))
    return packed


def format_value(value: Value) -> str:
    """Text that `parse_value` reads back."""
    if isinstance(value, int):
        return format_scalar(value)
    if isinstance(value, Ranges):
        return "[" + ", ".join(f"{begin}-{end}" for begin, end in value.pairs) + "]"
    return "{" + ", ".join(sorted(value)) + "}"


def format_resources(resources: Resources) -> str:
    """Text as Mesos logs it: `cpus:4; mem(web):1024; ports:[31000-32000]`; `{}` when empty."""
    return "; ".join(format_resource(one) for one in resources) or "{}"


def format_resource(resource: Resource) -> str:
    """One resource as text; only unreserved and statically reserved ones can be read back."""
    text = resource.name
    stack = resource.reservations
    if resource.allocation_role is not None:
        text += f"(allocated: {resource.allocation_role})"
    if len(stack) == 1 and stack[0].type is ReservationType.STATIC:
        text += f"({stack[0].role})"
    elif stack:
        text += "(reservations: [" + ",".join(_format_reservation(one) for one in stack) + "])"
    if resource.disk is not None:
        text += f"[{_format_disk(resource.disk)}]"
    text += "{REV}" if resource.revocable else ""
    text += "<SHARED>" if resource.shared else ""
    return f"{text}:{format_value(resource.value)}"


def _from_text(text: str, default_role: str) -> list[Resource] | Problem:
    found: list[Resource] = []
    for token in text.split(";"):
        if not token.strip():
            continue
        parts = [part for part in token.split(":") if part]
        if len(parts) != 2:
            return _bad(f"'{token.strip()}' must be a name, one ':' and a value, as in 'cpus:4'.")
        name, role = parts[0].strip(), default_role
        if "(" in name or ")" in name:
            name, _, rest = name.partition("(")
            role, closed, after = rest.partition(")")
            if not closed or after.strip() or ")" in name:
                return _bad(f"The parentheses in '{token.strip()}' do not match.")
            name, role = name.strip(), role.strip()
        if not name:
            return _bad(f"'{token.strip()}' has no name; write one before the ':'.")
        problem = check_role(role)
        if problem is not None:
            return problem
        value = parse_value(parts[1])
        if isinstance(value, Problem):
            return _bad(f"Resource '{name}' cannot be read: {value.sentence}")
        if isinstance(value, str):
            return _bad(
                f"Resource '{name}' has the value '{value}', which is not a number of zero or"
                " more, [ranges] or {a,set}."
            )
        found.append(Resource(name, value, _static(role)))
    return found


def _from_json(text: str, default_role: str) -> list[Resource] | Problem:
    try:
        messages = msgspec.json.decode(text, type=list[m.Resource])
    except msgspec.MsgspecError as error:
        return _bad(f"The JSON array of resources cannot be read: {error}.")
    found: list[Resource] = []
    for message in messages:
        if message.role is None and not message.reservations:
            message = msgspec.structs.replace(message, role=default_role)
        resource = from_message(message)
        if isinstance(resource, Problem):
            return resource
        found.append(resource)
    return found


def _parse_ranges(packed: str) -> Ranges | Problem:
    numbers = [word for word in re.split(r"[\[\],\n-]", packed) if word]
    if len(numbers) % 2 or not all(word.isdecimal() and word.isascii() for word in numbers):
        return _bad(f"'{packed}' is not ranges; write pairs of whole numbers: [1-3,5-9].")
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    try:
        return Ranges((int(begin), int(end)) for begin, end in pairs)
    except MalformedError as error:
        return _bad(str(error))


def _static(role: str) -> tuple[Reservation, ...]:
    return () if role == ANY_ROLE else (Reservation(ReservationType.STATIC, role),)


def _format_reservation(reservation: Reservation) -> str:
    words = [reservation.type.value, reservation.role]
    if reservation.principal is not None:
        words.append(reservation.principal)
    if reservation.labels is not None:
        labels = [k if v is None else f"{k}: {v}" for k, v in reservation.labels]
        words.append("{" + ", ".join(labels) + "}")
    return "(" + ",".join(words) + ")"


def _format_disk(disk: DiskInfo) -> str:
    words: list[str] = []
    if disk.source is not None:
        source = disk.source
        text = source.type.value
        if source.id is not None or source.profile is not None:
            text += f"({source.vendor or ''},{source.id or ''},{source.profile or ''})"
        elif source.root is not None:
            text += f":{source.root}"
        words.append(text)
    if disk.persistence_id is not None:
        words.append(disk.persistence_id)
    text = ",".join(words)
    if disk.volume is not None:
        volume = disk.volume
        text += ":"
        if volume.host_path is not None:
            mode = "ro" if volume.read_only else "rw"
            text += f"{volume.host_path}:{volume.container_path}:{mode}"
        else:
            text += volume.container_path
    return text


def _bad(sentence: str) -> Problem:
    return Problem("resources_invalid", sentence)
