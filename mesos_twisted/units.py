"""Durations and sizes as Mesos writes them: `15secs`, `1.5mins`, `2GB`.

A duration is an `int` of nanoseconds, a size an `int` of bytes. Only text and numbers live here.
"""

from __future__ import annotations

import re
from typing import Final

from mesos_twisted.errors import Problem

_DURATION_UNITS: Final = (
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("secs", 1_000_000_000),
    ("mins", 60 * 1_000_000_000),
    ("hrs", 3_600 * 1_000_000_000),
    ("days", 86_400 * 1_000_000_000),
    ("weeks", 7 * 86_400 * 1_000_000_000),
)
_SIZE_UNITS: Final = (("B", 1), ("KB", 2**10), ("MB", 2**20), ("GB", 2**30), ("TB", 2**40))
_NUMBER: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]+)")

DURATION_LIMIT_NS: Final = 2**63 - 1
SECOND_NS: Final = 1_000_000_000


def parse_duration(text: str) -> int | Problem:
    """Nanoseconds of a text such as `15secs`, `1.5mins`, `500ms`, `1weeks`."""
    units = dict(_DURATION_UNITS)
    matched = _NUMBER.fullmatch(text.strip())
    if matched is None or matched[2] not in units:
        return Problem(
            "duration_invalid",
            f"'{text}' is not a duration; write a number and one of {', '.join(units)},"
            " as in '15secs'.",
        )
    try:
        nanoseconds = round(_exact(matched[1], units[matched[2]]))
    except OverflowError:
        nanoseconds = DURATION_LIMIT_NS + 1
    if abs(nanoseconds) > DURATION_LIMIT_NS:
        return Problem("duration_invalid", f"'{text}' is longer than 292 years, the most allowed.")
    return nanoseconds


def format_duration(nanoseconds: int) -> str:
    """Text in the largest unit that keeps the number whole, or one unit below it, as Mesos does."""
    if nanoseconds < 0:
        return "-" + format_duration(-nanoseconds)
    at = 0
    while at + 1 < len(_DURATION_UNITS) and nanoseconds >= _DURATION_UNITS[at + 1][1]:
        at += 1
    if at > 0 and nanoseconds % _DURATION_UNITS[at][1]:
        at -= 1
    name, unit = _DURATION_UNITS[at]
    whole, rest = divmod(nanoseconds, unit)
    return f"{whole}{name}" if not rest else f"{nanoseconds / unit:.15g}{name}"


def parse_size(text: str) -> int | Problem:
    """Bytes of a text such as `2GB`, `512MB`, `1024B`; units are powers of 1024."""
    units = dict(_SIZE_UNITS)
    matched = _NUMBER.fullmatch(text.strip())
    size = -1.0
    if matched is not None and matched[2] in units:
        try:
            size = _exact(matched[1], units[matched[2]])
        except OverflowError:
            size = -1.0
    if not 0 <= size < 2**64:
        return Problem(
            "size_invalid",
            f"'{text}' is not a size; write a number and one of {', '.join(units)}, as in '2GB'.",
        )
    return round(size)


def format_size(size: int) -> str:
    """Text in the largest unit that keeps the number whole: `2GB`, `1536MB`, `0B`."""
    at = 0
    while at + 1 < len(_SIZE_UNITS) and size and size % _SIZE_UNITS[at + 1][1] == 0:
        at += 1
    name, unit = _SIZE_UNITS[at]
    return f"{size // unit}{name}"


def _exact(number: str, unit: int) -> int | float:
    return int(number) * unit if number.lstrip("+-").isdecimal() else float(number) * unit
