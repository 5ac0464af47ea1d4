"""Who waits for a change of which node. Each watch is told once.

A server keeps three lists for a connection: watches on data (left by getData, and by exists when
there was a node), on a node's coming (exists when there was none) and on children. We keep the
same, to leave them again at the next server.
"""

from __future__ import annotations

from typing import Any, Final

from mesos_twisted.zookeeper import records as r

_DATA: Final = 0
_EXIST: Final = 1
_CHILD: Final = 2
_LISTS: Final = {
    r.EventKind.CREATED: (_DATA, _EXIST),
    r.EventKind.DATA_CHANGED: (_DATA, _EXIST),
    r.EventKind.DELETED: (_DATA, _EXIST, _CHILD),
    r.EventKind.CHILDREN_CHANGED: (_CHILD,),
    r.EventKind.NONE: (),
}


class Watches:
    """The watches of one session."""

    __slots__ = ("_lists",)

    def __init__(self) -> None:
        # Dicts, for their order: path -> watchers.
        self._lists: tuple[dict[str, dict[Any, None]], ...] = ({}, {}, {})

    def answered(self, request: r.Request, code: int, watcher: Any) -> None:
        """A request that asked for a watch was answered: the server keeps one if it should."""
        match request:
            case r.Exists(path, True) if code == r.Code.NO_NODE:
                which = _EXIST
            case r.Exists(path, True) | r.GetData(path, True) if code == r.Code.OK:
                which = _DATA
            case r.GetChildren(path, True) if code == r.Code.OK:
                which = _CHILD
            case _:
                return
        self._lists[which].setdefault(path, {})[watcher] = None

    def fired(self, event: r.WatchEvent) -> list[Any]:
        """Who waited for this, each once; they wait no longer."""
        found: dict[Any, None] = {}
        for which in _LISTS[event.kind]:
            found |= self._lists[which].pop(event.path, {})
        return list(found)

    def forget(self, watcher: Any) -> None:
        """This one waits no longer."""
        for paths in self._lists:
            for path in [path for path, watchers in paths.items() if watcher in watchers]:
                del paths[path][watcher]
                if not paths[path]:
                    del paths[path]

    def rearm(self, zxid: int) -> list[r.SetWatches]:
        """What leaves them at another server; what changed since `zxid` is told at once."""
        parts: list[r.SetWatches] = []
        lists = [tuple(paths) for paths in self._lists]
        # In pieces, as a server's limit of message size asks.
        for start in range(0, max(map(len, lists)), 500):
            data, exist, child = (paths[start : start + 500] for paths in lists)
            parts.append(r.SetWatches(zxid, data, exist, child))
        return parts
