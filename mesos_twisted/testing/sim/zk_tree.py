"""What one simulated ZooKeeper server answers, and the changes that requests make of its nodes.

The leader `execute`s a request against its tree: the answer, or a Code, and the changes made. The
others `replay` those changes in the same order. A transaction that fails is undone whole. Source:
DataTree and PrepRequestProcessor of ZooKeeper 3.8; quotas, containers, TTLs and reconfiguration are
not simulated.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Final

from mesos_twisted.testing.sim.zk_acl import Identity, expand, permits
from mesos_twisted.testing.sim.zk_nodes import (
    BORN,
    Began,
    Change,
    Changed,
    Ended,
    Gone,
    Guarded,
    Made,
    Node,
    Nodes,
    Refusal,
)
from mesos_twisted.zookeeper import records as r
from mesos_twisted.zookeeper.records import Code

__all__ = ["Began", "Change", "Ended", "Refusal", "Tree"]

_KEPT: Final = ("/", *BORN)


class Tree(Nodes):
    """Nodes and sessions as of `zxid`, and what may be asked of them."""

    # Reading

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
            undo.append(self.apply(one, zxid, time_ms))
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


def scattered(names: Iterable[str]) -> tuple[str, ...]:
    """In an order that nobody can rely on, and that is always the same."""
    return tuple(sorted(names, key=lambda name: (zlib.crc32(name.encode()), name)))


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
