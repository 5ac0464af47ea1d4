"""What one simulated ZooKeeper server knows: its nodes and sessions, and how changes alter them.

The leader `execute`s a request against its tree: the answer, or a Code, and the changes made. The
others `replay` those changes in the same order, so that all trees are alike up to their last zxid.
A transaction that fails is undone whole. Source: DataTree and PrepRequestProcessor of ZooKeeper
3.8; quotas, containers, TTLs and reconfiguration are not simulated.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mesos_twisted.testing.sim.zk_acl import Identity, expand, permits
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.records import Code

#: Reserved nodes that every ensemble has.
_BORN: Final = ("/zookeeper", "/zookeeper/config", "/zookeeper/quota")
_KEPT: Final = ("/", *_BORN)


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


class Tree:
    """Nodes and sessions as of `zxid`."""

    def __init__(self) -> None:
        self.zxid = 0
        self.nodes: dict[str, Node] = {"/": Node(b"", r.OPEN_ACL, 0, 0, 0, 0, 0)}
        #: Session to its time-out in milliseconds.
        self.sessions: dict[int, int] = {}
        self._ephemerals: dict[int, dict[str, None]] = {}
        for path in _BORN:
            self._make(Made(path, b"", r.OPEN_ACL, 0), 0, 0)
        for node in self.nodes.values():
            node.creates = 0  # born with their parents, not made

    # Reading

    def node(self, path: str) -> Node:
        """Raises Refusal with NO_NODE. An empty path is the root, as in ZooKeeper's own tree."""
        found = self.nodes.get(path or "/")
        if found is None:
            raise Refusal(Code.NO_NODE)
        return found

    def read(self, request: r.Request, who: Iterable[Identity]) -> r.Reply:
        """The answer to a request that changes nothing. Raises Refusal."""
        match request:
            case r.Exists(path):
                if "\0" in path:
                    raise Refusal(Code.BAD_ARGUMENTS)
                return r.Stated(self.node(path).stat())
            case r.GetData(path):
                node = self._allowed(path, r.READ, who)
                return r.Data(node.data, node.stat())
            case r.GetChildren(path, _, with_stat):
                node = self._allowed(path, r.READ, who)
                return r.Children(scattered(node.children), node.stat() if with_stat else None)
            case r.GetAcl(path):
                node = self._allowed(path, r.READ | r.ADMIN, who)
                return r.Acls(node.acl, node.stat())
            case _:
                raise Refusal(Code.UNIMPLEMENTED)

    def _named(self, path: str, permission: int, who: Iterable[Identity]) -> Node:
        _valid(path)
        return self._allowed(path, permission, who)

    # Changing, by the leader

    def execute(
        self, request: r.Request, session: int, who: Iterable[Identity], zxid: int, time_ms: int
    ) -> tuple[r.Reply, list[Change]]:
        """Afterwards it has happened: the answer and what changed. Raises Refusal, unchanged."""
        undo: list[Callable[[], object]] = []
        done: list[Change] = []
        who = tuple(who)

        def change(one: Change) -> None:
            undo.append(self._apply(one, zxid, time_ms))
            done.append(one)

        self.zxid = zxid
        if not isinstance(request, r.Multi):
            return self._one(request, session, who, change), done
        results: list[r.Done | r.Created | r.Stated | r.Failed] = []
        for index, operation in enumerate(request.operations):
            try:
                results.append(self._part(operation, session, who, change))
            except Refusal as refusal:
                for step in reversed(undo):
                    step()
                after = len(request.operations) - index - 1
                return r.MultiReply(
                    (
                        *[r.Failed(Code.OK)] * index,
                        r.Failed(refusal.code),
                        *[r.Failed(Code.RUNTIME_INCONSISTENCY)] * after,
                    )
                ), []
        return r.MultiReply(tuple(results)), done

    def _part(
        self,
        operation: r.Create | r.Delete | r.SetData | r.Check,
        session: int,
        who: tuple[Identity, ...],
        change: Callable[[Change], None],
    ) -> r.Done | r.Created | r.Stated:
        if isinstance(operation, r.Check):
            node = self._named(operation.path, r.READ, who)
            _version(node.version, operation.version)
            return r.Done()
        reply = self._one(operation, session, who, change)
        assert isinstance(reply, r.Done | r.Created | r.Stated)
        # ZooKeeper 3.8 gives no Stat here, whatever was asked for.
        return r.Created(reply.path) if isinstance(reply, r.Created) else reply

    def _one(
        self,
        request: r.Request,
        session: int,
        who: tuple[Identity, ...],
        change: Callable[[Change], None],
    ) -> r.Reply:
        match request:
            case r.Create():
                return self._create(request, session, who, change)
            case r.Delete(path, version):
                if "/" not in path or "\0" in path or path in _KEPT:
                    raise Refusal(Code.BAD_ARGUMENTS)
                self._allowed(path.rpartition("/")[0], r.DELETE, who)
                node = self.node(path)
                _version(node.version, version)
                if node.children:
                    raise Refusal(Code.NOT_EMPTY)
                change(Gone(path))
                return r.Done()
            case r.SetData(path, data, version):
                node = self._named(path, r.WRITE, who)
                _version(node.version, version)
                change(Changed(path, data))
                return r.Stated(node.stat())
            case r.SetAcl(path, acl, version):
                _valid(path)
                expanded = self._acl(acl, who)
                node = self._allowed(path, r.ADMIN, who)
                _version(node.aversion, version)
                change(Guarded(path, expanded))
                return r.Stated(node.stat())
            case r.CloseSession():
                for path in list(self._ephemerals.get(session, ())):
                    change(Gone(path))
                change(Ended(session))
                return r.Done()
            case _:
                raise Refusal(Code.UNIMPLEMENTED)

    def _create(
        self,
        request: r.Create,
        session: int,
        who: tuple[Identity, ...],
        change: Callable[[Change], None],
    ) -> r.Created:
        path = request.path
        if "/" not in path or "\0" in path:
            raise Refusal(Code.BAD_ARGUMENTS)
        acl = self._acl(request.acl, who)
        parent = self._allowed(path.rpartition("/")[0], r.CREATE, who)
        if request.sequential:
            path = f"{path}{parent.creates:010d}"
        _valid(path)
        if path in self.nodes:
            raise Refusal(Code.NODE_EXISTS)
        if parent.owner:
            raise Refusal(Code.NO_CHILDREN_FOR_EPHEMERALS)
        change(Made(path, request.data, acl, session if request.ephemeral else 0))
        return r.Created(path, self.nodes[path].stat() if request.with_stat else None)

    def _allowed(self, path: str, permission: int, who: Iterable[Identity]) -> Node:
        node = self.node(path)
        if not permits(node.acl, permission, who):
            raise Refusal(Code.NO_AUTH)
        return node

    def _acl(self, acl: tuple[r.Acl, ...], who: tuple[Identity, ...]) -> tuple[r.Acl, ...]:
        expanded = expand(acl, who)
        if expanded is None:
            raise Refusal(Code.INVALID_ACL)
        return expanded

    # Changing, by anyone

    def replay(self, changes: Iterable[Change], zxid: int, time_ms: int) -> None:
        """What the leader has done."""
        self.zxid = zxid
        for change in changes:
            self._apply(change, zxid, time_ms)

    def _apply(self, change: Change, zxid: int, time_ms: int) -> Callable[[], object]:
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
        parent = self.nodes[_parent(path)]
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
        parent, node = self.nodes[_parent(path)], self.nodes.pop(path)
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


def scattered(names: Iterable[str]) -> tuple[str, ...]:
    """In an order that nobody can rely on, and that is always the same."""
    return tuple(sorted(names, key=lambda name: (zlib.crc32(name.encode()), name)))


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _valid(path: str) -> None:
    parts = path.split("/")
    good = path == "/" or (
        len(parts) > 1 and parts[0] == "" and all(part not in ("", ".", "..") for part in parts[1:])
    )
    if not good or "\0" in path:
        raise Refusal(Code.BAD_ARGUMENTS)


def _version(actual: int, wanted: int) -> None:
    if wanted not in (r.ANY_VERSION, actual):
        raise Refusal(Code.BAD_VERSION)
