"""What a ZooKeeper client and its server say to each other, as values.

The names and numbers are those of Apache ZooKeeper 3.4 to 3.9 (`zookeeper.jute`, `ZooDefs.java`,
`KeeperException.java`). How values become bytes is `jute`'s matter. Pure.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias


class Code(enum.IntEnum):
    """What a server answers; codes that it may add are `SYSTEM_ERROR` to us."""

    OK = 0
    SYSTEM_ERROR = -1
    RUNTIME_INCONSISTENCY = -2
    DATA_INCONSISTENCY = -3
    CONNECTION_LOSS = -4
    MARSHALLING_ERROR = -5
    UNIMPLEMENTED = -6
    OPERATION_TIMEOUT = -7
    BAD_ARGUMENTS = -8
    NO_NODE = -101
    NO_AUTH = -102
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    SESSION_EXPIRED = -112
    INVALID_CALLBACK = -113
    INVALID_ACL = -114
    AUTH_FAILED = -115
    SESSION_MOVED = -118
    NOT_READONLY = -119
    THROTTLED_OP = -127


class EventKind(enum.IntEnum):
    """What a watch saw."""

    NONE = -1
    CREATED = 1
    DELETED = 2
    DATA_CHANGED = 3
    CHILDREN_CHANGED = 4


#: The session state inside a notification: the only one a server sends with a path.
SYNC_CONNECTED: Final = 3

#: Numbers of messages that belong to no call.
XID_NOTIFICATION: Final = -1
XID_PING: Final = -2
XID_AUTH: Final = -4
XID_SET_WATCHES: Final = -8

#: A version that fits any.
ANY_VERSION: Final = -1

READ: Final = 1
WRITE: Final = 2
CREATE: Final = 4
DELETE: Final = 8
ADMIN: Final = 16
ALL: Final = 31


@dataclass(frozen=True, slots=True)
class Acl:
    """One entry: who (`scheme`, `identity`) may do what (`permissions`, a sum of bits)."""

    permissions: int
    scheme: str
    identity: str


#: Anyone may do anything.
OPEN_ACL: Final = (Acl(ALL, "world", "anyone"),)
#: Whoever creates it may do anything; the server puts the creator's identities in.
CREATOR_ALL: Final = (Acl(ALL, "auth", ""),)
#: As `CREATOR_ALL`, and anyone may read: what Mesos gives its election.
EVERYONE_READ_CREATOR_ALL: Final = (Acl(READ, "world", "anyone"), Acl(ALL, "auth", ""))


@dataclass(frozen=True, slots=True)
class Stat:
    """What a server keeps about a node beside its data; times are epoch milliseconds."""

    czxid: int = 0
    mzxid: int = 0
    ctime: int = 0
    mtime: int = 0
    version: int = 0
    cversion: int = 0
    aversion: int = 0
    ephemeral_owner: int = 0
    data_length: int = 0
    num_children: int = 0
    pzxid: int = 0


# What a client asks.


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """The first message of a connection; a new session has id 0. `timeout_ms` is a wish."""

    last_zxid_seen: int
    timeout_ms: int
    session_id: int
    password: bytes
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """A new node; its answer carries a Stat when `with_stat` (create2)."""

    path: str
    data: bytes
    acl: tuple[Acl, ...] = OPEN_ACL
    ephemeral: bool = False
    sequential: bool = False
    with_stat: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """The node goes, if it has that version and no children."""

    path: str
    version: int = ANY_VERSION


@dataclass(frozen=True, slots=True)
class Exists:
    """The node's Stat; a watch is left even when there is no node."""

    path: str
    watch: bool = False


@dataclass(frozen=True, slots=True)
class GetData:
    """The node's data and Stat."""

    path: str
    watch: bool = False


@dataclass(frozen=True, slots=True)
class SetData:
    """New data, if the node has that version."""

    path: str
    data: bytes
    version: int = ANY_VERSION


@dataclass(frozen=True, slots=True)
class GetAcl:
    """Who may do what with the node."""

    path: str


@dataclass(frozen=True, slots=True)
class SetAcl:
    """A new list of who may do what, if the list has that version."""

    path: str
    acl: tuple[Acl, ...]
    version: int = ANY_VERSION


@dataclass(frozen=True, slots=True)
class GetChildren:
    """The names below a node; its answer carries a Stat when `with_stat` (getChildren2)."""

    path: str
    watch: bool = False
    with_stat: bool = True


@dataclass(frozen=True, slots=True)
class Sync:
    """What this server tells afterwards is no older than this request."""

    path: str


@dataclass(frozen=True, slots=True)
class Check:
    """Part of a Multi: it fails unless the node has that version."""

    path: str
    version: int


@dataclass(frozen=True, slots=True)
class Multi:
    """All of it happens or none."""

    operations: tuple[Create | Delete | SetData | Check, ...]


@dataclass(frozen=True, slots=True)
class Ping:
    """The client is alive."""


@dataclass(frozen=True, slots=True)
class Auth:
    """The session is also this identity from now on; `auth` is never logged."""

    scheme: str
    auth: bytes

    def __repr__(self) -> str:
        return f"Auth({self.scheme!r}, …)"


@dataclass(frozen=True, slots=True)
class SetWatches:
    """Watches left by earlier connections; what changed since `relative_zxid` is told at once."""

    relative_zxid: int
    data: tuple[str, ...]
    exist: tuple[str, ...]
    child: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CloseSession:
    """The session ends, and with it its ephemeral nodes."""


Request: TypeAlias = (
    Create
    | Delete
    | Exists
    | GetData
    | SetData
    | GetAcl
    | SetAcl
    | GetChildren
    | Sync
    | Check
    | Multi
    | Ping
    | Auth
    | SetWatches
    | CloseSession
)


# What a server answers.


@dataclass(frozen=True, slots=True)
class ConnectResponse:
    """The session that was made or found; `timeout_ms` 0 or id 0: it has expired."""

    timeout_ms: int
    session_id: int
    password: bytes
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ReplyHeader:
    """Opens every message but the first: which call, the server's last zxid, a Code."""

    xid: int
    zxid: int
    error: int


@dataclass(frozen=True, slots=True)
class Done:
    """There is nothing to tell but that it is done."""


@dataclass(frozen=True, slots=True)
class Created:
    """The node's path, with its number when it is sequential."""

    path: str
    stat: Stat | None = None


@dataclass(frozen=True, slots=True)
class Stated:
    """The node's Stat, after the request."""

    stat: Stat


@dataclass(frozen=True, slots=True)
class Data:
    """A node's data."""

    data: bytes
    stat: Stat


@dataclass(frozen=True, slots=True)
class Acls:
    """Who may do what with a node."""

    acl: tuple[Acl, ...]
    stat: Stat


@dataclass(frozen=True, slots=True)
class Children:
    """Names below a node, in no order."""

    children: tuple[str, ...]
    stat: Stat | None = None


@dataclass(frozen=True, slots=True)
class Synced:
    """Answers Sync."""

    path: str


@dataclass(frozen=True, slots=True)
class Failed:
    """One operation of a Multi that did not happen: the one at fault has its Code, those before
    it `OK` and those after it `RUNTIME_INCONSISTENCY`."""

    error: int


@dataclass(frozen=True, slots=True)
class MultiReply:
    """One result for each operation."""

    results: tuple[Done | Created | Stated | Failed, ...]


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A watch fired, once."""

    kind: EventKind
    path: str
    state: int = SYNC_CONNECTED


Reply: TypeAlias = Done | Created | Stated | Data | Acls | Children | Synced | MultiReply
