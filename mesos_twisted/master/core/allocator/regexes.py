"""Patterns that clients give us: RE2's syntax, in linear time, within the operator's limits.

RE2 never backtracks, so no pattern can stop the master; a pattern that needs more memory or a
larger program than allowed is refused when it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast

import re2  # type: ignore[import-untyped]  # google-re2 is published without types.

from mesos_twisted.errors import Problem


@dataclass(frozen=True, slots=True)
class RegexLimits:
    """The most that one pattern may need: bytes of memory, and instructions of its program."""

    max_mem: int = 4096
    max_program_size: int = 100


class Regex(Protocol):
    """A compiled pattern."""

    def fullmatch(self, text: str) -> object | None:
        """Not None when the whole of `text` matches."""
        ...


@lru_cache(1024)
def compile_regex(pattern: str, limits: RegexLimits) -> Regex | Problem:
    """The pattern ready for use, or why it cannot be used."""
    options = re2.Options()
    options.max_mem = limits.max_mem
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        told = error.args[0] if error.args else b""
        why = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
        return _bad(f"Failed to construct regex from pattern '{pattern}': {why}")
    except UnicodeEncodeError:
        return _bad(f"Failed to construct regex from pattern {pattern!r}: invalid UTF-8")
    size: int = compiled.programsize
    if size > limits.max_program_size:
        return _bad(
            f"Regex '{pattern}' is too complex: program size of {size} is larger than maximum of "
            f"{limits.max_program_size} allowed"
        )
    return cast(Regex, compiled)


def _bad(sentence: str) -> Problem:
    return Problem("regex_invalid", sentence)
