"""The nodes and sessions of one simulated ZooKeeper server, and changes of them, each undoable.

A change is a value: the leader makes them and all servers apply them in the same order, so that all
are alike up to their last zxid. Whether one may happen is decided in `zk_tree`. Source: DataTree of
ZooKeeper 3.8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.records import Code

#: Reserved nodes that every ensemble has.
BORN: Final = ("/zookeeper", "/zookeeper/config", "/zookeeper/quota")


class Refusal(Exception):
    """A request that does not happen."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(slots=True)
class Node:
    """One node; `creates` counts the children ever made, which numbers sequential ones."""

    data: bytes
    acl: tuple[r.Acl, ...]
    czxid: int
    ctime: int
    mzxid: int
    mtime: int
    pzxid: int
    owner: int = 0
    version: int = 0
    aversion: int = 0
    creates: int = 0
    children: dict[str, None] = field(default_factory=dict)

    def stat(self) -> r.Stat:
        """As clients see it; their cversion counts deletions too."""
        return r.Stat(
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            self.creates * 2 - len(self.children),
            self.aversion,
            self.owner,
            len(self.data),
            len(self.children),
            self.pzxid,
        )


@dataclass(frozen=True, slots=True)
class Made:
    """A node came."""

    path: str
    data: bytes
    acl: tuple[r.Acl, ...]
    owner: int


@dataclass(frozen=True, slots=True)
class Gone:
    """A node went."""

    path: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A node's data are others."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Guarded:
    """A node's list of who may do what is another."""

    path: str
    acl: tuple[r.Acl, ...]


@dataclass(frozen=True, slots=True)
class Began:
    """A session began."""

    session: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A session ended; its nodes went before."""

    session: int


Change: TypeAlias = Made | Gone | Changed | Guarded | Began | Ended


class Nodes:
    """Nodes and sessions as of `zxid`."""

    def __init__(self) -> None:
        self.zxid = 0
        self.nodes: dict[str, Node] = {"/": Node(b"", r.OPEN_ACL, 0, 0, 0, 0, 0)}
        #: Session to its time-out in milliseconds.
        self.sessions: dict[int, int] = {}
        self._ephemerals: dict[int, dict[str, None]] = {}
        for path in BORN:
            self._make(Made(path, b"", r.OPEN_ACL, 0), 0, 0)
        for node in self.nodes.values():
            node.creates = 0  # born with their parents, not made

    def node(self, path: str) -> Node:
        """Raises Refusal with NO_NODE. An empty path is the root, as in ZooKeeper's own tree."""
        found = self.nodes.get(path or "/")
        if found is None:
            raise Refusal(Code.NO_NODE)
        return found

    # Changing, by anyone

    def replay(self, changes: Iterable[Change], zxid: int, time_ms: int) -> None:
        """What the leader has done."""
        self.zxid = zxid
        for change in changes:
            self.apply(change, zxid, time_ms)

    def apply(self, change: Change, zxid: int, time_ms: int) -> Callable[[], object]:
        """Does it, and gives what undoes it."""
        match change:
            case Made():
                return self._make(change, zxid, time_ms)
            case Gone(path):
                return self._remove(path, zxid)
            case Changed(path, data):
                node = self.nodes[path]
                before = (node.data, node.version, node.mzxid, node.mtime)
                node.data, node.mzxid, node.mtime = data, zxid, time_ms
                node.version += 1

                def restore() -> None:
                    node.data, node.version, node.mzxid, node.mtime = before

                return restore
            case Guarded(path, acl):
                self.nodes[path].acl = acl
                self.nodes[path].aversion += 1
            case Began(session, timeout_ms):
                self.sessions[session] = timeout_ms
            case Ended(session):
                self.sessions.pop(session, None)
                self._ephemerals.pop(session, None)
        # Of these none is part of a transaction that can fail.
        return lambda: None

    def _make(self, made: Made, zxid: int, time_ms: int) -> Callable[[], object]:
        path, name = made.path, made.path.rpartition("/")[2]
        parent = self.nodes[parent_of(path)]
        self.nodes[path] = Node(
            made.data, made.acl, zxid, time_ms, zxid, time_ms, zxid, owner=made.owner
        )
        pzxid, parent.pzxid = parent.pzxid, zxid
        parent.creates += 1
        parent.children[name] = None
        if made.owner:
            self._ephemerals.setdefault(made.owner, {})[path] = None

        def undo() -> None:
            del self.nodes[path], parent.children[name]
            parent.creates -= 1
            parent.pzxid = pzxid
            if made.owner:
                del self._ephemerals[made.owner][path]

        return undo

    def _remove(self, path: str, zxid: int) -> Callable[[], object]:
        name = path.rpartition("/")[2]
        parent, node = self.nodes[parent_of(path)], self.nodes.pop(path)
        pzxid, parent.pzxid = parent.pzxid, zxid
        del parent.children[name]
        if node.owner:
            self._ephemerals.get(node.owner, {}).pop(path, None)

        def undo() -> None:
            self.nodes[path] = node
            parent.children[name] = None
            parent.pzxid = pzxid
            if node.owner:
                self._ephemerals.setdefault(node.owner, {})[path] = None

        return undo


def parent_of(path: str) -> str:
    """The path of the node above."""
    return path.rpartition("/")[0] or "/"
