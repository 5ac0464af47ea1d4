"""The exceptions of the whole package: one root, four families.

Expected refusals are values (`Problem`); an exception means malformed input at an edge, a peer or
store that cannot be reached, or a bug of ours. This module imports nothing of the package.
"""

from __future__ import annotations

from dataclasses import dataclass


class MesosError(Exception):
    """Root of every exception raised on purpose; its text is one sentence for a person."""


class MalformedError(MesosError):
    """The input cannot be understood: the peer's (or the operator's) fault."""


class RefusedError(MesosError):
    """The input is understood and not allowed."""


class UnavailableError(MesosError):
    """Something needed (a peer, a store, a file) is not there now; trying again may help."""


class BugError(MesosError):
    """A promise of our own is broken; the process must stop rather than go on."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An expected refusal: a short stable code and one sentence saying what to do."""

    code: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence
