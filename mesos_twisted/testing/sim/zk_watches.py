"""The watches that clients left at one simulated ZooKeeper server: each fires once."""

from __future__ import annotations

from collections.abc import Iterable

from mesos_twisted.testing.sim.zk_connection import ClientConnection
from mesos_twisted.testing.sim.zk_nodes import Change, Changed, Gone, Made
from mesos_twisted.zookeeper.records import EventKind, WatchEvent

_Table = dict[str, dict[ClientConnection, None]]


class Watches:
    """One table for nodes and their data, one for children, as in ZooKeeper's DataTree."""

    def __init__(self) -> None:
        self._data: _Table = {}
        self._children: _Table = {}

    def leave(self, connection: ClientConnection, path: str, children: bool) -> None:
        """One of each kind for each connection and path."""
        table = self._children if children else self._data
        table.setdefault(path, {})[connection] = None

    def drop(self, connection: ClientConnection) -> None:
        """The connection is gone."""
        for table in (self._data, self._children):
            for path in [path for path, who in table.items() if connection in who]:
                del table[path][connection]
                if not table[path]:
                    del table[path]

    def clear(self) -> None:
        """Nobody watches."""
        self._data.clear()
        self._children.clear()

    def tell(self, changes: Iterable[Change]) -> None:
        """Whoever watched what changed hears of it."""
        data, children = self._data, self._children
        for change in changes:
            match change:
                case Made(path=path):
                    _fire(EventKind.CREATED, path, data)
                    _fire(EventKind.CHILDREN_CHANGED, _parent(path), children)
                case Gone(path):
                    told = _fire(EventKind.DELETED, path, data)
                    _fire(EventKind.DELETED, path, children, told)
                    _fire(EventKind.CHILDREN_CHANGED, _parent(path), children)
                case Changed(path, _):
                    _fire(EventKind.DATA_CHANGED, path, data)


def _fire(
    kind: EventKind, path: str, table: _Table, but: dict[ClientConnection, None] | None = None
) -> dict[ClientConnection, None]:
    found = table.pop(path, {})
    for connection in found:
        if but is None or connection not in but:
            connection.tell(WatchEvent(kind, path))
    return found


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
