"""What can be asked of a registry, as values, and what each does to its tables.

Pure: an operation becomes writes of (table, key) -> value, where None deletes. Every store keeps
the same tables, so all of them agree on what an operation means. A record is replaced whole or left
alone, never rewritten from what was understood of it: what a newer release added to one stays.

What an operator wants of an agent has records of its own beside the agent's: that it gets no
offers, that it is to be drained and how, and that it is. They stay while the agent is lost and
comes back, also under a release that does not know them; without the agent they mean nothing.
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
DEACTIVATED: Final = "deactivated"
#: How to drain an agent, and the agents with which that is done.
DRAINS: Final = "drains"
DRAINED: Final = "drained"
#: One record, of the same key: whose registry it is and who leads.
MASTER: Final = "master"
TABLES: Final = (AGENTS, UNREACHABLE, GONE, WEIGHTS, DEACTIVATED, DRAINS, DRAINED, MASTER)

#: (table, key) -> the record's bytes, or None to delete it.
Writes: TypeAlias = dict[tuple[str, str], bytes | None]

_DOUBLE = struct.Struct(">d")
_encoder = msgspec.msgpack.Encoder()
_agents = msgspec.msgpack.Decoder(m.AgentInfo)
_drains = msgspec.msgpack.Decoder(m.DrainConfig)
#: Of a record that says all by being there: a map, for what may be added to it.
_THERE: Final = _encoder.encode({})


class LeaderRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who leads. `registry_id` is the id of the first master that ever did; `epoch` counts them."""

    registry_id: str
    epoch: int
    master: m.MasterInfo


_leader = msgspec.msgpack.Decoder(LeaderRecord)


@dataclass(frozen=True, slots=True)
class Lead:
    """This master leads from now on; a leader's first write."""

    registry_id: str
    epoch: int
    master: m.MasterInfo


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
class MarkGone:
    """The agent never comes back: an operator says so."""

    agent_id: AgentId
    at: float


@dataclass(frozen=True, slots=True)
class Prune:
    """Agents lost so long ago, or so many, that they are forgotten."""

    unreachable: tuple[AgentId, ...] = ()
    gone: tuple[AgentId, ...] = ()
    #: Those of `unreachable` that are deactivated.
    deactivated: tuple[AgentId, ...] = ()


@dataclass(frozen=True, slots=True)
class DrainAgent:
    """The agent gets no offers, and everything on it is to end."""

    agent_id: AgentId
    config: m.DrainConfig


@dataclass(frozen=True, slots=True)
class MarkAgentDrained:
    """Everything on an agent to be drained has ended."""

    agent_id: AgentId


@dataclass(frozen=True, slots=True)
class DeactivateAgent:
    """The agent gets no offers."""

    agent_id: AgentId


@dataclass(frozen=True, slots=True)
class ReactivateAgent:
    """The agent gets offers again, and is not to be drained."""

    agent_id: AgentId


@dataclass(frozen=True, slots=True)
class StoreWeights:
    """Role weights that survive the master."""

    weights: tuple[tuple[str, float], ...]


RegistryOperation: TypeAlias = (
    AdmitAgent
    | RemoveAgent
    | MarkUnreachable
    | MarkReachable
    | MarkGone
    | Prune
    | DrainAgent
    | MarkAgentDrained
    | DeactivateAgent
    | ReactivateAgent
    | StoreWeights
    | Lead
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a registry holds; `version` counts its writes. Times are epoch seconds.

    `registry_id`, `epoch` and `master` tell of the last leader: "", 0 and None before the first.
    `deactivated` and `draining` name agents of `agents` and `unreachable` alone; an agent to be
    drained is deactivated.
    """

    version: int = 0
    agents: tuple[m.AgentInfo, ...] = ()
    unreachable: Mapping[AgentId, float] = field(default_factory=dict)
    gone: Mapping[AgentId, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    registry_id: str = ""
    epoch: int = 0
    master: m.MasterInfo | None = None
    deactivated: frozenset[AgentId] = frozenset()
    draining: Mapping[AgentId, m.DrainInfo] = field(default_factory=dict)


def next_lead(found: Snapshot, master: m.MasterInfo) -> Lead:
    """The first write of a master that read `found`: one epoch after the last."""
    return Lead(found.registry_id or master.id, found.epoch + 1, master)


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
            _reactivate(agent_id, into)
        case MarkUnreachable(agent_id, at):
            into[AGENTS, agent_id] = None
            into[UNREACHABLE, agent_id] = _DOUBLE.pack(at)
        case MarkGone(agent_id, at):
            into[AGENTS, agent_id] = None
            into[UNREACHABLE, agent_id] = None
            into[GONE, agent_id] = _DOUBLE.pack(at)
            _reactivate(agent_id, into)
        case Prune(unreachable, gone, deactivated):
            into.update(dict.fromkeys([(UNREACHABLE, one) for one in unreachable]))
            into.update(dict.fromkeys([(GONE, one) for one in gone]))
            for agent_id in deactivated:
                _reactivate(agent_id, into)
        case DrainAgent(agent_id, config):
            into[DEACTIVATED, agent_id] = _THERE
            into[DRAINS, agent_id] = _encoder.encode(config)
            into[DRAINED, agent_id] = None
        case MarkAgentDrained(agent_id):
            into[DRAINED, agent_id] = _THERE
        case DeactivateAgent(agent_id):
            into[DEACTIVATED, agent_id] = _THERE
        case ReactivateAgent(agent_id):
            _reactivate(agent_id, into)
        case Lead(registry_id, epoch, master):
            record = LeaderRecord(registry_id=registry_id, epoch=epoch, master=master)
            into[MASTER, MASTER] = _encoder.encode(record)
        case StoreWeights(weights):
            for role, weight in weights:
                into[WEIGHTS, role] = _DOUBLE.pack(weight)
        case _:
            assert_never(operation)


def _reactivate(agent_id: AgentId, into: Writes) -> None:
    for table in (DEACTIVATED, DRAINS, DRAINED):
        into[table, agent_id] = None


def id_of(info: m.AgentInfo) -> AgentId:
    """The id an admitted agent always has. Raises MalformedError."""
    if info.id is None:
        raise MalformedError("An agent without an id cannot be kept in the registry")
    return AgentId(info.id.value)


def snapshot(version: int, records: Iterable[tuple[str, str, bytes]]) -> Snapshot:
    """The snapshot that (table, key, value) records make. Raises MalformedError."""
    agents: list[m.AgentInfo] = []
    numbers: dict[str, dict[str, float]] = {UNREACHABLE: {}, GONE: {}, WEIGHTS: {}}
    leader: LeaderRecord | None = None
    drains: dict[str, m.DrainConfig] = {}
    marked: dict[str, set[str]] = {DEACTIVATED: set(), DRAINED: set()}
    for table, key, value in records:
        try:
            if table == AGENTS:
                agents.append(_agents.decode(value))
            elif table in numbers:
                numbers[table][key] = _DOUBLE.unpack(value)[0]
            elif table in marked:
                marked[table].add(key)
            elif table == DRAINS:
                drains[key] = _drains.decode(value)
            elif (table, key) == (MASTER, MASTER):
                leader = _leader.decode(value)
        except (msgspec.DecodeError, struct.error):
            raise MalformedError(
                f"The registry's record '{key}' in '{table}' cannot be read; restore the file "
                "from a backup."
            ) from None
    known = {info.id.value for info in agents if info.id is not None} | numbers[UNREACHABLE].keys()
    draining = {
        AgentId(key): m.DrainInfo(
            state=m.DrainState.DRAINED if key in marked[DRAINED] else m.DrainState.DRAINING,
            config=config,
        )
        for key, config in drains.items()
        if key in known
    }
    return Snapshot(
        version,
        tuple(agents),
        {AgentId(key): at for key, at in numbers[UNREACHABLE].items()},
        {AgentId(key): at for key, at in numbers[GONE].items()},
        numbers[WEIGHTS],
        "" if leader is None else leader.registry_id,
        0 if leader is None else leader.epoch,
        None if leader is None else leader.master,
        frozenset(AgentId(key) for key in (marked[DEACTIVATED] | drains.keys()) & known),
        draining,
    )
