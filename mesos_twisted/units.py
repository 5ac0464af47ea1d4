"""Durations and byte sizes in the text form of Mesos's flags.

Durations are seconds as floats, sizes are whole bytes. Source: stout's duration.hpp and bytes.hpp.
"""

from __future__ import annotations

import re

from mesos_twisted.errors import MalformedError

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "secs": 10**9,
    "mins": 60 * 10**9,
    "hrs": 3600 * 10**9,
    "days": 86400 * 10**9,
    "weeks": 604800 * 10**9,
}
_MAX_NANOSECONDS = (1 << 63) - 1
_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_NUMBER_AND_UNIT = re.compile(r"([0-9]*\.?[0-9]+|[0-9]+\.)([A-Za-z]+)\Z")


def parse_duration(text: str) -> float:
    """`15secs` or `1.5hrs` as seconds. Raises MalformedError."""
    match = _NUMBER_AND_UNIT.match(text.strip())
    if match is None:
        raise MalformedError(f"'{text}' is not a duration; write a number and a unit, like 15secs")
    factor = _NANOSECONDS.get(match[2])
    if factor is None:
        raise MalformedError(
            f"Unknown duration unit '{match[2]}' in '{text}'; use one of {', '.join(_NANOSECONDS)}"
        )
    nanoseconds = float(match[1]) * factor
    if nanoseconds > _MAX_NANOSECONDS:
        raise MalformedError(f"The duration '{text}' is longer than 292 years")
    return nanoseconds / 1e9


def format_duration(seconds: float) -> str:
    """The shortest exact text: 15.0 is `15secs`, 90.0 is `90secs`, 600.0 is `10mins`."""
    nanoseconds = round(seconds * 1e9)
    units = list(_NANOSECONDS.items())
    place = max((i for i, (_, size) in enumerate(units) if abs(nanoseconds) >= size), default=0)
    if place and nanoseconds % units[place][1] and nanoseconds % units[place - 1][1] == 0:
        place -= 1
    name, size = units[place]
    return f"{nanoseconds / size:.15g}{name}"


def parse_bytes(text: str) -> int:
    """`2GB` as bytes (units are powers of 1024). Raises MalformedError."""
    match = _NUMBER_AND_UNIT.match(text.strip())
    factor = _BYTES.get(match[2]) if match else None
    if match is None or factor is None or "." in match[1]:
        raise MalformedError(
            f"'{text}' is not a size; write a whole number and B, KB, MB, GB or TB"
        )
    return int(match[1]) * factor


def format_bytes(size: int) -> str:
    """The largest unit that keeps the number whole: 4096 is `4KB`."""
    for name, factor in reversed(_BYTES.items()):
        if size and size % factor == 0:
            return f"{size // factor}{name}"
    return f"{size}B"


def parse_rate(text: str) -> float:
    """Seconds between two of what `1/10mins` allows one of in ten minutes.

    Raises MalformedError.
    """
    number, _, duration = text.strip().partition("/")
    count = int(number) if number.isascii() and number.isdigit() else 0
    if not count or not duration:
        raise MalformedError(f"'{text}' is not a rate; write a number and a time: 1/10mins")
    seconds = parse_duration(duration)
    if not seconds > 0:
        raise MalformedError(f"The time of the rate '{text}' must be above zero")
    return seconds / count


def parse_percentage(text: str) -> float:
    """`25%` (or `25`) as 0.25. Raises MalformedError for what is not from 0 to 100."""
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise MalformedError(f"'{text}' is not a percentage from 0% to 100%")
    return percent / 100
