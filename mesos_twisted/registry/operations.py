"""What can be asked of a registry, as values, and what each does to its tables.

Pure: an operation becomes writes of (table, key) -> value, where None deletes. Every store keeps
the same four tables, so all of them agree on what an operation means.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, assert_never

import msgspec

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId

AGENTS: Final = "agents"
UNREACHABLE: Final = "unreachable"
GONE: Final = "gone"
WEIGHTS: Final = "weights"
TABLES: Final = (AGENTS, UNREACHABLE, GONE, WEIGHTS)

#: (table, key) -> the record's bytes, or None to delete it.
Writes: TypeAlias = dict[tuple[str, str], bytes | None]

_DOUBLE = struct.Struct(">d")
_encoder = msgspec.msgpack.Encoder()
_agents = msgspec.msgpack.Decoder(m.AgentInfo)


@dataclass(frozen=True, slots=True)
class AdmitAgent:
    """The agent may serve from now on and is expected back after a failover."""

    info: m.AgentInfo


@dataclass(frozen=True, slots=True)
class RemoveAgent:
    """The agent left by its own will."""

    agent_id: AgentId


@dataclass(frozen=True, slots=True)
class MarkUnreachable:
    """The agent did not answer; it may come back with its tasks."""

    agent_id: AgentId
    at: float


@dataclass(frozen=True, slots=True)
class MarkReachable:
    """An unreachable agent is back."""

    info: m.AgentInfo


@dataclass(frozen=True, slots=True)
class StoreWeights:
    """Role weights that survive the master."""

    weights: tuple[tuple[str, float], ...]


RegistryOperation: TypeAlias = (
    AdmitAgent | RemoveAgent | MarkUnreachable | MarkReachable | StoreWeights
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a registry holds; `version` counts its writes. Times are epoch seconds."""

    version: int = 0
    agents: tuple[m.AgentInfo, ...] = ()
    unreachable: Mapping[AgentId, float] = field(default_factory=dict)
    gone: Mapping[AgentId, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


def write(operation: RegistryOperation, into: Writes) -> None:
    """Add what the operation does to `into`; a later write of the same record wins."""
    match operation:
        case AdmitAgent(info) | MarkReachable(info):
            agent_id = id_of(info)
            into[AGENTS, agent_id] = _encoder.encode(info)
            into[UNREACHABLE, agent_id] = None
        case RemoveAgent(agent_id):
            into[AGENTS, agent_id] = None
            into[UNREACHABLE, agent_id] = None
        case MarkUnreachable(agent_id, at):
            into[AGENTS, agent_id] = None
            into[UNREACHABLE, agent_id] = _DOUBLE.pack(at)
        case StoreWeights(weights):
            for role, weight in weights:
                into[WEIGHTS, role] = _DOUBLE.pack(weight)
        case _:
            assert_never(operation)


def id_of(info: m.AgentInfo) -> AgentId:
    """The id an admitted agent always has. Raises MalformedError."""
    if info.id is None:
        raise MalformedError("An agent without an id cannot be kept in the registry")
    return AgentId(info.id.value)


def snapshot(version: int, records: Iterable[tuple[str, str, bytes]]) -> Snapshot:
    """The snapshot that (table, key, value) records make. Raises MalformedError."""
    agents: list[m.AgentInfo] = []
    numbers: dict[str, dict[str, float]] = {UNREACHABLE: {}, GONE: {}, WEIGHTS: {}}
    for table, key, value in records:
        try:
            if table == AGENTS:
                agents.append(_agents.decode(value))
            elif table in numbers:
                numbers[table][key] = _DOUBLE.unpack(value)[0]
        except (msgspec.DecodeError, struct.error):
            raise MalformedError(
                f"The registry's record '{key}' in '{table}' cannot be read; restore the file "
                "from a backup."
            ) from None
    return Snapshot(
        version,
        tuple(agents),
        {AgentId(key): at for key, at in numbers[UNREACHABLE].items()},
        {AgentId(key): at for key, at in numbers[GONE].items()},
        numbers[WEIGHTS],
    )
