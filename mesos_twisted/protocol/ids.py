"""Typed ids: strings that a type checker keeps apart, and the rule for what a client may choose.

Ids that the master makes are `<master id>-0000` (framework), `-S0` (agent), `-O0` (offer); the
counters restart with each leader and its uuid differs. Source: Mesos master.cpp, new*Id, and
common/validation.cpp.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NewType

from mesos_twisted.errors import Problem

FrameworkId = NewType("FrameworkId", str)
AgentId = NewType("AgentId", str)
OfferId = NewType("OfferId", str)
TaskId = NewType("TaskId", str)
ExecutorId = NewType("ExecutorId", str)
ContainerId = NewType("ContainerId", str)
MasterId = NewType("MasterId", str)
#: One open scheduler, executor or operator stream of this process, or one agent link.
ConnectionId = NewType("ConnectionId", int)

MAX_ID_LENGTH = 255
_FORBIDDEN = frozenset({chr(i) for i in range(32)} | {"\x7f", "/", "\\"})


def check_id(value: str) -> Problem | None:
    """Why a client's id may not be used, or None. Ids name directories, hence the rules."""
    if not value:
        return Problem("id", "ID must not be empty")
    if len(value) > MAX_ID_LENGTH:
        return Problem("id", f"ID must not be greater than {MAX_ID_LENGTH} characters")
    if value in (".", ".."):
        return Problem("id", f"'{value}' is disallowed")
    if not _FORBIDDEN.isdisjoint(value):
        return Problem("id", f"'{value}' contains invalid characters")
    return None


@dataclass(slots=True)
class FreshIds:
    """Ids as a pure function of a seed and a count, so that a replay gives the same ones.

    The seed comes from outside (random in production, fixed in tests and the simulator).
    """

    seed: bytes
    count: int = 0

    def uuid_bytes(self) -> bytes:
        """16 bytes in the form of a version 4 uuid."""
        self.count += 1
        raw = bytearray(
            hashlib.blake2b(self.count.to_bytes(8, "big"), key=self.seed, digest_size=16).digest()
        )
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        return bytes(raw)

    def uuid(self) -> str:
        """A uuid as text."""
        h = self.uuid_bytes().hex()
        return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
