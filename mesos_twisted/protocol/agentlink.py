"""The conversation between our master and our agents: tagged records over one mutual TLS link.

The agent connects to the leading master (ALPN `mesos-link/1`) and speaks first:

    agent                                   master
    Register / Reregister        ->
                                 <-         Registered / Reregistered   (or Shutdown: go away)
    StatusUpdate                 ->
                                 <-         Acknowledge                 (when the framework has)
                                 <-         RunTask, RunTaskGroup, KillTask, Drain, ...
                                 <-         Ping
    Pong                         ->

Links to masters that do not lead carry nothing but this, for the day they do:

    Standby                      ->
                                 <-         Standing

A record is a four-byte big-endian length and a msgpack map whose `t` names the type. Unknown keys
are ignored and new keys have defaults, so neighbouring versions understand each other; a record of
an unknown type is counted and skipped. Nothing here is promised to clients.
"""

from __future__ import annotations

import struct
from typing import TypeAlias, Union, get_args

import msgspec

from mesos_twisted.errors import MalformedError
from mesos_twisted.protocol.generated import messages as m

MAX_RECORD_BYTES = 256 << 20
ALPN = b"mesos-link/1"
_LENGTH = struct.Struct(">I")


class LinkMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t"):
    """Base of every record."""


class LinkExecutor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A live executor of a returning agent, and what it was given."""

    framework_id: str
    info: m.ExecutorInfo
    resources: tuple[m.Resource, ...] = ()


class LinkCompletedFramework(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A framework the agent has finished with: only for the history that a new leader shows."""

    info: m.FrameworkInfo
    tasks: tuple[m.Task, ...] = ()


class Register(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="register"):
    """A new agent asks for an id. `info.id` is unset; `info.resources` is its total.

    `drains`: it knows Drain. (An older one may say AGENT_DRAINING among its capabilities and not.)
    """

    info: m.AgentInfo
    pid: str
    version: str
    capabilities: tuple[str, ...] = ()
    drains: bool = False


class Reregister(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="reregister"):
    """A known agent returns with all it has. `info.id` is set. `drains` as in Register."""

    info: m.AgentInfo
    pid: str
    version: str
    frameworks: tuple[m.FrameworkInfo, ...] = ()
    executors: tuple[LinkExecutor, ...] = ()
    tasks: tuple[m.Task, ...] = ()
    completed: tuple[LinkCompletedFramework, ...] = ()
    #: Frameworks that have not acknowledged all updates, whether or not they have anything here.
    owing: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    drains: bool = False
    #: It has been told to drain, and something is left here.
    draining: bool = False


class Unregister(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="unregister"):
    """The agent leaves for good: all its tasks have ended."""


class Pong(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="pong"):
    """Answer to a Ping."""


class Standby(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="standby"):
    """The agent keeps this link for the day this master leads; said first, and again now and then.

    Answered by Standing. A master of an older release that leads skips it, others close the link.
    """

    version: str = ""


class StatusUpdate(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="update"):
    """A task's oldest unacknowledged update; `latest_state` is where the task is by now."""

    framework_id: str
    status: m.TaskStatus
    latest_state: m.TaskState
    executor_id: str | None = None


class ExitedExecutor(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="exited"):
    """An executor ended; `status` is the wait(2) status, -1 when unknown."""

    framework_id: str
    executor_id: str
    status: int
    custom: bool = True


class ExecutorMessage(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="emessage"):
    """Bytes from an executor to its scheduler, at most once."""

    framework_id: str
    executor_id: str
    data: bytes


class Registered(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="registered"):
    """The agent is admitted under this id.

    `epoch` counts the masters that led by the registry `registry_id`: an agent that has followed a
    later one of the same registry refuses this one. Without an id there is nothing to compare.
    """

    agent_id: str
    master_id: str
    ping_timeout_s: float
    master_version: str = ""
    master_hostname: str = ""
    registry_id: str = ""
    epoch: int = 0


class Reregistered(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="reregistered"):
    """The agent is back. Tasks in `unknown` are not known to the agent: it answers for each with
    TASK_DROPPED; frameworks in `removed` are to be shut down."""

    agent_id: str
    master_id: str
    ping_timeout_s: float
    master_version: str = ""
    master_hostname: str = ""
    unknown: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()
    registry_id: str = ""
    epoch: int = 0


class Standing(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="standing"):
    """Whether the master leads and has recovered; said to those who stand by when it has."""

    leads: bool = False


class Ping(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="ping"):
    """Every agent_ping_timeout. `connected` false: the master has no registration: do it again."""

    connected: bool = True


class RunTask(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="run"):
    """Launch one task (a command, or a task of a custom executor).

    `launch_executor`: the master has charged a new run of the executor (true), or counts on the
    one that runs (false); None, for a command, says neither.
    """

    framework: m.FrameworkInfo
    task: m.TaskInfo
    launch_executor: bool | None = None


class RunTaskGroup(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="run_group"):
    """Launch a task group on its executor: all of it or none. `launch_executor` as in RunTask."""

    framework: m.FrameworkInfo
    executor: m.ExecutorInfo
    task_group: m.TaskGroupInfo
    launch_executor: bool | None = None


class KillTask(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="kill"):
    """End a task; `kill_policy` overrides the task's own."""

    framework_id: str
    task_id: str
    kill_policy: m.KillPolicy | None = None


class Drain(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="drain"):
    """End every task, in this way, and start none until nothing is left; sent once more to an agent
    that comes back. Without `config`: the agent is not to be drained any more."""

    config: m.DrainConfig | None = None


class ShutdownExecutor(
    LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="shutdown_executor"
):
    """Ask the executor to end; force it after its grace period."""

    framework_id: str
    executor_id: str


class ShutdownFramework(
    LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="shutdown_framework"
):
    """The framework is removed: end all its executors and tasks."""

    framework_id: str


class UpdateFramework(
    LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="update_framework"
):
    """The framework's info changed (subscribed again or updated)."""

    framework: m.FrameworkInfo
    #: Send every unacknowledged update again: there is a new scheduler behind the id.
    resend: bool = False


class Acknowledge(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="ack"):
    """The scheduler has this update."""

    framework_id: str
    task_id: str
    uuid: bytes


class FrameworkMessage(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="fmessage"):
    """Bytes from a scheduler to an executor, at most once."""

    framework_id: str
    executor_id: str
    data: bytes


class Shutdown(LinkMessage, frozen=True, kw_only=True, omit_defaults=True, tag="shutdown"):
    """The agent may not serve (gone, refused, wrong version): end every task and exit.

    It need not obey a master that is behind the last it followed; see Registered.
    """

    message: str = ""
    master_id: str = ""
    registry_id: str = ""
    epoch: int = 0


FromAgent: TypeAlias = Union[  # noqa: UP007 - get_args needs a typing.Union
    Register,
    Reregister,
    Unregister,
    Pong,
    Standby,
    StatusUpdate,
    ExitedExecutor,
    ExecutorMessage,
]
FromMaster: TypeAlias = Union[  # noqa: UP007 - get_args needs a typing.Union
    Registered,
    Reregistered,
    Ping,
    Standing,
    RunTask,
    RunTaskGroup,
    KillTask,
    Drain,
    ShutdownExecutor,
    ShutdownFramework,
    UpdateFramework,
    Acknowledge,
    FrameworkMessage,
    Shutdown,
]

_encoder = msgspec.msgpack.Encoder()
_from_agent: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)
_from_master: msgspec.msgpack.Decoder[FromMaster] = msgspec.msgpack.Decoder(FromMaster)
#: msgspec tells of bytes that are no UTF-8 by ValueError, of deep nesting by RecursionError.
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
_TAGS = {
    kind.__struct_config__.tag for union in (FromAgent, FromMaster) for kind in get_args(union)
}


def frame(message: FromAgent | FromMaster) -> bytes:
    """The record with its length, ready to be written."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def from_agent(body: bytes) -> FromAgent | None:
    """A record an agent sent; None for a type nobody here knows. Raises MalformedError."""
    try:
        return _from_agent.decode(body)
    except _UNREADABLE as error:
        _check_tag_unknown(body, error)
        return None


def from_master(body: bytes) -> FromMaster | None:
    """A record a master sent; None for a type nobody here knows. Raises MalformedError."""
    try:
        return _from_master.decode(body)
    except _UNREADABLE as error:
        _check_tag_unknown(body, error)
        return None


def _check_tag_unknown(body: bytes, error: Exception) -> None:
    try:
        tag = msgspec.msgpack.decode(body).get("t")
    except Exception:
        tag = None
    if not isinstance(tag, str) or tag in _TAGS:
        raise MalformedError(f"A link record cannot be read: {error}") from None


class Deframer:
    """Records out of a byte stream, whatever way the bytes are split."""

    __slots__ = ("_buffer", "_max")

    def __init__(self, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self._buffer = bytearray()
        self._max = max_record_bytes

    def allow(self, max_record_bytes: int) -> None:
        """Records may be so large from now on."""
        self._max = max_record_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """The records completed by `data`. Raises MalformedError for one over the limit."""
        buffer = self._buffer
        buffer += data
        out: list[bytes] = []
        at, end = 0, len(buffer)
        while end - at >= 4:
            size = int.from_bytes(buffer[at : at + 4], "big")
            if size > self._max:
                raise MalformedError(f"A link record of {size} bytes is over the limit {self._max}")
            if end - at - 4 < size:
                break
            out.append(bytes(buffer[at + 4 : at + 4 + size]))
            at += 4 + size
        if at:
            del buffer[:at]
        return out
