"""What a master's core can ask of its edges. The driver performs them in list order.

A durable effect (ApplyRegistry) does not block later ones: the core holds back what must wait and
asks for it when RegistryApplied comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mesos_twisted.effects import CancelTimer as CancelTimer
from mesos_twisted.effects import Count as Count
from mesos_twisted.effects import Log as Log
from mesos_twisted.effects import StartTimer as StartTimer
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import ConnectionId

# What a registry can be asked is the registry's own vocabulary; the core speaks it from here.
from mesos_twisted.registry.operations import AdmitAgent as AdmitAgent
from mesos_twisted.registry.operations import DeactivateAgent as DeactivateAgent
from mesos_twisted.registry.operations import DrainAgent as DrainAgent
from mesos_twisted.registry.operations import MarkAgentDrained as MarkAgentDrained
from mesos_twisted.registry.operations import MarkGone as MarkGone
from mesos_twisted.registry.operations import MarkReachable as MarkReachable
from mesos_twisted.registry.operations import MarkUnreachable as MarkUnreachable
from mesos_twisted.registry.operations import Prune as Prune
from mesos_twisted.registry.operations import ReactivateAgent as ReactivateAgent
from mesos_twisted.registry.operations import RegistryOperation as RegistryOperation
from mesos_twisted.registry.operations import RemoveAgent as RemoveAgent
from mesos_twisted.registry.operations import StoreWeights as StoreWeights


@dataclass(frozen=True, slots=True)
class SendEvent:
    """Write one event to an open scheduler stream (nothing happens when it has closed)."""

    connection: ConnectionId
    event: m.SchedulerEvent


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Close a scheduler stream after what was written to it."""

    connection: ConnectionId


@dataclass(frozen=True, slots=True)
class SendToAgent:
    """Write one record to an agent link."""

    link: ConnectionId
    message: agentlink.FromMaster


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Close an agent link after what was written to it."""

    link: ConnectionId


@dataclass(frozen=True, slots=True)
class ApplyRegistry:
    """Make a registry operation durable, then say RegistryApplied(number)."""

    number: int
    operation: RegistryOperation


@dataclass(frozen=True, slots=True)
class RequestAllocation:
    """Something changed that an allocation could use: say AllocationDue soon, once."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell operators' event streams. Made by the core next to the change it tells of."""

    event: m.MasterEvent


@dataclass(frozen=True, slots=True)
class StopMaster:
    """End this process with the exit code; the sentence says why and what to do."""

    exit_code: int
    sentence: str


Effect: TypeAlias = (
    SendEvent
    | CloseStream
    | SendToAgent
    | CloseLink
    | ApplyRegistry
    | StartTimer
    | CancelTimer
    | RequestAllocation
    | Publish
    | StopMaster
    | Count
    | Log
)
